"""What is swept over, as a config's string says it: `beta(0.5, 1.0, 4.0)`, `learning_rate(1e-4, 1e-3)`."""

from __future__ import annotations

import math
import numbers
from typing import NamedTuple

from jaxvae._checks import UsageError


class Sweep(NamedTuple):
    """The values that a number of the config takes, one for each member, or for each group of members by seed."""

    name: str
    values: tuple[float, ...]


def beta(*values: float) -> Sweep:
    """The weight of the rate in the objective."""
    return Sweep("beta", _checked(values))


def learning_rate(*values: float) -> Sweep:
    """optimizer.learning_rate: the largest one of a schedule."""
    if any(value <= 0 for value in _checked(values)):
        raise UsageError(f"a learning rate is positive, got {values}.")
    return Sweep("learning_rate", _checked(values))


def _checked(values: tuple) -> tuple[float, ...]:
    """The values as floats; ValueError where one is no finite number, or comes twice."""
    if not values:
        raise UsageError("expected at least one value to sweep over.")
    if not all(isinstance(value, numbers.Real) and math.isfinite(value) for value in values):
        raise UsageError(f"expected finite numbers, got {values}.")
    if len(set(map(float, values))) < len(values):
        raise UsageError(f"a value is given twice: {values}.")
    return tuple(map(float, values))
