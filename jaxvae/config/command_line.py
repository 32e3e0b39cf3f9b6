"""A config from the command line: --config FILE, whose get_config() returns a Config, and --config.FIELD=VALUE."""

import copy
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError, parse_text, short_repr, suggest
from jaxvae.config import Config
from jaxvae.config.schema import field_types, require_types
from jaxvae.config.user_file import describe_error, run_file

__all__ = ["PREFIX", "config_file", "read_config", "suggest_fields"]

PREFIX = "--config."


def read_config(path: str, overrides: Sequence[str]) -> Config:
    """Returns the Config of the file's get_config(), with --config.FIELD=VALUE overrides."""
    given, kinds = dict[str, Any](), field_types()
    for override in overrides:
        name, equals, text = override.removeprefix(PREFIX).partition("=")
        if name not in kinds:
            inside = [field for field in kinds if field.startswith(f"{name}.")]
            near = "" if inside else suggest(PREFIX + name, [PREFIX + field for field in kinds]).strip()
            fields = near or f"The fields {'there ' * bool(inside)}are: {', '.join(inside or kinds)}."
            raise UsageError(f"{PREFIX}{name[:100]}: there is no such field; {fields}")
        if not equals and kinds[name] is not bool:
            raise UsageError(f"{PREFIX}{name}: its value is missing; write {PREFIX}{name}=VALUE.")
        try:
            given[name] = parse_text(text if equals else "true", kinds[name])
        except ValueError as error:
            raise UsageError(f"{PREFIX}{name}={short_repr(text)[1:-1]}: {error}.") from None
    config = copy.deepcopy(_from_file(path))
    for name, value in given.items():
        section, _, field = name.rpartition(".")
        setattr(getattr(config, section) if section else config, field, value)
    return config


def suggest_fields(options: Sequence[str]) -> str:
    """Returns 'did you mean --config.model.latent_dim=3?' for options without the prefix; '' if any is no field's."""
    meant = [option.lstrip("-") for option in options]
    known = all(name.partition("=")[0] in field_types() for name in meant)
    return f"did you mean {' '.join(PREFIX + each for each in meant)}?" if known else ""


def _from_file(path: str) -> Config:
    """Returns get_config() of the file, called with the text after a colon in 'configs/x.py:big'."""
    where, file = f"--config {path}", config_file(path)
    try:
        found = Path(file).is_file()
    except OSError as error:
        raise UsageError(f"{where[:200]}: {error.strerror}.") from error
    if not found:
        kind = "it is a folder" if Path(file).is_dir() else "there is no such file"
        here = sorted(str(each) for each in Path("configs").glob("*.py"))
        listed = f"Configs here: {', '.join(here) or 'none in ./configs'}."
        raise UsageError(f"{where}: {kind}. {suggest(file, here).replace('did', 'Did', 1).strip() or listed}")
    get_config = getattr(run_file(file, where), "get_config", None)
    if not callable(get_config):
        raise UsageError(f"{where}: the file has no function get_config(), which returns a jaxvae.Config.")
    argument = [path.removeprefix(file + ":")] * (path != file)
    signature = inspect.signature(get_config)
    try:
        signature.bind(*argument)
    except TypeError as error:
        raise UsageError(
            f"{where}: get_config{signature}: {error}. It is called without arguments, "
            f"or as --config {file}:TEXT with that text."
        ) from None
    try:
        config = get_config(*argument)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{where}: get_config() failed: {describe_error(error, file)}. Correct it and try again."
        ) from error
    if not isinstance(config, Config):
        raise UsageError(f"{where}: get_config() returned a {type(config).__name__}; expected a jaxvae.Config.")
    require_types(config, f"{where}: ")
    return config


def config_file(path: str) -> str:
    """Returns the file of a config's path, which may hold an argument for get_config(): 'configs/x.py:big'."""
    match = re.fullmatch(r"(.+?\.py)(:.*)?", path, re.DOTALL)
    return match[1] if match else path
