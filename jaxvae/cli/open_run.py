"""What verbs share: JAX's settings, a run directory opened with its data, and the files that a verb writes."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.config import Config

if TYPE_CHECKING:  # imported in the functions: they import jax
    from jaxvae.rundir.run import Run
    from jaxvae.training.setup import Experiment
    from jaxvae.viz.figures.subject import Subject

__all__ = ["EXPLORED", "open_run", "open_subject", "prepare_jax", "require_dimensions"]
__all__ += ["save_arrays", "set_up_run", "write_picture"]

EXPLORED = "explored"  # the folder of a run directory for pictures without --out


def prepare_jax(config: Config | None = None, *, cache: bool = True) -> None:
    """Sets what must be set before JAX's backend starts; without `cache`, everything is compiled again."""
    if config is not None and config.train.deterministic:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
    import jax

    from jaxvae.data.cache import cache_folder, writable

    if not cache:
        jax.config.update("jax_enable_compilation_cache", False)
    elif os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    elif writable(folder := cache_folder() / "compiled"):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    else:
        text = "%s cannot be written: programs are compiled again. JAXVAE_CACHE names another folder."
        logging.getLogger("jaxvae").warning(text, folder.parent)


def open_run(arguments: argparse.Namespace) -> Run:
    """Returns the run of the directory `arguments.run`."""
    prepare_jax()
    from jaxvae.rundir.run import load

    return load(arguments.run, trust=arguments.trust)


def set_up_run(config: Config, data_dir: str | None, *, trust: bool | None = None) -> Experiment:
    """Returns the experiment of a run's config; its data is read again, from `data_dir` if one is given.

    `trust`: whether code of the config's own figures and metrics may run; None leaves both out.
    """
    from jaxvae.training.setup import set_up

    if config.data.name == "arrays":
        raise UsageError(
            "this run was trained on arrays of a program, which it does not hold; "
            "score them with jaxvae.load(...).log_likelihood."
        )
    data = config.data if data_dir is None else dataclasses.replace(config.data, data_dir=data_dir)
    own = dataclasses.replace(config.evaluate, figures="all", metrics="") if trust is None else config.evaluate
    return set_up(dataclasses.replace(config, data=data, evaluate=own), trust=bool(trust))


def open_subject(arguments: argparse.Namespace) -> Subject:
    """Returns the run with the images that it is shown with, of the test split or of `arguments.split`."""
    run = open_run(arguments)
    from jax import random

    from jaxvae.viz.figures.subject import Subject

    data = set_up_run(run.config, arguments.data_dir).data
    split = arguments.split or ("test" if "test" in data.splits else "train")
    if split not in data.splits:
        raise UsageError(f"--split={split}: expected one of {', '.join(data.splits)}, the splits of {data.name}.")
    return Subject(run, data, split, random.key(arguments.seed))


def require_dimensions(subject: Subject, dimensions: Sequence[int] | None) -> list[int] | None:
    """Returns the latent dimensions, given from 1 on as pictures name them, counted from 0; None for None."""
    if dimensions is None:
        return None
    count = subject.means.shape[1]
    for dimension in dimensions:
        if not 1 <= dimension <= count:
            raise UsageError(f"--dimensions={dimension}: expected 1 to {count}, as this model has z1 to z{count}.")
    if len(set(dimensions)) != len(dimensions):
        raise UsageError(f"--dimensions={' '.join(map(str, dimensions))}: expected each dimension once.")
    return [dimension - 1 for dimension in dimensions]


def write_picture(arguments: argparse.Namespace, plot: Callable[[Path, Any], None], data: Any) -> None:
    """Plots the data into --out, or explored/VERB.png in the run directory, and saves its arrays beside it."""
    path = arguments.out or arguments.run / EXPLORED / f"{arguments.verb}.png"
    if arguments.out is None:
        path.parent.mkdir(exist_ok=True)
    plot(path, data)
    save_arrays(path, data)


def save_arrays(path: Path, data: Any) -> None:
    """Saves the arrays that a picture shows beside it, as .npz, and prints the names of its files.

    `data` is a named tuple of a figure, or a dictionary of several, whose arrays are saved as NAME.FIELD.
    """
    from jaxvae.viz.plots.style import replacing

    parts = {f"{key}.": each for key, each in data.items()} if isinstance(data, dict) else {"": data}
    arrays = {prefix + name: array for prefix, each in parts.items() for name, array in _arrays_of(each).items()}
    beside = path.with_suffix(".npz")
    with replacing(beside) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    for each in (path, path.with_suffix(".svg" if path.suffix == ".png" else ".png"), beside):
        print(each)


def _arrays_of(data: Any) -> dict[str, np.ndarray]:
    """Returns the arrays, numbers and strings of a named tuple and of named tuples in it; lists are left out."""
    found = {name: value for name, value in data._asdict().items() if value is not None}
    nested = [_arrays_of(value) for value in found.values() if hasattr(value, "_asdict")]
    arrays = {name: np.asarray(value) for name, value in found.items() if not isinstance(value, (list, tuple))}
    return {name: array for each in (arrays, *nested) for name, array in each.items()}
