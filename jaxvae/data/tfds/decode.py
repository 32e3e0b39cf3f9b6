"""A data set decoded once, then memory-mapped: a record costs 50-100 us to decode and half a microsecond to gather.

One that is too large for that is decoded as it is read, and only its labels are kept.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxvae.data.cache import checksums
from jaxvae.data.cache.arrays import META, Decoded, Images, described, labels, open_or_build, write_header
from jaxvae.data.cache.folders import cache_folder, require_space
from jaxvae.data.tfds.open import open_builder, prepared_folder, read_split
from jaxvae.data.tfds.records import Decode, Records, decoder, fill, has_label, read
from jaxvae.data.tfds.workers import Workers

if TYPE_CHECKING:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.data_sources.base import BaseDataSource

DECODED_LIMIT = 16.0  # GB

_CHUNK = 1000
_CHUNKS_PER_LINE = 12


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    manual_dir: str | os.PathLike | None = None,
    log: Callable[[str], None] | None = None,
    limit: float = DECODED_LIMIT,
    workers: int = 0,
    checked: float = checksums.CHECKED,
) -> Decoded:
    """Memory-map the decoded splits of `name`, decoding them first where that has not been done.

    `name`, `data_dir` and `manual_dir` as for `jaxvae.data.tfds.open.prepared_folder`, which also lists the ValueErrors, as
    `open_builder` does; `log` gets a line of text now and then while it decodes. A damaged or interrupted cache is
    built again; processes may load at once. Where all images are more than `limit` GB their splits are `Records`,
    decoded whenever they are indexed, by so many `workers` (0: in this process). In search of damage `checked` GB are
    read.
    """
    say = log or (lambda line: None)
    folder = prepared_folder(name, data_dir, manual_dir=manual_dir, log=say)
    fingerprint = folder_fingerprint(folder)
    dataset = name.partition(":")[0]
    place = f"{dataset.replace('/', '-')}-{folder.name}-{fingerprint[:12]}"
    target = cache_folder() / "decoded" / place
    head = {"name": dataset, "version": folder.name, "fingerprint": fingerprint}
    size = _decoded_bytes(target, name, data_dir) / 1e9
    if size > limit:
        say(f"{dataset}: {size:,.2g} GB decoded, more than {limit:g}: not cached, but decoded anew, {workers} workers")
        decode = Workers(folder, workers).decode if workers else decoder(folder)
        return _stream(cache_folder() / "labels" / place, open_builder(name, data_dir), head, decode, say, checked)
    return open_or_build(
        target, lambda scratch: _decode(scratch, open_builder(name, data_dir), head, say), say, checked
    )


def _decoded_bytes(target: Path, name: str, data_dir: str | os.PathLike | None) -> int:
    try:  # without TFDS, which takes half a second to import
        files = checksums.read(target / META)["files"]
        return sum(kept["size"] for file, kept in files.items() if file.endswith(".image.npy"))
    except (OSError, ValueError):
        return _image_bytes(open_builder(name, data_dir).info)


def _image_bytes(info: tfds.core.DatasetInfo) -> int:
    return math.prod(info.features["image"].shape) * sum(split.num_examples for split in info.splits.values())


def _stream(
    target: Path,
    builder: tfds.core.DatasetBuilder,
    head: dict[str, Any],
    decode: Decode,
    log: Callable[[str], None],
    checked: float,
) -> Decoded:
    shape = builder.info.features["image"].shape

    def read(folder: Path, meta: dict[str, Any]) -> Decoded:
        splits = {
            split: Images(Records(split, (count, *shape), decode), labels(folder, meta, split))
            for split, count in meta["splits"].items()
        }
        return Decoded(meta["name"], meta["version"], meta["fingerprint"], splits, tuple(meta["class_names"]))

    build = partial(_describe, builder=builder, head=head, write=_write_labels, log=log)
    return described(target, build, read, log, checked)


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
    require_space(folder, _image_bytes(builder.info), builder.name)
    return _describe(folder, builder, head, _write_split, log)


def _describe(
    folder: Path,
    builder: tfds.core.DatasetBuilder,
    head: dict[str, Any],
    write: Callable[..., None],
    log: Callable[[str], None],
) -> dict[str, Any]:
    splits = {split: info.num_examples for split, info in builder.info.splits.items()}
    for split in splits:
        write(folder, builder, split, log)
    return {**head, "class_names": _class_names(builder.info.features), "splits": splits}


def _write_split(folder: Path, builder: tfds.core.DatasetBuilder, split: str, log: Callable[[str], None]) -> None:
    source = read_split(builder, split)
    shape = (len(source), *builder.info.features["image"].shape)
    found: list[int] | None = [] if has_label(builder.info.features) else None
    with open(folder / f"{split}.image.npy", "wb") as file:
        write_header(file, shape)
        for records in _chunks(source, f"decoding {builder.name} {split}", log):
            images = np.empty((len(records), *shape[1:]), np.uint8)
            fill(images, records, source)
            file.write(images)
            if found is not None:
                found.extend(record["label"] for record in records)
    if found is not None:
        np.save(folder / f"{split}.label.npy", np.asarray(found, np.int32))


def _write_labels(folder: Path, builder: tfds.core.DatasetBuilder, split: str, log: Callable[[str], None]) -> None:
    if not has_label(builder.info.features):
        return
    source = read_split(builder, split, images=False)
    found = np.empty(len(source), np.int32)
    first = 0
    for records in _chunks(source, f"reading the labels of {builder.name} {split}", log):
        found[first : first + len(records)] = [record["label"] for record in records]
        first += len(records)
    np.save(folder / f"{split}.label.npy", found)


def _chunks(source: BaseDataSource, title: str, log: Callable[[str], None]) -> Iterator[list[dict[str, Any]]]:
    total = len(source)
    for turn, start in enumerate(range(0, total, _CHUNK)):
        if turn % _CHUNKS_PER_LINE == 0:
            log(f"{title}: {start:,} of {total:,}")
        yield read(source, range(start, min(start + _CHUNK, total)))
    log(f"{title}: {total:,} of {total:,}")


def _class_names(features: tfds.features.FeaturesDict) -> list[str]:
    return list(getattr(features["label"], "names", None) or ()) if has_label(features) else []
