"""Attributes of images: measures of their pixels, and columns of numbers from labels or a user's file.

Measures are pure functions of stored images [N, H, W, C], or of decoded ones in [0, 1], to float [N]. The three of ink
are those by which Morpho-MNIST (Castro et al. 2019, arXiv:1809.10780) describes a digit; ink is bright on a dark
ground, and if the borders are bright the complement is meant.
"""

import csv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jaxvae._checks import UsageError
from jaxvae.data.dataset import Split
from jaxvae.data.spec import DTYPE, TOP

__all__ = ["GREY_MEASURES", "AttributeGroups", "Columns", "UserColumns", "brightness", "class_columns", "colourfulness"]
__all__ += ["contrast", "ink", "loops", "measures", "named_class_column", "read_columns", "scale_to_unit", "slant"]
__all__ += ["split_by_attribute", "thickness", "warmth"]

Columns = dict[str, np.ndarray]  # name -> float [N]
_MOST_NAMED = 1000  # classes, each of which is a column

_FILLED = 0.4  # of a picture's brightest ink: what is above counts as ink when holes are counted


class _Measure(NamedTuple):
    """A function of pictures [N, H, W, C] to float [N], and the unit of what it gives, if it has one."""

    of: Callable[[np.ndarray], np.ndarray]
    unit: str = ""


def brightness(images: np.ndarray) -> np.ndarray:
    """Returns the mean of all values of each picture, in [0, 1]."""
    return scale_to_unit(images).reshape(len(images), -1).mean(1)


def contrast(images: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of each picture's grey values, in [0, 0.5]."""
    return scale_to_unit(images).mean(-1).reshape(len(images), -1).std(1)


def slant(images: np.ndarray) -> np.ndarray:
    """Returns by how many degrees the ink leans to the right: arctan(-mu11 / mu02), 0 where it is upright.

    The central second moments of the ink give the shear that makes it upright, mu11 / mu02 pixels to the left for each
    pixel upwards (LeCun et al. 1998 deslant so; rows count downwards, hence the sign). 0 where there is no ink.
    """
    drawn = ink(images)
    rows, columns = (np.arange(size, dtype=float) for size in drawn.shape[1:])
    mass = np.maximum(drawn.sum((1, 2)), 1e-12)
    y, x = drawn.sum(2) @ rows / mass, drawn.sum(1) @ columns / mass
    down, right = rows[None] - y[:, None], columns[None] - x[:, None]
    mu02 = np.einsum("nhw,nh->n", drawn, down**2)
    mu11 = np.einsum("nhw,nh,nw->n", drawn, down, right)
    return np.degrees(np.arctan2(-mu11, np.maximum(mu02, 1e-12)))


def thickness(images: np.ndarray) -> np.ndarray:
    """Returns the width of the strokes, in pixels: w of a round-ended stroke with the ink's area A and perimeter P.

    A stroke of length l has A = w l + pi w^2 / 4 and P = 2 l + pi w, so that w = (P - sqrt(P^2 - 4 pi A)) / pi; of long
    strokes 2 A / P. P is the ink's total variation, which is the perimeter by the coarea formula (Federer 1959) and
    needs neither a threshold nor a skeleton; A and P are of the ink divided by its brightest. Of drawn strokes, from
    2 pixels on, mostly within 3%; along a diagonal up to 10% more. 0 where there is no ink.
    """
    drawn = np.pad(ink(images), ((0, 0), (1, 1), (1, 1)))
    drawn = drawn / np.maximum(drawn.max((1, 2), keepdims=True), 1e-12)
    down, right = np.diff(drawn, axis=1), np.diff(drawn, axis=2)
    # at the corners of the pixels
    slopes = np.hypot(down[:, :, 1:] + down[:, :, :-1], right[:, 1:] + right[:, :-1]) / 2
    perimeter, area = slopes.sum((1, 2)), drawn.sum((1, 2))
    return (perimeter - np.sqrt(np.maximum(perimeter**2 - 4 * np.pi * area, 0.0))) / np.pi


def loops(images: np.ndarray) -> np.ndarray:
    """Returns the number of holes of the ink: parts of the ground that cannot be reached from outside.

    Ink is brighter than 0.4 times the picture's brightest and is connected over corners, the ground over sides alone
    (Rosenfeld & Pfaltz 1966). 1 for a 0, 6 or 9, 2 for an 8.
    """
    drawn = ink(images)
    ground = drawn <= _FILLED * np.maximum(drawn.max((1, 2), keepdims=True), 1e-12)
    ground = np.pad(ground, ((0, 0), (1, 1), (1, 1)), constant_values=True)  # all outside is one part
    crosses = np.zeros((3, 3, 3), int)
    crosses[1] = ndimage.generate_binary_structure(2, 1)  # within a picture alone
    parts, count = ndimage.label(ground, crosses)
    owner = np.zeros(count + 1, int)
    owner[parts] = np.arange(len(parts))[:, None, None]
    return np.bincount(owner[1:], minlength=len(parts)) - 1.0


def colourfulness(images: np.ndarray) -> np.ndarray:
    """Returns how colourful each picture is, 0 if grey: M3 of Hasler & Süsstrunk (2003, Proc. SPIE 5007), of [0, 1]."""
    red, green, blue = np.moveaxis(scale_to_unit(images), -1, 0).reshape(3, len(images), -1)
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(1), second.std(1))
    return spread + 0.3 * np.hypot(first.mean(1), second.mean(1))


def warmth(images: np.ndarray) -> np.ndarray:
    """Returns the mean of red minus the mean of blue, in [-1, 1]: above 0 for warm colours, below for cold ones."""
    means = scale_to_unit(images).mean((1, 2))
    return means[:, 0] - means[:, 2]


GREY_MEASURES = {
    "slant": _Measure(slant, "degrees"),
    "thickness": _Measure(thickness, "pixels"),
    "loops": _Measure(loops, "holes"),
}
_COLOUR_MEASURES = {"warmth": _Measure(warmth), "colourfulness": _Measure(colourfulness)}


def measures(shape: tuple[int, ...]) -> dict[str, _Measure]:
    """Returns the measures of images of this shape (H, W, C), by name; none for sequences (L, C)."""
    if len(shape) != 3:
        return {}
    first = _COLOUR_MEASURES if shape[-1] == 3 else GREY_MEASURES
    return {**first, "brightness": _Measure(brightness), "contrast": _Measure(contrast)}


def ink(images: np.ndarray) -> np.ndarray:
    """Returns [N, H, W] in [0, 1]: the grey values, or 1 minus them if the borders are bright on average."""
    grey = scale_to_unit(images).mean(-1)
    border = np.concatenate([grey[:, [0, -1]].ravel(), grey[:, :, [0, -1]].ravel()])
    return 1 - grey if border.mean() > 0.5 else grey


def scale_to_unit(images: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1] as float64: stored values scaled, others as they are but finite and clipped."""
    if images.dtype == DTYPE:
        return images / float(TOP)
    return np.clip(np.nan_to_num(np.asarray(images, float)), 0.0, 1.0)


class AttributeGroups(NamedTuple):
    """Which images have an attribute: `has` and `lacks`, bool [N], never both; above `threshold` a value has it."""

    has: np.ndarray
    lacks: np.ndarray
    threshold: float
    description: str


def split_by_attribute(values: np.ndarray) -> AttributeGroups:
    """Returns the images with and without an attribute, by its values, float [N].

    Of two different values the larger has it. Of more, the quarter with the largest values has it and the quarter with
    the smallest has not; equal values stay together. UsageError if all are equal.
    """
    distinct = np.unique(values)
    if len(distinct) < 2:
        raise UsageError(
            f"all images have the value {distinct[0]:g}; expected some with the attribute, and some without."
        )
    if len(distinct) == 2:
        low, high = distinct
        return AttributeGroups(values == high, values == low, (low + high) / 2, f"{high:g} against {low:g}")
    low, high = np.quantile(values, [0.25, 0.75], method="closest_observation")
    if low == high:  # more than half of the images have this value: the others are split from it
        low, high = (low, distinct[distinct > low][0]) if low < distinct[-1] else (distinct[-2], high)
    has, lacks = values >= high, values <= low
    above = f"{high:.3g} and more (the top {has.mean():.0%})"
    below = f"{low:.3g} and less (the bottom {lacks.mean():.0%})"
    return AttributeGroups(has, lacks, (low + high) / 2, f"{above} against {below}")


def class_columns(label: np.ndarray | None, class_names: tuple[str, ...]) -> Columns:
    """Returns {'label=NAME': 0 or 1 for each image} of int labels [N]; {} without labels, for vectors or too many."""
    if label is None or label.ndim != 1 or label.max(initial=-1) < 0:
        return {}
    count = max(len(class_names), int(label.max()) + 1)
    names = class_names if len(class_names) == count else tuple(map(str, range(count)))
    return {f"label={name}": (label == k) * 1.0 for k, name in enumerate(names)} if count <= _MOST_NAMED else {}


def named_class_column(text: str, class_names: tuple[str, ...]) -> str:
    """Returns 'label=airplane' for 'label=0' if class 0 has that name; other texts as they are."""
    kind, _, value = text.partition("=")
    if kind == "label" and value not in class_names and value.isdecimal() and int(value) < len(class_names):
        return f"label={class_names[int(value)]}"
    return text


class UserColumns(NamedTuple):
    """A user's columns, each float [M], for the stored images of the indices from `first` on."""

    columns: Columns
    first: int
    left_out: tuple[str, ...] = ()  # names of columns without numbers

    def of(self, index: np.ndarray) -> Columns:
        """Returns the columns of the examples with these indices (`Split.index`)."""
        return {name: values[index - self.first] for name, values in self.columns.items()}

    def covers(self, split: Split) -> bool:
        """Returns whether every image of the split has a row."""
        count = len(next(iter(self.columns.values())))
        return bool(self.first <= split.index.min() and split.index.max() < self.first + count)


def read_columns(path: Path, splits: Mapping[str, Split], shown: str) -> UserColumns:
    """Reads a user's attributes: a .csv with a header, or an .npz of arrays [M]; numbers alone, such as 0/1 or -1/1.

    M is the number of all stored images, in stored order (training images with those held out, test, validation), or
    of those that the split `shown` is part of. A column of a .csv without any number, such as file names, is left out.
    """
    if path.suffix not in (".csv", ".npz"):
        raise UsageError(f"--columns {path}: expected a .csv file with a header, or an .npz file of arrays.")
    read = _read_csv(path) if path.suffix == ".csv" else _read_npz(path)
    columns = {name: values for name, values in read.items() if len(values)}
    lengths = {name: len(values) for name, values in columns.items()}
    if not columns or len(set(lengths.values())) != 1:
        raise UsageError(f"--columns {path} has {lengths or 'no numbers'}; expected columns of one length.")
    for name, values in columns.items():
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise UsageError(f"--columns {path}: {name!r} of image {row} is {values[row]}; expected a finite number.")
    rows = next(iter(lengths.values()))
    stored = {split.offset: len(split.image) for split in splits.values()}
    own = splits[shown]
    if rows not in (sum(stored.values()), len(own.image)):
        raise UsageError(
            f"--columns {path} has {rows:,} rows; expected one for each of the {sum(stored.values()):,} stored images, "
            f"in stored order, or for each of the {len(own.image):,} of which the {shown} images are."
        )
    first = 0 if rows == sum(stored.values()) else own.offset
    return UserColumns(columns, first, tuple(name for name in read if name not in columns))


def _read_csv(path: Path) -> Columns:
    """Returns the columns of a .csv, empty if they hold no number at all; UsageError for one with words and numbers."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UsageError(f"--columns {path} cannot be read ({error}); expected a .csv file with a header.") from error
    header = [name.strip() for name in header]
    if len(set(header)) < len(header):
        raise UsageError(f"--columns {path}: two columns have one name; give each a name of its own.")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise UsageError(f"--columns {path}: image {number} has {len(row)} cells for {len(header)} columns.")
    columns = {}
    for name, *cells in zip(header, *rows, strict=True):
        words = [row for row, cell in enumerate(cells) if not _is_number(cell)]
        if 0 < len(words) < len(cells):
            found = cells[words[0]][:40]
            raise UsageError(f"--columns {path}: {name!r} of image {words[0]} is {found!r}; expected a number.")
        columns[name] = np.array([] if words else [float(cell) for cell in cells])
    return columns


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_npz(path: Path) -> Columns:
    """Returns the arrays of an .npz, each of numbers [M]."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"--columns {path} cannot be read ({error}); expected an .npz file of arrays.") from error
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in "biuf":
            raise UsageError(
                f"--columns {path}: {name!r} is {array.dtype} shaped {list(array.shape)}; "
                "expected numbers, one for each image."
            )
    return {name: array.astype(float) for name, array in arrays.items()}
