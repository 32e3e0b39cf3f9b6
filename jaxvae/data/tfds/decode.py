"""A prepared TFDS data set decoded once, then memory-mapped: decoding a record takes 50-100 us, gathering it 0.5.

A set that is too large for that is decoded as it is read, and only its labels are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxvae.data.cache import META, cache_folder, open_set, read_description, require_space, write_header
from jaxvae.data.spec import DTYPE, Say, Section, StoredSet
from jaxvae.data.tfds.downloads import VERSIONS, load_stock
from jaxvae.data.tfds.prepared import find_versions, open_builder, prepared_folder, read_split
from jaxvae.data.tfds.records import Records, copy_images, decoder, has_label, read_records
from jaxvae.data.tfds.workers import Workers, default_count

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

__all__ = ["folder_fingerprint", "load_tfds"]

_CHUNK = 1000
_CHUNKS_PER_LINE = 12


def load_tfds(section: Section, say: Say) -> StoredSet:
    """Maps the decoded splits of a TFDS data set or of 'digits', decoding them first if that has not been done.

    A stock set that is not prepared is made from its original files, see `jaxvae.data.tfds.downloads`. Images of more
    than data.decoded_limit GB are `Records`, decoded at each indexing by data.workers processes (0: in this process).
    """
    dataset, version, root, versions = find_versions(section.name, section.data_dir)
    if not versions and version in (None, VERSIONS.get(dataset)) and dataset in VERSIONS:
        return load_stock(dataset, root, Path(section.manual_dir).expanduser() if section.manual_dir else None, say)
    folder = prepared_folder(section.name, section.data_dir, say)
    name, fingerprint = section.name.partition(":")[0], folder_fingerprint(folder)
    place = f"{name.replace('/', '-')}-{folder.name}-{fingerprint[:12]}"
    target = cache_folder() / "decoded" / place
    try:  # without TFDS, which takes half a second to import
        files = read_description(target / META)["files"]
        size = sum(file["size"] for path, file in files.items() if path.endswith(".image.npy"))
    except (OSError, ValueError):
        info = open_builder(folder).info
        size = math.prod(info.features["image"].shape) * sum(split.num_examples for split in info.splits.values())
    streamed = size / 1e9 > section.decoded_limit

    def build(scratch: Path) -> dict[str, Any]:
        builder = open_builder(folder)
        if not streamed:
            require_space(scratch, size, builder.name)
        splits = {split: info.num_examples for split, info in builder.info.splits.items()}
        for split in splits:
            _write_split(scratch, builder, split, say, images=not streamed)
        label = builder.info.features["label"] if has_label(builder.info.features) else None
        class_names = list(getattr(label, "names", None) or ())
        return {"version": folder.name, "fingerprint": fingerprint, "class_names": class_names, "splits": splits}

    if not streamed:
        return open_set(name, target, build, say)
    count = default_count() if section.workers is None else section.workers
    say(f"{name}: {size / 1e9:,.2g} GB decoded, more than {section.decoded_limit:g}: streamed by {count} workers")
    decode = Workers(folder, count).decode if count else decoder(folder)
    shape = open_builder(folder).info.features["image"].shape
    labels = cache_folder() / "labels" / place
    return open_set(name, labels, build, say, lambda split, n: Records(split, (n, *shape), decode))


def folder_fingerprint(folder: Path) -> str:
    """Returns the sha256, in hex, of a prepared folder's descriptions and of its records' file names and sizes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        content = path.read_bytes() if path.suffix in (".json", ".txt") else b""  # small: what the records mean
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + content)
    return digest.hexdigest()


def _write_split(folder: Path, builder: tfds.core.DatasetBuilder, split: str, say: Say, *, images: bool) -> None:
    """Writes the labels of a split and, if wanted, its decoded images."""
    labels: list[int] | None = [] if has_label(builder.info.features) else None
    if labels is None and not images:
        return
    source, shape = read_split(builder, split, images=images), builder.info.features["image"].shape
    title = f"{'decoding' if images else 'reading the labels of'} {builder.name} {split}"
    with open(folder / f"{split}.image.npy", "wb") if images else contextlib.nullcontext() as file:
        if file:
            write_header(file, (len(source), *shape))
        for turn, start in enumerate(range(0, len(source), _CHUNK)):
            if turn % _CHUNKS_PER_LINE == 0:
                say(f"{title}: {start:,} of {len(source):,}")
            records = read_records(source, range(start, min(start + _CHUNK, len(source))))
            if file:
                pixels = np.empty((len(records), *shape), DTYPE)
                copy_images(pixels, records, source)
                file.write(pixels)
            if labels is not None:
                labels.extend(record["label"] for record in records)
    say(f"{title}: {len(source):,} of {len(source):,}")
    if labels is not None:
        np.save(folder / f"{split}.label.npy", np.asarray(labels, np.int32))
