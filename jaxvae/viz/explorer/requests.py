"""The fields of a question, checked: a page's, or whoever's else that came here. ValueError says what was expected."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from jaxvae import _checks
from jaxvae._checks import UsageError

_FAR = 1e6  # a code's coordinate beyond this is no place to look at


def read(body: bytes) -> dict[str, Any]:
    """The JSON object that the body of a request is."""
    try:
        asked = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the question is no JSON ({error}).") from error
    if not isinstance(asked, dict):
        raise UsageError(f"the question is {_checks.short_repr(asked)}; expected a JSON object.")
    return asked


def only(asked: Mapping[str, Any], names: Collection[str]) -> None:
    """ValueError unless the question has these fields and no others."""
    if set(asked) != set(names):
        raise UsageError(f"the question has the fields {sorted(asked)!r:.200}; expected {sorted(names)}.")


def whole(asked: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    return _checks.require_whole(name, asked[name], least, most)


def number(asked: Mapping[str, Any], name: str, least: float, most: float) -> float:
    """A number from `least` to `most`."""
    value = _checks.require_number(name, asked[name])
    if not least <= value <= most:
        raise UsageError(f"{name}={value:g}: expected a number from {least:g} to {most:g}.")
    return value


def choice(asked: Mapping[str, Any], name: str, known: Collection[str]) -> str:
    """One of the known words."""
    value = asked[name]
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{name}={_checks.short_repr(value)}: expected one of {', '.join(known)}.")
    return value


def numbers(asked: Mapping[str, Any], name: str, count: int) -> np.ndarray:
    """A row of `count` numbers, float32 [count]."""
    values = asked[name]
    if not isinstance(values, list) or len(values) != count:
        found = f"{len(values)} of them" if isinstance(values, list) else type(values).__name__
        raise UsageError(f"{name}: expected {count} numbers, got {found}.")
    return np.array([_near(name, value) for value in values], np.float32)


def pair(asked: Mapping[str, Any], name: str, count: int) -> tuple[int, int]:
    """Two different whole numbers below `count`."""
    values = asked[name]
    if not isinstance(values, list) or len(values) != 2 or values[0] == values[1]:
        raise UsageError(f"{name}={_checks.short_repr(values)}: expected two different numbers.")
    first, second = (_checks.require_whole(name, value, 0, count - 1) for value in values)
    return first, second


def strengths(asked: Mapping[str, Any], known: Collection[str]) -> dict[str, float]:
    """{a known attribute: how much of it}."""
    given = asked["strengths"]
    if not isinstance(given, dict) or not set(given) <= set(known):
        raise UsageError(
            f"strengths={_checks.short_repr(given)}: expected numbers by name, of {', '.join(known) or 'none'}."
        )
    return {name: _near(f"strengths.{name}", value) for name, value in given.items()}


def pixels(asked: Mapping[str, Any], name: str, shape: Sequence[int]) -> np.ndarray:
    """An image, uint8 [*shape], of its bytes in base64."""
    text, count = asked[name], math.prod(shape)
    try:
        found = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error as error:
        raise UsageError(f"{name} is no base64 ({error}).") from error
    if len(found) != count:
        raise UsageError(f"{name}: expected {count:,} bytes, {' x '.join(map(str, shape))}, got {len(found):,}.")
    return np.frombuffer(found, np.uint8).reshape(shape)


def _near(name: str, value: Any) -> float:
    number = _checks.require_number(name, value)
    if abs(number) > _FAR:
        raise UsageError(f"{name}={number:g}: expected a number from {-_FAR:g} to {_FAR:g}.")
    return number


def _refuse(constant: str) -> None:
    raise UsageError(f"{constant} is no number of JSON")
