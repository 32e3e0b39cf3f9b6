"""The requests of the page and their responses: (session, fields) -> what JSON can hold.

A code z in a response is without the attributes that were added to it. Nothing is kept between two requests.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxvae import latent
from jaxvae._checks import require_choice, require_number
from jaxvae.data.spec import to_pixels, to_unit
from jaxvae.viz.explorer.requests import Fields
from jaxvae.viz.explorer.session import PATHS, Session, nearest_codes
from jaxvae.viz.figures.images import pictures

__all__ = ["ENDPOINTS", "PATH_STEPS", "SAMPLES", "THUMBNAILS", "compile_all", "describe_model", "respond"]

_Payload = dict[str, Any]
THUMBNAILS = 24  # images of the split shown at once
SAMPLES = 16
PATH_STEPS = 101  # of the slider between two images
_STRIP_STEPS = 11
_NEIGHBOURS = 6
_POINTS = 3000  # codes drawn on the plane
_MAX_TEMPERATURE = 3.0
_PLANE_PIXELS = 640  # of the decoded plane along each side, at most
_SCORE = 10  # a purpose folded into the subject's key


def describe_model(session: Session) -> _Payload:
    """Returns what the page is built from."""
    subject, codes = session.subject, session.codes
    run = subject.run
    return {
        "data": subject.data.name,
        "split": subject.name,
        "images": len(subject.split),
        "shape": list(run.shape),
        "condition": {"kind": run.config.model.condition, "size": run.parts.condition_size},
        "classes": session.class_names,
        "limitation": session.limitation,
        "steps": PATH_STEPS,
        "temperature": _MAX_TEMPERATURE,
        "model": {name: getattr(run.config.model, name) for name in ("encoder", "posterior", "prior", "decoder")},
        "codes": codes
        and {
            "size": len(codes.information),
            "order": np.argsort(-codes.information, kind="stable").tolist(),
            "information": _pack_numbers(codes.information),
            "is_kl": codes.is_kl,
            "active": codes.active.tolist(),
            "low": _pack_numbers(codes.low),
            "high": _pack_numbers(codes.high),
            "circles": subject.has_standard_prior,
            "attributes": list(codes.directions),
        },
    }


def _decode(session: Session, fields: Fields) -> _Payload:
    return _pack_code(session, fields, fields.vector("z", len(session.require_codes().information)))


def _decode_middle(session: Session, fields: Fields) -> _Payload:
    """Returns the middle of the prior or of the codes, and its picture."""
    session.require_codes()
    return _pack_code(session, fields, session.subject.center)


def _decode_plane(session: Session, fields: Fields) -> _Payload:
    """Returns one picture of the decoded plane of two dimensions, the others as in z."""
    pair, low, high = _plane_range(session, fields)
    z = fields.vector("z", len(session.require_codes().information))
    longest = max(pictures(np.zeros((1, *session.subject.run.shape))).shape[1:3])
    side = 14 if longest < 16 else int(np.clip(_PLANE_PIXELS // longest, 5, 20))  # few of large and of tiny pictures
    values = low + (np.arange(side, dtype=np.float32) + 0.5) / side * (high - low)
    grid = np.asarray(latent.plane(jnp.asarray(z), pair, jnp.asarray(values))).reshape(side**2, -1)
    tiles = _decode_codes(session, fields, grid)
    _, h, w, c = tiles.shape
    whole = tiles.reshape(side, side, h, w, c).transpose(0, 2, 1, 3, 4).reshape(1, side * h, side * w, c)
    return {"picture": _pack_pictures(whole), "side": side, "low": low, "high": high}


def _list_codes(session: Session, fields: Fields) -> _Payload:
    """Returns two coordinates of the codes of at most _POINTS images, and their classes."""
    pair, low, high = _plane_range(session, fields)
    chosen, classes = session.shuffled[:_POINTS], session.subject.classes
    labels = np.zeros(len(chosen), int) if classes is None else classes[chosen]
    return {
        "xy": _pack_bytes(session.require_codes().means[chosen][:, pair].astype("<f4")),
        "positions": chosen.tolist(),
        "classes": labels.tolist(),
        "low": low,
        "high": high,
    }


def _list_images(session: Session, fields: Fields) -> _Payload:
    """Returns THUMBNAILS images, of all classes if label is -1; after the last page comes the first."""
    classes, positions = session.subject.classes, session.shuffled
    label = fields.whole("label", -1, len(session.class_names or ()) - 1)
    if label >= 0 and classes is not None:
        positions = positions[classes[positions] == label]
    start = THUMBNAILS * fields.whole("page", 0, 10**6)
    chosen = positions[(start + np.arange(min(THUMBNAILS, len(positions)))) % max(len(positions), 1)]
    return _pack_images(session, chosen)


def _reconstruct_image(session: Session, fields: Fields) -> _Payload:
    """Returns the reconstruction of an image of the split, given its own condition."""
    position = _position(session, fields, "image")
    example = session.subject.examples([position])
    image = _pack_images(session, np.array([position]))
    return _pack_image(session, example.x, example.condition, without=position) | {"image": image}


def _reconstruct_drawing(session: Session, fields: Fields) -> _Payload:
    """Returns the reconstruction of a drawing, prepared as in training."""
    run = session.subject.run
    drawing = fields.image("pixels", run.spec)
    x = run.prepare(session.subject.key_for(0), drawing[None])
    return _pack_image(session, x, _condition(session, fields, 1))


def _interpolate(session: Session, fields: Fields) -> _Payload:
    """Returns the picture at one of PATH_STEPS steps between the codes of two images."""
    path = _path(session, fields, PATH_STEPS)
    return _pack_code(session, fields, path[fields.whole("index", 0, PATH_STEPS - 1)])


def _interpolation_strip(session: Session, fields: Fields) -> _Payload:
    """Returns _STRIP_STEPS pictures between the codes of two images, with both ends."""
    return {"picture": _pack_pictures(_decode_codes(session, fields, _path(session, fields, _STRIP_STEPS)))}


def _sample(session: Session, fields: Fields) -> _Payload:
    """Returns SAMPLES pictures of z ~ p(z), its spread times `temperature`, and their z."""
    keys = random.split(random.key(fields.whole("seed", 0, 2**31 - 1)), SAMPLES)
    temperature = require_number("temperature", fields["temperature"], 0.0, _MAX_TEMPERATURE)
    condition = _condition(session, fields, SAMPLES)
    z, px = session.subject.run.generate(keys, temperature=temperature, condition=condition)
    packed = None if session.codes is None else [_pack_numbers(each) for each in np.asarray(z)]
    return {"picture": _pack_pictures(pictures(px.mean())), "z": packed}


_PLACE = ("strengths", "condition")
_PATH = ("a", "b", "path", *_PLACE)
# the functions of (session, fields), and the names of the fields that a request must have
ENDPOINTS: dict[str, tuple[Callable[[Session, Fields], _Payload], tuple[str, ...]]] = {
    "decode": (_decode, ("z", *_PLACE)),
    "middle": (_decode_middle, _PLACE),
    "plane": (_decode_plane, ("dimensions", "z", *_PLACE)),
    "codes": (_list_codes, ("dimensions",)),
    "images": (_list_images, ("label", "page")),
    "image": (_reconstruct_image, ("image",)),
    "drawing": (_reconstruct_drawing, ("pixels", "condition")),
    "interpolate": (_interpolate, (*_PATH, "index")),
    "strip": (_interpolation_strip, _PATH),
    "samples": (_sample, ("seed", "temperature", "condition")),
}


def respond(session: Session, name: str, fields: Fields) -> _Payload:
    """Returns the response of an endpoint; raises UsageError for a request with other fields."""
    function, names = ENDPOINTS[name]
    fields.require_names(names)
    return function(session, fields)


def compile_all(session: Session) -> None:
    """Makes every request once, so that no user waits for a program to be compiled."""

    def request(name: str, **values: Any) -> _Payload:
        return respond(session, name, Fields(values))

    spec = session.subject.run.spec
    request("samples", seed=0, temperature=1.0, condition=0)
    request("drawing", pixels=_pack_bytes(np.zeros(spec.shape, spec.dtype)), condition=0)
    request("image", image=0)
    request("images", label=-1, page=0)
    if session.codes is None:
        return
    place: Mapping[str, Any] = {"strengths": {}, "condition": 0}
    z = request("middle", **place)["z"]
    for path in PATHS:
        ends = {"a": 0, "b": len(session.subject.split) - 1, "path": path}
        request("interpolate", index=0, **ends, **place)
        request("strip", **ends, **place)
    if len(z) > 1:
        request("plane", dimensions=[0, 1], z=z, **place)


def _pack_code(session: Session, fields: Fields, z: np.ndarray) -> _Payload:
    return {"z": _pack_numbers(z), "picture": _pack_pictures(_decode_codes(session, fields, z[None]))}


def _decode_codes(session: Session, fields: Fields, z: np.ndarray) -> np.ndarray:
    """Returns pictures [B, H, W, C] of codes [B, Z], with the attributes and the condition of the request."""
    strengths = fields.strengths("strengths", session.require_codes().directions)
    return session.subject.decode(session.shift(z, strengths), _condition(session, fields, len(z)))


def _condition(session: Session, fields: Fields, count: int) -> np.ndarray | None:
    """Returns a class [count], or the vector of an image [count, C]; None if the model has no condition."""
    run = session.subject.run
    size = run.parts.condition_size
    if size is None:
        fields.whole("condition", 0, 0)
        return None
    if run.config.model.condition == "vector":
        label = session.subject.split.labels(np.array([_position(session, fields, "condition")]))
    else:
        label = np.array([fields.whole("condition", 0, size - 1)], np.int32)
    return np.repeat(label, count, axis=0)


def _position(session: Session, fields: Fields, name: str) -> int:
    return fields.whole(name, 0, len(session.subject.split) - 1)


def _plane_range(session: Session, fields: Fields) -> tuple[tuple[int, int], float, float]:
    """Returns the two dimensions, and the lowest and highest value of both that the plane shows."""
    codes = session.require_codes()
    pair = fields.pair("dimensions", len(codes.information))
    return pair, float(codes.low[list(pair)].min()), float(codes.high[list(pair)].max())


def _path(session: Session, fields: Fields, steps: int) -> np.ndarray:
    means = session.require_codes().means
    path = PATHS[require_choice("path", fields["path"], PATHS)]
    return np.asarray(path(means[_position(session, fields, "a")], means[_position(session, fields, "b")], steps))


def _pack_bytes(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def _pack_numbers(values: np.ndarray) -> list[float]:
    """Returns the numbers to six digits; those that JSON cannot hold as 0."""
    return [float(f"{value:.6g}") for value in np.nan_to_num(values, posinf=0.0, neginf=0.0)]


def _pack_pictures(means: np.ndarray) -> _Payload:
    """Returns pictures [N, H, W, C] of values in [0, 1] as their shape and bytes."""
    return {"shape": list(means.shape), "data": _pack_bytes(to_pixels(means))}


def _pack_images(session: Session, positions: np.ndarray) -> _Payload:
    """Returns images of the split as they are stored, and their classes."""
    stored, _, _ = session.subject.split.take(positions)
    classes = session.subject.classes
    return {
        "positions": positions.tolist(),
        "labels": None if classes is None else classes[positions].tolist(),
        "pictures": _pack_pictures(pictures(to_unit(stored))),
        "stored": _pack_bytes(stored),
    }


def _pack_image(session: Session, x: Array, condition: np.ndarray | None, without: int | None = None) -> _Payload:
    """Returns the reconstruction, code, scores and nearest images of one prepared image x [1, *X].

    `without` is its own position, if it is of the split.
    """
    run = session.subject.run
    mean = run.encode(x, condition).mean()
    scores = run.anomaly(session.subject.key_for(_SCORE), x, samples=1, condition=condition)  # the same draws for all
    payload: _Payload = {
        "x": _pack_pictures(pictures(x)),
        "reconstruction": _pack_pictures(pictures(run.decode(mean, condition).mean())),
        "rate": round(float(scores["rate"][0]), 3),
        "distortion": round(float(scores["distortion"][0]), 3),
        "z": None,
        "neighbours": None,
    }
    if session.codes is not None:
        z = np.asarray(mean[0])
        positions, distances = nearest_codes(session.codes.means, z, _NEIGHBOURS, without=without)
        neighbours = _pack_images(session, positions) | {"distances": _pack_numbers(distances)}
        payload |= {"z": _pack_numbers(z), "neighbours": neighbours}
    return payload
