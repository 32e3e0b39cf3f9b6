"""The fields of a request, each checked as it is read; UsageError names the field and what was expected."""

import base64
import binascii
import json
import math
from collections.abc import Collection
from typing import Any

import numpy as np

from jaxvae._checks import UsageError, require_number, require_whole, short_repr
from jaxvae.data.spec import ExampleSpec

__all__ = ["Fields", "parse_body"]

_FARTHEST = 1e6  # a coordinate of a code, or a strength, is at most this far from 0


class Fields(dict[str, Any]):
    """The fields of one request, by name."""

    def require_names(self, names: Collection[str]) -> None:
        """Raises UsageError unless these fields are there and no others."""
        if set(self) != set(names):
            raise UsageError(f"the request has the fields {sorted(self)!r:.200}; expected {sorted(names)}.")

    def whole(self, name: str, least: int, most: int) -> int:
        """Returns a whole number from `least` to `most`."""
        return require_whole(name, self[name], least, most)

    def vector(self, name: str, size: int) -> np.ndarray:
        """Returns float32 [size]."""
        values = self[name]
        if not isinstance(values, list) or len(values) != size:
            found = f"{len(values)} of them" if isinstance(values, list) else type(values).__name__
            raise UsageError(f"{name}: expected {size} numbers, got {found}.")
        return np.array([require_number(name, value, -_FARTHEST, _FARTHEST) for value in values], np.float32)

    def pair(self, name: str, count: int) -> tuple[int, int]:
        """Returns two different whole numbers from 0 to `count` - 1."""
        values = self[name]
        if not isinstance(values, list) or len(values) != 2 or values[0] == values[1]:
            raise UsageError(f"{name}={short_repr(values)}: expected two different numbers.")
        first, second = (require_whole(name, value, 0, count - 1) for value in values)
        return first, second

    def strengths(self, name: str, known: Collection[str]) -> dict[str, float]:
        """Returns {a known attribute: its strength}."""
        values = self[name]
        if not isinstance(values, dict) or not set(values) <= set(known):
            listed = ", ".join(known) or "none"
            raise UsageError(f"{name}={short_repr(values)}: expected numbers by name, of {listed}.")
        return {key: require_number(f"{name}.{key}", value, -_FARTHEST, _FARTHEST) for key, value in values.items()}

    def image(self, name: str, spec: ExampleSpec) -> np.ndarray:
        """Returns a stored example from its bytes in base64."""
        text, size = self[name], math.prod(spec.shape) * spec.dtype.itemsize
        try:
            content = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        except binascii.Error as error:
            raise UsageError(f"{name}: expected base64 ({error}).") from error
        if len(content) != size:
            shape = " x ".join(map(str, spec.shape))
            raise UsageError(f"{name}: expected {size:,} bytes, {shape}, got {len(content):,}.")
        return np.frombuffer(content, spec.dtype).reshape(spec.shape)


def parse_body(body: bytes) -> Fields:
    """Returns the fields of a request's body, a JSON object."""
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise UsageError(f"the request is {short_repr(content)}; expected a JSON object.")
    return Fields(content)


def _refuse_constant(constant: str) -> None:
    raise UsageError(f"{constant} is no number of JSON")
