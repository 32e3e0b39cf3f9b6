"""Files: atomic writes, JSON with a checksum, locks, and the errors of a full disk."""

import errno
import hashlib
import io
import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError

__all__ = ["DamagedFile", "disk_full_errno", "open_regular", "read_json", "require_regular", "sync_folder", "try_lock"]
__all__ += ["write_atomically", "write_json"]
_DIGEST = "sha256"  # the key of a JSON file's digest of the rest of its content
_FULL = (errno.ENOSPC, errno.EDQUOT)
_KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFLNK: "symbolic link"}
_KINDS |= {stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
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
    """Writes a file so that after a crash it has the new content or the old; an OSError leaves no temporary file.

    A link or a FIFO at this path is replaced; UsageError if a folder is there.
    """
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)  # a link would be followed, and opening a FIFO would wait for its reader
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)  # on a full disk it would keep the last bytes
        if path.is_dir():
            raise UsageError(f"{path} is a folder: expected a file. Remove it, or restore the file.") from error
        raise
    sync_folder(path.parent)


def require_regular(path: Path, *, links: bool = False) -> None:
    """Raises DamagedFile if there is something else than a regular file, which could block for ever or have no end.

    `links`: whether a symbolic link to a regular file is accepted, wherever it leads.
    """
    try:
        mode = (path.stat() if links else path.lstat()).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise DamagedFile("it is a symbolic link to itself, not a regular file") from error
    if not stat.S_ISREG(mode):
        raise DamagedFile(f"it is a {_KINDS.get(stat.S_IFMT(mode), 'special file')}, not a regular file")


def open_regular(path: Path) -> io.BufferedReader:
    """Opens a regular file, or a link to one, for reading; DamagedFile for a folder, FIFO, socket or device."""
    require_regular(path, links=True)
    return path.open("rb")


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
        with open_regular(path) as file:
            content = json.loads(file.read())
    except DamagedFile:
        raise
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
