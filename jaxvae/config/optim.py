"""Optimizers of optax, schedules of the learning rate and of weights of an objective, and sweeps over a number."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxvae._checks import UsageError, require_fraction, require_number, require_positive, require_whole


def adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Steps m / (sqrt(v) + eps), m and v running means of the gradient and its square (arXiv 1412.6980, alg. 1)."""
    return optax.adam(schedule, require_fraction("b1", b1), require_fraction("b2", b2), require_positive("eps", eps))


def adamw(
    weight_decay: float = 1e-4, b1: float = 0.9, b2: float = 0.999, *, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Adam, and all parameters shrunk by the learning rate times `weight_decay` (arXiv 1711.05101, alg. 2)."""
    decay = require_number("weight_decay", weight_decay, 0)
    return optax.adamw(schedule, require_fraction("b1", b1), require_fraction("b2", b2), weight_decay=decay)


def adamax(b1: float = 0.9, b2: float = 0.999, *, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Adam with the largest recent gradient in place of sqrt(v) (arXiv 1412.6980, alg. 2)."""
    return optax.adamax(schedule, require_fraction("b1", b1), require_fraction("b2", b2))


def sgd(momentum: float = 0.0, *, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Steps along the gradient, or along its running sum with `momentum`."""
    return optax.sgd(schedule, require_fraction("momentum", momentum) or None)


def with_critic(optimizer: optax.GradientTransformation, learning_rate: float) -> optax.GradientTransformation:
    """The optimizer for the model, and for the objective's critic Adam with little momentum, so that it follows.

    b1 = 0.5 and b2 = 0.9 are those of FactorVAE (arXiv 1802.05983, appendix A), near DCGAN's (arXiv 1511.06434).
    """
    of_critic = optax.adam(learning_rate, 0.5, 0.9)
    return optax.partition({"model": optimizer, "objective": of_critic}, {"model": "model", "objective": "objective"})


def linear(start: float, end: float, *, steps: int) -> optax.Schedule:
    """From start to end over so many steps, then end."""
    start, end = require_number("start", start, 0), require_number("end", end, 0)
    return optax.linear_schedule(start, end, require_whole("steps", steps))


def cyclical(start: float, end: float, *, steps: int, cycles: int = 4, rising: float = 0.5) -> optax.Schedule:
    """From start to end `cycles` times over so many steps, then end.

    Each cycle climbs linearly for its share `rising`, then stays (Fu et al. 2019, arXiv 1903.10145, section 3.2).
    """
    start, end = require_number("start", start, 0), require_number("end", end, 0)
    rising = require_fraction("rising", rising)
    length = require_whole("steps", steps) / require_whole("cycles", cycles)

    def schedule(step):
        along = jnp.where(step < steps, (step % length) / length, 1.0)
        return start + (end - start) * jnp.minimum(along / max(rising, 1e-6), 1.0)

    return schedule


def sigmoid(start: float, end: float, *, steps: int, steepness: float = 12.0) -> optax.Schedule:
    """From start to end along a logistic curve over so many steps, steepest in their middle, then end.

    Bowman et al. 2015 (arXiv 1511.06349, section 3.1); cut at logits of +-steepness / 2, stretched to its two values.
    """
    start, end = require_number("start", start, 0), require_number("end", end, 0)
    steps, half = require_whole("steps", steps), require_number("steepness", steepness, 0.1) / 2

    def schedule(step):
        along = jnp.minimum(step / steps, 1.0)
        least, most = jax.nn.sigmoid(-half), jax.nn.sigmoid(half)
        return start + (end - start) * (jax.nn.sigmoid(half * (2 * along - 1)) - least) / (most - least)

    return schedule


def constant(*, learning_rate: float) -> optax.Schedule:
    """optimizer.learning_rate at every step."""
    return optax.constant_schedule(learning_rate)


def warmup(steps: int, *, learning_rate: float) -> optax.Schedule:
    """Linearly from 0 to the learning rate over so many steps, then constant."""
    return optax.linear_schedule(0.0, learning_rate, require_whole("steps", steps))


def cosine(warmup: int = 0, final: float = 0.0, *, learning_rate: float, steps: int) -> optax.Schedule:
    """Linear warm-up, then half a cosine down to `final` times the learning rate at the last step (train.steps)."""
    if require_whole("warmup", warmup, 0) >= steps:
        raise UsageError(f"warmup={warmup} leaves no step of train.steps={steps} for the cosine; choose a smaller one.")
    first, last = 0.0 if warmup else learning_rate, require_number("final", final, 0) * learning_rate
    return optax.warmup_cosine_decay_schedule(first, learning_rate, warmup, steps, last)


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
