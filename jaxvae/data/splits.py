"""Train, validation and test: which stored images each holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

VALIDATION_SEED = 0  # the validation images are the same in every run, whatever train.seed is: they are part of the protocol


@dataclasses.dataclass(frozen=True)
class Split:
    """`rows [n]` of the stored `image` uint8 [N, H, W, C] and `label` int32 [N] or None.

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

    def labels(self) -> np.ndarray:
        return np.full(len(self), -1, np.int32) if self.label is None else self.label[self.rows].astype(np.int32)

    def take(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(image, label, index) of the examples at these positions of the split."""
        rows = self.rows[positions]
        label = np.full(len(rows), -1, np.int32) if self.label is None else self.label[rows].astype(np.int32)
        return self.image[rows], label, (self.offset + rows).astype(np.int32)


def make_splits(stored: Mapping[str, tuple[np.ndarray, np.ndarray | None]], validation: float) -> dict[str, Split]:
    """Splits the stored 'train' images into train and validation and takes 'test' whole.

    `validation` is the share of the training images held out, below 1, or their number from 1 on; 0 holds out none.
    """
    n = len(stored["train"][0])
    held = int(round(validation * n)) if validation < 1 else int(validation)
    if validation < 0 or held >= n or (validation >= 1 and validation != held):
        raise ValueError(f"data.validation={validation:g}: give a share in [0, 1) or a whole number below the {n} training images.")
    shuffled = np.random.RandomState(VALIDATION_SEED).permutation(n)
    parts = {"train": ("train", np.sort(shuffled[held:])), "validation": ("train", np.sort(shuffled[:held]))}
    if "test" in stored:
        parts["test"] = ("test", np.arange(len(stored["test"][0])))
    offsets = {"train": 0, "test": n}
    return {name: Split(*stored[source], rows, offsets[source]) for name, (source, rows) in parts.items() if len(rows)}
