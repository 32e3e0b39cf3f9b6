"""A decoded data set on disk: plain .npy files and a description, made once and memory-mapped from then on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.cache.folders import open_or_build, read_description, write_description
from jaxvae.data.spec import DTYPE
from jaxvae.data.stored import ImageArray, Say, StoredSet, StoredSplit

__all__ = ["META", "map_array", "open_set", "write_header"]

META = "meta.json"


def open_set(
    name: str,
    target: Path,
    build: Callable[[Path], dict[str, Any]],
    say: Say,
    images: Callable[[str, int], ImageArray] | None = None,
) -> StoredSet:
    """Maps the decoded folder `target`, building it first if it is missing or damaged.

    `build(folder)` writes {split}.image.npy and {split}.label.npy into `folder` and returns version, fingerprint,
    class_names and splits (their sizes by name). `images(split, size)` gives the images that are not decoded there.
    """

    def describe(scratch: Path) -> Path:
        folder = scratch / "decoded"
        folder.mkdir()
        write_description(folder / META, build(folder))
        return folder

    def read(folder: Path) -> StoredSet:
        meta = read_description(folder / META)
        splits = {}
        for split, size in meta["splits"].items():
            image = images(split, size) if images else map_array(folder / f"{split}.image.npy")
            label = folder / f"{split}.label.npy"
            splits[split] = StoredSplit(image, map_array(label) if label.name in meta["files"] else None)
        return StoredSet(name, meta["version"], meta["fingerprint"], splits, tuple(meta["class_names"]))

    return open_or_build(target, describe, read, say)


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Begins a .npy file of stored images, whose bytes are then written as they come.

    A plain file, not a memory map: a full disk is then an OSError and not a SIGBUS.
    """
    descr = np.lib.format.dtype_to_descr(DTYPE)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def map_array(path: Path) -> np.ndarray:
    """Returns the array of a .npy file, memory-mapped read-only; UsageError if it holds none, or pickled objects."""
    try:
        # A plain array over the map: np.memmap as a type would stick to every batch gathered from it.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise UsageError(f"{path.name} holds no array ({error})") from error
