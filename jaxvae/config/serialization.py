"""config.json: the strings of a config, with the properties of the data that the model was built for."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxvae._checks import INT32_MAX, UsageError, is_instance, short_repr
from jaxvae.config.schema import Config, flatten, require_types, unknown_field
from jaxvae.runtime.files import write_json

__all__ = ["config_from_json", "differences", "save_config"]

_VERSION = 1
_RESTORE = "Restore it, or train into another --workdir."


def save_config(path: Path, config: Config, data: dict[str, Any]) -> None:
    """Writes config.json: the config, and the `data` that the model is built for, such as its shape."""
    write_json(path, {"version": _VERSION, "data": data, "config": dataclasses.asdict(config)})


def config_from_json(content: dict[str, Any], where: str) -> tuple[Config, dict[str, Any]]:
    """Returns (config, data) from the content of config.json; UsageError, which names `where`, if it is no config."""
    version, data = content.get("version", 0), content.get("data")
    if not is_instance(version, int) or version < 1 or not isinstance(data, dict) or "config" not in content:
        found = f"version {short_repr(version)}, data {short_repr(data)}"
        raise UsageError(f"{where} is not a jaxvae config: {found}. {_RESTORE}")
    if version > _VERSION:
        raise UsageError(f"{where} has version {version}; this jaxvae reads up to {_VERSION}. Install a newer jaxvae.")
    config = _from_dict(Config, content["config"], where)
    shape, size = data.get("shape", ()), data.get("condition_size")
    long_enough = is_instance(shape, tuple[int, ...]) and len(shape) in (2, 3)
    if not long_enough or not 1 <= min(shape) <= max(shape) <= INT32_MAX:
        raise UsageError(f"{where}: shape={short_repr(shape)}: expected that of an example, [H, W, C] or [L, C].")
    if size is not None and not (is_instance(size, int) and size >= 1):
        raise UsageError(f"{where}: condition_size={short_repr(size)}: expected a whole number from 1 on.")
    return config, data


def _from_dict(kind: type, values: dict[str, Any], where: str) -> Any:
    """Returns the dataclass with these values; UsageError names a field that is unknown or of another type."""
    if not isinstance(values, dict):
        raise UsageError(f"{where}: expected the fields of {kind.__name__}, got {short_repr(values)}.")
    known: dict[str, Any] = {each.name: each.type for each in dataclasses.fields(kind)}
    built = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{where}: {unknown_field(name, known)}")
        if dataclasses.is_dataclass(known[name]):
            value = _from_dict(known[name], value, f"{where}, {name}")
        built[name] = tuple(value) if isinstance(value, list) else value
    for name, each in known.items():
        if dataclasses.is_dataclass(each) and name not in built:  # a single field may be missing from an older file
            raise UsageError(f"{where}: {name!r} is missing.")
    made = kind(**built)
    require_types(made, f"{where}: ")
    return made


def differences(old: Config, new: Config) -> list[str]:
    """Returns 'train.seed: 0 -> 1' for every field that differs and may not."""
    before = flatten(old)
    return [
        f"{name}: {before[name][0]!r} -> {value!r}"
        for name, (value, may_change) in flatten(new).items()
        if not may_change and before[name][0] != value
    ]
