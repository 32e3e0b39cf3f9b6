"""Untrained models to explore, and requests to their app without a server or a browser."""

import asyncio
import base64
import json

import numpy as np
from jax import random
from opened_data import from_arrays
from small import grey_images

from jaxvae.config import Config, Data, Model
from jaxvae.config.build import build
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import first_state, variables_of
from jaxvae.viz.explorer.session import open_session
from jaxvae.viz.figures.subject import Subject

HOST = [(b"host", b"127.0.0.1:1234")]
JSON = [(b"content-type", b"application/json")]


def make_session(shape=(6, 5, 1), count=40, labels=True, prepare="binarize", objective="elbo", **model):
    """Returns a session of an untrained model of random images, of classes 0 to 2, vectors [count, 2], or no labels."""
    model = {"latent_dim": 4, "encoder": "mlp(8)", "decoder": "mlp(8)"} | model
    config = Config(data=Data(prepare=prepare), model=Model(**model), objective=objective)
    images = grey_images(count, shape)
    label = np.arange(count, dtype=np.int32) % 3
    if model.get("condition") == "vector":
        label = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    data = from_arrays((images, label) if labels else images, 0.0)
    parts = build(config, data.shape, condition=data.condition_size(config.model.condition), examples=count)
    state = first_state(config, parts, random.key(0), random.key(1))
    return open_session(Subject(Run(config, parts, variables_of(state), 0), data, "train", random.key(2)))


def call(app, path, body=None, *, method=None, headers=HOST, kind=JSON, receive=None):
    """Returns (status, headers, content) of one request; a body that is no bytes is sent as JSON."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    sent = []

    async def receive_once():
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method or ("GET" if body is None else "POST"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers, *(kind if body is not None else ())],
        "http_version": "1.1",
        "scheme": "http",
    }
    asyncio.run(app(scope, receive or receive_once, send))
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, content


def unpacked(packed):
    """uint8 [N, H, W, C]."""
    return np.frombuffer(base64.b64decode(packed["data"]), np.uint8).reshape(packed["shape"])
