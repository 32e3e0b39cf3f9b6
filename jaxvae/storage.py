"""What file systems do and say: files that appear whole, a disk that is full, a file that another process holds."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


def full(error: BaseException | None) -> int | None:
    """The number of the error of a full disk, be it this one or one that led to it; None of any other.

    Libraries wrap it in errors of their own, those in C++ hand on its words alone.
    """
    while error is not None:
        for number in FULL:
            if (isinstance(error, OSError) and error.errno == number) or os.strerror(number) in str(error):
                return number
        error = error.__cause__ or error.__context__
    return None


def held(descriptor: int) -> bool | None:
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
        if error.errno in WITHOUT_LOCKS:
            return None
        raise
    return True


def write_whole(path: Path, content: bytes) -> None:
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
