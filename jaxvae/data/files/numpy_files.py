"""Data sets of arrays: of a user's program, in one .npy file, or a .npz with images and labels, split or not.

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
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.cache import cache_folder, map_array, open_set, require_space, write_header
from jaxvae.data.files.folder_layout import require_bounded, stamp
from jaxvae.data.spec import DTYPE, Say, Section, StoredSet, StoredSplit, advise_conversion, existing_path
from jaxvae.runtime.files import open_regular

__all__ = ["check_size", "fingerprint", "load_arrays", "load_npy", "load_npz", "mapped", "read_head"]

_MOST_LABELS = 2**30  # bytes
_IMAGES = ("images", "image", "imgs", "x", "data")
_LABELS = ("labels", "label", "y")
_SPLITS = {"train": ("train",), "test": ("test",), "validation": ("validation", "valid", "val")}
_PAIRS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"), ("images_{}", "labels_{}"))
_EXPECTED = "'images' and 'labels', or 'x' and 'y'; 'x_train', 'y_train', 'x_test', 'y_test'; 'train_images', ..."
_CHUNK = 4096
_COLOURS = (1, 3, 4)  # channels of a picture


def load_npy(section: Section, say: Say) -> StoredSet:
    """Maps the images or sequences of a .npy file where they are; only their fingerprint is kept in the cache."""
    path = existing_path(section, "file", Path.is_file)
    try:
        with open(path, "rb") as file:
            shape, fortran, dtype = read_head(file, str(path))
            # only what is refused is read, for the range of its values
            values = None if dtype == DTYPE or 0 in shape or not shape else mapped(path)
            _check_head(shape, fortran, dtype, str(path), values)
        train = StoredSplit(_add_channels(mapped(path)), None)
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
        _check_agreement(splits, str(path))
        sizes = {split: len(each.image) for split, each in splits.items()}
        return {"version": "1", "fingerprint": fingerprint(splits), "class_names": (), "splits": sizes}

    stored = open_set(section.name, _target(path), build, say)
    splits = {
        split: replace(each, image=_add_channels(np.asarray(each.image))) for split, each in stored.splits.items()
    }
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
            label = _check_labels(_read_labels(archive, labels, count, path), count, f"{path} {labels!r}")
            np.save(folder / f"{split}.label.npy", label)
        splits[split] = StoredSplit(_add_channels(map_array(target)), label)
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
        shape, fortran, dtype = read_head(source, name)
        _check_head(shape, fortran, dtype, name)
        check_size(archive, key, source.tell(), shape, dtype, path)
        require_space(target.parent, math.prod(shape), name)
        write_header(file, shape)
        shutil.copyfileobj(source, file, 2**20)  # up to the size that check_size has checked
    return shape[0]


def _read_labels(archive: zipfile.ZipFile, key: str, count: int, path: Path) -> np.ndarray:
    """Reads an array of `count` labels or vectors of the archive."""
    with archive.open(f"{key}.npy") as source:
        shape, fortran, dtype = read_head(source, f"{path} {key!r}")
        check_size(archive, key, source.tell(), shape, dtype, path)
        if shape[:1] != (count,) or math.prod(shape) * dtype.itemsize > _MOST_LABELS:
            raise UsageError(
                f"{path} {key!r}: {count} images but labels shaped {list(shape)}; expected one label per image, "
                f"of at most {_MOST_LABELS / 1e9:.1f} GB together."
            )
        content = source.read()
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def check_size(
    archive: zipfile.ZipFile, key: str, head: int, shape: tuple[int, ...], dtype: np.dtype, path: Path
) -> None:
    """Raises UsageError unless the archive holds as many bytes as the header of the array, `head` bytes, promises."""
    # zipfile reads no more than this, however much was packed
    if archive.getinfo(f"{key}.npy").file_size != head + math.prod(shape) * dtype.itemsize:
        raise UsageError(f"{path} {key!r} is damaged: its head says {list(shape)}, its size differs. Save it again.")


def mapped(path: Path) -> np.ndarray:
    """Maps the array of a .npy file read-only; UsageError if it is pickled, or shorter than its header says."""
    with open_regular(path) as file:
        shape, _, dtype = read_head(file, str(path))
        if file.tell() + math.prod(shape) * dtype.itemsize > path.stat().st_size:
            raise UsageError(f"{path} is damaged: its head says {list(shape)}, its size differs. Save it again.")
    return map_array(path)


def read_head(source: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Returns (shape, whether the first axis is the fastest, dtype) from the header of a .npy file, never pickled."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(source)
    if version not in readers:
        raise UsageError(
            f"{name}: it has the .npy format {version}, which plain arrays do not need; save it again with np.save."
        )
    try:
        shape, fortran, dtype = readers[version](source)
    except Exception as error:  # what a head of nonsense makes Python's parser raise
        raise UsageError(f"{name}: its head is none of a .npy file ({error}). Save it again with np.save.") from error
    if min(shape, default=0) < 0:
        raise UsageError(f"{name}: its head says {list(shape)}, which no array has. Save it again with np.save.")
    if dtype.hasobject:
        raise UsageError(
            f"{name} holds pickled Python objects, which are never loaded: they could run any code. Save plain arrays."
        )
    return shape, fortran, dtype


def _check_head(
    shape: tuple[int, ...], fortran: bool, dtype: np.dtype, name: str, values: np.ndarray | None = None
) -> None:
    """Raises UsageError unless the array can be read as images or sequences."""
    _check_images(dtype, shape, name, values)
    if fortran:
        raise UsageError(f"{name} is stored with its first axis fastest; save np.ascontiguousarray(x) instead.")


def _target(path: Path) -> Path:
    identity = ascii((str(path.resolve()), *stamp(path))).encode()
    return cache_folder() / "decoded" / f"arrays-{hashlib.sha256(identity).hexdigest()[:16]}"


def load_arrays(arrays: object) -> StoredSet:
    """Returns the data set of arrays: images [N, H, W, C] or [N, H, W], or sequences [N, L], uint8.

    `arrays` is one of them, a pair (images, labels), or {'train': ..., 'test': ..., 'validation': ...}; labels are
    whole numbers [N] or float vectors [N, C].
    """
    if arrays is None:
        raise UsageError("data.name='arrays': expected the arrays themselves. Try jaxvae.train(config, arrays=...).")
    given = arrays if isinstance(arrays, Mapping) else {"train": arrays}
    if "train" not in given or not set(given) <= {"train", "validation", "test"}:
        raise UsageError(
            f"arrays has the entries {sorted(map(str, given))}; expected 'train', and 'validation' and 'test' if you "
            "have them."
        )
    stored = {split: _stored_split(value, f"arrays[{split!r}]") for split, value in given.items()}
    _check_agreement(stored, "arrays")
    return StoredSet("arrays", "1", fingerprint(stored), stored)


def _stored_split(value: object, name: str) -> StoredSplit:
    """Returns the images [N, H, W, C] or [N, L, 1] and labels of what a user passed: images or a pair."""
    if isinstance(value, tuple) and len(value) != 2:
        raise UsageError(f"{name}: a tuple of {len(value)}; expected images alone, or the pair (images, labels).")
    given, labels = value if isinstance(value, tuple) else (value, None)
    images = _as_array(given, f"{name}: the images")
    _check_images(images.dtype, images.shape, name, images)
    return StoredSplit(_add_channels(images), None if labels is None else _check_labels(labels, len(images), name))


def _as_array(value: object, name: str) -> np.ndarray:
    """Returns np.asarray(value); UsageError if it is not an array, such as a list of images of several sizes."""
    try:
        return np.asarray(value)
    except Exception as error:  # of rows of several lengths, or of what an object's own conversion raises
        raise UsageError(
            f"{name} are no array ({error}); expected an array, or what numpy.asarray makes one: "
            "rows and images of one size."
        ) from error


def _check_images(dtype: np.dtype, shape: tuple[int, ...], name: str, values: np.ndarray | None = None) -> None:
    """Raises UsageError unless arrays of this dtype and shape are images or sequences, with their channels last.

    `values`: the array, if it can be looked at for the advice how to convert it.
    """
    if dtype != DTYPE or len(shape) not in (2, 3, 4) or 0 in shape:
        hint = advise_conversion(dtype, None if 0 in shape else values) if dtype != DTYPE else ""
        raise UsageError(
            f"{name}: expected {DTYPE} images [N, H, W, C] or [N, H, W], or sequences [N, L], none of them empty, "
            f"got {dtype} {list(shape)}.{hint}"
        )
    if _has_channels_first(shape):
        raise UsageError(
            f"{name}: expected images [N, H, W, C], got {list(shape)}, which are {shape[1]} x {shape[2]} images of "
            f"{shape[3]} channels, or [N, C, H, W]. Try np.transpose(x, (0, 2, 3, 1))."
        )


def _has_channels_first(shape: tuple[int, ...]) -> bool:
    """Returns whether images of this shape look like [N, C, H, W]; [N, 1, L, C] are sequences unless square."""
    if len(shape) != 4 or shape[1] not in _COLOURS or shape[3] <= max(_COLOURS):
        return False
    return shape[2] == shape[3] or (shape[1] > 1 and shape[2] > max(_COLOURS))


def _add_channels(images: np.ndarray) -> np.ndarray:
    """Returns [N, H, W] as [N, H, W, 1] and [N, L] as [N, L, 1], without a copy; [N, H, W, C] stays."""
    return images if images.ndim == 4 else images[..., None]


def _check_labels(labels: object, count: int, name: str) -> np.ndarray:
    """Returns int32 [N] of whole numbers [N] or [N, 1], float32 [N, C] of floats [N, C]; else UsageError."""
    labels = _as_array(labels, f"{name}: the labels")
    if labels.shape[:1] != (count,):
        raise UsageError(
            f"{name}: {count} images but labels shaped {list(labels.shape)}; expected one label per image."
        )
    if labels.dtype.kind in "iub" and labels.shape in ((count,), (count, 1)):
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or most >= 2**31:
            raise UsageError(f"{name}: labels run from {least} to {most}; expected classes counted from 0.")
        return labels.reshape(count).astype(np.int32)
    if labels.dtype.kind == "f" and labels.ndim == 2:
        with np.errstate(over="ignore"):  # infinite then, and named below
            vectors = labels.astype(np.float32)
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if 0 in vectors.shape or len(rows):
            found = f"NaN or infinity in {len(rows)} of them, first in row {rows[0]}" if len(rows) else "no entries"
            raise UsageError(f"{name}: label vectors {list(vectors.shape)} with {found}; expected finite numbers.")
        return vectors
    raise UsageError(
        f"{name}: labels are {labels.dtype} {list(labels.shape)}; expected whole numbers [N], which name classes "
        "(labels.astype('int32')), or float vectors [N, C] (labels.astype('float32'); of numbers [N], labels[:, None])."
    )


def _check_agreement(stored: Mapping[str, StoredSplit], name: str) -> None:
    """Raises UsageError if the splits' examples differ in shape, or their labels in kind."""
    images = {split: each.image.shape[1:] for split, each in stored.items()}
    labels = {split: each.label.shape[1:] for split, each in stored.items() if each.label is not None}
    for kind, shapes in (("images", images), ("labels", labels)):
        if len(set(shapes.values())) > 1:
            raise UsageError(f"{name}: the splits' {kind} differ in shape, {shapes}; bring them to one.")


def fingerprint(stored: Mapping[str, StoredSplit]) -> str:
    """Returns the sha256 of the images' and labels' bytes, read in pieces."""
    digest = hashlib.sha256()
    for split, each in sorted(stored.items()):
        digest.update(f"{split} {each.image.shape}".encode())
        for array in (each.image, each.label):
            for first in range(0, 0 if array is None else len(array), _CHUNK):
                digest.update(np.ascontiguousarray(array[first : first + _CHUNK]))  # type: ignore[index]
    return digest.hexdigest()
