"""Closed walks through the latent space, for films that repeat. Axis letters: K stops, F points of a walk, Z latent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from jaxvae.latent.walks import line

FINE = 1001  # points of a leg, of which those at eased times are taken


def circle(radius: float, steps: int) -> Array:
    """[F, 2]: F points once round the plane's middle, against the clock, the last one step short of the first."""
    angles = 2 * jnp.pi * jnp.arange(steps) / steps
    return radius * jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)


@partial(jax.jit, static_argnames=("steps", "way"))
def tour(stops: Array, steps: int, way: Callable[..., Array] = line) -> Array:
    """[K * steps, *Z]: from each of `stops` [K, *Z] to the next, and from the last to the first, slowly at the stops.

    `way(start, end, points)` is a leg: `line`, or `great_circle`. Point k * steps is stop k.
    """
    t = jnp.arange(steps) / steps
    eased = jnp.round((FINE - 1) * t * t * (3 - 2 * t)).astype(int)
    legs = jax.vmap(lambda start, end: way(start, end, FINE)[eased])(stops, jnp.roll(stops, -1, 0))
    return legs.reshape(-1, *stops.shape[1:])
