"""Data sets in numpy files: one .npy array, or a .npz with images and labels, split or not.

Keys of a .npz: 'images' or 'x', and 'labels' or 'y'; for splits 'x_train', 'y_train', 'x_test', 'y_test' or
'train_images', 'train_labels', 'test_images', ... ('validation', 'valid' or 'val' likewise); a single array of
any name.
Pickled objects are refused by the header of the file: nothing is ever unpickled.
"""

import hashlib
import lzma
import math
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.cache import cache_folder, map_array, open_set, require_space, write_header
from jaxvae.data.files.arrays import add_channels, check_agreement, check_images, check_labels, fingerprint
from jaxvae.data.files.folder_layout import require_bounded
from jaxvae.data.spec import Say, Section, StoredSet, StoredSplit, existing_path

__all__ = ["check_size", "load_npy", "load_npz", "mapped", "read_head"]

_MOST_LABELS = 2**30  # bytes
_IMAGES = ("images", "image", "imgs", "x", "data")
_LABELS = ("labels", "label", "y")
_SPLITS = {"train": ("train",), "test": ("test",), "validation": ("validation", "valid", "val")}
_PAIRS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"), ("images_{}", "labels_{}"))
_EXPECTED = "'images' and 'labels', or 'x' and 'y'; 'x_train', 'y_train', 'x_test', 'y_test'; 'train_images', ..."


def load_npy(section: Section, say: Say) -> StoredSet:
    """Maps the images or sequences of a .npy file where they are; only their fingerprint is kept in the cache."""
    path = existing_path(section, "file", Path.is_file)
    try:
        with open(path, "rb") as file:
            _check_head(*read_head(file), str(path))
        train = StoredSplit(add_channels(mapped(path)), None)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") if str(path) not in str(error) else error from None

    def build(folder: Path) -> dict[str, Any]:
        say(f"reading {path} once, for its fingerprint")
        return {"version": "1", "fingerprint": fingerprint({"train": train}), "class_names": (), "splits": {}}

    return replace(open_set(section.name, _target(path), build, say), splits={"train": train})


def load_npz(section: Section, say: Say) -> StoredSet:
    """Maps the arrays of a .npz file, copied into the cache first if that has not been done."""
    path = existing_path(section, "file", Path.is_file)

    def build(folder: Path) -> dict[str, Any]:
        try:
            with zipfile.ZipFile(path) as archive:
                splits = _copy_arrays(folder, archive, path, say)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
            raise UsageError(f"{path} is no readable .npz ({error}). Save it again with np.savez.") from error
        check_agreement(splits, str(path))
        sizes = {split: len(each.image) for split, each in splits.items()}
        return {"version": "1", "fingerprint": fingerprint(splits), "class_names": (), "splits": sizes}

    stored = open_set(section.name, _target(path), build, say)
    splits = {split: replace(each, image=add_channels(np.asarray(each.image))) for split, each in stored.splits.items()}
    return replace(stored, splits=splits)


def _copy_arrays(folder: Path, archive: zipfile.ZipFile, path: Path, say: Say) -> dict[str, StoredSplit]:
    """Copies each split's images, streamed, and its labels into `folder`; returns them, mapped."""
    keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    pairs = _choose_keys(keys, path)
    left = sorted(set(keys) - {key for pair in pairs.values() for key in pair})
    if left:
        say(f"{path}: left out the arrays {', '.join(left)}")
    for key in (key for pair in pairs.values() for key in pair if key is not None):
        require_bounded(archive.getinfo(f"{key}.npy"), path)
    splits = {}
    for split, (images, labels) in pairs.items():
        say(f"reading {path} {images}")
        target, label = folder / f"{split}.image.npy", None
        count = _copy_images(target, archive, images, path)
        if labels is not None:
            label = check_labels(_read_labels(archive, labels, count, path), count, f"{path} {labels!r}")
            np.save(folder / f"{split}.label.npy", label)
        splits[split] = StoredSplit(add_channels(map_array(target)), label)
    return splits


def _choose_keys(keys: Iterable[str], path: Path) -> dict[str, tuple[str, str | None]]:
    """Returns {split: (key of its images, key of its labels or None)}; UsageError lists the keys if none fit."""
    named = {key.lower(): key for key in keys}
    found: dict[str, tuple[str, str | None]] = {}
    for split, aliases in _SPLITS.items():
        for images, labels in ((x.format(alias), y.format(alias)) for alias in aliases for x, y in _PAIRS):
            if images in named and split not in found:
                found[split] = named[images], named.get(labels)
    single = [named[name] for name in _IMAGES if name in named] or (list(named.values()) if len(named) == 1 else [])
    if not found and single:
        return {"train": (single[0], next((named[name] for name in _LABELS if name in named), None))}
    if "train" not in found:
        raise UsageError(f"{path} holds the arrays {sorted(named.values())}; expected {_EXPECTED}; or a single array.")
    return found


def _copy_images(target: Path, archive: zipfile.ZipFile, key: str, path: Path) -> int:
    """Streams an array of images from the archive into a .npy file; returns their number."""
    name = f"{path} {key!r}"
    with archive.open(f"{key}.npy") as source, open(target, "wb") as file:
        shape, fortran, dtype = read_head(source)
        _check_head(shape, fortran, dtype, name)
        check_size(archive, key, shape, dtype, path)
        require_space(target.parent, math.prod(shape), name)
        write_header(file, shape)
        shutil.copyfileobj(source, file, 2**20)  # up to the size that check_size has checked
    return shape[0]


def _read_labels(archive: zipfile.ZipFile, key: str, count: int, path: Path) -> np.ndarray:
    """Reads an array of `count` labels or vectors of the archive."""
    with archive.open(f"{key}.npy") as source:
        shape, fortran, dtype = read_head(source)
        if dtype.hasobject:
            raise UsageError(_pickled(f"{path} {key!r}"))
        check_size(archive, key, shape, dtype, path)
        size = math.prod(shape) * dtype.itemsize
        if shape[:1] != (count,) or size > _MOST_LABELS:
            raise UsageError(
                f"{path} {key!r}: {count} images but labels shaped {list(shape)}; expected one label per image, "
                f"of at most {_MOST_LABELS / 1e9:.1f} GB together."
            )
        content = source.read()
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def check_size(archive: zipfile.ZipFile, key: str, shape: tuple[int, ...], dtype: np.dtype, path: Path) -> None:
    """Raises UsageError unless the archive holds as many bytes as the header of the array, just read, promises."""
    with archive.open(f"{key}.npy") as source:
        read_head(source)
        head = source.tell()
    # zipfile reads no more than this, however much was packed
    if archive.getinfo(f"{key}.npy").file_size != head + math.prod(shape) * dtype.itemsize:
        raise UsageError(f"{path} {key!r} is damaged: its head says {list(shape)}, its size differs. Save it again.")


def mapped(path: Path) -> np.ndarray:
    """Maps the array of a .npy file read-only; UsageError if it is pickled, or shorter than its header says."""
    with open(path, "rb") as file:
        shape, _, dtype = read_head(file)
        if dtype.hasobject:
            raise UsageError(_pickled(str(path)))
        if file.tell() + math.prod(shape) * dtype.itemsize > path.stat().st_size:
            raise UsageError(f"{path} is damaged: its head says {list(shape)}, its size differs. Save it again.")
    return map_array(path)


def read_head(source: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Returns (shape, whether the first axis is the fastest, dtype) from the header of a .npy file."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(source)
    if version not in readers:
        raise UsageError(
            f"it has the .npy format {version}, which plain arrays do not need; save it again with np.save."
        )
    try:
        shape, fortran, dtype = readers[version](source)
    except Exception as error:  # what a head of nonsense makes Python's parser raise
        raise UsageError(f"its head is none of a .npy file ({error}). Save it again with np.save.") from error
    if min(shape, default=0) < 0:
        raise UsageError(f"its head says {list(shape)}, which no array has. Save it again with np.save.")
    return shape, fortran, dtype


def _check_head(shape: tuple[int, ...], fortran: bool, dtype: np.dtype, name: str) -> None:
    """Raises UsageError unless the array can be read as images or sequences."""
    if dtype.hasobject:
        raise UsageError(_pickled(name))
    check_images(dtype, shape, name)
    if fortran:
        raise UsageError(f"{name} is stored with its first axis fastest; save np.ascontiguousarray(x) instead.")


def _pickled(name: str) -> str:
    return f"{name} holds pickled Python objects, which are never loaded: they could run any code. Save plain arrays."


def _target(path: Path) -> Path:
    status = path.stat()
    stamp = (str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return cache_folder() / "decoded" / f"arrays-{hashlib.sha256(ascii(stamp).encode()).hexdigest()[:16]}"
