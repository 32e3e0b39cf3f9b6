"""The configuration of an experiment: plain dataclasses, every factor of the bound one string.

`may_change` marks the fields that may differ when a run goes on; any other difference refuses to resume.
"""

# no `from __future__ import annotations` here: config_flags types overrides by the fields' annotations, as classes

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jaxvae._checks import (
    BELOW_ONE,
    FLOAT32_MAX,
    INT32_MAX,
    UsageError,
    is_instance,
    require_choice,
    require_choices,
    require_number,
    require_positive,
    require_type,
    require_whole,
    short_repr,
    suggest,
)

__all__ = ["CONDITIONS", "ENGINE_NAMES", "MOST_MEMBERS", "SPLITS", "Config", "Data", "Evaluate", "Model", "Optimizer"]
__all__ += ["Train", "check_config", "field_types", "flatten", "is_ensemble", "require_types", "unknown_field"]

ENGINE_NAMES = ("dispatch", "scan", "sharded", "sharded_scan", "shard_map", "pmap")  # of jaxvae.training.engine
CONDITIONS = ("none", "label", "vector")
SPLITS = ("train", "validation", "test", "left_out")
MOST_MEMBERS = 1000
_DATA_NAMES = "'digits', a TFDS name, 'folder:PATH', 'npz:PATH' or 'npy:PATH'"
_FIGURES = "'all', 'few', 'none', or names of figures"


def _setting(default: Any, check: Callable[[str, Any], Any] | None = None, *, may_change: bool = False) -> Any:
    """Returns a field; `check(name, value)` raises UsageError; `may_change`: whether a resumed run may have another."""
    return field(default=default, metadata={"check": check, "may_change": may_change})


def _count(default: int | None, least: int = 1, most: int = INT32_MAX, *, may_change: bool = False) -> Any:
    """Returns a field for a whole number from `least` to `most`."""
    return _setting(default, partial(require_whole, least=least, most=most), may_change=may_change)


def _number(default: float, most: float, expected: str, *, may_change: bool = False) -> Any:
    """Returns a field for a number from 0 to `most`; `expected` describes it in the error."""
    return _setting(default, partial(require_number, least=0, most=most, expected=expected), may_change=may_change)


def _choice(default: str, known: tuple[str, ...], *, may_change: bool = False) -> Any:
    """Returns a field for one of the names."""
    return _setting(default, partial(require_choice, known=known), may_change=may_change)


def _require_text(expected: str, name: str, value: Any) -> None:
    if not value:
        raise UsageError(f"{name}={short_repr(value)}: expected {expected}.")


@dataclass
class Data:
    # 'digits', a TFDS name, 'folder:PATH' (class folders of images, or a zip), 'npz:', 'npy:PATH'
    name: str = _setting("digits", partial(_require_text, _DATA_NAMES))
    data_dir: str | None = _setting(None, may_change=True)  # TFDS's folder (None: its default); the root of PATHs
    prepare: str = "binarize"  # binarize | static(seed) | grey | dequantize
    batch_size: int = _count(128, most=2**24)
    # share of the training images held out (from 1 on: their number)
    validation: float = _number(0.1, FLOAT32_MAX, "a share in [0, 1), or a number of images")
    # classes that training never sees: their test images become the split 'left_out', the others are left away
    leave_out: tuple[int, ...] = ()
    pipeline: str = _choice("auto", ("auto", "resident", "streaming"))  # auto: by size against the device's memory
    corrupt: str = "none"  # none | noise(scale) | mask(share) | salt_and_pepper(share) | blur(scale): of training alone
    # of a folder's images: the central square of each, resized; None: they have one size
    size: int | None = _count(None, most=2**14)
    channels: int | None = _count(None, most=3)  # of a folder's images: 1 or 3; None: 3 where any has colour
    # GB; a larger TFDS set is not decoded once into the cache, but streamed from its records
    decoded_limit: float = _number(16.0, FLOAT32_MAX, "GB, from 0 on, such as 1e6", may_change=True)
    # processes that decode the records; 0: this one; None: one less than the cores, at most 8
    workers: int | None = _count(None, least=0, most=1024, may_change=True)
    manual_dir: str | None = _setting(None, may_change=True)  # files to prepare a stock set from, without a download


@dataclass
class Model:
    latent_dim: int = _count(2, most=2**16)
    encoder: str = "mlp(400)"
    posterior: str = "diagonal"
    prior: str = "standard"
    decoder: str = "mlp(400)"
    likelihood: str = "bernoulli"
    condition: str = _choice("none", CONDITIONS)
    # of the products inside encoder and decoder; all else stays float32
    precision: str = _choice("float32", ("float32", "bfloat16"))


@dataclass
class Optimizer:
    name: str = "adam"  # adam | adamw(weight_decay) | adamax | sgd(momentum)
    learning_rate: float = _setting(1e-3, require_positive)
    schedule: str = "constant"  # constant | warmup(steps) | cosine(warmup, final)
    clip: float | None = _setting(None, require_positive)  # the largest global norm of the gradient
    # decay of the averaged weights, which are the ones evaluated; 0 turns it off
    ema: float = _number(0.999, BELOW_ONE, "a decay in [0, 1), such as 0.999; 0 turns it off")
    critic_learning_rate: float = _setting(1e-4, require_positive)  # of an objective's own network: factor, aae, gan


@dataclass
class Train:
    steps: int = _count(5000, least=0, may_change=True)  # 0: none, of weights that train.init_from gives
    samples: int = _count(1, most=10**6)  # draws of z per image and step
    # parts of a batch, computed in turn to save an accelerator's memory; on a CPU up to 8 are compiled one by one,
    # more of them run in a loop, in which convolutions may be slower
    accumulate: int = _count(1, most=256, may_change=True)
    seed: int = _count(0, least=0, most=2**32 - 1)
    # dispatch | scan, on one device; sharded | sharded_scan | shard_map | pmap, on all; auto: by backend and model
    engine: str = _choice("auto", ("auto", *ENGINE_NAMES), may_change=True)
    fsdp: bool = _setting(False, may_change=True)  # shard parameters, averages and optimizer state over the devices
    remat: bool = _setting(False, may_change=True)  # recompute activations in the backward pass: less memory, slower
    log_every: int = _count(100, may_change=True)  # steps between lines of metrics.jsonl
    validate_every: int = _count(500, may_change=True)
    checkpoint_every: int = _count(500, may_change=True)
    # validations without a better elbo (or rate + distortion) after which training stops, with the best weights
    patience: int | None = _count(None, may_change=True)
    # how often a run with non-finite numbers returns to its last good checkpoint, with updates half as large
    rollbacks: int = _count(3, least=0, may_change=True)
    init_from: str | None = None  # a run directory whose weights to start from; or pca: of a linear model, solved
    # the number of members, of seeds seed, seed + 1, ..., trained in one program, a run directory each
    seeds: int = _count(1, most=MOST_MEMBERS)
    sweep: str = "none"  # none | beta(0.5, 1.0, 4.0) | learning_rate(1e-4, 1e-3): a member for each value (and seed)
    deterministic: bool = False  # on a GPU: kernels whose results do not vary, slower


@dataclass
class Evaluate:
    samples: int = _count(100, most=10**6, may_change=True)  # K of the importance-weighted log-likelihood
    splits: tuple[str, ...] = _setting(("test",), partial(require_choices, known=SPLITS), may_change=True)
    batch_size: int = _count(250, most=2**20, may_change=True)  # a split is filled up to whole batches
    # all | few (reconstructions, samples, codes, training) | none, or a list, such as 'few, traversal, my_file.py:mine'
    figures: str = _setting("all", partial(_require_text, _FIGURES), may_change=True)
    metrics: str = _setting("", may_change=True)  # of your own, a list of names or 'my_file.py:mine'


@dataclass
class Config:
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    objective: str = "elbo(beta=1.0)"
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    evaluate: Evaluate = field(default_factory=Evaluate)


def is_ensemble(config: Config) -> bool:
    """Returns whether the config stands for several members, trained in one program."""
    return config.train.seeds != 1 or config.train.sweep != "none"


def check_config(config: Any) -> None:
    """Raises UsageError for the first field that is unknown, of another type, or outside its range or choices.

    Then for numbers that do not go together.
    """
    if not isinstance(config, Config):
        raise UsageError(f"config={short_repr(config)}: expected a jaxvae.Config.")
    leaves = list(_leaves(config))
    require_whole("train.steps", config.train.steps, 0 if config.train.init_from else 1)
    for name, value, each in leaves:
        check = each.metadata.get("check")
        if check and (value is not None or not is_instance(None, each.type)):
            check(name, value)
        require_type(name, value, each.type)
    parts, rows, samples = config.train.accumulate, config.data.batch_size, config.train.samples
    if rows % parts:
        raise UsageError(
            f"train.accumulate={parts} cuts a batch into equal parts, but data.batch_size={rows} is no multiple of it. "
            f"Choose data.batch_size={max(rows // parts, 1) * parts}."
        )
    if samples * rows > INT32_MAX:
        raise UsageError(
            f"train.samples={samples:,} draws for each of data.batch_size={rows:,} images are {samples * rows:,} a "
            f"step; choose fewer of either, so that they are at most {INT32_MAX:,}."
        )


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, dataclasses.Field]]:
    """Yields ('train.steps', value, field) of every field that is no section; UsageError for unknown fields."""
    fields = {each.name: each for each in dataclasses.fields(config)}
    for name in vars(config):
        if name not in fields:
            raise UsageError(f"{prefix}{unknown_field(name, fields)}")
    for name, each in fields.items():
        value = getattr(config, name)
        if isinstance(each.type, type) and dataclasses.is_dataclass(each.type):
            if not isinstance(value, each.type):
                expected = f"expected a jaxvae.config.{each.type.__name__}"
                raise UsageError(f"{prefix}{name}={short_repr(value)}: {expected}.")
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value, each


def field_types() -> dict[str, Any]:
    """Returns {'train.steps': int, ...}: the annotation of each field."""
    return {name: each.type for name, _, each in _leaves(Config())}


def flatten(config: Any) -> dict[str, tuple[Any, bool]]:
    """Returns {'data.name': (value, may_change), ...}."""
    return {name: (value, each.metadata.get("may_change", False)) for name, value, each in _leaves(config)}


def require_types(config: Any, where: str = "") -> None:
    """Raises UsageError for the first field that is unknown, or whose value is not of its annotation."""
    for name, value, each in _leaves(config, where):
        require_type(name, value, each.type)


def unknown_field(name: str, known: Any) -> str:
    """Returns the sentence that there is no field of that name, with the nearest that there is."""
    return f"unknown field {short_repr(name)}; {suggest(name, known)}known here: {', '.join(known)}."
