"""One process trains in a run directory at a time: the lock that says who it is."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from jaxvae._checks import UsageError
from jaxvae.runtime import files, multihost
from jaxvae.runtime.signals import farewells

LOCK = "lock"


@contextlib.contextmanager
def lock_run_directory(workdir: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the run directory, made where it is not there; ValueError names the process that holds it already.

    The lock is the operating system's, on a file that names its owner: it ends with the process, however that ends, and
    whoever comes next takes over. Of several processes the first holds it for all. ValueError, too, where nothing can
    be written there.
    """
    if multihost.is_first_process():
        with contextlib.ExitStack() as held:
            taken = None
            try:
                taken = held.enter_context(_locked(workdir, say))
            finally:
                multihost.broadcast_from_first(int(taken is not None))
            yield
    elif multihost.broadcast_from_first(0):
        yield
    else:
        raise UsageError(f"the first process cannot use {workdir}: see its message.")


@contextlib.contextmanager
def _locked(workdir: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """`lock_run_directory`, of one process; gives the lock's file."""
    path, made = workdir / LOCK, [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    file = taken(workdir)
    give_back = partial(path.unlink, missing_ok=True)
    farewells.append(give_back)
    try:
        if before := file.read():
            say(f"{workdir}: took over from {named(before)}, which ended without giving it back.")
        file.seek(0)
        file.truncate()
        json.dump(owner(), file)
        file.flush()
        yield path
    finally:
        give_back()  # while it is held: nobody else's can be taken away
        farewells.remove(give_back)
        file.close()
        with contextlib.suppress(OSError):  # which hold something, unless the run was refused before it began
            for folder in made:
                folder.rmdir()


def taken(workdir: Path) -> IO[str]:
    """The lock file, opened and held."""
    _require_name(workdir)
    path = workdir / LOCK
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        while True:
            file = path.open("a+")
            file.seek(0)
            hold(file, workdir)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
            file.close()  # its owner gave it back between our opening it and holding it
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"cannot write into {workdir} ({reason}); a run directory is needed that can be written to. "
            "Name another one with --workdir, or mend its permissions."
        ) from error


def _require_name(workdir: Path) -> None:
    """ValueError where the name has letters that this process's locale cannot spell, at which libraries fail later."""
    try:
        str(workdir.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the run directory {str(workdir)!a} has letters that this locale cannot spell "
            f"({sys.getfilesystemencoding()}). Set PYTHONUTF8=1, or name another folder."
        ) from error


def hold(file: IO[str], workdir: Path) -> None:
    """Takes the operating system's lock on the file, where it has any; ValueError names who has it."""
    if files.try_lock(file.fileno()) is False:
        by = named(file.read())
        file.close()
        raise UsageError(
            f"{workdir} is in use by {by}. Wait until it has ended, or stop it; or name another run directory."
        )


def owner() -> dict[str, Any]:
    """Who this is, for whoever finds the lock held."""
    began = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return {"process": os.getpid(), "host": platform.node(), "since": began, "command": " ".join(sys.argv)}


def named(text: str) -> str:
    """The owner in words, as far as it can be read."""
    try:
        about = json.loads(text)
        return f"process {about['process']} on {about['host']} (since {about['since']}: {about['command']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
