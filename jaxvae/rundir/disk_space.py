"""A disk that is full, or that refuses: said in words, with what is kept and what to do."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxvae._checks import UsageError
from jaxvae.rundir import CHECKPOINTS, manifest
from jaxvae.runtime.files import disk_full_errno

_ROOM = 1_000_000  # bytes that a run's logs take at least


@contextlib.contextmanager
def explain_full_disk(workdir: Path) -> Iterator[None]:
    """Turns the error of a disk that is full, however deep it arose, into an OSError that says what to do."""
    try:
        yield
    except Exception as error:
        if not disk_full_errno(error):
            raise
        steps = manifest.saved_steps(workdir / CHECKPOINTS)
        kept = f"The checkpoint of step {steps[-1]:,} is kept" if steps else "Checkpoints saved before are kept"
        raise OSError(
            f"the disk is full ({_free_bytes(workdir) / 1e6:,.1f} MB free where {workdir} lies). {kept}: "
            "make room, and the same command goes on from there."
        ) from error


def require_disk_space(folder: Path, state: object) -> None:
    """Raises ValueError, before any step is taken, where a checkpoint of this state would not fit onto the disk."""
    needed = _ROOM + sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    if needed > _free_bytes(folder):
        raise UsageError(
            f"a checkpoint takes {needed / 1e6:,.1f} MB, but the disk of {folder} has {_free_bytes(folder) / 1e6:,.1f} MB "
            "free. Make room, or name a run directory on a larger disk with --workdir."
        )


def _free_bytes(folder: Path) -> int:
    """Bytes that are free for this user on the folder's disk."""
    return shutil.disk_usage(folder).free
