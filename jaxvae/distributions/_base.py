"""What all densities share: sums over the event, draws with one key per outcome."""

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
    """Returns log(1 + e^x), without overflow: on a CPU 2.5 times (its gradient 5 times) faster than jax.nn.softplus."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


softplus.defjvps(lambda tangent, value, x: tangent * jax.nn.sigmoid(x))  # exact at 0, too, where |x| has a corner


@jax.custom_jvp
def log_decay(m: Array) -> Array:
    """Returns log((1 - e^-m) / m), m >= 0: the log of the integral of e^(-m t) over [0, 1]; exact at 0 and 10^4."""
    m = jnp.maximum(m, 1e-20)  # (1 - e^-m) / m is 1 here already, and 0 / 0 never
    return jnp.log(-jnp.expm1(-m) / m)


def mean_decay(m: Array) -> Array:
    """Returns 1 / m - 1 / (e^m - 1): the mean of t in [0, 1] if its density is like e^(-m t), m of either sign.

    It is 1/2 at m = 0. Within 1 of 0 the difference would lose its digits: there it is the series in Bernoulli's
    numbers, to 2e-8.
    """
    square = m * m
    series = 0.5 - m * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600)))
    large = jnp.maximum(jnp.abs(m), 1)
    tail = 1 / large + jnp.exp(-large) / jnp.expm1(-large)
    return jnp.where(square < 1, series, jnp.where(m > 0, tail, 1 - tail))


log_decay.defjvps(lambda tangent, value, m: -tangent * mean_decay(m))


def sum_event(each: Array, event: int) -> Array:
    """Sums the last `event` axes."""
    return each.sum(axis=tuple(range(-event, 0)))


def draw_and_score(density: Any, keys: Array) -> tuple[Array, Array]:
    """Returns draws and their log-densities: the `sample_and_log_prob` of densities without a joint form."""
    x = density.sample(keys)
    return x, density.log_prob(x)


def flat_log_prob(density: Any, x: Array) -> Array:
    """Returns the sum of log_prob_each(x) over the event, computed with the event's axes flattened.

    XLA's CPU backend sums over several axes at once 2 to 8 times slower, and undoes a reshape between the two.
    """
    event = density.event
    outcome = x.shape[x.ndim - event :]

    def flat(leaf: Array) -> Array:
        batch, own = leaf.shape[: leaf.ndim - event], leaf.shape[leaf.ndim - event :]
        shared = math.prod(own) == 1  # stays one value, to be broadcast
        return (leaf if shared else jnp.broadcast_to(leaf, (*batch, *outcome))).reshape(*batch, -1)

    return jax.tree.map(flat, density).log_prob_each(flat(x)).sum(axis=-1)


def draw_each(
    sampler: Callable[..., Array], keys: Array, shape: tuple[int, ...], event: int, *parameters: Array
) -> Array:
    """Draws `sampler(key, *parameters, shape=event shape)` once for every key: no draw depends on its neighbours.

    A Poisson of its own rate for each coordinate: `draw_each(random.poisson, keys, rate.shape, 1, rate)`.

    Args:
        sampler: of `jax.random`, such as `random.normal`, or of the same arguments.
        keys: `[*batch]`, which gives `[*batch, *event]`; a scalar key is split over `shape`'s own batch.
        shape: `[*batch, *event]`; if there are keys for more, its batch may have axes of size 1.
        event: the number of axes of an outcome.
        parameters: each broadcasts to `[*batch, *event]`; the sampler is given those of its outcome, `[*event]`.
    """
    batch, outcome = shape[: len(shape) - event], shape[len(shape) - event :]
    draw, keys = map_keys(functools.partial(sampler, shape=outcome), keys, batch)
    return draw(keys, *(jnp.broadcast_to(each, (*keys.shape, *outcome)) for each in parameters))


def map_keys(draw: Callable[..., Any], keys: Array, batch: tuple[int, ...]) -> tuple[Callable[..., Any], Array]:
    """Returns `draw`, a function of one key, as one of keys [*batch], and these: a scalar key is split over them."""
    keys = random.split(keys, batch) if keys.ndim == 0 else keys
    for _ in range(keys.ndim):
        draw = jax.vmap(draw)
    return draw, keys
