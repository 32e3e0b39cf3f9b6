"""Exact nearest neighbours of images or codes.

Axis letters: N queries, M points, D values of each, K neighbours.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxvae._checks import UsageError

__all__ = ["majority_label", "nearest"]

_CHUNK = 2048  # points compared with all queries at once
_SPARE = 8  # candidates beyond K, whose distances are computed again without cancellation


class _Nearest(NamedTuple):
    """The nearest points to every query, the nearest first."""

    indices: Array  # [N, K], into the points searched
    distances: Array  # [N, K], Euclidean


@partial(jax.jit, static_argnums=2)
def nearest(queries: Array, among: Array, count: int) -> _Nearest:
    """Returns the `count` nearest of `among` [M, D] to each of `queries` [N, D], by Euclidean distance.

    Candidates are found by |q|^2 + |a|^2 - 2 q a, chunk by chunk, a few more than `count`, and sorted by |q - a|. So
    float32's cancellation changes neither order nor distances, unless more than _SPARE points are equally far to one
    part in a million. Raises UsageError if count > M.
    """
    if not 1 <= count <= len(among) or queries.shape[1:] != among.shape[1:]:
        raise UsageError(
            f"count={count} neighbours of queries {list(queries.shape)} among {list(among.shape)}: expected [N, D] and "
            "[M, D], and from 1 to M neighbours."
        )
    centre = among.mean(0, keepdims=True)
    queries, among = queries - centre, among - centre
    candidates = _search(queries, among, min(count + _SPARE, len(among)))
    exact = lax.map(lambda pair: jnp.square(pair[0][None] - among[pair[1]]).sum(1), (queries, candidates))
    exact = jnp.sqrt(exact)
    order = jnp.argsort(exact, axis=1, stable=True)[:, :count]
    return _Nearest(jnp.take_along_axis(candidates, order, 1), jnp.take_along_axis(exact, order, 1))


def _search(queries: Array, among: Array, count: int) -> Array:
    """Returns indices of the nearest by float32's matrix product, [N, K]; equal distances in order of their index."""
    size = min(_CHUNK, len(among))
    beyond = -len(among) % size
    chunks = jnp.pad(among, ((0, beyond), (0, 0))).reshape(-1, size, among.shape[1])
    numbers = jnp.arange(len(among) + beyond).reshape(-1, size)
    best = jnp.full((len(queries), count), jnp.inf), jnp.zeros((len(queries), count), numbers.dtype)

    def look(best: tuple[Array, Array], chunk: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        points, number = chunk
        # without |q|^2, which is the same for all points
        far = (points**2).sum(1)[None] - 2 * jnp.matmul(queries, points.T, precision="highest")
        far = jnp.where(number[None] < len(among), far, jnp.inf)
        both = jnp.concatenate([best[0], far], 1)
        which = jnp.concatenate([best[1], jnp.broadcast_to(number[None], far.shape)], 1)
        least, order = lax.top_k(-both, count)
        return (-least, jnp.take_along_axis(which, order, 1)), None

    return lax.scan(look, best, (chunks, numbers))[0][1]


def majority_label(labels: np.ndarray) -> np.ndarray:
    """Returns the most frequent label of the neighbours, [N, K] nearest first; in a tie, the nearest's: [N]."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(2)
    return labels[np.arange(len(labels)), votes.argmax(1)]
