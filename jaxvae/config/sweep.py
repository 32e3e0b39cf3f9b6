"""Sweeps over a number of the config, as its string names them: `beta(0.5, 1.0)`, `learning_rate(1e-4, 1e-3)`."""

from typing import NamedTuple

from jaxvae._checks import UsageError, require_number, require_positive

__all__ = ["Sweep", "beta", "learning_rate"]


class Sweep(NamedTuple):
    """The values that a number of the config takes, one for each member, or for each group of members by seed."""

    name: str
    values: tuple[float, ...]


def beta(*values: float) -> Sweep:
    """The weight of the rate in the objective."""
    return _sweep("beta", tuple(require_number("beta", value) for value in values))


def learning_rate(*values: float) -> Sweep:
    """optimizer.learning_rate: the largest one of a schedule."""
    return _sweep("learning_rate", tuple(require_positive("learning_rate", value) for value in values))


def _sweep(name: str, values: tuple[float, ...]) -> Sweep:
    if not values:
        raise UsageError("expected at least one value to sweep over.")
    if len(set(values)) < len(values):
        raise UsageError(f"a value is given twice: {values}.")
    return Sweep(name, values)
