"""Checkpoints: Orbax writes the state, and a manifest written last completes it."""

import logging
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import UsageError
from jaxvae.rundir import manifest
from jaxvae.rundir.manifest import MANIFEST
from jaxvae.runtime import multihost
from jaxvae.runtime.files import sync_folder
from jaxvae.step import Guard, State

__all__ = ["Saver", "all_finite", "read_state", "remove_after", "remove_checkpoint", "restore"]
_VERSION = 2  # of the manifests written now
_GUARD_1 = ("skipped", "streak", "scale")  # version 1's guard had no statistics of the losses
_KEEP = 2  # the latest ones, and of those to go back to, apart from the best
_SETTLE = 2.0  # seconds in which a failed save may still write
_log = logging.getLogger("jaxvae")


class Saver:
    """Saves states in the background, at most one at a time; leaving the `with` waits for the last.

    `config`, the content of the run's config.json, is copied into every manifest in case that file is lost.
    """

    def __init__(self, folder: Path, config: dict[str, Any] | None = None):
        self.folder, self.config = folder.resolve(), config or {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None

    def save(
        self,
        step: int,
        state: Any,
        score: float | None = None,
        *,
        lines: dict[str, Any] | None = None,
        regular: bool = False,
    ) -> None:
        """Starts to save; a step that is saved already is left alone.

        Args:
            state: must not be donated afterwards; pass a copy.
            score: the validation score, if there was a validation.
            lines: the fingerprint of metrics.jsonl, which is on the disk with all lines up to this step.
            regular: whether every repetition of the run saves at this step, so that a rollback may lead here.
        """
        from orbax.checkpoint import v1 as ocp

        self.wait()
        target = self.folder / str(step)
        intact = multihost.is_first_process() and target.exists() and manifest.find_damage(target) is None
        if multihost.is_first_process() and target.exists() and not intact:
            shutil.rmtree(target)
        if multihost.broadcast_from_first(int(intact)):
            return
        response = ocp.save_async(target / "state", state)
        content: dict[str, Any] = {"version": _VERSION, "step": step, "score": score, "regular": regular}
        content |= {"lines": lines, "config": self.config}
        self._pending = self._worker.submit(self._complete, target, content, state, response)

    def _complete(self, target: Path, content: dict[str, Any], state: Any, response: Any) -> None:
        """Waits for Orbax, then writes the manifest and removes old checkpoints."""
        from orbax.checkpoint import v1 as ocp

        try:
            try:
                response.result()
            except TimeoutError:  # it occurs when the clock jumps ahead
                if jax.process_count() > 1:
                    raise
                time.sleep(_SETTLE)
                shutil.rmtree(target, ignore_errors=True)
                ocp.save(target / "state", state)
            if not multihost.is_first_process():
                return
            if isinstance(state, State):
                content |= {"streak": int(state.guard.streak), "finite": all_finite(state)}
                if not (content["finite"] or content["streak"]):
                    _log.warning("the state of step %d is not finite, though its loss is.", int(state.step))
            manifest.write_manifest(target, content)
        except Exception:
            if multihost.is_first_process():
                shutil.rmtree(target, ignore_errors=True)  # on a full disk it would keep the last bytes
            raise
        self._prune(content["step"])

    def _prune(self, newest: int) -> None:
        """Removes all but the latest checkpoints, the latest to go back to, and the best; and unfinished ones."""
        found, good = manifest.saved_steps(self.folder), manifest.rollback_steps(self.folder)
        best = {manifest.best_step(self.folder, steps) for steps in (found, good)}
        keep = {*found[-_KEEP:], *good[-_KEEP:], *best}
        for path in self.folder.iterdir():
            if path.name.isdigit() and int(path.name) not in keep and int(path.name) <= newest:
                remove_checkpoint(path)

    def wait(self) -> None:
        """Waits until the save under way is complete; raises its error."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.wait()
        finally:
            self._worker.shutdown()


def all_finite(tree: Any) -> bool:
    """Returns whether all floats of this process's devices are finite."""
    parts = [
        shard.data
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
        for shard in leaf.addressable_shards[: 1 if leaf.is_fully_replicated else None]
    ]
    return all(bool(np.isfinite(np.asarray(part)).all()) for part in parts)


def remove_checkpoint(path: Path) -> None:
    """Removes a checkpoint, its manifest first: half removed, it is no checkpoint."""
    (path / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(path)


def remove_after(folder: Path, step: int) -> None:
    """Removes all checkpoints after this step, unfinished ones too, the last one first; durably."""
    later = [int(path.name) for path in folder.iterdir() if path.name.isdigit() and int(path.name) > step]
    for number in sorted(later, reverse=True):
        remove_checkpoint(folder / str(number))
    sync_folder(folder)


def restore(folder: Path, abstract: Any, *, prefer: int | None = None) -> Any:
    """Returns the latest intact state, or None without a checkpoint.

    A damaged checkpoint is named in a warning and the one before it used. UsageError if all are damaged; nothing is
    overwritten then.

    Args:
        abstract: shapes, dtypes and, unless it is this process's first device, the shardings of the leaves.
        prefer: a step to try first.
    """
    found, unfinished = manifest.saved_steps(folder), manifest.unfinished_steps(folder)
    order = sorted(found, key=lambda step: (step == prefer, step), reverse=True)
    for step in (step for step in unfinished if step > max(found, default=-1)):
        _log.warning("checkpoint %s was not finished: it has no %s.", folder / str(step), MANIFEST)
    for step in (step for step in found if prefer is not None and not manifest.read_manifest(folder / str(step))):
        _log.warning("checkpoint %s may have been the best: its %s is damaged.", folder / str(step), MANIFEST)
    for step in order:
        reason = manifest.find_damage(folder / str(step))
        if reason is None:
            return read_state(folder / str(step) / "state", abstract)
        _log.warning("checkpoint %s is damaged (%s): trying the one before it.", folder / str(step), reason)
    if manifest.has_checkpoints(folder):
        raise UsageError(
            f"All {len(found) or len(unfinished)} checkpoints in {folder} are damaged; nothing was overwritten. "
            "Restore one of them from a copy, or start again in another --workdir."
        )
    return None


def read_state(path: Path, abstract: Any) -> Any:
    """Loads Orbax's files onto the devices of `abstract`, whatever devices and version of jaxvae saved them.

    UsageError if they hold another state or are not Orbax's, though the manifest fits them.
    """
    from orbax.checkpoint import v1 as ocp

    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding or here), abstract)
    saved, is_first_version = placed, manifest.read_manifest(path.parent).get("version") == 1
    if is_first_version:
        saved = placed.replace(guard={name: getattr(placed.guard, name) for name in _GUARD_1})
    try:
        state = ocp.load(path.resolve(), saved)
    except MemoryError:
        raise
    except Exception as error:  # of files that are not its own Orbax raises errors of any kind
        raise UsageError(
            f"{path} does not hold the state of this config ({type(error).__name__}: {str(error).strip()[:300]}). "
            "Was its config.json, or a file with parts of your own, changed since? Restore that, or train anew in "
            "another --workdir."
        ) from error
    if not is_first_version:
        return state
    return jax.device_put(state.replace(guard=Guard(**state.guard)), jax.tree.map(lambda a: a.sharding, placed))
