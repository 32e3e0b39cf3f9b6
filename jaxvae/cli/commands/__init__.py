"""What each verb of the command line does with its options; what takes time to import is imported there."""

from __future__ import annotations

import argparse
import importlib
import logging
import math
import os
import shlex
from pathlib import Path
from typing import Any

from jaxvae.config import Config
from jaxvae.config.command_line import config_file, read_config
from jaxvae.config.schema import is_ensemble
from jaxvae.runtime.console import show
from jaxvae.runtime.signals import Interrupted, heard_again

log = logging.getLogger("jaxvae")
LOOKING = {  # verb that draws one picture of a run -> the file of jaxvae/cli/commands/ in which the function of its name is
    "interpolate": "interpolate",
    "traverse": "interpolate",
    "manifold": "interpolate",
    "attribute": "attributes",
    "arithmetic": "attributes",
}
EXPLORING = {"animate": "animate", "compare": "compare", "explore": "explore"}  # likewise, of the others


def looking_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    """One of LOOKING: given the run opened, where its picture goes, and its own options by name."""
    prepare_jax()
    from jaxvae.cli.commands.open_run import look

    home = importlib.import_module(f"jaxvae.cli.commands.{LOOKING[options.name_of_verb]}")
    look(getattr(home, options.name_of_verb), **asked(options))


def exploring_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    """One of EXPLORING, called with its options by name."""
    prepare_jax()
    home = importlib.import_module(f"jaxvae.cli.commands.{EXPLORING[options.name_of_verb]}")
    getattr(home, options.name_of_verb)(**asked(options))


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """The options of the verb, by name."""
    return {name: value for name, value in vars(options).items() if name not in ("verb", "debug", "name_of_verb")}


def train_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    config = read_config(options.config, overrides)
    prepare_jax(config)
    from jaxvae.runtime import multihost
    from jaxvae.runtime.watch import hear, watch

    multihost.join(options.coordinator, options.processes, options.process)
    heard_again()
    if options.check:
        from jaxvae.training.benchmark import check

        return check(config)
    workdir = options.workdir or Path("runs") / Path(config_file(options.config)).stem
    elsewhere = ["--workdir", str(options.workdir)] if options.workdir else []
    command = shlex.join(["python", "train.py", "--config", options.config, *elsewhere, *overrides])
    leave = watch("127.0.0.1" if multihost.is_loopback(options.coordinator) else None)
    try:
        train_as_told(config, workdir, command)
    except Interrupted:
        leave()
        raise
    except (ValueError, RuntimeError) as error:
        hear(error)
        raise
    leave()
    return None


def train_as_told(config: Config, workdir: Path, command: str) -> None:
    """Trains one run, or the members of train.seeds and train.sweep."""
    if is_ensemble(config):
        from jaxvae.training.ensemble.loop import train_and_evaluate_members

        train_and_evaluate_members(config, workdir, command=command)
    else:
        from jaxvae.training.loop import train_and_evaluate

        train_and_evaluate(config, workdir, command=command)


def benchmark_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    config = read_config(options.config, overrides)
    prepare_jax(config, cache=False)  # compile times are measured, so none comes from the cache
    from jaxvae.training.benchmark import benchmark

    benchmark(config, seconds=options.seconds, out=options.out)


def evaluate_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.cli.commands.score_sample_report import evaluate

    chosen = {"samples": options.samples, "splits": options.splits}
    evaluate(options.run, **chosen, data_dir=options.data_dir, trust=options.trust)


def sample_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.cli.commands.score_sample_report import sample

    sample(options.run, options.n, options.out, seed=options.seed, temperature=options.temperature, trust=options.trust)


def reconstruct_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.cli.commands.score_sample_report import reconstruct

    chosen = {"seed": options.seed, "data_dir": options.data_dir, "trust": options.trust}
    reconstruct(options.run, options.n, options.out, **chosen)


def report_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.cli.commands.score_sample_report import report

    report(options.run, data_dir=options.data_dir, trust=options.trust)


def data_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    from jaxvae.data.dataset import open_data

    wanted = {"manual_dir": options.manual_dir, "size": options.size, "channels": options.channels}
    data = open_data(options.name, options.data_dir, 0, log=show, checked=math.inf, **wanted)
    shape = " x ".join(map(str, data.shape))
    kind = "images" if len(data.shape) == 3 else "sequences"
    show(f"{data.name} {data.version}: {kind} of {shape}, fingerprint {data.fingerprint[:12]}")
    for name, split in data.splits.items():
        source = "" if name == "train" else f"; {data.source(name)}"
        show(f"  {name}: {len(split):,} {kind}, {_describe_labels(split.label)}{source}")
    if data.class_names:
        show(f"  classes: {', '.join(data.class_names)}")


def _describe_labels(label: Any) -> str:
    """What the labels of a split are, in words."""
    if label is None:
        return "no labels"
    if label.ndim == 2:
        return f"vectors of {label.shape[1]} numbers"
    return f"labels {label.min()} to {label.max()}"


def prepare_jax(config: Config | None = None, *, cache: bool = True) -> None:
    """Sets what must be set before JAX's backend starts: determinism on a GPU, and the compilation cache."""
    if config is not None and config.train.deterministic:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
    import jax

    from jaxvae.data.cache.folders import cache_folder, writable

    if not cache:
        jax.config.update("jax_enable_compilation_cache", False)
    elif os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    elif writable(folder := cache_folder() / "compiled"):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    else:
        log.warning("%s cannot be written: compiling anew. JAXVAE_CACHE names another folder.", folder.parent)
