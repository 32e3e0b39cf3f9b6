"""The experiment of a config on this machine: data opened, parts built, pipeline and engine chosen."""

import dataclasses
import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import Array, random

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.config.build import Parts, build
from jaxvae.config.compatibility import find_doubts
from jaxvae.config.registry import read_functions
from jaxvae.config.schema import check_config, is_ensemble
from jaxvae.data.dataset import DataSet
from jaxvae.data.pipeline import PIPELINES, Resident, Streaming, choose_pipeline
from jaxvae.data.sources import open_data
from jaxvae.data.tfds.records import Records
from jaxvae.evaluate.aggregate_posterior import make_collect_codes
from jaxvae.evaluate.bounds import make_evaluate, make_measure
from jaxvae.rundir.results import EVALUATION_SEED
from jaxvae.rundir.state import first_state
from jaxvae.runtime.console import print_safely
from jaxvae.runtime.sharding import DeviceLayout, all_devices, one_device
from jaxvae.training.engine import ENGINES, ONE_DEVICE, Engine, choose_engine, has_convolutions
from jaxvae.viz.figures import check_figures

__all__ = ["Experiment", "check_config_with_data", "free_device_memory", "make_engine", "require_memory", "set_up"]
__all__ += ["set_up_member"]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything a run needs; its keys come from train.seed, but that of evaluations, which is the same for all.

    `evaluate` scores clean inputs; `evaluate_corrupted`, with the same draws, corrupted ones, where data.corrupt has
    the model trained on such. `metrics` are the functions of evaluate.metrics, which `measure` computes.
    """

    config: Config
    parts: Parts
    data: DataSet
    layout: DeviceLayout
    evaluate: Callable
    evaluate_corrupted: Callable | None
    metrics: dict[str, Callable]
    measure: Callable
    codes: Callable
    generate: Callable
    init_key: Array
    data_key: Array
    train_key: Array
    figure_key: Array


def set_up(
    config: Config,
    arrays: Any = None,
    say: Callable[[str], None] = print_safely,
    layout: DeviceLayout | None = None,
    *,
    trust: bool = True,
) -> Experiment:
    """Opens the data and builds the parts; UsageError if they do not fit each other. Training adds `make_engine`.

    `layout`: the devices to use instead of those that the config chooses. With trust=False no figure or metric is read
    from a file.
    """
    check_config(config)
    check_figures(config.evaluate.figures, trust=trust)
    metrics = read_functions("metric", config.evaluate.metrics, trust=trust)
    data = open_data(config.data, arrays, say)
    size, examples = data.condition_size(config.model.condition), len(data.splits["train"])
    parts = build(config, data.shape, condition=size, examples=examples)
    check_config_with_data(config, data)
    for doubt in find_doubts(config, parts.prepare, parts.model.likelihood):
        say(doubt)
    if layout is None:  # all devices if the engine takes them and they divide the batch; else this process's first
        shares = jax.device_count() * config.train.accumulate
        wanted = config.train.engine not in ONE_DEVICE and config.data.batch_size % shares == 0
        layout = all_devices(fsdp=config.train.fsdp) if wanted and jax.device_count() > 1 else one_device()
    # whatever train.seed is: runs of other seeds are scored on the same draws
    evaluate_key = random.split(random.split(random.key(EVALUATION_SEED), 4)[3])[0]
    scored = partial(make_evaluate, parts.model, key=evaluate_key, fetch=layout.fetch)
    evaluate, corrupted = scored(parts.prepare), scored(parts.corrupted) if parts.corrupted else None
    measure = make_measure(parts.model, parts.prepare, metrics, key=evaluate_key, fetch=layout.fetch)
    codes = make_collect_codes(parts.model, parts.prepare, key=evaluate_key, fetch=layout.fetch)
    generate = jax.jit(partial(latent.generate, parts.model))
    scorers = evaluate, corrupted, metrics, measure, codes, generate
    return Experiment(config, parts, data, layout, *scorers, **_split_seed(config.train.seed))


def set_up_member(config: Config, other: Experiment) -> Experiment:
    """Returns the experiment of another member, with its own config and keys; data and compiled code are shared."""
    examples = len(other.data.splits["train"])
    parts = build(config, other.data.shape, condition=other.parts.condition_size, examples=examples)
    return dataclasses.replace(other, config=config, parts=parts, **_split_seed(config.train.seed))


def _split_seed(seed: int) -> dict[str, Any]:
    """Returns init_key, data_key, train_key and figure_key of a run with this train.seed."""
    init, data, train, evaluate = random.split(random.key(seed), 4)
    return {"init_key": init, "data_key": data, "train_key": train, "figure_key": random.split(evaluate)[1]}


def make_engine(experiment: Experiment) -> tuple[Resident | Streaming, Engine]:
    """Returns the pipeline of the training images and the engine that takes the steps, by config and backend."""
    config, parts, data, layout = experiment.config, experiment.parts, experiment.data, experiment.layout
    if is_ensemble(config):
        several = f"train.seeds={config.train.seeds}, train.sweep={config.train.sweep!r} make several members"
        raise UsageError(f"{several}: train them by the command line, or by jaxvae.train_members(config).")
    training = data.splits["train"]
    name = choose_pipeline(config.data.pipeline, training, free_bytes=free_device_memory())
    # looked for where it decides, and in the first state's forward pass: tracing a whole step takes three times as long
    looked_for = config.train.engine == "auto" and jax.default_backend() == "cpu"
    key = random.key(0)
    engine = choose_engine(
        config.train.engine,
        pipeline=name,
        devices=jax.device_count(),
        batch_size=config.data.batch_size,
        convolutions=looked_for and has_convolutions(partial(first_state, config, parts), key, key),
        platform=jax.default_backend(),
        fsdp=config.train.fsdp,
        processes=jax.process_count(),
        accumulate=config.train.accumulate,
    )
    pipeline = PIPELINES[name](training, experiment.data_key, config.data.batch_size, layout)
    return pipeline, ENGINES[engine](parts.train_step, pipeline, layout)


def check_config_with_data(config: Config, data: DataSet) -> None:
    """Raises UsageError if the config needs what the data do not have."""
    size, n = config.data.batch_size, len(data.splits["train"])
    if size > n:
        raise UsageError(f"data.batch_size={size}: expected at most {n}, the training images of {data.name}.")
    if config.train.init_from == "pca" and isinstance(data.splits["train"].image, Records):
        raise UsageError(
            f"train.init_from='pca' needs all training images at once, but {data.name} is larger than "
            f"data.decoded_limit={config.data.decoded_limit:g} GB. Raise that if they fit into memory as float32."
        )
    for split in config.evaluate.splits:
        if split not in data.splits:
            see = "data.leave_out" if split == "left_out" else "data.validation"
            raise UsageError(f"evaluate.splits: {data.name} has {', '.join(data.splits)}, not {split!r}; see {see}.")
    if config.data.leave_out and config.model.condition == "label":
        raise UsageError(
            f"data.leave_out={config.data.leave_out} with model.condition='label': the model would be conditioned on "
            "classes that it never saw. Choose model.condition='none'."
        )
    flags = os.environ.get("XLA_FLAGS", "")
    if config.train.deterministic and jax.default_backend() == "gpu" and "xla_gpu_deterministic_ops=true" not in flags:
        raise UsageError(
            "train.deterministic=True needs a flag set before JAX starts: train by the command line, "
            "or set the environment variable XLA_FLAGS=--xla_gpu_deterministic_ops=true."
        )
    if config.train.patience and "validation" not in data.splits:
        held_out = f"data.validation={config.data.validation:g} holds out none"
        raise UsageError(f"train.patience={config.train.patience} needs validation images; {held_out}.")


def require_memory(experiment: Experiment, state: Any, members: int = 1) -> None:
    """Raises UsageError if the state alone, or the step's p(x|z) alone, is larger than a device's memory."""
    config, parts, layout = experiment.config, experiment.parts, experiment.layout
    most = _device_memory()
    held = members * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    held //= layout.size if layout.fsdp else 1
    if held > most:
        raise UsageError(
            f"parameters, their average and the optimizer's state take {held / 1e9:,.0f} GB, of which there are "
            f"{most / 1e9:,.0f}. Choose smaller networks: model.encoder, model.decoder, model.posterior, model.prior."
        )
    features = parts.model.likelihood.features(parts.shape[-1]) * math.prod(parts.shape[:-1])
    draws = config.train.samples * config.data.batch_size // (config.train.accumulate * layout.size)
    drawn = 4 * draws * features
    if drawn > most:
        raise UsageError(
            f"data.batch_size={config.data.batch_size:,} images with train.samples={config.train.samples:,} draws each "
            f"decode to {drawn / 1e9:,.0f} GB, of which there are {most / 1e9:,.0f}. Choose fewer of either, or "
            f"a larger train.accumulate than {config.train.accumulate}."
        )


def _device_memory() -> int:
    """Returns the bytes of the first device if the backend reports them, else of this machine."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def free_device_memory() -> int | None:
    """Returns the free bytes of the first device if the backend reports them."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None
