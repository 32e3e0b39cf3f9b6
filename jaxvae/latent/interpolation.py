"""Walks through the latent space: lines, great circles, traversals, planes; arrays of z in, arrays of z out.

Axis letters: T points of a walk, Z latent dimensions, N codes. What z's a walk visits is decided here alone; `decode`
says what is seen there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.stats import norm

_OPPOSITE = 1e-4  # radians from the opposite direction below which no great circle is shorter than the others


def line(start: Array, end: Array, steps: int) -> Array:
    """[T, *Z]: T = `steps` points on the straight line from `start` to `end` [*Z], both included."""
    t = _fractions(steps, jnp.ndim(start))
    return (1 - t) * start[None] + t * end[None]


def great_circle(start: Array, end: Array, steps: int) -> Array:
    """[T, *Z]: T points from `start` to `end` [*Z] whose direction turns evenly and whose length changes evenly.

    Spherical interpolation (Shoemake 1985, SIGGRAPH 19(3); for latent spaces White 2016, arXiv:1609.04468): on a line
    between two draws of a standard normal in many dimensions the middle is shorter than any draw; here it is not. The
    straight line where the two point the same way, exactly opposite ways, or one of them is 0.
    """
    t = _fractions(steps, jnp.ndim(start))
    lengths = _norm(start), _norm(end)
    short = jnp.minimum(*lengths) < 1e-6
    a, b = (each / jnp.where(short, 1.0, long) for each, long in zip((start, end), lengths, strict=True))
    angle = 2 * jnp.arctan2(_norm(a - b), _norm(a + b))  # exact, too, where it is small
    straight = short | (angle > jnp.pi - _OPPOSITE)
    safe = jnp.where(straight, 1.0, angle)
    turned = (jnp.sin((1 - t) * safe) * a[None] + jnp.sin(t * safe) * b[None]) / jnp.sin(safe)
    return jnp.where(straight, line(start, end, steps), ((1 - t) * lengths[0] + t * lengths[1]) * turned)


def _norm(z: Array) -> Array:
    """The Euclidean length of z, with a gradient at 0, too."""
    return jnp.sqrt(jnp.sum(z**2) + 1e-24)


def move_along(z: Array, direction: Array, strengths: Array) -> Array:
    """[T, N, *Z]: the codes z [N, *Z], moved by each strength [T] times `direction` [*Z]."""
    return z[None] + jnp.reshape(strengths, (-1, *(1,) * jnp.ndim(z))) * direction[None, None]


def traversal(z: Array, dimension: int, values: Array) -> Array:
    """[T, Z]: z [Z] with its coordinate `dimension` put to each of `values` [T], the others left as they are."""
    return jnp.tile(z[None], (len(values), 1)).at[:, dimension].set(values)


def plane(z: Array, dimensions: tuple[int, int], values: Array) -> Array:
    """[T, T, Z]: z [Z] with two coordinates put to all pairs of `values` [T], ascending; row 0 the second's largest."""
    first, second = jnp.meshgrid(values, values[::-1])
    grid = jnp.tile(z[None, None], (len(values), len(values), 1))
    return grid.at[..., dimensions[0]].set(first).at[..., dimensions[1]].set(second)


def perturb(z: Array, directions: Array, size: float | Array) -> Array:
    """[N, *Z]: z [*Z] moved by `size`, a Euclidean length, along each of `directions` [N, *Z]."""
    lengths = jnp.sqrt(jnp.sum(directions.reshape(len(directions), -1) ** 2, axis=1))
    return z[None] + size * directions / jnp.reshape(lengths, (-1, *(1,) * jnp.ndim(z)))


def normal_quantiles(side: int) -> np.ndarray:
    """[side]: the standard normal's quantiles (i + 1/2) / side, equally probable steps."""
    return np.asarray(norm.ppf((jnp.arange(side) + 0.5) / side), np.float32)


def quantile_grid(side: int) -> np.ndarray:
    """[side, side, 2] points of the plane at the standard normal's quantiles (i + 1/2) / side; row 0 the largest z2."""
    return np.asarray(plane(jnp.zeros(2), (0, 1), jnp.asarray(normal_quantiles(side))))


def _fractions(steps: int, rank: int) -> Array:
    """[T, 1, ...]: T even steps from 0 to 1, to be broadcast against a z of this rank."""
    return jnp.linspace(0.0, 1.0, steps).reshape(steps, *(1,) * rank)


# MERGED

_FINE = 1001  # points of a leg, of which those at eased times are taken


def circle(radius: float, steps: int) -> Array:
    """[F, 2]: F points once round the plane's middle, against the clock, the last one step short of the first."""
    angles = 2 * jnp.pi * jnp.arange(steps) / steps
    return radius * jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)


@partial(jax.jit, static_argnames=("steps", "way"))
def closed_path(stops: Array, steps: int, way: Callable[..., Array] = line) -> Array:
    """[K * steps, *Z]: from each of `stops` [K, *Z] to the next, and from the last to the first, slowly at the stops.

    `way(start, end, points)` is a leg: `line`, or `great_circle`. Point k * steps is stop k.
    """
    t = jnp.arange(steps) / steps
    eased = jnp.round((_FINE - 1) * t * t * (3 - 2 * t)).astype(int)
    legs = jax.vmap(lambda start, end: way(start, end, _FINE)[eased])(stops, jnp.roll(stops, -1, 0))
    return legs.reshape(-1, *stops.shape[1:])
