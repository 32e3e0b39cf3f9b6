"""Files: atomic writes, JSON with a checksum, locks, and the errors of a full disk."""

import errno
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError

__all__ = ["DamagedFile", "disk_full_errno", "read_json", "sync_folder", "try_lock", "write_atomically", "write_json"]
_DIGEST = "sha256"  # the key of a JSON file's digest of the rest of its content
_FULL = (errno.ENOSPC, errno.EDQUOT)
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


def disk_full_errno(error: BaseException | None) -> int | None:
    """Returns the errno of a full disk, if this error or one that caused it has one; None of any other error.

    Libraries wrap it in their own errors; those in C++ keep only its text.
    """
    while error is not None:
        for number in _FULL:
            if (isinstance(error, OSError) and error.errno == number) or os.strerror(number) in str(error):
                return number
        error = error.__cause__ or error.__context__
    return None


def try_lock(descriptor: int) -> bool | None:
    """Locks the file for this process; returns whether it is locked, None if the file system has no locks.

    The operating system releases the lock when the process ends or closes the file. OSError for other errors.
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
    """Writes a file so that after a crash it has the new content or the old; an OSError leaves no temporary file."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk it would keep the last bytes
        raise
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Brings the folder's list of files to the disk, after files were made, renamed or removed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DamagedFile(UsageError):
    """A file whose content is not what was written: cut off, zeroed, flipped, or edited by hand."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON with the digest of its content, atomically; numbers that are not finite become null."""
    content = _without_nonfinite(content)
    write_atomically(path, json.dumps(content | {_DIGEST: _json_digest(content)}, indent=1, allow_nan=False).encode())


def read_json(path: Path, *, bare: bool = True) -> dict[str, Any]:
    """Returns the content of a file of `write_json`; raises DamagedFile, or OSError if it cannot be read.

    `bare`: whether a file without a digest, as 0.1 wrote them, is accepted.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"it holds a {type(content).__name__}, not the fields that were written")
    expected = content.pop(_DIGEST, None)
    if (expected is not None or not bare) and expected != _json_digest(content):
        raise DamagedFile("its content is not what was written: a damaged disk, or an edit by hand")
    return content


def _json_digest(content: dict[str, Any]) -> str:
    """Returns the sha256 of the content's values, whatever the file's spaces and order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_nonfinite(content: Any) -> Any:
    """Returns the content with None in place of NaN and the infinities, which JSON does not have."""
    if isinstance(content, dict):
        return {str(name): _without_nonfinite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nonfinite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
