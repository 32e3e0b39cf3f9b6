"""A decoded data set on disk: plain .npy files and a description, made once and memory-mapped ever after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np

from jaxvae.data.cache import checksums
from jaxvae.data.cache.folders import cached

META = "meta.json"
_RETRIES = 5

_Say = Callable[[str], None]
Result = TypeVar("Result")


class Pictures(Protocol):
    """What is asked of stored images: an array uint8 [N, *X], or what decodes the rows it is indexed with."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True)
class Images:
    """One split in file order: image uint8 [N, *X] and label int32 [N], float32 [N, C] or None, mapped read-only."""

    image: Pictures
    label: np.ndarray | None


@dataclass(frozen=True)
class Decoded:
    """A whole data set: its splits by name, its class names by label, and the fingerprint of what it was made from."""

    name: str
    version: str
    fingerprint: str
    splits: dict[str, Images]
    class_names: tuple[str, ...]


def open_or_build(
    target: Path, build: Callable[[Path], dict[str, Any]], say: _Say, checked: float = checksums.CHECKED
) -> Decoded:
    """Map the decoded folder `target`, building it first where it is missing, interrupted or damaged.

    `build(folder)` writes {split}.image.npy and {split}.label.npy into `folder` and returns name, version, fingerprint,
    class_names and splits (their names, with their sizes). Processes may build at once. `say` is told of damage, for
    which `checked` GB are read.
    """

    def read(folder: Path, meta: dict[str, Any]) -> Decoded:
        splits = {
            split: Images(image=map_array(folder / f"{split}.image.npy"), label=labels(folder, meta, split))
            for split in meta["splits"]
        }
        return Decoded(meta["name"], meta["version"], meta["fingerprint"], splits, tuple(meta["class_names"]))

    return described(target, build, read, say, checked)


def described(
    target: Path,
    build: Callable[[Path], dict[str, Any]],
    read: Callable[[Path, dict[str, Any]], Result],
    say: _Say,
    checked: float = checksums.CHECKED,
) -> Result:
    """read(folder, what `build` returned and the files it wrote); else as `open_or_build`."""
    for left in reversed(range(_RETRIES)):
        folder = cached(
            target, lambda scratch: _built(scratch, build), say, lambda folder: checksums.damage(folder / META, checked)
        )
        try:
            return read(folder, checksums.read(folder / META))
        except FileNotFoundError:  # another process saw the damage, too, and has just taken the new folder away
            if not left:
                raise
    raise AssertionError


def labels(folder: Path, meta: dict[str, Any], split: str) -> np.ndarray | None:
    """The labels of a split, mapped; None where there are none."""
    name = f"{split}.label.npy"
    return map_array(folder / name) if name in meta["files"] else None


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Begin a .npy file of uint8, whose bytes are then written as they come.

    A plain file, not a memory map: a full disk is then an OSError and not a SIGBUS.
    """
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def map_array(path: Path) -> np.ndarray:
    """The array of a .npy file, memory-mapped read-only; ValueError for one that holds pickled objects."""
    # A plain array over the map: np.memmap as a type would stick to every batch gathered from it.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _built(scratch: Path, build: Callable[[Path], dict[str, Any]]) -> Path:
    folder = scratch / "decoded"
    folder.mkdir()
    checksums.write(folder / META, build(folder))
    return folder
