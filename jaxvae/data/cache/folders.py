"""Where jaxvae keeps what it prepared, and how a folder appears there: whole, or not at all."""

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxvae._checks import UsageError
from jaxvae.runtime import files

_SCRATCH = ".building-"
_LOCK = ".lock"  # held while a scratch folder is in use: whoever is killed lets go of it
_ABANDONED_SECONDS = 24 * 3600.0  # for scratch folders without one, as earlier versions made them
_MOST_BORROWED = 2e9  # bytes of a temporary folder, which may lie in memory

_borrowed: dict[Path, Path] = {}  # what this process keeps elsewhere


class _Unwritable(UsageError):
    """A folder cannot be made: the disk is full, or not ours to write."""


def cache_folder() -> Path:
    """Give the folder of everything that can be built again: $JAXVAE_CACHE, else the user's cache folder."""
    explicit = os.environ.get("JAXVAE_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxvae"


def writable(folder: Path) -> bool:
    """Say whether files can be made in the folder, which is made unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def cached(
    target: Path,
    build: Callable[[Path], Path],
    say: Callable[[str], None],
    damage: Callable[[Path], str | None],
) -> Path:
    """The folder `target` of the cache, made as by `build_once`, and again where `damage(target)` says what is wrong.

    Where nothing can be written it is a temporary folder of this process, up to 2 GB; else Unwritable.
    """
    if target in _borrowed:
        return _borrowed[target]
    try:
        reason = damage(target) if target.exists() else None
        if reason:
            say(f"{target}: {reason}; it is built again")
            _discard(target)
        build_once(target, build)
        return target
    except _Unwritable as error:
        folder = _borrow(target, build, error)
        say(f"{error}\nUntil then it is kept in a temporary folder, for this process alone.")
        return folder


def build_once(target: Path, build: Callable[[Path], Path]) -> None:
    """Make the folder `target` unless it exists, so that nobody ever sees a part of it.

    `build(scratch)` fills a folder inside `scratch` and returns it; it is synced and renamed to `target`. Of several
    processes that build at once the first to rename wins, and the others use its folder.
    Raises Unwritable, a ValueError, where no folder can be made.
    """
    if target.exists():
        return
    with _scratch(target) as scratch:
        _sweep(target.parent)
        try:
            folder = build(scratch)
            _sync(folder)
            _publish(folder, target)
        except Exception as error:
            if (number := files.disk_full_errno(error)) is None:
                raise
            raise _unwritable(target, number) from error


def _discard(target: Path) -> None:
    """Take the folder `target` away in one stroke, if it is there, so that it can be built again."""
    with _scratch(target) as scratch:
        try:
            target.rename(scratch / target.name)
        except FileNotFoundError:
            pass  # another process saw the same damage and was faster
        except OSError as error:
            raise _unwritable(target, error.errno) from error


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises Unwritable where `what` of so many bytes does not fit onto the disk that holds `folder`."""
    free = shutil.disk_usage(folder).free
    if cache_folder() not in folder.parents:
        free = min(free, int(_MOST_BORROWED))
    if needed > free:
        raise _Unwritable(
            f"{what}: {needed / 1e9:,.1f} GB decoded, but {cache_folder()} has {free / 1e9:,.1f} GB free. "
            "Make room, or set the environment variable JAXVAE_CACHE to a folder on a larger disk."
        )


def _borrow(target: Path, build: Callable[[Path], Path], refused: _Unwritable) -> Path:
    try:
        scratch = Path(tempfile.mkdtemp(prefix="jaxvae-"))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        _borrowed[target] = build(scratch)
    except (OSError, _Unwritable):
        raise refused from None
    return _borrowed[target]


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    # A sibling of the target: renaming is atomic only within one file system.
    lock = None
    while lock is None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{target.name}-", dir=target.parent))
            lock = _hold(folder / _LOCK, os.O_CREAT)
        except OSError as error:
            raise _unwritable(target, error.errno) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _hold(path: Path, flags: int = 0) -> int | None:
    """The descriptor of a lock that is now ours; None where it is another's, or is no longer or not yet there."""
    try:
        descriptor = os.open(path, os.O_RDWR | flags)
    except FileNotFoundError:
        return None
    held = files.try_lock(descriptor)
    ours = bool(flags) if held is None else held  # without locks nobody can hold one, or sweep
    if ours and os.fstat(descriptor).st_nlink > 0:  # else it was swept before we held it
        return descriptor
    os.close(descriptor)
    return None


def _unwritable(target: Path, number: int | None) -> _Unwritable:
    return _Unwritable(
        f"cannot write into {target.parent} ({os.strerror(number or 0)}); expected a folder for prepared data. "
        "Make room, or name one that you can write to: data.data_dir for data sets, the environment variable "
        "JAXVAE_CACHE for the cache."
    )


def _sync(folder: Path) -> None:
    # The rename may reach the disk before the files do: after a power cut there would be a folder of empty files.
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _publish(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():
            raise


def _sweep(parent: Path) -> None:
    """Takes away what killed builders left: never what one is at work in, whatever the clock says."""
    for left in parent.glob(f"{_SCRATCH}*"):
        lock = _hold(left / _LOCK)
        if lock is not None or _forgotten(left):
            shutil.rmtree(left, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _forgotten(left: Path) -> bool:
    try:
        return not (left / _LOCK).exists() and time.time() - left.stat().st_mtime > _ABANDONED_SECONDS
    except FileNotFoundError:
        return False  # its owner has just finished
