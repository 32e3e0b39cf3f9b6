"""A data set as training sees it: train, validation and test, and which stored images each holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.cache.arrays import Pictures
from jaxvae.data.cache.checksums import CHECKED
from jaxvae.data.files.arrays import check_agreement, checked_images, fingerprint
from jaxvae.data.tfds import decode
from jaxvae.data.tfds.decode import DECODED_LIMIT
from jaxvae.data.tfds.workers import default_count

# the held out images are the same in every run, whatever train.seed is: they are part of the protocol
_VALIDATION_SEED = 0
_TEST_SEED = 1

_Kept = Mapping[str, tuple[Pictures, np.ndarray | None]]  # split -> (uint8 [N, *X], labels or None)

_MOST_CLASSES = 2**20  # that a model is conditioned on: a row of numbers for each image, and of weights for each class

_OWN = ("arrays", "folder", "npz", "npy")  # what the names of users' own data begin with, up to a colon


@dataclasses.dataclass(frozen=True)
class Split:
    """`rows [n]` of the stored `image` uint8 [N, *X] and `label`: int32 [N], float32 vectors [N, C], or None.

    `image` is an array, or decodes whatever rows it is indexed with (`jaxvae.data.tfds.records.Records`).
    An example's `index` is `offset` + row: unique over all splits, so that no two examples share their randomness.
    """

    image: Pictures
    label: np.ndarray | None
    rows: np.ndarray
    offset: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def index(self) -> np.ndarray:
        return (self.offset + self.rows).astype(np.int32)

    def take(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(image, label, index) of the examples at these positions of the split."""
        rows = self.rows[positions]
        return self.image[rows], self.labels(positions), (self.offset + rows).astype(np.int32)

    def labels(self, positions: np.ndarray) -> np.ndarray:
        """The labels of the examples at these positions, no image read; -1 where there are none."""
        rows = self.rows[positions]
        return np.full(len(rows), -1, np.int32) if self.label is None else np.asarray(self.label[rows])


def make_splits(stored: _Kept, validation: float) -> dict[str, Split]:
    """Splits the stored 'train' images into train and validation and takes 'test' whole.

    `validation` is the share of the training images held out, below 1, or their number from 1 on; 0 holds out none.
    A data set with a 'validation' split of its own keeps it, and none is held out.
    """
    return _hold_out_validation(_whole_splits(stored), validation)


def _make_own_splits(stored: _Kept, validation: float) -> dict[str, Split]:
    """As make_splits; where there is no 'test', a tenth of the 'train' images becomes it first."""
    return _hold_out_validation(_hold_out_test(_whole_splits(stored)), validation)


def _whole_splits(stored: _Kept) -> dict[str, Split]:
    """Every stored split with all its rows, numbered apart."""
    if "train" not in stored:
        raise UsageError(f"the data set has no 'train' split, only {', '.join(sorted(stored))}; choose one that has.")
    splits, offset = {}, 0
    for name in ("train", "test", "validation"):
        if name in stored:
            splits[name] = Split(*stored[name], np.arange(len(stored[name][0])), offset)
            offset += len(stored[name][0])
    return splits


def _hold_out_test(splits: dict[str, Split]) -> dict[str, Split]:
    """A tenth of the training images, chosen by a fixed seed, as 'test' where there is none."""
    if "test" in splits:
        return splits
    test, train = drawn(splits["train"], len(splits["train"]) // 10, _TEST_SEED)
    return {**splits, "train": train, "test": test}


def _hold_out_validation(splits: dict[str, Split], validation: float) -> dict[str, Split]:
    """A share or number of the training images, chosen by a fixed seed, as 'validation' where there is none."""
    n = len(splits["train"])
    held = round(validation * n) if validation < 1 else int(validation)
    if validation < 0 or held >= n or (validation >= 1 and validation != held):
        raise UsageError(
            f"data.validation={validation:g}: give a share in [0, 1) or a whole number below the {n} training images."
        )
    if "validation" not in splits:
        chosen, train = drawn(splits["train"], held, _VALIDATION_SEED)
        splits = {**splits, "train": train, "validation": chosen}
    ordered = {name: splits[name] for name in ("train", "validation", "test") if name in splits}
    return {name: split for name, split in ordered.items() if len(split)}


def _without_classes(splits: dict[str, Split], classes: Sequence[int], name: str) -> dict[str, Split]:
    """The splits without the images of these classes; those of them that 'test' held become the split 'left_out'.

    ValueError, in words, where there are no such classes, no others, or no test images of them; `name` is the data's.
    """
    if not classes:
        return splits
    asked = f"data.leave_out={tuple(classes)}"
    if any(split.label is None or split.label.ndim != 1 for split in splits.values()):
        kind = "no labels" if any(split.label is None for split in splits.values()) else "labels that are vectors"
        raise UsageError(f"{asked}: {name} has {kind}; classes can be left out of data labelled by whole numbers.")
    if "test" not in splits:
        raise UsageError(f"{asked}: {name} has no test images, of which those of these classes are to be told apart.")
    known = {split: np.unique(each.labels(np.arange(len(each)))) for split, each in splits.items()}
    there = np.unique(np.concatenate(list(known.values())))
    if absent := [each for each in classes if each not in there]:
        raise UsageError(f"{asked}: {name} has no class {absent[0]}; it has {', '.join(map(str, there[:20]))}.")
    if set(known["train"].tolist()) <= set(classes):
        raise UsageError(f"{asked}: these are all classes of {name}; leave some to train on.")
    if not set(known["test"].tolist()) & set(classes) or set(known["test"].tolist()) <= set(classes):
        raise UsageError(f"{asked}: the test images of {name} must be of these classes and of others; they are not.")
    novel = {split: np.isin(each.labels(np.arange(len(each))), list(classes)) for split, each in splits.items()}
    kept = {split: chosen(each, ~novel[split]) for split, each in splits.items()}
    kept["left_out"] = chosen(splits["test"], novel["test"])
    return {split: each for split, each in kept.items() if len(each)}


def chosen(split: Split, which: np.ndarray) -> Split:
    """The split's examples where `which`, bool [n], says so."""
    return dataclasses.replace(split, rows=split.rows[which])


def drawn(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """(`count` rows of the split, drawn without repetition; the others), each in stored order."""
    shuffled = np.random.RandomState(seed).permutation(len(split))
    chosen, rest = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    return tuple(dataclasses.replace(split, rows=split.rows[rows]) for rows in (chosen, rest))  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """The splits of one data set, the shape (H, W, C) or (L, C) of its examples, and what identifies it."""

    name: str
    version: str
    fingerprint: str
    splits: dict[str, Split]
    class_names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.splits["train"].image.shape[1:])

    @property
    def own(self) -> bool:
        """Whether these are a user's own data and no published set."""
        return self.name.partition(":")[0] in _OWN

    def source(self, split: str) -> str:
        """Where the images of a split other than 'train' come from, in words."""
        if split == "left_out":
            label = self.splits[split].labels(np.arange(len(self.splits[split])))
            classes = ", ".join(map(str, np.unique(label)))
            return f"test images of the classes left out of training, validation and test ({classes})"
        held = self.splits[split].image is self.splits["train"].image
        return "held out of the training images by a fixed seed" if held else "the data set's own"

    def condition_size(self, kind: str) -> int | None:
        """How many classes the labels name ('label'), or how long the vectors are ('vector'); None without such."""
        labels = [split.label for split in self.splits.values()]
        if any(label is None or label.ndim != {"label": 1, "vector": 2}.get(kind) for label in labels):
            return None
        known = [label for label in labels if label is not None]
        if kind == "vector":
            return int(known[0].shape[1])
        classes = max(len(self.class_names), 1 + max(int(label.max()) for label in known))
        if classes > _MOST_CLASSES:
            raise UsageError(
                f"the labels of {self.name} run to {classes - 1:,}, so that a condition would have as many entries; "
                f"expected at most {_MOST_CLASSES:,} classes, numbered from 0 without gaps."
            )
        return classes


def open_data(
    name: str,
    data_dir: str | None,
    validation: float,
    arrays: object = None,
    log: Callable[[str], None] | None = None,
    *,
    manual_dir: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    decoded_limit: float = DECODED_LIMIT,
    workers: int | None = None,
    checked: float = CHECKED,
    leave_out: Sequence[int] = (),
) -> DataSet:
    """The data set of that name, decoded once into the cache; or the user's own `arrays` (see `from_arrays`).

    `name`: 'digits', a TFDS name, 'folder:PATH' (a folder or zip of images), 'npz:PATH' or 'npy:PATH', where a relative
    PATH starts at `data_dir`. `manual_dir` holds files of a set that jaxvae prepares itself; `size` and `channels` are
    what a folder's images are brought to. A TFDS set of more than `decoded_limit` GB is not cached, but decoded as it
    is read, by so many `workers` (None: one less than the cores, at most 8; 0: in this process). In search of damage
    `checked` GB of the cache are read. Of the classes `leave_out` no image is in 'train', 'validation' or 'test': their
    test images are the split 'left_out'. ValueError, in words, for all that cannot be read.
    """
    kind, _, path = name.partition(":")
    if (size, channels) != (None, None) and (kind != "folder" or arrays is not None):
        raise UsageError(
            f"data.size={size} and data.channels={channels} are for data.name='folder:PATH' alone; "
            f"{'arrays' if arrays is not None else name} has a size of its own. Leave them at None."
        )
    if arrays is not None:
        data = from_arrays(arrays, validation)
        return dataclasses.replace(data, splits=_without_classes(data.splits, leave_out, "arrays"))
    say = log or (lambda line: None)
    where = Path(data_dir or ".").expanduser() / Path(path).expanduser()
    if kind == "folder":
        from jaxvae.data.files.image_folder import load_folder

        decoded = load_folder(name, where, size, channels, say, checked)
    elif kind in ("npz", "npy"):
        from jaxvae.data.files import numpy_files

        decoded = {"npz": numpy_files.load_npz, "npy": numpy_files.load_npy}[kind](name, where, say, checked)
    else:
        count = default_count() if workers is None else workers
        decoded = decode.load(
            name, data_dir, manual_dir=manual_dir, log=log, limit=decoded_limit, workers=count, checked=checked
        )
    stored = {split: (images.image, images.label) for split, images in decoded.splits.items()}
    splits = (_make_own_splits if kind in _OWN else make_splits)(stored, validation)
    name = name if kind in _OWN else decoded.name
    splits = _without_classes(splits, leave_out, name)
    return DataSet(name, decoded.version, decoded.fingerprint, splits, decoded.class_names)


def from_arrays(arrays: object, validation: float) -> DataSet:
    """A data set of uint8 arrays: images [N, H, W, C] or [N, H, W], or sequences [N, L], with or without labels.

    `arrays` is one of them, a pair (images, labels), or {'train': ..., 'test': ..., 'validation': ...}; labels are
    whole numbers [N] or float vectors [N, C]. Without a 'test' entry a tenth of the images, chosen by a fixed seed,
    becomes the test split.
    """
    given = arrays if isinstance(arrays, Mapping) else {"train": arrays}
    if "train" not in given or not set(given) <= {"train", "validation", "test"}:
        raise UsageError(
            f"arrays has the entries {sorted(map(str, given))}; expected 'train', and 'validation' and 'test' if you "
            "have them."
        )
    stored = {split: checked_images(value, f"arrays[{split!r}]") for split, value in given.items()}
    check_agreement(stored, "arrays")
    return DataSet("arrays", "1", fingerprint(stored), _make_own_splits(stored, validation), ())
