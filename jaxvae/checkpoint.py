"""Checkpoints: Orbax writes the state, a manifest written last says that all of it is there.

checkpoints/<step>/state/       Orbax's files
checkpoints/<step>/manifest.json   step, validation score, streak of skipped steps, and size and sha256 of every file:
                                   no manifest, no checkpoint
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import cluster
from jaxvae.migrations import MIGRATIONS, VERSION

KEEP = 2  # the latest ones, and of those to go back to, besides the best
MANIFEST = "manifest.json"
log = logging.getLogger("jaxvae")


class Saver:
    """Saves states in the background, at most one at a time; `close` (or leaving the `with`) waits for the last."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.pending: Future | None = None

    def save(self, step: int, state: Any, score: float | None = None, *, regular: bool = False) -> None:
        """Starts saving; `state` must not be donated afterwards (pass a copy). A step already saved is left alone.

        `regular`: any repetition of the run saves at this step too, so it may go back there; not so where it was
        interrupted.
        """
        from orbax.checkpoint import v1 as ocp

        self.wait()
        target = self.folder / str(step)
        if cluster.told_by_first(sealed_or_cleared(target) if cluster.first() else 0):
            return
        response = ocp.save_async(target / "state", state)
        about = {"version": VERSION, "step": step, "score": score, "regular": regular}
        self.pending = self.worker.submit(self._seal, target, about, state, response)

    def _seal(self, target: Path, about: dict[str, Any], state: Any, response: Any) -> None:
        response.result()
        if not cluster.first():
            return
        about |= {"streak": int(state.guard.streak), "finite": is_finite(state)}
        if not (about["finite"] or about["streak"]):
            log.warning("the state of step %d holds numbers that are not finite, though its loss is.", about["step"])
        files = {name: fingerprint(target / name) for name in file_names(target)}
        write_durably(target / MANIFEST, about | {"files": files})
        self._prune(about["step"])

    def _prune(self, newest: int) -> None:
        """Removes all but the latest, the latest good ones and the best; and what a killed process left half-written.

        While steps are skipped, those that the run would go back to are not among the latest.
        """
        found, good = steps(self.folder), good_steps(self.folder)
        keep = {*found[-KEEP:], *good[-KEEP:], best_of(self.folder, found), best_of(self.folder, good)}
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


def sealed_or_cleared(target: Path) -> bool:
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


def good_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints that a run may go back to, ascending: what they hold is finite and was applied."""
    manifests = {step: read_manifest(folder / str(step)) for step in steps(folder)}
    # version 1 said nothing of it
    good = {"streak": 0, "finite": True, "regular": True}
    return [
        step
        for step, manifest in manifests.items()
        if all(manifest.get(name, value) == value for name, value in good.items())
    ]


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
    return best_of(folder, steps(folder))


def best_of(folder: Path, found: list[int]) -> int | None:
    """The best of these steps' checkpoints, as `best_step`."""
    scored = [(step, validation_score(read_manifest(folder / str(step)))) for step in found]
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
    for step in order:
        reason = damage(folder / str(step))
        if reason is None:
            return read_state(folder / str(step) / "state", abstract)
        log.warning("checkpoint %s is damaged (%s): trying the one before it.", folder / str(step), reason)
    if found:
        raise ValueError(
            f"All {len(found)} checkpoints in {folder} are damaged; nothing was overwritten. "
            "Restore one of them from a copy, "
            "or start again in another --workdir."
        )
    return None


def read_state(path: Path, abstract: Any) -> Any:
    """Loads Orbax's files to where `abstract` says, whatever devices and version of this library they were saved by."""
    from orbax.checkpoint import v1 as ocp

    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding or here), abstract)
    migration = MIGRATIONS.get(read_manifest(path.parent).get("version", VERSION))
    if migration is None:
        return ocp.load(path.resolve(), placed)
    state = migration.renewed(ocp.load(path.resolve(), migration.saved(placed)))
    return jax.device_put(state, jax.tree.map(lambda a: a.sharding, placed))


def validation_score(manifest: dict[str, Any]) -> float | None:
    """The score that a manifest holds, None without a validation; 0.1 knew the elbo alone, and called it so."""
    return manifest.get("score", manifest.get("elbo"))


def damage(path: Path) -> str | None:
    """What is wrong with the checkpoint in this folder, in words; None where every file is as its manifest says."""
    manifest = read_manifest(path)
    if "files" not in manifest:
        return f"{MANIFEST} is missing or unreadable"
    for name, expected in manifest["files"].items():
        if not (path / name).is_file():
            return f"{name} is missing"
        if fingerprint(path / name) != expected:
            return f"{name} is not what was saved"
    return None


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the checkpoint in this folder; {} where it cannot be read."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def file_names(path: Path) -> list[str]:
    """All files below the folder but the manifest, relative to it."""
    return sorted(str(f.relative_to(path)) for f in path.rglob("*") if f.is_file() and f.name != MANIFEST)


def fingerprint(path: Path) -> dict[str, Any]:
    """{"size": bytes, "sha256": hex}."""
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def write_durably(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON so that after a crash the file is either all there or not there."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        json.dump(finite(content), file, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Brings to the disk what was renamed in this folder or removed from it."""
    folder = os.open(path, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def finite(content: Any) -> Any:
    """The content with null in place of numbers that JSON does not have: NaN and the infinities."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
