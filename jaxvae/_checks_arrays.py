"""What users pass to a model's functions, checked in words before anything is compiled for it.

Inside somebody's jit there are no values to look at: shapes and types are checked there alone.
"""

from __future__ import annotations

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import UsageError

MOST = 2**31 - 1  # what an int32 holds


def array(value: Any, name: str, expected: str) -> Any:
    """The value as an array of numbers (or truth values), on the host where it was; ValueError for what is none."""
    if not isinstance(value, jax.Array):
        try:
            value = np.asarray(value)
        except Exception as error:  # of rows of several lengths, or of what an object's own conversion raises
            raise UsageError(f"{name} is no array ({error}); expected {expected}.") from error
    kinds = (np.floating, np.integer, np.bool_)
    if not any(jnp.issubdtype(value.dtype, kind) for kind in kinds):
        raise UsageError(f"{name} holds {value.dtype}; expected {expected}.")
    return value


def finite(value: Any, name: str) -> None:
    """Raises ValueError where an array on the host holds what is not finite, or not in float32."""
    if isinstance(value, jax.core.Tracer):
        return
    with np.errstate(over="ignore"):
        bad = int((~np.isfinite(np.asarray(value).astype(np.float32))).sum())
    if bad:
        raise UsageError(f"{name} holds {bad} values that are NaN, infinite or beyond float32; expected finite ones.")


def whole(value: Any, name: str, expected: str) -> int:
    """The value as a whole number from 1 on; ValueError for another."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= MOST:
        raise UsageError(f"{name}={value!r}: expected {expected}, a whole number.")
    return number


def steps(value: Any) -> int:
    """The value, where it is a number of steps that a chain can take; ValueError for another."""
    if whole(value, "steps", "two or more steps of the chain") < 2:
        raise UsageError(f"steps={value!r}: expected two or more steps of the chain, a whole number.")
    return int(value)


def keys(value: Any, name: str, *, many: bool = False) -> Any:
    """The value, where it is a key of jax.random, or with `many` a row of at least one; ValueError for another."""
    typed = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    if not typed or value.ndim != int(many) or 0 in value.shape:
        found = f"{value.dtype} {list(value.shape)}" if isinstance(value, jax.Array) else type(value).__name__
        wanted = "keys [N], such as jax.random.split(key, N)" if many else "one key, such as jax.random.key(0)"
        raise UsageError(f"{name} is {found}; expected {wanted}.")
    return value


def temperature(value: Any) -> Any:
    """The value, where it is a number from 0 on; ValueError for another."""
    given = array(value, "temperature", "a number from 0 on")
    known = not isinstance(given, jax.core.Tracer)
    if given.shape != () or (known and not 0 <= float(given) < float("inf")):
        raise UsageError(f"temperature={value!r}: expected a finite number from 0 on, times the prior's spread.")
    return value
