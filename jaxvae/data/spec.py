"""What one example is, how stored values are coded, and data sets as their sources return them.

A stored value k, a whole number from 0 to 255, stands for k / 255 in [0, 1].
A source returns every split in stored order, before anything is held out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxvae._checks import UsageError

__all__ = ["DTYPE", "TOP", "ExampleSpec", "ImageArray", "Say", "Section", "StoredSet", "StoredSplit"]
__all__ += ["advise_conversion", "existing_path", "to_pixels", "to_unit"]

DTYPE = np.dtype(np.uint8)  # of stored values, and of the pixels of a picture
TOP = 255  # the largest stored value, which stands for 1
Say = Callable[[str], None]  # is given a line of text for the user now and then


@dataclass(frozen=True)
class ExampleSpec:
    """The shape of an example, (H, W, C) of an image or (L, C) of a sequence, and the dtype of its stored values."""

    shape: tuple[int, ...]
    dtype: np.dtype = DTYPE

    @property
    def kind(self) -> str:
        """Returns 'image', shown as a picture, or 'sequence', shown as a curve for each channel."""
        return "image" if len(self.shape) == 3 else "sequence"


def advise_conversion(dtype: np.dtype, values: np.ndarray | None) -> str:
    """Returns how arrays of this dtype become bytes, by the range of their values if these are given."""
    if dtype.kind == "b":
        return f" Truth values become bytes by {TOP} * x.astype('{DTYPE}')."
    if dtype.kind not in "fiu":
        return ""
    simple = f"({TOP} * x).round().astype('{DTYPE}')" if dtype.kind == "f" else f"x.astype('{DTYPE}')"
    top = 1 if dtype.kind == "f" else TOP
    if values is None:
        return f" Values from 0 to {top} become bytes by {simple}; scale others to that range first."
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(low) or not math.isfinite(high):
        return " Its values are not all finite. Replace NaN and infinity, then scale the others to 0 to 255."
    if low >= 0 and high <= top:
        return f" Values from 0 to {top} become bytes by {simple}."
    if low >= 0 and high <= TOP:
        return f" Its values run from {low:g} to {high:g}: grey levels become bytes by x.round().astype('{DTYPE}')."
    return (
        f" Its values run from {low:g} to {high:g}, and bytes hold 0 to {TOP}: astype alone would wrap them around. "
        f"Scale them: ({TOP} * (x - x.min()) / (x.max() - x.min())).round().astype('{DTYPE}')."
    )


def to_unit(stored: Any) -> Any:
    """Returns stored values as float32 in [0, 1], in NumPy or JAX as they come."""
    return stored.astype(np.float32) / TOP


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1] as stored values, each the nearest; NaN becomes 0, others are clipped."""
    return np.round(TOP * np.clip(np.nan_to_num(values), 0, 1)).astype(DTYPE)


class Section(Protocol):
    """The fields of a config's section `data` that say which data to open; config/schema.py describes them."""

    name: str
    data_dir: str | None
    manual_dir: str | None
    validation: float
    leave_out: tuple[int, ...]
    size: int | None
    channels: int | None
    decoded_limit: float
    workers: int | None


class ImageArray(Protocol):
    """Stored images [N, *X]: an array, or an object that decodes the rows it is indexed with."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True)
class StoredSplit:
    """One split in stored order: its images and its labels, int32 [N], float32 vectors [N, C] or None."""

    image: ImageArray
    label: np.ndarray | None


@dataclass(frozen=True)
class StoredSet:
    """A whole data set: its splits by name, its class names by label, and the fingerprint of its content."""

    name: str
    version: str
    fingerprint: str
    splits: dict[str, StoredSplit]
    class_names: tuple[str, ...] = ()


def existing_path(section: Section, kind: str, exists: Callable[[Path], bool]) -> Path:
    """Returns PATH of a name 'kind:PATH'; a relative one starts at data.data_dir. UsageError if it does not exist."""
    path = Path(section.data_dir or ".").expanduser() / Path(section.name.partition(":")[2]).expanduser()
    if not exists(path):
        raise UsageError(
            f"data.name={section.name!r}: there is no {kind} {path.absolute()}. A relative path starts at "
            "data.data_dir, or where the program was started."
        )
    return path
