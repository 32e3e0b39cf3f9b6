"""What all densities share: sums over the event, draws with one key per outcome."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, random

LOG_2PI = math.log(2 * math.pi)


@jax.custom_jvp
def softplus(x: Array) -> Array:
    """log(1 + e^x), without overflow: on a CPU 2.5 times (its gradient 5 times) faster than jax.nn.softplus."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


softplus.defjvps(lambda tangent, value, x: tangent * jax.nn.sigmoid(x))  # exact at 0, too, where |x| has a corner


def sum_event(each: Array, event: int) -> Array:
    """Sums the last `event` axes."""
    return each.sum(axis=tuple(range(-event, 0)))


def flat_log_prob(density: Any, x: Array) -> Array:
    """The sum of log_prob_each(x) over the event, computed with the event's axes laid flat.

    XLA's CPU backend sums over several axes at once 2 to 8 times slower, and undoes a reshape between the two.
    """
    event = density.event
    outcome = x.shape[x.ndim - event :]

    def flat(leaf: Array) -> Array:
        batch, own = leaf.shape[: leaf.ndim - event], leaf.shape[leaf.ndim - event :]
        shared = math.prod(own) == 1  # stays one value, to be broadcast
        return (leaf if shared else jnp.broadcast_to(leaf, (*batch, *outcome))).reshape(*batch, -1)

    return jax.tree.map(flat, density).log_prob_each(flat(x)).sum(axis=-1)


def draw_each(sampler: Callable[..., Array], keys: Array, shape: tuple[int, ...], event: int) -> Array:
    """Draws `sampler(key, event shape)` once for every key, so that no draw depends on its neighbours.

    `keys` shaped like the batch, `[*batch]`, gives `[*batch, *event]`; a scalar key is split over `shape`'s own batch.
    """
    batch, outcome = shape[: len(shape) - event], shape[len(shape) - event :]
    if keys.ndim == 0:
        keys = random.split(keys, batch)
    draw = functools.partial(sampler, shape=outcome)
    for _ in range(keys.ndim):
        draw = jax.vmap(draw)
    return draw(keys)
