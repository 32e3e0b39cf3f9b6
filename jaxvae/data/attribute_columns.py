"""Columns of numbers about images, from labels or a user's file, and the two groups into which a column splits them."""

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.dataset import Split

__all__ = ["AttributeGroups", "Columns", "UserColumns", "class_columns", "named_class_column", "read_columns"]
__all__ += ["split_by_attribute"]

Columns = dict[str, np.ndarray]  # name -> float [N]
_MOST_NAMED = 1000  # classes, each of which is a column


class AttributeGroups(NamedTuple):
    """Which images have an attribute: `has` and `lacks`, bool [N], never both; above `threshold` a value has it."""

    has: np.ndarray
    lacks: np.ndarray
    threshold: float
    description: str


def split_by_attribute(values: np.ndarray) -> AttributeGroups:
    """Returns the images with and without an attribute, by its values, float [N].

    Of two different values the larger has it, as of 0 and 1, or of CelebA's -1 and 1. Of more, the quarter with the
    largest values has it and the quarter with the smallest has not. Equal values stay together, so that of small whole
    numbers the groups can be larger. UsageError if all are equal.
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
        if low < distinct[-1]:
            high = distinct[distinct > low][0]
        else:
            low = distinct[distinct < low][-1]
    description = f"{high:.3g} and more (the top {np.mean(values >= high):.0%}) against {low:.3g} and less"
    return AttributeGroups(
        values >= high, values <= low, (low + high) / 2, f"{description} (the bottom {np.mean(values <= low):.0%})"
    )


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

    M is the number of all stored images, in stored order (training images, test, validation, whatever was held out
    of one in its place), or of the stored images that the split `shown` is of. A column of a .csv without any number,
    such as file names, is left out.
    """
    read = {".csv": _read_csv, ".npz": _read_npz}.get(path.suffix, _refuse_suffix)(path)
    columns = {name: values for name, values in read.items() if len(values)}
    left_out = tuple(name for name in read if name not in columns)
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
    return UserColumns(columns, 0 if rows == sum(stored.values()) else own.offset, left_out)


def _refuse_suffix(path: Path) -> Columns:
    raise UsageError(f"--columns {path}: expected a .csv file with a header, or an .npz file of arrays.")


def _read_csv(path: Path) -> Columns:
    """Returns the columns of a .csv, empty if they hold no number at all; UsageError for one with words and numbers."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UsageError(f"--columns {path} cannot be read ({error}); expected a .csv file with a header.") from error
    if len({name.strip() for name in header}) < len(header):
        raise UsageError(f"--columns {path}: two columns have one name; give each a name of its own.")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise UsageError(f"--columns {path}: image {number} has {len(row)} cells for {len(header)} columns.")
    read = {name.strip(): [_as_number(row[k]) for row in rows] for k, name in enumerate(header)}
    kept = {name: values for name, values in read.items() if any(value is not None for value in values)}
    for name, values in kept.items():
        if None in values:
            missing = values.index(None)
            cell = rows[missing][[each.strip() for each in header].index(name)]
            raise UsageError(f"--columns {path}: {name!r} of image {missing} is {cell[:40]!r}; expected a number.")
    return {name: np.array(kept.get(name, ()), float) for name in read}


def _as_number(cell: str) -> float | None:
    """Returns the number in a cell, or None."""
    try:
        return float(cell)
    except ValueError:
        return None


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
