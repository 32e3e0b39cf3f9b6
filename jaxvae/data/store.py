"""Where jaxvae keeps what it prepared, and how a folder appears there: whole, or not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_SCRATCH = ".building-"
_ABANDONED_SECONDS = 24 * 3600.0  # far longer than any build leaves its scratch folder untouched


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


def build_once(target: Path, build: Callable[[Path], Path]) -> None:
    """Make the folder `target` unless it exists, so that nobody ever sees a part of it.

    `build(scratch)` fills a folder inside `scratch` and returns it; it is synced and renamed to `target`. Of several
    processes that build at once the first to rename wins, and the others use its folder.
    Raises ValueError where no folder can be made.
    """
    if target.exists():
        return
    _sweep(target.parent)
    scratch = _scratch(target)
    try:
        folder = build(scratch)
        _sync(folder)
        _publish(folder, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def discard(target: Path) -> None:
    """Take the folder `target` away in one stroke, if it is there, so that it can be built again."""
    if not target.exists():
        return
    scratch = _scratch(target)
    try:
        target.rename(scratch / target.name)
    except FileNotFoundError:
        pass  # another process saw the same damage and was faster
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises ValueError where `what` of so many bytes does not fit onto the disk that holds `folder`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{what}: {needed / 1e9:,.1f} GB decoded, but {cache_folder()} has {free / 1e9:,.1f} GB free. "
            "Make room, or set the environment variable JAXVAE_CACHE to a folder on a larger disk."
        )


def _scratch(target: Path) -> Path:
    # A sibling of the target: renaming is atomic only within one file system.
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{target.name}-", dir=target.parent))
    except OSError as error:
        raise ValueError(
            f"cannot write into {target.parent} ({error.strerror}); expected a folder for prepared data. "
            "Name one that you can write to: data.data_dir for data sets, the environment variable JAXVAE_CACHE for "
            "the cache."
        ) from error


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
    for left in parent.glob(f"{_SCRATCH}*"):
        try:
            age = time.time() - left.stat().st_mtime
        except FileNotFoundError:
            continue  # its owner has just finished
        if age > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
