"""Paths through the latent space: lines, great circles, closed paths, traversals and planes.

Pure functions of codes; `decode` maps the points to images. Axis letters: T points, Z latent dimensions, N codes.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.stats import norm

__all__ = ["circle", "closed_path", "great_circle", "line", "move_along", "normal_quantiles", "perturb", "plane"]
__all__ += ["quantile_grid", "traversal"]

_LEG_POINTS = 1001  # of a leg of a closed path, before easing
_OPPOSITE = 1e-4  # radians: nearer to opposite directions, no great circle is the shortest


def line(start: Array, end: Array, steps: int) -> Array:
    """Returns T = `steps` points on the straight line from `start` to `end` [*Z], both included, [T, *Z]."""
    t = _fractions(steps, jnp.ndim(start))
    return (1 - t) * start[None] + t * end[None]


def great_circle(start: Array, end: Array, steps: int) -> Array:
    """Returns T points from `start` to `end` [*Z] whose direction and length change evenly, [T, *Z].

    Spherical interpolation (Shoemake 1985, SIGGRAPH 19(3); for latent spaces White 2016, arXiv:1609.04468). The middle
    of a line between two draws of a standard normal in many dimensions is shorter than any draw; here it is not. It is
    the straight line if the two have the same or exactly opposite directions, or one of them is 0.
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
    """Returns the Euclidean norm of z, with a gradient also at 0."""
    return jnp.sqrt(jnp.sum(z**2) + 1e-24)


def move_along(z: Array, direction: Array, strengths: Array) -> Array:
    """Returns the codes z [N, *Z] plus each strength [T] times `direction` [*Z]: [T, N, *Z]."""
    return z[None] + jnp.reshape(strengths, (-1, *(1,) * jnp.ndim(z))) * direction[None, None]


def traversal(z: Array, dimension: int, values: Array) -> Array:
    """Returns z [Z] with its coordinate `dimension` set to each of `values` [T]: [T, Z]."""
    return jnp.tile(z[None], (len(values), 1)).at[:, dimension].set(values)


def plane(z: Array, dimensions: tuple[int, int], values: Array) -> Array:
    """Returns z [Z] with two coordinates set to all pairs of ascending `values` [T]: [T, T, Z]; row 0 is the top."""
    first, second = jnp.meshgrid(values, values[::-1])
    grid = jnp.tile(z[None, None], (len(values), len(values), 1))
    return grid.at[..., dimensions[0]].set(first).at[..., dimensions[1]].set(second)


def perturb(z: Array, directions: Array, size: float | Array) -> Array:
    """Returns z [*Z] moved by `size`, a Euclidean length, along each of `directions` [N, *Z]: [N, *Z]."""
    lengths = jnp.sqrt(jnp.sum(directions.reshape(len(directions), -1) ** 2, axis=1))
    return z[None] + size * directions / jnp.reshape(lengths, (-1, *(1,) * jnp.ndim(z)))


def circle(radius: float, steps: int) -> Array:
    """Returns T = `steps` points of a circle around 0, counterclockwise, the end left out: [T, 2]."""
    angles = 2 * jnp.pi * jnp.arange(steps) / steps
    return radius * jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)


@partial(jax.jit, static_argnames=("steps", "interpolate"))
def closed_path(stops: Array, steps: int, interpolate: Callable[..., Array] = line) -> Array:
    """Returns a path from each of `stops` [K, *Z] to the next and back to the first, eased: [K * steps, *Z].

    `interpolate(start, end, points)` is `line` or `great_circle`. Point k * steps is stop k.
    """
    t = jnp.arange(steps) / steps
    eased = jnp.round((_LEG_POINTS - 1) * t * t * (3 - 2 * t)).astype(int)
    legs = jax.vmap(lambda start, end: interpolate(start, end, _LEG_POINTS)[eased])(stops, jnp.roll(stops, -1, 0))
    return legs.reshape(-1, *stops.shape[1:])


def normal_quantiles(side: int) -> np.ndarray:
    """Returns the standard normal's quantiles (i + 1/2) / side: [side], equally probable steps."""
    return np.asarray(norm.ppf((jnp.arange(side) + 0.5) / side), np.float32)


def quantile_grid(side: int) -> np.ndarray:
    """Returns the plane's points at `normal_quantiles` of both coordinates: [side, side, 2]; row 0 is the top."""
    return np.asarray(plane(jnp.zeros(2), (0, 1), jnp.asarray(normal_quantiles(side))))


def _fractions(steps: int, rank: int) -> Array:
    """Returns T even steps from 0 to 1, to be broadcast against a z of this rank: [T, 1, ...]."""
    return jnp.linspace(0.0, 1.0, steps).reshape(steps, *(1,) * rank)
