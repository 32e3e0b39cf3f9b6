"""Checks of arguments and fields: type, range, choice, array and key. Errors name the argument and what it may be.

Importing this module must not import JAX, so that the command line starts fast.
"""

import ast
import contextlib
import difflib
import math
import operator
import types
import typing
from collections.abc import Collection, Sequence, Set
from typing import Any

import numpy as np


class UsageError(ValueError):
    """A mistake of the caller: a config, argument, file or array that cannot work, and what to do about it."""


_LONGEST_TEXT = 10_000  # characters: what is longer is no name, no path and no call
_SEVERAL = {int: "whole numbers", float: "numbers"}
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text", type(None): "None"}
INT32_MAX = 2**31 - 1  # steps and indices are int32
_FLOAT32_LEAST, FLOAT32_MAX = 1.2e-38, 3.4e38
BELOW_ONE = math.nextafter(1, 0)
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def _kinds_of(annotation: Any) -> tuple[Any, ...]:
    """Returns the members of a union, or the annotation alone."""
    union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    return typing.get_args(annotation) if union else (annotation,)


def is_instance(value: Any, annotation: Any) -> bool:
    """Returns whether the value fits the annotation: one of `_WORDS`, a tuple of one, or a union of these."""
    inner = typing.get_args(annotation)
    if (kinds := _kinds_of(annotation)) != (annotation,):
        return any(is_instance(value, kind) for kind in kinds)
    if typing.get_origin(annotation) in (tuple, list, Sequence):
        return isinstance(value, tuple | list) and all(is_instance(each, inner[0]) for each in value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is float:  # a whole number, too, where it can become a float
        return isinstance(value, float) or (is_instance(value, int) and value.bit_length() < 1024)
    if annotation is str:
        return isinstance(value, str) and len(value) <= _LONGEST_TEXT and _is_storable(value)
    return isinstance(value, annotation) if annotation in _WORDS else True


def _is_storable(text: str) -> bool:
    """Returns whether a file, and a file's name, can hold the text."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def describe_type(annotation: Any) -> str:
    """Returns the annotation in words: 'a whole number or None'."""
    words = []
    for kind in _kinds_of(annotation):
        several = typing.get_origin(kind) in (tuple, list, Sequence)
        inner: Any = typing.get_args(kind)[0] if several else None
        words.append(f"a tuple of {_SEVERAL.get(inner) or _WORDS[inner]}" if several else _WORDS.get(kind, str(kind)))
    return " or ".join(words)


def short_repr(value: Any) -> str:
    """Returns repr(value), its middle left out if it is long; of a number of too many digits, their count."""
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"a number of about {int(value.bit_length() * math.log10(2)):,} digits"
    try:
        text = repr(value[:_LONGEST_TEXT] if isinstance(value, str) else value)
    except (ValueError, RecursionError):  # a number of too many digits inside it, or too many levels
        return f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:60]} ... {text[-20:]}"


def require_type(name: str, value: Any, annotation: Any) -> None:
    """Raises UsageError unless the value fits the annotation."""
    if is_instance(value, annotation):
        return
    why = f", got {type(value).__name__}"
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        why = f" of at most {_LONGEST_TEXT:,} characters, got {len(value):,}"
    elif isinstance(value, str) and not _is_storable(value):
        why = " of characters that a file can hold"
    raise UsageError(f"{name}={short_repr(value)}: expected {describe_type(annotation)}{why}.")


def require_whole(name: str, value: Any, least: int = 1, most: int = INT32_MAX) -> int:
    """Returns the value as an int; raises UsageError unless it is a whole number from `least` to `most`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        bound = "on" if number is None or number < least else f"to {most:,}"
        whole = isinstance(value, float) and value.is_integer() and least <= value <= most
        hint = f" Try {int(value)}." if whole else ""
        raise UsageError(f"{name}={short_repr(value)}: expected a whole number from {least} {bound}.{hint}")
    return number


def require_number(
    name: str, value: Any, least: float = -FLOAT32_MAX, most: float = FLOAT32_MAX, expected: str = ""
) -> float:
    """Returns the value as a float; raises UsageError, which says `expected`, unless it is from `least` to `most`."""
    if not is_instance(value, float) or not least <= value <= most:
        bound = "" if least == -FLOAT32_MAX else f" from {least:g} {'on' if most == FLOAT32_MAX else f'to {most:g}'}"
        raise UsageError(f"{name}={short_repr(value)}: expected {expected or f'a finite number{bound}'}.")
    return float(value)


def require_positive(name: str, value: Any) -> float:
    """Returns the value as a float; raises UsageError unless it is a positive number that float32 holds."""
    expected = f"a positive number from {_FLOAT32_LEAST:g} to {FLOAT32_MAX:g}, as float32 holds"
    return require_number(name, value, _FLOAT32_LEAST, FLOAT32_MAX, expected)


def require_fraction(name: str, value: Any) -> float:
    """Returns the value as a float; raises UsageError unless it is a number in [0, 1)."""
    return require_number(name, value, 0, BELOW_ONE, "a number in [0, 1)")


def require_choice(name: str, value: Any, known: Collection[str]) -> str:
    """Returns the value; raises UsageError unless it is one of the known names."""
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{name}={short_repr(value)}: expected one of {', '.join(map(repr, known))}.")
    return value


def suggest(name: str, known: Collection[str]) -> str:
    """Returns 'did you mean X? ' for the known name nearest to a misspelt one, '' where none is near."""
    near = difflib.get_close_matches(str(name)[:100], known, 1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""


def require_choices(name: str, values: Any, known: Collection[str]) -> None:
    """Raises UsageError unless the values are a tuple of one or more of the known names."""
    require_type(name, values, tuple[str, ...])
    if not values or not set(values) <= set(known):
        raise UsageError(f"{name}={short_repr(values)}: expected one or more of {', '.join(map(repr, known))}.")


def require_names(name: str, values: Any, known: Collection[str] | None) -> frozenset[str]:
    """Returns the values as a frozenset; raises UsageError unless they are a set of (known) names."""
    if not isinstance(values, Set) or not all(isinstance(each, str) for each in values):
        raise UsageError(f"{name}={short_repr(values)}: expected a set of names, such as {{'samples'}}.")
    for each in sorted(values):
        require_choice(name, each, values if known is None else known)
    return frozenset(values)


def _is_traced(value: Any) -> bool:
    """Returns whether the value is a tracer of JAX: inside jit only shapes and types can be checked."""
    import jax

    return isinstance(value, jax.core.Tracer)


def require_array(name: str, value: Any, expected: str) -> Any:
    """Returns the value as an array of numbers or truth values, on the host or device that it was on."""
    import jax
    import jax.numpy as jnp

    if not isinstance(value, jax.Array):
        try:
            value = np.asarray(value)
        except Exception as error:  # rows of several lengths, or an object's own conversion that raises
            raise UsageError(f"{name} is no array ({error}); expected {expected}.") from error
    if not any(jnp.issubdtype(value.dtype, kind) for kind in (np.floating, np.integer, np.bool_)):
        raise UsageError(f"{name} holds {value.dtype}; expected {expected}.")
    return value


def require_finite(name: str, value: Any) -> None:
    """Raises UsageError if an array, not traced, holds values that are not finite in float32."""
    if _is_traced(value):
        return
    with np.errstate(over="ignore"):
        bad = int((~np.isfinite(np.asarray(value).astype(np.float32))).sum())
    if bad:
        raise UsageError(f"{name} holds {bad} values that are NaN, infinite or beyond float32; expected finite ones.")


def require_scalar(name: str, value: Any) -> Any:
    """Returns the value; raises UsageError unless it is one finite number from 0 on, traced or not."""
    given = require_array(name, value, "a number from 0 on")
    if given.shape != () or (not _is_traced(given) and not 0 <= float(given) < math.inf):
        raise UsageError(f"{name}={value!r}: expected a finite number from 0 on.")
    return value


def require_key(name: str, value: Any, *, many: bool = False) -> Any:
    """Returns the value; raises UsageError unless it is a key of jax.random, or with `many` a row of them.

    A raw key, as `jax.random.PRNGKey(0)` makes it, is wrapped.
    """
    import jax

    if isinstance(value, jax.Array) and value.dtype == np.uint32 and value.ndim == 1 + int(many):
        with contextlib.suppress(TypeError, ValueError):  # of another length than the default generator's
            value = jax.random.wrap_key_data(value)
    typed = isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key)
    if not typed or value.ndim != int(many) or 0 in value.shape:
        found = f"{value.dtype} {list(value.shape)}" if isinstance(value, jax.Array) else type(value).__name__
        wanted = "keys [N], such as jax.random.split(key, N)" if many else "one key, such as jax.random.key(0)"
        raise UsageError(f"{name} is {found}; expected {wanted}.")
    return value


def parse_text(text: str, annotation: Any) -> Any:
    """Returns the value of a command line's text, such as '5', '1e-3', 'none', 'true', "('a', 'b')" or 'a, b'.

    Raises UsageError, in the words of `describe_type`, if the text fits no kind of the annotation.
    """
    if is_instance(None, annotation) and text.strip().lower() == "none":
        return None
    for kind in _kinds_of(annotation):
        try:
            value = _converted(text.strip(), kind) if kind is not str else text
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if is_instance(value, kind):
            return value
    raise UsageError(f"expected {describe_type(annotation)}")


def _converted(text: str, kind: Any) -> Any:
    if kind is bool:
        return _SWITCH.get(text.lower())
    if kind is int and "e" in text.lower() and float(text).is_integer():  # 1e4
        return int(float(text)) if abs(float(text)) <= 2**53 else None
    if kind in (int, float):
        return kind(text)
    inner = typing.get_args(kind)[0] if typing.get_args(kind) else str
    bare = text[:1] not in ("(", "[", "'", '"')
    value = tuple(inner(each) for each in text.replace(",", " ").split()) if bare else ast.literal_eval(text)
    return (value,) if isinstance(value, str) or not hasattr(value, "__iter__") else tuple(value)
