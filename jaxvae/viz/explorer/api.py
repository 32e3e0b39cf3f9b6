"""What the page asks, and the answers: (what is known, the question's fields) -> what JSON can hold.

A code z in an answer is the one without the attributes that were added to it. Nothing is kept between two questions.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import random

from jaxvae import latent
from jaxvae.viz.explorer import requests as fields
from jaxvae.viz.explorer.payloads import (
    Answer,
    Fields,
    at,
    bytes_of,
    decode,
    flat,
    given,
    moved,
    packed,
    plain,
    reading,
    shown,
    side_of,
    thumbnails,
    walked,
    window,
)
from jaxvae.viz.explorer.session import Known
from jaxvae.viz.figures.images import pictures

THUMBNAILS = 24  # test images shown at once
SAMPLES = 16
_DOTS = 3000  # codes drawn on the plane
FINE = 101  # places of the slider between two images
_FILM = 11
_HOTTEST = 3.0


def describe(known: Known) -> Answer:
    """What the page must know to build itself."""
    subject, flat = known.subject, known.flat
    run = subject.run
    found: Answer = {
        "data": subject.data.name,
        "split": subject.name,
        "images": len(subject.split),
        "shape": list(run.shape),
        "condition": {"kind": run.config.model.condition, "size": run.parts.condition_size},
        "classes": _classes_of(known),
        "refused": known.refused,
        "corrupted": run.parts.corrupted is not None,
        "steps": {"fine": FINE, "hottest": _HOTTEST},
        "model": {name: getattr(run.config.model, name) for name in ("encoder", "posterior", "prior", "decoder")},
        "flat": None,
    }
    if flat is not None:
        order = np.argsort(-flat.says, kind="stable")
        found["flat"] = {
            "size": len(flat.says),
            "order": order.tolist(),
            "says": plain(flat.says),
            "kl": flat.kl,
            "active": flat.active.tolist(),
            "low": plain(flat.low),
            "high": plain(flat.high),
            "circles": subject.at_the_prior,
            "spherical": known.spherical,
            "attributes": list(flat.directions),
        }
    return found


def _classes_of(known: Known) -> list[str] | None:
    """The names of the classes; None where the labels are no classes."""
    subject = known.subject
    if subject.classes is None:
        return None
    count = max(subject.run.parts.condition_size or 0, len(subject.data.class_names), int(subject.classes.max()) + 1)
    return [subject.class_name(label) for label in range(count)]


def decoded(known: Known, asked: Fields) -> Answer:
    """{z, strengths, condition} -> the picture there."""
    fields.only(asked, ("z", "strengths", "condition"))
    z = fields.numbers(asked, "z", len(flat(known).says))
    return shown(known, z, asked)


def middle(known: Known, asked: Fields) -> Answer:
    """{strengths, condition} -> the middle of the prior, or of the codes, and the picture there."""
    fields.only(asked, ("strengths", "condition"))
    flat(known)
    return shown(known, known.subject.middle, asked)


def plane(known: Known, asked: Fields) -> Answer:
    """{dimensions, z, strengths, condition} -> the decoded plane of two dimensions, the others as in z: one picture."""
    fields.only(asked, ("dimensions", "z", "strengths", "condition"))
    of = flat(known)
    two, low, high = window(of, asked)
    z = fields.numbers(asked, "z", len(of.says))
    side = side_of(pictures(np.zeros((1, *known.subject.run.shape))).shape[1:3])
    values = low + (np.arange(side, dtype=np.float32) + 0.5) / side * (high - low)
    grid = np.asarray(latent.plane(jnp.asarray(z), two, jnp.asarray(values))).reshape(side**2, -1)
    tiles = decode(known, moved(known, grid, asked), given(known, asked, side**2))
    _, h, w, c = tiles.shape
    whole = tiles.reshape(side, side, h, w, c).transpose(0, 2, 1, 3, 4).reshape(1, side * h, side * w, c)
    return {"picture": packed(whole), "side": side, "low": low, "high": high}


def dots(known: Known, asked: Fields) -> Answer:
    """{dimensions} -> two coordinates of the codes of at most DOTS images, and their classes."""
    fields.only(asked, ("dimensions",))
    of = flat(known)
    two, low, high = window(of, asked)
    chosen = known.shuffled[:_DOTS]
    places = of.codes[chosen][:, two].astype("<f4")
    classes = known.subject.classes
    labels = np.zeros(len(chosen), int) if classes is None else classes[chosen]
    return {
        "places": bytes_of(places),
        "positions": chosen.tolist(),
        "classes": labels.tolist(),
        "low": low,
        "high": high,
    }


def images(known: Known, asked: Fields) -> Answer:
    """{label, page} -> THUMBNAILS images, of one class where label is not -1; pages go round."""
    fields.only(asked, ("label", "page"))
    classes, among = known.subject.classes, known.shuffled
    label = fields.whole(asked, "label", -1, len(_classes_of(known) or ()) - 1)
    if label >= 0 and classes is not None:
        among = among[classes[among] == label]
    start = THUMBNAILS * fields.whole(asked, "page", 0, 10**6)
    chosen = among[(start + np.arange(min(THUMBNAILS, len(among)))) % max(len(among), 1)]
    return thumbnails(known, chosen)


def image(known: Known, asked: Fields) -> Answer:
    """{image} -> what the model makes of it, given its own condition."""
    fields.only(asked, ("image",))
    position = at(known, asked, "image")
    looked = known.subject.examples([position])
    given = known.subject.run.condition(looked.condition, 1)
    return reading(known, looked.x, given, without=position) | {"image": thumbnails(known, np.array([position]))}


def drawn(known: Known, asked: Fields) -> Answer:
    """{pixels, condition} -> what the model makes of a drawing, prepared as in training."""
    fields.only(asked, ("pixels", "condition"))
    run = known.subject.run
    drawing = fields.pixels(asked, "pixels", run.shape)
    x = run.prepare(known.subject.key_of(0), drawing[None])
    return reading(known, x, given(known, asked, 1))


def between(known: Known, asked: Fields) -> Answer:
    """{a, b, path, index, strengths, condition} -> the picture at one of FINE places between two images' codes."""
    fields.only(asked, ("a", "b", "path", "index", "strengths", "condition"))
    walk = walked(known, asked, FINE)
    return shown(known, walk[fields.whole(asked, "index", 0, FINE - 1)], asked)


def film(known: Known, asked: Fields) -> Answer:
    """{a, b, path, strengths, condition} -> FILM pictures between two images' codes, both ends included."""
    fields.only(asked, ("a", "b", "path", "strengths", "condition"))
    walk = walked(known, asked, _FILM)
    return {"picture": packed(decode(known, moved(known, walk, asked), given(known, asked, _FILM)))}


def samples(known: Known, asked: Fields) -> Answer:
    """{seed, temperature, condition} -> SAMPLES pictures of z ~ p(z), its spread times `temperature`, and their z."""
    fields.only(asked, ("seed", "temperature", "condition"))
    seed = fields.whole(asked, "seed", 0, 2**31 - 1)
    temperature = fields.number(asked, "temperature", 0.0, _HOTTEST)
    keys = random.split(random.key(seed), SAMPLES)
    z, means = known.functions.generate(known.subject.run.variables, keys, temperature, given(known, asked, SAMPLES))
    codes = None if known.flat is None else [plain(each) for each in np.asarray(z)]
    return {"picture": packed(pictures(means)), "z": codes}


ANSWERS: dict[str, Callable[[Known, Fields], Answer]] = {
    "decode": decoded,
    "middle": middle,
    "plane": plane,
    "dots": dots,
    "images": images,
    "image": image,
    "draw": drawn,
    "between": between,
    "film": film,
    "samples": samples,
}


def warm(known: Known) -> None:
    """Asks every question once, so that each program is compiled before somebody waits for it."""
    condition: Answer = {"condition": 0}
    samples(known, condition | {"seed": 0, "temperature": 1.0})
    drawn(known, condition | {"pixels": bytes_of(np.zeros(known.subject.run.shape, np.uint8))})
    image(known, {"image": 0})
    images(known, {"label": -1, "page": 0})
    if known.flat is None:
        return
    placed = condition | {"strengths": {}}
    z = middle(known, placed)["z"]
    walk = placed | {"a": 0, "b": len(known.subject.split) - 1}
    for path in known.functions.walks:
        between(known, walk | {"path": path, "index": 0})
        film(known, walk | {"path": path})
    if len(z) > 1:
        plane(known, placed | {"dimensions": [0, 1], "z": z})
