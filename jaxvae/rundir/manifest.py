"""The manifest of a checkpoint, written last: a folder without one is no checkpoint.

checkpoints/<step>/state/          Orbax's files
checkpoints/<step>/manifest.json   step, validation score, streak of skipped steps, size and sha256 of every file; a
                                   copy of the run's config.json, and the fingerprint of its metrics.jsonl
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxvae._checks import is_instance, short_repr
from jaxvae.rundir import RESULTS
from jaxvae.runtime.files import DamagedFile, open_regular, read_json, write_json

__all__ = ["MANIFEST", "best_step", "file_fingerprint", "find_damage", "has_checkpoints", "metrics_fingerprint"]
__all__ += ["read_manifest", "rollback_steps", "saved_config", "saved_steps", "unfinished_steps", "write_manifest"]

MANIFEST = "manifest.json"
_SOUND = {"streak": 0, "finite": True, "regular": True}  # version 1 has none of these entries


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Writes the manifest of the checkpoint in this folder: `content`, and the fingerprint of every file."""
    names = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file() and each.name != MANIFEST)
    write_json(path / MANIFEST, content | {"files": {name: file_fingerprint(path / name) for name in names}})


def read_manifest(path: Path) -> dict[str, Any]:
    """Returns the manifest of the checkpoint in this folder; {} if it is missing or damaged."""
    try:
        return _read_checked(path)
    except (OSError, DamagedFile):
        return {}


def _read_checked(path: Path) -> dict[str, Any]:
    """Returns the manifest of the checkpoint in this folder; DamagedFile also if it is of another step."""
    content = read_json(path / MANIFEST)
    if str(content.get("step")) != path.name:
        raise DamagedFile(f"it is of step {short_repr(content.get('step'))}, the folder's name is {path.name}")
    return content


def file_fingerprint(path: Path) -> dict[str, Any]:
    """Returns {"size": bytes, "sha256": hex} of a file."""
    with open_regular(path) as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def find_damage(path: Path) -> str | None:
    """Returns what is wrong with the checkpoint in this folder; None if every file is as its manifest says."""
    try:
        files = _read_checked(path)["files"]
    except OSError as error:
        return f"{MANIFEST}: {error.strerror}"
    except (DamagedFile, KeyError) as reason:
        return f"{MANIFEST}: {reason}"
    if not isinstance(files, dict):
        return f"{MANIFEST}: 'files' are no names with sizes and digests"
    for name, expected in files.items():
        if not (path / name).is_file():
            return f"{name} is missing"
        if file_fingerprint(path / name) != expected:
            return f"{name} is not what was saved"
    return None


def saved_steps(folder: Path) -> list[int]:
    """Returns the steps of all checkpoints, ascending."""
    return sorted(int(path.parent.name) for path in folder.glob(f"*/{MANIFEST}") if path.parent.name.isdigit())


def unfinished_steps(folder: Path) -> list[int]:
    """Returns the steps of the folders without a manifest, ascending: a killed save leaves at most one."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit() and not (path / MANIFEST).exists())


def has_checkpoints(folder: Path) -> bool:
    """Returns whether there is a checkpoint, damaged ones included.

    One folder without a manifest may be a killed first save. Two, or one beside results.json, have lost theirs.
    """
    unfinished = unfinished_steps(folder)
    return bool(saved_steps(folder)) or len(unfinished) > (0 if (folder.parent / RESULTS).exists() else 1)


def rollback_steps(folder: Path) -> list[int]:
    """Returns the steps that a run may go back to, ascending: sound states that every repetition saves."""
    manifests = {step: read_manifest(folder / str(step)) for step in saved_steps(folder)}
    return [step for step, found in manifests.items() if all(found.get(name, v) == v for name, v in _SOUND.items())]


def best_step(folder: Path, among: Sequence[int] | None = None) -> int | None:
    """Returns the step with the largest validation score, the earliest of equals; None without a finite score.

    `among` limits the steps.
    """
    found = saved_steps(folder) if among is None else among
    manifests = {step: read_manifest(folder / str(step)) for step in found}
    scores = {step: each.get("score", each.get("elbo")) for step, each in manifests.items()}  # version 1: the elbo
    known = [(score, -step) for step, score in scores.items() if score is not None and math.isfinite(score)]
    return -max(known)[1] if known else None


def saved_config(folder: Path) -> dict[str, Any]:
    """Returns the copy of config.json in the newest readable manifest; {} without one."""
    copies = (read_manifest(folder / str(step)).get("config") for step in reversed(saved_steps(folder)))
    return next((config for config in copies if config), {})


def metrics_fingerprint(folder: Path, step: int) -> dict[str, Any] | None:
    """Returns the fingerprint that metrics.jsonl had when this step was saved; None if it is not known."""
    found = read_manifest(folder / str(step)).get("lines")
    intact = isinstance(found, dict) and is_instance(found.get("size"), int) and is_instance(found.get("sha256"), str)
    return found if intact else None
