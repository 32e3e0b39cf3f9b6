"""What a field or an argument may hold, by its annotation: judged, said in words, and read from text."""

from __future__ import annotations

import ast
import math
import types
import typing
from collections.abc import Sequence
from typing import Any


class UsageError(ValueError):
    """A mistake of the caller: a config, argument, file or array that cannot work, and what to do about it."""


_LONGEST_TEXT = 10_000  # characters: what is longer is no name, no path and no call
_SEVERAL = {int: "whole numbers", float: "numbers"}
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text", type(None): "None"}
MOST = 2**31 - 1  # what int32 holds: steps and indices are such
_LEAST_FLOAT, MOST_FLOAT = 1.2e-38, 3.4e38  # what float32 holds
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def _kinds_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone."""
    union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    return typing.get_args(annotation) if union else (annotation,)


def fits(value: Any, annotation: Any) -> bool:
    """Whether the value is what the annotation says, as far as that is one of `_WORDS`, or several of it."""
    return any(_is_a(value, kind) for kind in _kinds_of(annotation))


def _is_a(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) in (tuple, list, Sequence):
        return isinstance(value, tuple | list) and all(fits(each, typing.get_args(kind)[0]) for each in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _small_enough(value)
    if kind is str:
        return isinstance(value, str) and _legible(value)
    return isinstance(value, kind) if kind in _WORDS else True


def _small_enough(number: int | float) -> bool:
    """Whether a whole number can become a float."""
    return isinstance(number, float) or number.bit_length() < 1024


def _legible(text: str) -> bool:
    """Whether text is short, and nothing that no file's name and no file can hold is in it."""
    return len(text) <= _LONGEST_TEXT and not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def in_words(annotation: Any) -> str:
    """What fits the annotation: 'a whole number or None'."""
    words = []
    for kind in _kinds_of(annotation):
        several = typing.get_origin(kind) in (tuple, list, Sequence)
        inner: Any = typing.get_args(kind)[0] if several else None
        words.append(f"a tuple of {_SEVERAL.get(inner) or _WORDS[inner]}" if several else _WORDS.get(kind, str(kind)))
    return " or ".join(words)


def require(name: str, value: Any, annotation: Any) -> None:
    """ValueError unless the value fits the annotation."""
    if not fits(value, annotation):
        raise UsageError(f"{name}={shown(value)}: expected {in_words(annotation)}{_why_not(value)}.")


def whole(name: str, value: Any, least: int = 1, most: int = MOST) -> int:
    """The value, where it is a whole number from `least` to `most`; ValueError otherwise."""
    if not _is_a(value, int) or not least <= value <= most:
        above = _is_a(value, int) and value > most
        raise UsageError(
            f"{name}={shown(value)}: expected a whole number from {least} {f'to {most:,}' if above else 'on'}."
        )
    return value


def positive(name: str, value: Any) -> float:
    """The value, where it is a positive number that float32 holds; ValueError otherwise."""
    if not _is_a(value, float) or not _LEAST_FLOAT <= value <= MOST_FLOAT:
        close = _is_a(value, float) and value > 0
        bounds = f" from {_LEAST_FLOAT:g} to {MOST_FLOAT:g}, as float32 holds" if close else ""
        raise UsageError(f"{name}={shown(value)}: expected a positive number{bounds}.")
    return float(value)


def finite(name: str, value: Any, least: float = -MOST_FLOAT) -> float:
    """The value, where it is a number from `least` on that float32 holds; ValueError otherwise."""
    if not _is_a(value, float) or not least <= value <= MOST_FLOAT:
        bound = "" if least == -MOST_FLOAT else f" from {least:g} on"
        raise UsageError(f"{name}={shown(value)}: expected a finite number{bound}.")
    return float(value)


def share(name: str, value: Any) -> float:
    """The value, where it is a number in [0, 1); ValueError otherwise."""
    if not _is_a(value, float) or not 0 <= value < 1:
        raise UsageError(f"{name}={shown(value)}: expected a number in [0, 1).")
    return float(value)


def _why_not(value: Any) -> str:
    """What is odd about a value whose type alone does not say it."""
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f" of at most {_LONGEST_TEXT:,} characters, got {len(value):,}"
    if isinstance(value, str) and not _legible(value):
        return " of characters that a file can hold"
    return f", got {type(value).__name__}"


def shown(value: Any) -> str:
    """repr(value), its middle left out where it is long, and of a number that has too many digits its size."""
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"a number of about {int(value.bit_length() * math.log10(2)):,} digits"
    try:
        text = repr(value[:_LONGEST_TEXT] if isinstance(value, str) else value)
    except (ValueError, RecursionError):  # a number of too many digits inside it, or too many levels
        return f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:60]} ... {text[-20:]}"


def from_text(text: str, annotation: Any) -> Any:
    """The value that a command line's text stands for, such as '5', '1e-3', 'none', 'true', "('a', 'b')" or 'a, b'.

    ValueError, whose words are those of `in_words`, where it is none of the annotation.
    """
    for kind in _kinds_of(annotation):
        try:
            value = _converted(text.strip(), kind) if kind is not str else text
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if _is_a(value, kind):
            return None if type(None) in _kinds_of(annotation) and text.strip().lower() == "none" else value
    raise UsageError(f"expected {in_words(annotation)}")


def _converted(text: str, kind: Any) -> Any:
    if kind is bool:
        return _SWITCH.get(text.lower())
    if kind is type(None):
        return None if text.lower() == "none" else text
    if kind in (int, float):
        return kind(text)
    inner = typing.get_args(kind)[0] if typing.get_args(kind) else str
    bare = text[:1] not in ("(", "[", "'", '"')
    value = tuple(inner(each) for each in text.replace(",", " ").split()) if bare else ast.literal_eval(text)
    return (value,) if isinstance(value, str) or not hasattr(value, "__iter__") else tuple(value)
