"""A decoded data set on disk: plain .npy files and a description, made once and memory-mapped ever after."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxvae.data.store import build_once, discard

_FORMAT = 1  # of these files: raise it when they change, and old ones are built again


@dataclass(frozen=True)
class Images:
    """One split in file order: image uint8 [N, *X] and label int32 [N], float32 [N, C] or None, mapped read-only."""

    image: np.ndarray
    label: np.ndarray | None


@dataclass(frozen=True)
class Decoded:
    """A whole data set: its splits by name, its class names by label, and the fingerprint of what it was made from."""

    name: str
    version: str
    fingerprint: str
    splits: dict[str, Images]
    class_names: tuple[str, ...]


def open_or_build(target: Path, build: Callable[[Path], dict[str, Any]]) -> Decoded:
    """Map the decoded folder `target`, building it first where it is missing, interrupted or damaged.

    `build(folder)` writes {split}.image.npy and {split}.label.npy into `folder` and returns name, version, fingerprint,
    class_names and splits (their names, with their sizes). Processes may build at once.
    """
    if target.exists() and not _is_whole(target):  # in this order: another process may finish it in between
        discard(target)
    build_once(target, lambda scratch: _built(scratch, build))
    return _open(target)


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
    described = build(folder)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    meta = {"format": _FORMAT, **described, "files": files}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        meta = json.loads((folder / "meta.json").read_text())
        sizes = {name: (folder / name).stat().st_size for name in meta["files"]}
        return meta["format"] == _FORMAT and sizes == meta["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _open(folder: Path) -> Decoded:
    meta = json.loads((folder / "meta.json").read_text())
    splits = {
        split: Images(
            image=map_array(folder / f"{split}.image.npy"),
            label=map_array(folder / f"{split}.label.npy") if f"{split}.label.npy" in meta["files"] else None,
        )
        for split in meta["splits"]
    }
    return Decoded(meta["name"], meta["version"], meta["fingerprint"], splits, tuple(meta["class_names"]))
