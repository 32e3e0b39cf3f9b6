"""What answers are made of: codes moved and decoded, images read by the model, pictures packed for the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax import Array

from jaxvae._checks import UsageError
from jaxvae.viz.explorer import requests as fields
from jaxvae.viz.explorer.latent_ranges import nearest
from jaxvae.viz.explorer.session import Flat, Known, score_keys
from jaxvae.viz.figures.images import pictures

Fields = Mapping[str, Any]
Answer = dict[str, Any]
_NEIGHBOURS = 6
_PLANE = 640  # pixels that the decoded plane has at most along each side


def flat(known: Known) -> Flat:
    """What is known of the codes; ValueError for a model whose z is no vector."""
    if known.flat is None:
        raise UsageError(known.refused)
    return known.flat


def side_of(size: tuple[int, ...]) -> int:
    """How many pictures (height, width) the decoded plane has each way: fewer of large ones, and of tiny ones."""
    return 14 if max(size) < 16 else int(np.clip(_PLANE // max(size), 5, 20))


def shown(known: Known, z: np.ndarray, asked: Fields) -> Answer:
    """The answer that shows one code [Z]."""
    picture = decode(known, moved(known, z[None], asked), given(known, asked, 1))
    return {"z": plain(z), "picture": packed(picture)}


def moved(known: Known, z: np.ndarray, asked: Fields) -> np.ndarray:
    """Codes [B, Z] with the attributes that are asked for added; brought back to the sphere where z lives on one."""
    of = flat(known)
    for name, strength in fields.strengths(asked, of.directions).items():
        z = z + np.float32(strength) * of.directions[name]
    if known.spherical:
        z = z / np.maximum(np.sqrt((z**2).sum(-1, keepdims=True)), 1e-12)
    return z


def decode(known: Known, z: np.ndarray, condition: Array | None) -> np.ndarray:
    """Pictures [B, H, W, C] of codes [B, Z]."""
    return pictures(known.functions.decode(known.subject.run.variables, z, condition))


def given(known: Known, asked: Fields, count: int) -> Array | None:
    """The condition of the question, [count, C]: a class, or an image whose vector it is; None for other models."""
    run = known.subject.run
    size = run.parts.condition_size
    if size is None:
        fields.whole(asked, "condition", 0, 0)
        return None
    if run.config.model.condition == "vector":
        label = known.subject.split.labels(np.array([at(known, asked, "condition")]))
    else:
        label = np.array([fields.whole(asked, "condition", 0, size - 1)], np.int32)
    return run.condition(np.repeat(label, count, axis=0), count)


def at(known: Known, asked: Fields, name: str) -> int:
    """The position of an image."""
    return fields.whole(asked, name, 0, len(known.subject.split) - 1)


def window(of: Flat, asked: Fields) -> tuple[tuple[int, int], float, float]:
    """(two dimensions, the lowest and the highest value of either that the plane shows)."""
    two = fields.pair(asked, "dimensions", len(of.says))
    return two, float(of.low[list(two)].min()), float(of.high[list(two)].max())


def walked(known: Known, asked: Fields, steps: int) -> np.ndarray:
    """The codes [steps, Z] from one image's to another's."""
    codes = flat(known).codes
    path = known.functions.walks[fields.choice(asked, "path", known.functions.walks)]
    return np.asarray(path(codes[at(known, asked, "a")], codes[at(known, asked, "b")], steps))


def reading(known: Known, x: Array, condition: Array | None, without: int | None = None) -> Answer:
    """What the model makes of one prepared image x [1, *X]: its reconstruction, code, numbers and neighbours."""
    found = known.functions.read(known.subject.run.variables, score_keys(known.subject), x, condition)
    answer: Answer = {
        "x": packed(pictures(x)),
        "reconstruction": packed(pictures(found["reconstruction"])),
        "rate": round(float(found["rate"][0]), 3),
        "distortion": round(float(found["distortion"][0]), 3),
        "z": None,
        "neighbours": None,
    }
    if known.flat is not None:
        z = np.asarray(found["z"][0])
        positions, distances = nearest(known.flat.codes, z, _NEIGHBOURS, without=without)
        answer |= {"z": plain(z), "neighbours": thumbnails(known, positions) | {"distances": plain(distances)}}
    return answer


def thumbnails(known: Known, positions: np.ndarray) -> Answer:
    """Images of the split as they are stored, and their classes."""
    stored, _, _ = known.subject.split.take(positions)
    classes = known.subject.classes
    labels = None if classes is None else classes[positions].tolist()
    return {
        "positions": positions.tolist(),
        "labels": labels,
        "pictures": packed(pictures(stored.astype(np.float32) / 255)),
        "stored": bytes_of(stored),
    }


def packed(means: np.ndarray) -> Answer:
    """Pictures [N, H, W, C] in [0, 1] as bytes in base64, with their shape."""
    levels = np.round(255 * np.clip(np.nan_to_num(means), 0.0, 1.0)).astype(np.uint8)
    return {"shape": list(levels.shape), "data": bytes_of(levels)}


def bytes_of(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def plain(values: np.ndarray) -> list[float]:
    """Numbers as JSON holds them, to six digits; what is no number as 0."""
    return [float(f"{value:.6g}") for value in np.nan_to_num(values, posinf=0.0, neginf=0.0)]
