"""What a field of a config may hold: constructors of fields with their ranges and choices beside the default."""

from collections.abc import Callable
from dataclasses import field
from functools import partial
from typing import Any

from jaxvae._checks import (
    INT32_MAX,
    UsageError,
    is_instance,
    require_choice,
    require_choices,
    require_positive,
    require_whole,
    short_repr,
)

__all__ = [
    "CONDITIONS",
    "ENGINE_NAMES",
    "MOST_MEMBERS",
    "SPLITS",
    "choice",
    "choices",
    "count",
    "number",
    "positive",
]
__all__ += ["setting", "text"]

ENGINE_NAMES = ("dispatch", "scan", "sharded", "sharded_scan", "shard_map", "pmap")  # of jaxvae.training.engine
CONDITIONS = ("none", "label", "vector")
SPLITS = ("train", "validation", "test", "left_out")
MOST_MEMBERS = 1000


def setting(default: Any, check: Callable[[str, Any], Any] | None = None, *, may_change: bool = False) -> Any:
    """Returns a field of a config.

    Args:
        default: its value where a config does not set it.
        check: check(name, value) raises UsageError for a value outside the field's range.
        may_change: whether the value may differ when a run is resumed.
    """
    return field(default=default, metadata={"check": check, "may_change": may_change})


def count(default: int | None, least: int = 1, most: int = INT32_MAX, *, may_change: bool = False) -> Any:
    """Returns a field for a whole number from `least` to `most`."""
    return setting(default, partial(require_whole, least=least, most=most), may_change=may_change)


def positive(default: float | None) -> Any:
    """Returns a field for a positive number that float32 holds."""
    return setting(default, require_positive)


def number(default: float, below: float, expected: str, *, may_change: bool = False) -> Any:
    """Returns a field for a number in [0, below); `expected` describes it in the error."""

    def check(name: str, value: Any) -> None:
        if not is_instance(value, float) or not 0 <= value < below:
            raise UsageError(f"{name}={short_repr(value)}: expected {expected}.")

    return setting(default, check, may_change=may_change)


def choice(default: str, known: tuple[str, ...], *, may_change: bool = False) -> Any:
    """Returns a field for one of the names."""
    return setting(default, partial(require_choice, known=known), may_change=may_change)


def choices(default: tuple[str, ...], known: tuple[str, ...], *, may_change: bool = False) -> Any:
    """Returns a field for one or more of the names."""
    return setting(default, partial(require_choices, known=known), may_change=may_change)


def text(default: str, expected: str, *, may_change: bool = False) -> Any:
    """Returns a field for text that is not empty; `expected` describes it in the error."""

    def check(name: str, value: Any) -> None:
        if not value:
            raise UsageError(f"{name}={short_repr(value)}: expected {expected}.")

    return setting(default, check, may_change=may_change)
