"""What one example of a data set is: the one place that knows how stored values are coded.

A stored value k, a whole number from 0 to 255, stands for k / 255 in [0, 1].
"""

import dataclasses
from typing import Any

import numpy as np

__all__ = ["DTYPE", "TOP", "ExampleSpec", "example_spec", "to_pixels", "to_unit"]

DTYPE = np.dtype(np.uint8)  # of stored values, and of the pixels of a picture
TOP = 255  # the largest stored value, which stands for 1


@dataclasses.dataclass(frozen=True)
class ExampleSpec:
    """The kind of an example ('image' [H, W, C] or 'sequence' [L, C]), its shape, and the dtype of its stored values.

    An image is shown as a picture, a sequence as a curve for each channel.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype = DTYPE


def example_spec(shape: tuple[int, ...]) -> ExampleSpec:
    """Returns the spec of examples of this shape: (H, W, C) are images, (L, C) sequences."""
    return ExampleSpec("image" if len(shape) == 3 else "sequence", tuple(int(n) for n in shape))


def to_unit(stored: Any) -> Any:
    """Returns stored values as float32 in [0, 1], in NumPy or JAX as they come."""
    return stored.astype(np.float32) / TOP


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1] as stored values, each the nearest; NaN becomes 0, others are clipped."""
    return np.round(TOP * np.clip(np.nan_to_num(values), 0, 1)).astype(DTYPE)
