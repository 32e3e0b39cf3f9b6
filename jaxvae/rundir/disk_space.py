"""A full disk: refused before training, and explained when a write fails."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxvae._checks import UsageError
from jaxvae.rundir import CHECKPOINTS
from jaxvae.rundir.manifest import saved_steps
from jaxvae.runtime.files import disk_full_errno

__all__ = ["explain_full_disk", "require_disk_space"]
_LOGS = 1_000_000  # bytes that a run's logs take at least


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
        free = shutil.disk_usage(workdir).free
        raise OSError(
            f"the disk is full ({free / 1e6:,.1f} MB free at {workdir}). {kept}: "
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
