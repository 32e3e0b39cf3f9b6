"""The records of a prepared set, read in any order: for the cache, or decoded again whenever they are indexed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.spec import DTYPE
from jaxvae.data.tfds.prepared import open_builder, read_split

if TYPE_CHECKING:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.data_sources.base import BaseDataSource

__all__ = ["Decode", "Records", "copy_images", "decoder", "has_label", "read_records"]

Decode = Callable[[str, np.ndarray, np.ndarray], None]  # (split, rows int [n], out [n, *X]), which it fills


class Records:
    """The images of one prepared split, [N, H, W, C]: an array that is decoded when it is indexed.

    `records[rows]`, of rows int [n] or a slice, is [n, H, W, C] in the host's memory and holds nothing more.
    """

    dtype = DTYPE

    def __init__(self, split: str, shape: tuple[int, ...], decode: Decode):
        self.split, self.shape, self.decode = split, shape, decode

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)} images of {self.split}")
        images = np.empty((len(rows), *self.shape[1:]), DTYPE)
        self.decode(self.split, rows, images)
        return images


def decoder(folder: Path) -> Decode:
    """Returns a function that decodes records of the prepared folder in this process, importing TFDS at the first."""
    source = functools.cache(lambda split: read_split(open_builder(folder), split))

    def decode(split: str, rows: np.ndarray, out: np.ndarray) -> None:
        copy_images(out, read_records(source(split), rows.tolist()), source(split))

    return decode


def read_records(source: BaseDataSource, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Returns the records in these rows; UsageError names the file of one that is missing or damaged."""
    try:
        records = source.__getitems__(list(rows))
        # of a file that was cut short array_record gives some without any content
        if any(record[name] is None for record in records for name in ("image", "label") if name in record):
            raise UsageError("the record is empty")
        return records
    except Exception as error:  # array_record, the parser and each image format raise errors of their own
        if len(rows) > 1:
            for row in rows:  # to find the one
                read_records(source, [row])
            raise
        files = source.dataset_info.splits[source.split].file_instructions
        ends = np.cumsum([file.examples_in_shard if file.take == -1 else file.take for file in files])
        name = files[int(np.searchsorted(ends, rows[0], side="right"))].filename
        raise UsageError(
            f"cannot read record {rows[0]:,} of {source.dataset_info.name} {source.split}, in {name}: {error}. "
            f"The prepared folder {source.dataset_info.data_dir} is damaged: delete it and prepare it again."
        ) from error


def copy_images(out: np.ndarray, records: Sequence[dict[str, Any]], source: BaseDataSource) -> None:
    """Copies the records' images into out [n, H, W, C]; UsageError for one of another shape."""
    for image, record in zip(out, records, strict=True):
        if record["image"].shape != image.shape:
            raise UsageError(
                f"{source.dataset_info.name} holds an image of shape {record['image'].shape} where its features "
                f"promise {image.shape}; prepare it again."
            )
        image[...] = record["image"]


def has_label(features: tfds.features.FeaturesDict) -> bool:
    """Returns whether there are labels that name classes."""
    label = dict(features.items()).get("label")
    return label is not None and label.shape == () and np.issubdtype(label.np_dtype, np.integer)
