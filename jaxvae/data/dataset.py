"""A data set as training sees it: train, validation and test, and which stored images each holds."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.spec import ExampleSpec, ImageArray, StoredSplit

__all__ = ["DataSet", "Split", "draw_rows", "leave_out_classes", "make_splits"]

# the held out images are the same in every run, whatever train.seed is: they are part of the protocol
_VALIDATION_SEED = 0
_TEST_SEED = 1

_MOST_CLASSES = 2**20  # that a model is conditioned on: a row of numbers for each image, and of weights for each class


@dataclasses.dataclass(frozen=True)
class Split:
    """`rows [n]` of the stored `image` [N, *X] and `label`: int32 [N], float32 vectors [N, C], or None.

    `image` is an array, or decodes the rows it is indexed with (`jaxvae.data.tfds.records.Records`).
    An example's `index` is `offset` + row: unique over all splits, so that no two examples share their randomness.
    """

    image: ImageArray
    label: np.ndarray | None
    rows: np.ndarray
    offset: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def index(self) -> np.ndarray:
        return (self.offset + self.rows).astype(np.int32)

    def take(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns (image, label, index) of the examples at these positions of the split."""
        rows = self.rows[positions]
        return self.image[rows], self.labels(positions), (self.offset + rows).astype(np.int32)

    def labels(self, positions: np.ndarray) -> np.ndarray:
        """Returns the labels of the examples at these positions without reading images; -1 without labels."""
        rows = self.rows[positions]
        return np.full(len(rows), -1, np.int32) if self.label is None else np.asarray(self.label[rows])


def make_splits(
    stored: Mapping[str, StoredSplit], validation: float, *, hold_out_test: bool = False
) -> dict[str, Split]:
    """Splits the stored 'train' images into train and validation and takes 'test' whole.

    `validation` is the share (below 1) or number of training images to hold out, by a fixed seed; 0 holds out none.
    A 'validation' split of the set's own is kept instead. With `hold_out_test` a tenth of 'train' becomes 'test' first,
    if there is none.
    """
    if "train" not in stored:
        raise UsageError(f"the data set has no 'train' split, only {', '.join(sorted(stored))}; choose one that has.")
    splits, offset = {}, 0
    for name in ("train", "test", "validation"):
        if name in stored:
            image, label = stored[name].image, stored[name].label
            splits[name] = Split(image, label, np.arange(len(image)), offset)
            offset += len(image)
    if hold_out_test and "test" not in splits:
        splits["test"], splits["train"] = draw_rows(splits["train"], len(splits["train"]) // 10, _TEST_SEED)
    n = len(splits["train"])
    held = round(validation * n) if validation < 1 else int(validation)
    if validation < 0 or held >= n or (validation >= 1 and validation != held):
        raise UsageError(
            f"data.validation={validation:g}: give a share in [0, 1) or a whole number below the {n} training images."
        )
    if "validation" not in splits:
        splits["validation"], splits["train"] = draw_rows(splits["train"], held, _VALIDATION_SEED)
    return {name: splits[name] for name in ("train", "validation", "test") if splits.get(name)}


def leave_out_classes(splits: dict[str, Split], classes: Sequence[int], name: str) -> dict[str, Split]:
    """Returns the splits without the images of these classes; those that 'test' held become the split 'left_out'.

    UsageError if there are no such classes, no others, or no test images of them; `name` is the data set's.
    """
    if not classes:
        return splits
    field = f"data.leave_out={tuple(classes)}"
    if any(split.label is None or split.label.ndim != 1 for split in splits.values()):
        kind = "no labels" if any(split.label is None for split in splits.values()) else "labels that are vectors"
        raise UsageError(f"{field}: {name} has {kind}; classes can be left out of data labelled by whole numbers.")
    if "test" not in splits:
        raise UsageError(f"{field}: {name} has no test images; expected some of these classes and some of others.")
    labels = {split: each.labels(np.arange(len(each))) for split, each in splits.items()}
    found = np.unique(np.concatenate(list(labels.values())))
    if absent := [each for each in classes if each not in found]:
        raise UsageError(f"{field}: {name} has no class {absent[0]}; it has {', '.join(map(str, found[:20]))}.")
    novel = {split: np.isin(label, list(classes)) for split, label in labels.items()}
    if novel["train"].all():
        raise UsageError(f"{field}: these are all classes of {name}; leave some to train on.")
    if novel["test"].all() or not novel["test"].any():
        raise UsageError(f"{field}: the test images of {name} must be of these classes and of others; they are not.")
    kept = {split: dataclasses.replace(each, rows=each.rows[~novel[split]]) for split, each in splits.items()}
    kept["left_out"] = dataclasses.replace(splits["test"], rows=splits["test"].rows[novel["test"]])
    return {split: each for split, each in kept.items() if len(each)}


def draw_rows(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Returns (`count` rows of the split, drawn without repetition; the others), each in stored order."""
    shuffled = np.random.RandomState(seed).permutation(len(split))
    drawn, rest = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    return dataclasses.replace(split, rows=split.rows[drawn]), dataclasses.replace(split, rows=split.rows[rest])


@dataclasses.dataclass(frozen=True)
class DataSet:
    """The splits of one data set and what identifies it; `own`: a user's own data and no published set."""

    name: str
    version: str
    fingerprint: str
    splits: dict[str, Split]
    class_names: tuple[str, ...]
    own: bool = False

    @property
    def spec(self) -> ExampleSpec:
        return ExampleSpec(self.splits["train"].image.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    def source(self, split: str) -> str:
        """Returns where the images of a split other than 'train' come from."""
        if split == "left_out":
            each = self.splits[split]
            classes = ", ".join(map(str, np.unique(each.labels(np.arange(len(each))))))
            return f"test images of the classes left out of training, validation and test ({classes})"
        held = self.splits[split].image is self.splits["train"].image
        return "held out of the training images by a fixed seed" if held else "the data set's own"

    def condition_size(self, kind: str) -> int | None:
        """Returns the number of classes ('label') or the length of the vectors ('vector'); None without such labels."""
        ndim = {"label": 1, "vector": 2}.get(kind)
        labels = [each.label for each in self.splits.values() if each.label is not None and each.label.ndim == ndim]
        if len(labels) < len(self.splits):
            return None
        if kind == "vector":
            return int(labels[0].shape[1])
        classes = max(len(self.class_names), 1 + max(int(label.max()) for label in labels))
        if classes > _MOST_CLASSES:
            raise UsageError(
                f"the labels of {self.name} run to {classes - 1:,}, so that a condition would have as many entries; "
                f"expected at most {_MOST_CLASSES:,} classes, numbered from 0 without gaps."
            )
        return classes
