"""What file systems do and say: files that appear whole, a disk that is full, a file that another process holds."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


def disk_full_errno(error: BaseException | None) -> int | None:
    """The number of the error of a full disk, be it this one or one that led to it; None of any other.

    Libraries wrap it in errors of their own, those in C++ hand on its words alone.
    """
    while error is not None:
        for number in _FULL:
            if (isinstance(error, OSError) and error.errno == number) or os.strerror(number) in str(error):
                return number
        error = error.__cause__ or error.__context__
    return None


def try_lock(descriptor: int) -> bool | None:
    """Whether the file is this process's alone from now on, until it ends or closes it; None where there are no locks.

    The lock is the operating system's: whoever is killed lets go of it. OSError for what is wrong besides.
    """
    try:
        import fcntl
    except ImportError:  # Windows, whose locks would keep a lock's owner from being read
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _WITHOUT_LOCKS:
            return None
        raise
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that after a crash it is all there, or what it was before; OSError leaves nothing behind."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)  # of a full disk it would take the last bytes
        raise
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Brings the folder's names to the disk, where files were made, renamed or removed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# MERGED

DIGEST = "sha256"  # the key under which a file holds the digest of the rest of its content


class DamagedFile(UsageError):
    """A file that is not what was written: torn, zeroed, flipped, or edited by hand."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON with the digest of its content, so that after a crash the file is either all there or not there.

    NaN and the infinities, which JSON does not have, become null.
    """
    content = _without_nonfinite(content)
    write_atomically(path, json.dumps(content | {DIGEST: _json_digest(content)}, indent=1, allow_nan=False).encode())


def read_json(path: Path, *, bare: bool = True) -> dict[str, Any]:
    """The content of a file that `write` wrote; DamagedFile says what is wrong with it, OSError why it cannot be read.

    `bare`: a file without a digest, as 0.1 wrote them, is taken as it is.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"it holds a {type(content).__name__}, not the fields that were written")
    expected = content.pop(DIGEST, None)
    if (expected is not None or not bare) and expected != _json_digest(content):
        raise DamagedFile("its content is not what was written: a damaged disk, or an edit by hand")
    return content


def _json_digest(content: dict[str, Any]) -> str:
    """The sha256 of the content's values, in hex, however the file is laid out."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_nonfinite(content: Any) -> Any:
    """The content with null in place of numbers that JSON does not have: NaN and the infinities."""
    if isinstance(content, dict):
        return {str(name): _without_nonfinite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nonfinite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
