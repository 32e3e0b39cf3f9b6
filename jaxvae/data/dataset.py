"""A data set as training sees it: train, validation and test, and which stored images each holds."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping

import numpy as np

VALIDATION_SEED = (
    0  # the validation images are the same in every run, whatever train.seed is: they are part of the protocol
)


Stored = Mapping[str, tuple[np.ndarray, np.ndarray | None]]  # split -> (uint8 [N, *X], labels [N] or [N, C] or None)


@dataclasses.dataclass(frozen=True)
class Split:
    """`rows [n]` of the stored `image` uint8 [N, *X] and `label`: int32 [N], float32 vectors [N, C], or None.

    An example's `index` is `offset` + row: unique over all splits, so that no two examples share their randomness.
    """

    image: np.ndarray
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
        label = np.full(len(rows), -1, np.int32) if self.label is None else np.asarray(self.label[rows])
        return self.image[rows], label, (self.offset + rows).astype(np.int32)


def make_splits(stored: Stored, validation: float) -> dict[str, Split]:
    """Splits the stored 'train' images into train and validation and takes 'test' whole.

    `validation` is the share of the training images held out, below 1, or their number from 1 on; 0 holds out none.
    A data set with a 'validation' split of its own keeps it, and none is held out.
    """
    if "train" not in stored:
        raise ValueError(f"the data set has no 'train' split, only {', '.join(sorted(stored))}; choose one that has.")
    n = len(stored["train"][0])
    held = round(validation * n) if validation < 1 else int(validation)
    if validation < 0 or held >= n or (validation >= 1 and validation != held):
        raise ValueError(
            f"data.validation={validation:g}: give a share in [0, 1) or a whole number below the {n} training images."
        )
    held = 0 if "validation" in stored else held
    shuffled = np.random.RandomState(VALIDATION_SEED).permutation(n)
    splits = {
        "train": Split(*stored["train"], np.sort(shuffled[held:]), 0),
        "validation": Split(*stored["train"], np.sort(shuffled[:held]), 0),
    }
    offset = n
    for name in ("test", "validation"):
        if name in stored:
            splits[name] = Split(*stored[name], np.arange(len(stored[name][0])), offset)
            offset += len(stored[name][0])
    return {name: split for name, split in splits.items() if len(split)}


@dataclasses.dataclass(frozen=True)
class DataSet:
    """The splits of one data set, the shape (H, W, C) of its images, and what identifies it."""

    name: str
    version: str
    fingerprint: str
    splits: dict[str, Split]
    class_names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.splits["train"].image.shape[1:])

    def condition_size(self, kind: str) -> int | None:
        """How many classes the labels name ('label'), or how long the vectors are ('vector'); None without such."""
        labels = [split.label for split in self.splits.values()]
        if any(label is None or label.ndim != {"label": 1, "vector": 2}.get(kind) for label in labels):
            return None
        known = [label for label in labels if label is not None]
        if kind == "vector":
            return int(known[0].shape[1])
        return max(len(self.class_names), 1 + max(int(label.max()) for label in known))


def open_data(
    name: str, data_dir: str | None, validation: float, arrays: object = None, log: Callable[[str], None] | None = None
) -> DataSet:
    """The data set of that name, decoded once into the cache; or the user's own `arrays` (see `from_arrays`)."""
    if arrays is not None:
        return from_arrays(arrays, validation)
    from jaxvae.data import cache

    decoded = cache.load(name, data_dir, log=log)
    stored = {split: (images.image, images.label) for split, images in decoded.splits.items()}
    return DataSet(
        decoded.name, decoded.version, decoded.fingerprint, make_splits(stored, validation), decoded.class_names
    )


def from_arrays(arrays: object, validation: float) -> DataSet:
    """A data set of uint8 images [N, H, W, C] or [N, H, W]: an array, (images, labels), or {'train': ..., 'test': ...}.

    Without a 'test' entry a tenth of the images, chosen by a fixed seed, becomes the test split.
    """
    given = arrays if isinstance(arrays, Mapping) else {"train": arrays}
    if "train" not in given or not set(given) <= {"train", "validation", "test"}:
        raise ValueError(
            f"arrays has the entries {sorted(given)}; expected 'train', and 'validation' and 'test' if you have them."
        )
    stored = {split: checked_images(value, f"arrays[{split!r}]") for split, value in given.items()}
    shapes = {split: image.shape[1:] for split, (image, _) in stored.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"arrays: the splits' images differ in shape, {shapes}; bring them to one.")
    if "test" not in stored:
        image, label = stored["train"]
        shuffled = np.random.RandomState(VALIDATION_SEED + 1).permutation(len(image))
        test, train = np.sort(shuffled[: len(image) // 10]), np.sort(shuffled[len(image) // 10 :])
        stored = {
            part: (image[rows], None if label is None else label[rows])
            for part, rows in (("train", train), ("test", test))
        }
    return DataSet("arrays", "1", fingerprint(stored), make_splits(stored, validation), ())


def checked_images(value: object, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(uint8 [N, H, W, C], int32 [N] or None) of what a user passed; ValueError says what was found."""
    images, labels = value if isinstance(value, tuple) else (value, None)
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(
            f"{name}: expected uint8 images [N, H, W, C] or [N, H, W], got {images.dtype} {list(images.shape)}."
        )
    if labels is not None and np.asarray(labels).shape != images.shape[:1]:
        raise ValueError(
            f"{name}: {len(images)} images but labels shaped {list(np.asarray(labels).shape)}; "
            "expected one label per image."
        )
    return images.reshape(*images.shape[:3], -1), None if labels is None else np.asarray(labels, np.int32)


def fingerprint(stored: Stored) -> str:
    """The sha256 of the images' and labels' bytes."""
    digest = hashlib.sha256()
    for split, (image, label) in sorted(stored.items()):
        digest.update(f"{split} {image.shape}".encode() + np.ascontiguousarray(image).tobytes())
        digest.update(b"" if label is None else np.ascontiguousarray(label).tobytes())
    return digest.hexdigest()
