"""The configuration of an experiment: plain dataclasses, every factor of the bound one string.

`may_change` marks the fields that may differ when a run goes on; any other difference refuses to resume.
"""

# no `from __future__ import annotations` here: config_flags types overrides by the fields' annotations, as classes

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxvae._checks import MOST, UsageError, fits, require, shown
from jaxvae.data.tfds.decode import DECODED_LIMIT
from jaxvae.runtime.files import DamagedFile, read_json, write_json

_VERSION = 1
FIGURES = ("all", "few", "none")
SPLITS = ("train", "validation", "test", "left_out")


def may_change(default: Any) -> Any:
    """A field that may have another value when a run is resumed."""
    return field(default=default, metadata={"may_change": True})


@dataclass
class Data:
    name: str = "digits"  # 'digits', a TFDS name, 'folder:PATH' (class folders of images, or a zip), 'npz:', 'npy:PATH'
    data_dir: str | None = may_change(None)  # where TFDS prepared it (None: its default); where a relative PATH starts
    prepare: str = "binarize"  # binarize | static(seed) | grey | dequantize
    batch_size: int = 128
    validation: float = 0.1  # share of the training images held out (from 1 on: their number)
    # classes that training never sees: their test images become the split 'left_out', the others are left away
    leave_out: tuple[int, ...] = ()
    pipeline: str = "auto"  # resident | streaming | auto: by size against the device's memory
    corrupt: str = "none"  # none | noise(scale) | mask(share) | salt_and_pepper(share) | blur(scale): of training alone
    size: int | None = None  # of a folder's images: the central square of each, resized; None: they have one size
    channels: int | None = None  # of a folder's images: 1 or 3; None: 3 where any has colour
    # GB; a TFDS set whose images are more is not decoded once into the cache, but streamed from its records,
    decoded_limit: float = may_change(DECODED_LIMIT)
    # by so many processes that decode them; 0: by this one; None: one less than the cores, at most 8
    workers: int | None = may_change(None)
    manual_dir: str | None = may_change(None)  # files to prepare a stock set from, where it shall not be downloaded


@dataclass
class Model:
    latent_dim: int = 2
    encoder: str = "mlp(400)"
    posterior: str = "diagonal"
    prior: str = "standard"
    decoder: str = "mlp(400)"
    likelihood: str = "bernoulli"
    condition: str = "none"
    precision: str = "float32"  # | bfloat16: of the products inside encoder and decoder; all else stays float32


@dataclass
class Optimizer:
    name: str = "adam"  # adam | adamw(weight_decay) | adamax | sgd(momentum)
    learning_rate: float = 1e-3
    schedule: str = "constant"  # constant | warmup(steps) | cosine(warmup, final)
    clip: float | None = None  # the largest global norm of the gradient
    ema: float = 0.999  # decay of the averaged weights, which are the ones evaluated; 0 turns it off
    critic_learning_rate: float = 1e-4  # of an objective's own network: factor, aae, gan


@dataclass
class Train:
    steps: int = may_change(5000)  # 0: none, of weights that train.init_from gives
    samples: int = 1  # draws of z per image and step
    # equal parts of the batch, one after the other for an accelerator's memory, then one update
    accumulate: int = may_change(1)
    seed: int = 0
    # dispatch | scan, on one device; sharded | sharded_scan | shard_map | pmap, on all; auto: by backend and model
    engine: str = may_change("auto")
    fsdp: bool = may_change(False)  # cut parameters, their average and the optimizer's state over the devices
    # compute networks' activations again in the backward pass: an accelerator's memory for work
    remat: bool = may_change(False)
    log_every: int = may_change(100)  # steps between lines of metrics.jsonl
    validate_every: int = may_change(500)
    checkpoint_every: int = may_change(500)
    # stop after so many validations without a better elbo, and use the best weights; of a model that has no elbo,
    # without a smaller rate + distortion
    patience: int | None = may_change(None)
    # so many times a run whose numbers are not finite any more goes back to its last good checkpoint, with updates half
    # as large; then it stops
    rollbacks: int = may_change(3)
    init_from: str | None = None  # a run directory whose weights to start from; or pca: of a linear model, solved
    seeds: int = 1  # so many members, of seeds seed, seed + 1, ..., trained in one program, a run directory each
    sweep: str = "none"  # none | beta(0.5, 1.0, 4.0) | learning_rate(1e-4, 1e-3): a member for each value (and seed)
    deterministic: bool = False  # on a GPU: kernels whose results do not vary, slower


@dataclass
class Evaluate:
    samples: int = may_change(100)  # K of the importance-weighted log-likelihood
    splits: tuple[str, ...] = may_change(("test",))
    batch_size: int = may_change(250)
    figures: str = may_change("all")  # | few: of what it keeps and dreams, codes and training | none


@dataclass
class Config:
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    objective: str = "elbo(beta=1.0)"
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    evaluate: Evaluate = field(default_factory=Evaluate)


def several(config: Config) -> bool:
    """Whether the config stands for several members, trained in one program."""
    return config.train.seeds != 1 or config.train.sweep != "none"


def field_kinds() -> dict[str, Any]:
    """{'train.steps': int, ...}: what each field holds."""
    found: dict[str, Any] = {}
    for part in dataclasses.fields(Config):
        inside = dataclasses.fields(part.type) if dataclasses.is_dataclass(part.type) else ()
        found |= {f"{part.name}.{each.name}": each.type for each in inside} or {part.name: part.type}
    return found


def require_types(config: Any, where: str = "", prefix: str = "") -> None:
    """ValueError for the first field that holds what its annotation does not say, or that there is not."""
    require_sections(config, where, prefix)
    for name, kind in _fields_of(config).items():
        if dataclasses.is_dataclass(kind):
            require_types(getattr(config, name), where, f"{prefix}{name}.")
        else:
            require(f"{where}{prefix}{name}", getattr(config, name), kind)


def require_sections(config: Any, where: str = "", prefix: str = "") -> None:
    """ValueError where the config has a field that there is not, or one of its parts is no such part."""
    known = _fields_of(config)
    for name in vars(config):
        if name not in known:
            raise UsageError(f"{where}{prefix}{_unknown_field(name, known)}")
    for name, kind in known.items():
        value = getattr(config, name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and not isinstance(value, kind):
            raise UsageError(f"{where}{prefix}{name}={shown(value)}: expected a jaxvae.config.{kind.__name__}.")


def _fields_of(config: Any) -> dict[str, Any]:
    """{name: what its annotation says}."""
    return {part.name: part.type for part in dataclasses.fields(config)}


def _unknown_field(name: str, known: Iterable[str]) -> str:
    """That there is no field of that name, with the nearest that there is."""
    near = difflib.get_close_matches(str(name)[:100], known, 1)
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown field {shown(name)}; {suggestion}known here: {', '.join(known)}."


def flatten(config: Any, prefix: str = "") -> dict[str, tuple[Any, bool]]:
    """{'data.name': (value, may_change), ...}."""
    flat: dict[str, tuple[Any, bool]] = {}
    for part in dataclasses.fields(config):
        value, name = getattr(config, part.name), prefix + part.name
        flat |= (
            flatten(value, name + ".")
            if dataclasses.is_dataclass(value)
            else {name: (value, "may_change" in part.metadata)}
        )
    return flat


def differences(old: Config, new: Config) -> list[str]:
    """'train.seed: 0 -> 1' for every field that differs and may not."""
    before = flatten(old)
    return [
        f"{name}: {before[name][0]!r} -> {value!r}"
        for name, (value, free) in flatten(new).items()
        if not free and before[name][0] != value
    ]


def save(path: Path, config: Config, data: dict[str, Any]) -> None:
    """Writes config.json: the strings, and what of the `data` the model is built with, such as its shape."""
    write_json(path, {"version": _VERSION, "data": data, "config": dataclasses.asdict(config)})


def load(path: Path) -> tuple[Config, dict[str, Any]]:
    """Reads config.json: (config, data) as saved; ValueError in words where it is damaged or not one of ours."""
    try:
        content = read_json(path)
    except DamagedFile as reason:
        raise UsageError(
            f"{path} is not a jaxvae config ({reason}). Restore it, or train into another --workdir."
        ) from reason
    return read(content, str(path))


def read(content: dict[str, Any], where: str) -> tuple[Config, dict[str, Any]]:
    """(config, data) of the content of config.json; ValueError in words where it is not one of ours."""
    version, data = content.get("version", 0), content.get("data")
    if not fits(version, int) or version < 1 or not isinstance(data, dict) or "config" not in content:
        raise UsageError(
            f"{where} is not a jaxvae config: version {shown(version)}, data {shown(data)}. "
            "Restore it, or train into another --workdir."
        )
    if version > _VERSION:
        raise UsageError(f"{where} has version {version}; this jaxvae reads up to {_VERSION}. Install a newer jaxvae.")
    config = _from_dict(Config, content["config"], where)
    _require_shape(data, where)
    return config, data


def _require_shape(data: dict[str, Any], where: str) -> None:
    """ValueError unless `data` says which examples a model is built for."""
    shape, size = data.get("shape", ()), data.get("condition_size")
    if not fits(shape, tuple[int, ...]) or len(shape) not in (2, 3) or not 1 <= min(shape) <= max(shape) <= MOST:
        raise UsageError(f"{where}: shape={shown(shape)}: expected that of an example, [H, W, C] or [L, C].")
    if size is not None and not (fits(size, int) and size >= 1):
        raise UsageError(f"{where}: condition_size={shown(size)}: expected a whole number from 1 on.")


def _from_dict(kind: type, values: dict[str, Any], where: str) -> Any:
    """The dataclass with these values; ValueError names a field that is unknown, or holds what it cannot."""
    if not isinstance(values, dict):
        raise UsageError(f"{where}: expected the fields of {kind.__name__}, got {shown(values)}.")
    known, built = _fields_of(kind), {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{where}: {_unknown_field(name, known)}")
        if dataclasses.is_dataclass(known[name]):
            value = _from_dict(known[name], value, f"{where}, {name}")
        built[name] = tuple(value) if isinstance(value, list) else value
    sections = {name for name, field_type in known.items() if dataclasses.is_dataclass(field_type)}
    if missing := sorted(sections - set(built)):  # a single field may be, in a file older than it
        raise UsageError(f"{where}: {missing[0]!r} is missing.")
    made = kind(**built)
    require_types(made, f"{where}: ")
    return made
