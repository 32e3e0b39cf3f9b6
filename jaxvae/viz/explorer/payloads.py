"""Arrays as the JSON of a response: numbers, pictures and images of the split."""

import base64
from typing import Any

import numpy as np
from jax import Array

from jaxvae.data.spec import to_pixels, to_unit
from jaxvae.viz.explorer.session import Session, nearest_codes
from jaxvae.viz.figures.images import pictures

__all__ = ["Payload", "pack_bytes", "pack_image", "pack_images", "pack_numbers", "pack_pictures"]

Payload = dict[str, Any]
_NEIGHBOURS = 6


def pack_bytes(array: np.ndarray) -> str:
    """Returns the array's bytes in base64."""
    return base64.b64encode(array.tobytes()).decode("ascii")


def pack_numbers(values: np.ndarray) -> list[float]:
    """Returns the numbers to six digits; those that JSON cannot hold as 0."""
    return [float(f"{value:.6g}") for value in np.nan_to_num(values, posinf=0.0, neginf=0.0)]


def pack_pictures(means: np.ndarray) -> Payload:
    """Returns pictures [N, H, W, C] of values in [0, 1] as their shape and bytes."""
    return {"shape": list(means.shape), "data": pack_bytes(to_pixels(means))}


def pack_images(session: Session, positions: np.ndarray) -> Payload:
    """Returns images of the split as they are stored, and their classes."""
    stored, _, _ = session.subject.split.take(positions)
    classes = session.subject.classes
    return {
        "positions": positions.tolist(),
        "labels": None if classes is None else classes[positions].tolist(),
        "pictures": pack_pictures(pictures(to_unit(stored))),
        "stored": pack_bytes(stored),
    }


def pack_image(session: Session, x: Array, condition: Array | None, without: int | None = None) -> Payload:
    """Returns the reconstruction, code, scores and nearest images of one prepared image x [1, *X].

    `without` is its own position, if it is of the split.
    """
    found = session.reconstruct(x, condition)
    payload: Payload = {
        "x": pack_pictures(pictures(x)),
        "reconstruction": pack_pictures(pictures(found["means"])),
        "rate": round(float(found["rate"][0]), 3),
        "distortion": round(float(found["distortion"][0]), 3),
        "z": None,
        "neighbours": None,
    }
    if session.codes is not None:
        z = np.asarray(found["z"][0])
        positions, distances = nearest_codes(session.codes.means, z, _NEIGHBOURS, without=without)
        neighbours = pack_images(session, positions) | {"distances": pack_numbers(distances)}
        payload |= {"z": pack_numbers(z), "neighbours": neighbours}
    return payload
