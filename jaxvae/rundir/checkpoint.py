"""Checkpoints: Orbax writes the state, a manifest written last says that all of it is there.

checkpoints/<step>/state/       Orbax's files
checkpoints/<step>/manifest.json   step, validation score, streak of skipped steps, and size and sha256 of every file:
                                   no manifest, no checkpoint; besides, a copy of the run's config.json, and the
                                   fingerprint of its metrics.jsonl
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import UsageError
from jaxvae.rundir import RESULTS
from jaxvae.rundir.migrations import MIGRATIONS, VERSION
from jaxvae.runtime import multihost
from jaxvae.runtime.files import DamagedFile, read_json, sync_folder, write_json

_KEEP = 2  # the latest ones, and of those to go back to, besides the best
SETTLE = 2.0  # seconds that what is left of a failed save may still write
MANIFEST = "manifest.json"
log = logging.getLogger("jaxvae")


class Saver:
    """Saves states in the background, at most one at a time; `close` (or leaving the `with`) waits for the last.

    `config`, the content of the run's config.json, is kept in every manifest, should that file be lost.
    """

    def __init__(self, folder: Path, config: dict[str, Any] | None = None):
        self.folder, self.config = folder.resolve(), config or {}
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.pending: Future | None = None

    def save(
        self,
        step: int,
        state: Any,
        score: float | None = None,
        *,
        lines: dict[str, Any] | None = None,
        regular: bool = False,
    ) -> None:
        """Starts saving; `state` must not be donated afterwards (pass a copy). A step already saved is left alone.

        `lines`: the fingerprint of metrics.jsonl as it lies on the disk now, all lines up to this step. `regular`: any
        repetition of the run saves at this step too, so it may go back there; not so where it was interrupted.
        """
        from orbax.checkpoint import v1 as ocp

        self.wait()
        target = self.folder / str(step)
        if multihost.broadcast_from_first(_sealed_or_cleared(target) if multihost.is_first_process() else 0):
            return
        response = ocp.save_async(target / "state", state)
        about: dict[str, Any] = {"version": VERSION, "step": step, "score": score, "regular": regular}
        about |= {"lines": lines, "config": self.config}
        self.pending = self.worker.submit(self._seal, target, about, state, response)

    def _seal(self, target: Path, about: dict[str, Any], state: Any, response: Any) -> None:
        try:
            _finish(target, state, response)
            if multihost.is_first_process():
                files = {name: fingerprint(target / name) for name in _file_names(target)}
                write_json(target / MANIFEST, about | _soundness(state) | {"files": files})
        except Exception:
            if multihost.is_first_process():
                shutil.rmtree(target, ignore_errors=True)  # of a full disk it would keep the last bytes
            raise
        if multihost.is_first_process():
            self._prune(about["step"])

    def _prune(self, newest: int) -> None:
        """Removes all but the latest, the latest good ones and the best; and what a killed process left half-written.

        While steps are skipped, those that the run would go back to are not among the latest.
        """
        found, good = steps(self.folder), good_steps(self.folder)
        keep = {*found[-_KEEP:], *good[-_KEEP:], _best_of(self.folder, found), _best_of(self.folder, good)}
        for path in self.folder.iterdir():
            if path.name.isdigit() and int(path.name) not in keep and int(path.name) <= newest:
                remove(path)

    def wait(self) -> None:
        """Waits until the save under way is sealed, and raises what went wrong in it."""
        if self.pending is not None:
            pending, self.pending = self.pending, None
            pending.result()

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.wait()
        finally:
            self.worker.shutdown()


def _finish(target: Path, state: Any, response: Any) -> None:
    """Waits for Orbax's save; once more where it timed out, as it does when the clock jumps ahead."""
    from orbax.checkpoint import v1 as ocp

    try:
        response.result()
    except TimeoutError:
        if multihost.count() > 1:
            raise
        time.sleep(SETTLE)
        shutil.rmtree(target, ignore_errors=True)
        ocp.save(target / "state", state)


def _sealed_or_cleared(target: Path) -> bool:
    """Whether this checkpoint is there and intact; one that is not is removed, to be written again."""
    if not target.exists():
        return False
    if damage(target) is None:
        return True
    shutil.rmtree(target)
    return False


def steps(folder: Path) -> list[int]:
    """The steps of all sealed checkpoints, ascending."""
    return sorted(int(path.parent.name) for path in folder.glob(f"*/{MANIFEST}") if path.parent.name.isdigit())


def _unsealed(folder: Path) -> list[int]:
    """The steps of the folders without a manifest, ascending: what was killed while it was saved, at most one."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit() and not (path / MANIFEST).exists())


def holds_some(folder: Path) -> bool:
    """Whether there is a checkpoint, be it damaged.

    The first one may have been killed while it was saved; of two without a manifest, or of one that was evaluated, the
    manifests were lost.
    """
    lost = len(_unsealed(folder)) > 1 or (bool(_unsealed(folder)) and (folder.parent / RESULTS).exists())
    return bool(steps(folder)) or lost


def good_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints that a run may go back to, ascending: what they hold is finite and was applied."""
    manifests = {step: _read_manifest(folder / str(step)) for step in steps(folder)}
    # version 1 said nothing of it
    good = {"streak": 0, "finite": True, "regular": True}
    return [
        step
        for step, manifest in manifests.items()
        if all(manifest.get(name, value) == value for name, value in good.items())
    ]


def _soundness(state: Any) -> dict[str, Any]:
    """What a manifest says of the numbers in a state: of a streak of skipped steps, and whether they are finite."""
    if not hasattr(state, "guard"):
        return {}
    streak, finite = int(state.guard.streak), is_finite(state)
    if not (finite or streak):
        log.warning("the state of step %d holds numbers that are not finite, though its loss is.", int(state.step))
    return {"streak": streak, "finite": finite}


def is_finite(tree: Any) -> bool:
    """Whether all floats are, of those that this process's devices hold."""
    parts = [
        shard.data
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
        for shard in leaf.addressable_shards[: 1 if leaf.is_fully_replicated else None]
    ]
    return all(bool(np.isfinite(np.asarray(part)).all()) for part in parts)


def remove(path: Path) -> None:
    """Removes a checkpoint, its manifest first: what is left of one half removed is none."""
    (path / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(path)


def remove_after(folder: Path, step: int) -> None:
    """Removes all checkpoints after this step, sealed or not, the last one first; durably."""
    later = [int(path.name) for path in folder.iterdir() if path.name.isdigit() and int(path.name) > step]
    for number in sorted(later, reverse=True):
        remove(folder / str(number))
    sync_folder(folder)


def best_step(folder: Path) -> int | None:
    """The step of the checkpoint with the largest validation score, the earliest of equals; None without any."""
    return _best_of(folder, steps(folder))


def _best_of(folder: Path, found: list[int]) -> int | None:
    """The best of these steps' checkpoints, as `best_step`."""
    scored = [(step, _validation_score(_read_manifest(folder / str(step)))) for step in found]
    known = [(score, -step) for step, score in scored if score is not None and math.isfinite(score)]
    return -max(known)[1] if known else None


def restore(folder: Path, abstract: Any, *, prefer: int | None = None) -> Any:
    """The latest intact state, or None where there is no checkpoint; `prefer` names a step to try first.

    `abstract` gives shapes, dtypes and, where it is not this process's first device, the places of the leaves. A
    damaged checkpoint is named in a warning, the one before it used; ValueError where every one is damaged: nothing is
    overwritten then.
    """
    found = steps(folder)
    order = [prefer] * (prefer in found) + [step for step in reversed(found) if step != prefer]
    _warn_of_unfinished(folder)
    if prefer is not None:
        _warn_of_unscored(folder)
    for step in order:
        reason = damage(folder / str(step))
        if reason is None:
            return read_state(folder / str(step) / "state", abstract)
        log.warning("checkpoint %s is damaged (%s): trying the one before it.", folder / str(step), reason)
    if holds_some(folder):
        raise UsageError(
            f"All {len(found) or len(_unsealed(folder))} checkpoints in {folder} are damaged; nothing was overwritten. "
            "Restore one of them from a copy, or start again in another --workdir."
        )
    return None


def _warn_of_unfinished(folder: Path) -> None:
    """Names what is newer than the latest checkpoint and is none: it was killed while saved, or lost its manifest."""
    for step in _unsealed(folder):
        if step > max(steps(folder), default=-1):
            log.warning("checkpoint %s was not finished: it has no %s.", folder / str(step), MANIFEST)


def _warn_of_unscored(folder: Path) -> None:
    """Names the checkpoints whose score cannot be read: one of them may have been the best."""
    for step in steps(folder):
        if not _read_manifest(folder / str(step)):
            log.warning("checkpoint %s may have been the best: its %s is damaged.", folder / str(step), MANIFEST)


def read_state(path: Path, abstract: Any) -> Any:
    """Loads Orbax's files to where `abstract` says, whatever devices and version of this library they were saved by.

    ValueError where they hold another state than that, or are none of Orbax's, though the manifest fits them.
    """
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding or here), abstract)
    migration = MIGRATIONS.get(_read_manifest(path.parent).get("version", VERSION))
    if migration is None:
        return loaded(path, placed)
    state = migration.renewed(loaded(path, migration.saved(placed)))
    return jax.device_put(state, jax.tree.map(lambda a: a.sharding, placed))


def loaded(path: Path, placed: Any) -> Any:
    """What Orbax reads; its errors, of any kind where a file is not its own, in words."""
    from orbax.checkpoint import v1 as ocp

    try:
        return ocp.load(path.resolve(), placed)
    except MemoryError:
        raise
    except Exception as error:
        raise UsageError(
            f"{path} does not hold the state of this config ({type(error).__name__}: {str(error).strip()[:300]}). "
            "Was its config.json, or a file with parts of your own, changed since? Restore that, or train anew in "
            "another --workdir."
        ) from error


def kept_config(folder: Path) -> dict[str, Any]:
    """The content of config.json as the newest checkpoint with a readable manifest keeps it; {} where none does."""
    kept = (_read_manifest(folder / str(step)).get("config") for step in reversed(steps(folder)))
    return next((config for config in kept if config), {})


def lines_of(folder: Path, step: int) -> dict[str, Any] | None:
    """The fingerprint that metrics.jsonl had when this step was saved; None where it is not known."""
    return _read_manifest(folder / str(step)).get("lines")


def _validation_score(manifest: dict[str, Any]) -> float | None:
    """The score that a manifest holds, None without a validation; 0.1 knew the elbo alone, and called it so."""
    return manifest.get("score", manifest.get("elbo"))


def damage(path: Path) -> str | None:
    """What is wrong with the checkpoint in this folder, in words; None where every file is as its manifest says."""
    try:
        files = read_json(path / MANIFEST)["files"]
    except OSError as error:
        return f"{MANIFEST}: {error.strerror}"
    except (DamagedFile, KeyError) as reason:
        return f"{MANIFEST}: {reason}"
    if not isinstance(files, dict):
        return f"{MANIFEST}: 'files' are no names with sizes and digests"
    for name, expected in files.items():
        if not (path / name).is_file():
            return f"{name} is missing"
        if fingerprint(path / name) != expected:
            return f"{name} is not what was saved"
    return None


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the checkpoint in this folder; {} where it is not there, or damaged."""
    try:
        return read_json(path / MANIFEST)
    except (OSError, DamagedFile):
        return {}


def _file_names(path: Path) -> list[str]:
    """All files below the folder but the manifest, relative to it."""
    return sorted(str(f.relative_to(path)) for f in path.rglob("*") if f.is_file() and f.name != MANIFEST)


def fingerprint(path: Path) -> dict[str, Any]:
    """{"size": bytes, "sha256": hex}."""
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
