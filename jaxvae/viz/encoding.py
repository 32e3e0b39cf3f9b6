"""Numbers and pictures as text for the JSON and HTML of pages."""

from __future__ import annotations

import base64

import numpy as np

__all__ = ["encode_base64", "round_significant", "to_uint8"]


def encode_base64(content: bytes) -> str:
    """Returns the bytes as text in base64."""
    return base64.b64encode(content).decode("ascii")


def round_significant(value: float, digits: int = 6) -> float:
    """Returns the number rounded to so many significant digits, by which JSON stays short."""
    return float(f"{value:.{digits}g}")


def to_uint8(pictures: np.ndarray) -> np.ndarray:
    """Returns pictures of values in [0, 1] as bytes; what is outside is clipped, what is not a number is 0."""
    return np.round(255 * np.clip(np.nan_to_num(pictures), 0.0, 1.0)).astype(np.uint8)
