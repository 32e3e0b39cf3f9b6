"""The cache of all that can be built again: its folders, and the decoded data sets in them, memory-mapped.

A folder is built beside its place, under a lock, and renamed. Its description, written last, holds the sizes of its
files, which are checked at every opening: a folder that is missing, cut short or of an unknown format is built again.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.spec import DTYPE, ImageArray, Say, StoredSet, StoredSplit
from jaxvae.runtime import files

__all__ = ["META", "cache_folder", "map_array", "open_or_build", "open_set", "read_description"]
__all__ += ["require_space", "writable", "write_description", "write_header"]

META = "meta.json"
_SCRATCH = ".building-"
_MOST_BORROWED = 2e9  # bytes of a temporary folder, which may be in memory
_FORMAT = 3  # of descriptions
_READABLE = (2, 3)  # 2 held checksums, too

_borrowed: dict[Path, Path] = {}  # target -> the temporary folder of this process that is used in its place

Opened = TypeVar("Opened")


class _Unwritable(UsageError):
    """A folder that cannot be made: the disk is full, or write access is missing."""


def cache_folder() -> Path:
    """Returns the folder of all that can be built again: $JAXVAE_CACHE, else the user's cache folder."""
    if explicit := os.environ.get("JAXVAE_CACHE"):
        return Path(explicit).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxvae"


def writable(folder: Path) -> bool:
    """Returns whether files can be made in the folder, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def write_description(path: Path, content: dict[str, Any]) -> None:
    """Writes the description `path`: the content, and the sizes of all other files beneath its folder."""
    found = {file.relative_to(path.parent).as_posix(): file for file in sorted(path.parent.rglob("*"))}
    sizes = {name: {"size": file.stat().st_size} for name, file in found.items() if file.is_file()}
    files.write_json(path, {"format": _FORMAT, **content, "files": sizes})


def read_description(path: Path) -> dict[str, Any]:
    """Reads what `write_description` wrote; DamagedFile or OSError if it, or the size of a file, is another now."""
    try:
        described = files.read_json(path, bare=False)
    except files.DamagedFile as reason:
        raise files.DamagedFile(f"{path.name}: {reason}") from reason
    if described.get("format") not in _READABLE:
        raise files.DamagedFile(f"{path.name}: another version of jaxvae wrote it")
    for name, file in described["files"].items():
        if (path.parent / name).stat().st_size != file["size"]:
            raise files.DamagedFile(f"{name} has another size than was written")
    return described


def open_or_build(target: Path, build: Callable[[Path], Path], read: Callable[[Path], Opened], say: Say) -> Opened:
    """Returns read(target), which is built first if `read` raises OSError or ValueError for it.

    `build(scratch)` fills a folder inside `scratch` and returns it. Of several processes one builds and the others
    wait. If nothing can be written, a temporary folder of this process is used, up to 2 GB.
    """
    if target in _borrowed:
        return read(_borrowed[target])
    with contextlib.suppress(OSError, ValueError):
        return read(target)
    try:
        with _building(target) as scratch:
            try:
                return read(target)  # another process has built it in the meantime
            except FileNotFoundError as error:
                reason = f"{Path(error.filename).name} is missing"
            except (OSError, ValueError) as error:
                reason = str(error)
            if target.exists():
                say(f"{target}: {reason}; it is built again")
                target.rename(scratch / "damaged")
            folder = build(scratch)
            for path in (*folder.rglob("*"), folder):  # the rename may reach the disk first, and then the power fail
                files.sync_folder(path)
            try:
                folder.rename(target)
            except OSError:  # where there are no locks, another process may have been faster
                if not target.exists():
                    raise
        return read(target)
    except _Unwritable as refused:
        try:
            temporary = Path(tempfile.mkdtemp(prefix="jaxvae-"))
            atexit.register(shutil.rmtree, temporary, ignore_errors=True)
            _borrowed[target] = build(temporary)
        except (OSError, _Unwritable):
            raise refused from None
        say(f"{refused}\nUntil then it is kept in a temporary folder, for this process alone.")
        return read(_borrowed[target])


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises UsageError if `needed` bytes of `what` do not fit onto the disk that holds `folder`."""
    free = shutil.disk_usage(folder).free
    if cache_folder() not in folder.parents:
        free = min(free, int(_MOST_BORROWED))
    if needed > free:
        raise _Unwritable(
            f"{what}: {needed / 1e9:,.1f} GB decoded, but {cache_folder()} has {free / 1e9:,.1f} GB free. "
            "Make room, or set the environment variable JAXVAE_CACHE to a folder on a larger disk."
        )


@contextlib.contextmanager
def _building(target: Path) -> Iterator[Path]:
    """Waits until no other process builds the target, and makes a folder beside it, in its file system."""
    path = target.parent / f"{_SCRATCH}{target.name}.lock"
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent)
            while (lock := _hold(path)) is None:
                time.sleep(0.1)
            stack.callback(_release, path, lock)
            scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{target.name}-", dir=target.parent))
        except OSError as error:
            raise _unwritable(target, error.errno) from error
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        try:
            yield scratch
        except Exception as error:
            if (number := files.disk_full_errno(error)) is None:
                raise
            raise _unwritable(target, number) from error


def _sweep(parent: Path) -> None:
    """Removes what killed processes left: scratch folders whose lock no process holds."""
    for scratch in parent.glob(f"{_SCRATCH}*/"):
        path = scratch.with_name(f"{scratch.name.rpartition('-')[0]}.lock")
        with contextlib.suppress(OSError):
            if (lock := _hold(path)) is not None:
                if files.try_lock(lock):  # without locks, another process may be at work in it
                    shutil.rmtree(scratch, ignore_errors=True)
                _release(path, lock)


def _hold(path: Path) -> int | None:
    """Returns the descriptor of the lock file, held until it is closed; None while another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    if files.try_lock(descriptor) is not False and os.fstat(descriptor).st_nlink:  # else its owner has just removed it
        return descriptor
    os.close(descriptor)
    return None


def _release(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def _unwritable(target: Path, number: int | None) -> _Unwritable:
    return _Unwritable(
        f"cannot write into {target.parent} ({os.strerror(number or 0)}); expected a folder for prepared data. "
        "Make room, or name one that you can write to: data.data_dir for data sets, the environment variable "
        "JAXVAE_CACHE for the cache."
    )


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
    """Begins a .npy file of stored images: not a memory map, where a full disk is a SIGBUS in place of an OSError."""
    descr = np.lib.format.dtype_to_descr(DTYPE)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def map_array(path: Path) -> np.ndarray:
    """Returns the array of a .npy file, memory-mapped read-only; UsageError if it holds none, or pickled objects."""
    try:
        # A plain array over the map: np.memmap as a type would stick to every batch gathered from it.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise UsageError(f"{path.name} holds no array ({error})") from error
