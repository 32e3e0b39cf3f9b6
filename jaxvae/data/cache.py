"""A data set decoded once, then memory-mapped: a record costs 50-100 us to decode and half a microsecond to gather."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxvae.data.decoded import Decoded, open_or_build, write_header
from jaxvae.data.store import cache_folder
from jaxvae.data.tfds import open_builder, prepared_folder, read_split

if TYPE_CHECKING:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.data_sources.base import BaseDataSource

_CHUNK = 1000
_CHUNKS_PER_LINE = 12


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    manual_dir: str | os.PathLike | None = None,
    log: Callable[[str], None] | None = None,
) -> Decoded:
    """Memory-map the decoded splits of `name`, decoding them first where that has not been done.

    `name`, `data_dir` and `manual_dir` as for `jaxvae.data.tfds.prepared_folder`, which also lists the ValueErrors, as
    `open_builder` does; `log` gets a line of text now and then while it decodes. A damaged or interrupted cache is
    built again; processes may load at once.
    """
    say = log or (lambda line: None)
    folder = prepared_folder(name, data_dir, manual_dir=manual_dir, log=say)
    fingerprint = folder_fingerprint(folder)
    dataset = name.partition(":")[0]
    target = cache_folder() / "decoded" / f"{dataset.replace('/', '-')}-{folder.name}-{fingerprint[:12]}"
    head = {"name": dataset, "version": folder.name, "fingerprint": fingerprint}
    return open_or_build(target, lambda scratch: _decode(scratch, open_builder(name, data_dir), head, say))


def folder_fingerprint(folder: Path) -> str:
    """Give the sha256, in hex, of a prepared folder's descriptions and of its records' file names and sizes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        described = path.suffix in (".json", ".txt")  # small, and they say what the records mean
        content = path.read_bytes() if described else b""
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + content)
    return digest.hexdigest()


def _decode(
    folder: Path, builder: tfds.core.DatasetBuilder, head: dict[str, Any], log: Callable[[str], None]
) -> dict[str, Any]:
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    for split in splits:
        _write_split(folder, builder, split, log)
    return {**head, "class_names": _class_names(builder.info.features), "splits": splits}


def _write_split(folder: Path, builder: tfds.core.DatasetBuilder, split: str, log: Callable[[str], None]) -> None:
    source = read_split(builder, split)
    shape = (len(source), *builder.info.features["image"].shape)
    labels: list[int] | None = [] if _has_label(builder.info.features) else None
    with open(folder / f"{split}.image.npy", "wb") as file:
        write_header(file, shape)
        for records in _chunks(source, f"decoding {builder.name} {split}", log):
            file.write(_stack_images(records, shape[1:], builder.name).tobytes())
            if labels is not None:
                labels.extend(record["label"] for record in records)
    if labels is not None:
        np.save(folder / f"{split}.label.npy", np.asarray(labels, np.int32))


def _chunks(source: BaseDataSource, title: str, log: Callable[[str], None]) -> Iterator[list[dict[str, Any]]]:
    total = len(source)
    for turn, start in enumerate(range(0, total, _CHUNK)):
        if turn % _CHUNKS_PER_LINE == 0:
            log(f"{title}: {start:,} of {total:,}")
        yield _read(source, range(start, min(start + _CHUNK, total)))
    log(f"{title}: {total:,} of {total:,}")


def _read(source: BaseDataSource, indices: range) -> list[dict[str, Any]]:
    try:
        return source.__getitems__(list(indices))
    except RuntimeError as error:  # array_record's, for a missing or damaged file
        raise ValueError(
            f"cannot read records {indices.start:,} to {indices.stop:,} of {source!r}: {error}. "
            f"The prepared folder {source.dataset_info.data_dir} is damaged: delete it and prepare it again."
        ) from error


def _stack_images(records: Sequence[dict[str, Any]], shape: tuple[int, ...], name: str) -> np.ndarray:
    images = [record["image"] for record in records]
    odd = next((image.shape for image in images if image.shape != shape), None)
    if odd is not None:
        raise ValueError(f"{name} holds an image of shape {odd} where its features promise {shape}; prepare it again.")
    return np.stack(images)


def _has_label(features: tfds.features.FeaturesDict) -> bool:
    label = dict(features.items()).get("label")
    return label is not None and label.shape == () and np.issubdtype(label.np_dtype, np.integer)


def _class_names(features: tfds.features.FeaturesDict) -> list[str]:
    return list(getattr(features["label"], "names", None) or ()) if _has_label(features) else []
