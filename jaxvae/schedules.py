"""Numbers that change with the step: weights inside an objective's string, and learning rates.

A weight's schedule takes what the string holds, `linear(0, 1, steps=5000)`; a learning rate's is also given
`learning_rate` and, where it ends with training, `steps` (train.steps).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jaxvae._checks import finite, share, whole


def linear(start: float, end: float, *, steps: int) -> optax.Schedule:
    """From start to end over so many steps, then end."""
    return optax.linear_schedule(finite("start", start, 0), finite("end", end, 0), whole("steps", steps))


def cyclical(start: float, end: float, *, steps: int, cycles: int = 4, rising: float = 0.5) -> optax.Schedule:
    """From start to end `cycles` times over so many steps, then end.

    Each cycle climbs linearly for its share `rising`, then stays (Fu et al. 2019, arXiv 1903.10145, section 3.2).
    """
    start, end, rising = finite("start", start, 0), finite("end", end, 0), share("rising", rising)
    length = whole("steps", steps) / whole("cycles", cycles)

    def schedule(step):
        along = jnp.where(step < steps, (step % length) / length, 1.0)
        return start + (end - start) * jnp.minimum(along / max(rising, 1e-6), 1.0)

    return schedule


def sigmoid(start: float, end: float, *, steps: int, steepness: float = 12.0) -> optax.Schedule:
    """From start to end along a logistic curve over so many steps, steepest in their middle, then end.

    Bowman et al. 2015 (arXiv 1511.06349, section 3.1). The curve is cut at logits of +-steepness / 2 and stretched to
    begin and end at its two values.
    """
    start, end = finite("start", start, 0), finite("end", end, 0)
    steps, half = whole("steps", steps), finite("steepness", steepness, 0.1) / 2

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
    return optax.linear_schedule(0.0, learning_rate, whole("steps", steps))


def cosine(warmup: int = 0, final: float = 0.0, *, learning_rate: float, steps: int) -> optax.Schedule:
    """Linear warm-up, then half a cosine down to `final` times the learning rate at the last step (train.steps)."""
    if whole("warmup", warmup, 0) >= steps:
        raise ValueError(f"warmup={warmup} leaves no step of train.steps={steps} for the cosine; choose a smaller one.")
    return optax.warmup_cosine_decay_schedule(
        0.0 if warmup else learning_rate, learning_rate, warmup, steps, finite("final", final, 0) * learning_rate
    )
