"""The lock of a run directory: one process uses it at a time."""

import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from jaxvae._checks import UsageError
from jaxvae.runtime import multihost
from jaxvae.runtime.files import try_lock
from jaxvae.runtime.signals import Shutdown

__all__ = ["LOCK", "lock_run_directory"]
LOCK = "lock"


@contextlib.contextmanager
def lock_run_directory(workdir: Path, say: Callable[[str], None], shutdown: Shutdown | None = None) -> Iterator[None]:
    """Locks the run directory, and creates it if needed; UsageError names the process that holds the lock.

    The operating system holds the lock on a file that names its owner. It ends with the process, and the next one takes
    over. Of several processes the first locks for all. UsageError, too, if nothing can be written there.
    """
    if multihost.is_first_process():
        with contextlib.ExitStack() as stack:
            locked = False
            try:
                stack.enter_context(_locked(workdir, say, shutdown or Shutdown()))
                locked = True
            finally:
                multihost.broadcast_from_first(int(locked))
            yield
    elif multihost.broadcast_from_first(0):
        yield
    else:
        raise UsageError(f"the first process cannot use {workdir}: see its message.")


@contextlib.contextmanager
def _locked(workdir: Path, say: Callable[[str], None], shutdown: Shutdown) -> Iterator[None]:
    path, made = workdir / LOCK, [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    file = _open_locked(workdir)
    release = partial(path.unlink, missing_ok=True)
    shutdown.cleanups.append(release)
    try:
        if before := file.read():
            say(f"{workdir}: took over from {_describe_owner(before)}, which ended without giving it back.")
        file.seek(0)
        file.truncate()
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        owner = {"process": os.getpid(), "host": platform.node(), "since": since, "command": " ".join(sys.argv)}
        json.dump(owner, file)
        file.flush()
        yield
    finally:
        release()  # before the file is closed, so that it cannot be another owner's
        shutdown.cleanups.remove(release)
        file.close()
        with contextlib.suppress(OSError):  # not empty, unless the run was refused before it began
            for folder in made:
                folder.rmdir()


def _open_locked(workdir: Path) -> IO[str]:
    """Opens and locks the file."""
    try:
        str(workdir.absolute()).encode()
    except UnicodeEncodeError as error:  # libraries would fail on it later
        raise UsageError(
            f"the run directory {str(workdir)!a} has letters that this locale cannot spell "
            f"({sys.getfilesystemencoding()}). Set PYTHONUTF8=1, or name another folder."
        ) from error
    path = workdir / LOCK
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        while True:
            file = path.open("a+")
            file.seek(0)
            _acquire(file, workdir)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
            file.close()  # its owner removed it after we opened and before we locked it
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"cannot write into {workdir} ({reason}); a run directory is needed that can be written to. "
            "Name another one with --workdir, or correct its permissions."
        ) from error


def _acquire(file: IO[str], workdir: Path) -> None:
    """Locks the file, if the file system has locks; UsageError names the owner of another lock."""
    if try_lock(file.fileno()) is False:
        owner = _describe_owner(file.read())
        file.close()
        raise UsageError(
            f"{workdir} is in use by {owner}. Wait until it has ended, or stop it; or name another run directory."
        )


def _describe_owner(text: str) -> str:
    try:
        about = json.loads(text)
        return f"process {about['process']} on {about['host']} (since {about['since']}: {about['command']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
