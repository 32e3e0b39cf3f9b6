"""A run directory opened for looking: its model, its data read again, and where what is seen is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jax import random

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.rundir.run import load
from jaxvae.training.setup import Experiment, set_up
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.style import replacing

EXPLORED = "explored"  # the folder of a run directory in which the verbs write, unless told where


def reopened(config: Config, data_dir: str | None) -> Experiment:
    """The experiment of a run's config, its data read again, from `data_dir` where one is given."""
    if config.data.name == "arrays":
        raise UsageError(
            "this run was trained on arrays of a program, which it does not hold; "
            "score them with jaxvae.load(...).log_likelihood."
        )
    data = config.data if data_dir is None else dataclasses.replace(config.data, data_dir=data_dir)
    return set_up(dataclasses.replace(config, data=data))


def opened(workdir: Path, *, seed: int = 0, split: str | None = None, data_dir: str | None, trust: bool) -> Subject:
    """The run of this directory with the images it is looked at with: of the test split, or of the one named."""
    run = load(workdir, trust=trust)
    data = reopened(run.config, data_dir).data
    name = split or ("test" if "test" in data.splits else "train")
    if name not in data.splits:
        raise UsageError(f"--split {name}: {data.name} has {', '.join(data.splits)}; choose one of them.")
    return Subject(run, data, name, random.key(seed))


def look(
    verb: Callable[..., dict[str, Any]],
    *,
    run: Path,
    out: Path | None,
    seed: int,
    split: str | None,
    data_dir: str | None,
    trust: bool,
    **asked: Any,
) -> None:
    """Opens the run, has `verb(subject, where, **asked)` draw its picture, and writes what that shows beside it."""
    subject = opened(run, seed=seed, split=split, data_dir=data_dir, trust=trust)
    where = place(run, out, verb.__name__)
    publish(where, verb(subject, where, **asked))


def place(workdir: Path, out: Path | None, name: str) -> Path:
    """The picture to write: `out`, or explored/NAME.png in the run directory."""
    if out is not None:
        return out
    (workdir / EXPLORED).mkdir(exist_ok=True)
    return workdir / EXPLORED / f"{name}.png"


def publish(path: Path, arrays: dict[str, Any]) -> None:
    """Writes what a picture shows beside it, as .npz, and names the files."""
    beside = path.with_suffix(".npz")
    with replacing(beside) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    for each in (path, path.with_suffix(".svg" if path.suffix == ".png" else ".png"), beside):
        print(each)
