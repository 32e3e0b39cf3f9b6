"""The use of a run directory: a lock, for one process at a time, and room on its disk."""

import contextlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import jax

from jaxvae._checks import UsageError
from jaxvae.rundir import CHECKPOINTS
from jaxvae.rundir.manifest import saved_steps
from jaxvae.runtime import multihost
from jaxvae.runtime.files import DamagedFile, disk_full_errno, require_regular, try_lock
from jaxvae.runtime.signals import Shutdown

__all__ = ["LOCK", "explain_full_disk", "lock_run_directory", "require_disk_space"]
LOCK = "lock"
_LOGS = 1_000_000  # bytes that a run's logs take at least


@contextlib.contextmanager
def lock_run_directory(workdir: Path, say: Callable[[str], None], shutdown: Shutdown | None = None) -> Iterator[None]:
    """Locks the run directory, and creates it if needed; UsageError names the process that holds the lock.

    The operating system holds the lock on a file that names its owner. It ends with the process, and the next one takes
    over. Of several processes the first locks for all. UsageError, too, if nothing can be written there; while it is
    locked, `explain_full_disk` explains the error of a full disk.
    """
    with contextlib.ExitStack() as stack:
        if multihost.is_first_process():
            locked = False
            try:
                stack.enter_context(_locked(workdir, say, shutdown or Shutdown()))
                locked = True
            finally:
                multihost.broadcast_from_first(int(locked))
        elif not multihost.broadcast_from_first(0):
            raise UsageError(f"the first process cannot use {workdir}: see its message.")
        stack.enter_context(explain_full_disk(workdir))
        yield


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
    """Opens and locks the file; without a lock if the file system has none."""
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
            require_regular(path)  # what is written to a link would destroy the file that it leads to
            file = path.open("a+")
            file.seek(0)
            if try_lock(file.fileno()) is False:
                with file:
                    owner = _describe_owner(file.read())
                raise UsageError(f"{workdir} is in use by {owner}. Wait for its end, stop it, or name another folder.")
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
            file.close()  # its owner removed it after we opened and before we locked it
    except DamagedFile as error:
        raise UsageError(f"{path} is not a lock: {error}. Remove it, and start again.") from error
    except OSError as error:
        raise UsageError(
            f"cannot write into {workdir} ({error.strerror or error}); a run directory is needed that can be written "
            "to. Name another one with --workdir, or correct its permissions."
        ) from error


def _describe_owner(text: str) -> str:
    try:
        about = json.loads(text)
        return f"process {about['process']} on {about['host']} (since {about['since']}: {about['command']})"
    except (ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def explain_full_disk(workdir: Path) -> Iterator[None]:
    """Turns the error of a full disk, wrapped or not, into an OSError that names what is kept and the next step."""
    try:
        yield
    except Exception as error:
        if not disk_full_errno(error):
            raise
        steps = saved_steps(workdir / CHECKPOINTS)
        kept = f"The checkpoint of step {steps[-1]:,} is kept" if steps else "Checkpoints saved before are kept"
        raise OSError(
            f"the disk is full ({shutil.disk_usage(workdir).free / 1e6:,.1f} MB free at {workdir}). {kept}: "
            "make room, and the same command goes on from there."
        ) from error


def require_disk_space(folder: Path, state: object) -> None:
    """Raises UsageError if a checkpoint of this state would not fit onto the disk."""
    needed, free = _LOGS + sum(leaf.nbytes for leaf in jax.tree.leaves(state)), shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"a checkpoint takes {needed / 1e6:,.1f} MB, but the disk of {folder} has {free / 1e6:,.1f} MB free. "
            "Make room, or name a run directory on a larger disk with --workdir."
        )
