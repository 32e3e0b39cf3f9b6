"""Nearest neighbours, exactly: of images among images, of codes among codes.

Axis letters: N queries, M places to look among, D numbers of each, K neighbours.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxvae._checks import UsageError

_CHUNK = 2048  # places compared with all queries at once
_SPARE = 8  # candidates beyond those asked for, whose distances are computed anew, without cancellation


class _Nearest(NamedTuple):
    """The nearest places to every query, the nearest first."""

    indices: Array  # [N, K], into the points searched
    distances: Array  # [N, K], Euclidean


@partial(jax.jit, static_argnums=2)
def nearest(queries: Array, among: Array, count: int) -> _Nearest:
    """The `count` nearest to each of `queries` [N, D] among [M, D], by Euclidean distance, over all M.

    Found by |q|^2 + |a|^2 - 2 q a, chunk by chunk, and put in order by |q - a| of a few more than are asked for: what
    float32 loses in the former changes neither the order nor the distances, unless more than SPARE places are equally
    far to one part in a million. ValueError where there are fewer places than neighbours asked for.
    """
    if not 1 <= count <= len(among) or queries.shape[1:] != among.shape[1:]:
        raise UsageError(
            f"count={count} neighbours of queries {list(queries.shape)} among {list(among.shape)}: expected [N, D] and "
            "[M, D], and from 1 to M neighbours."
        )
    centre = among.mean(0, keepdims=True)
    queries, among = queries - centre, among - centre
    candidates = _search(queries, among, min(count + _SPARE, len(among)))
    exact = jnp.sqrt(lax.map(lambda pair: _squared_distances(pair[0], among[pair[1]]), (queries, candidates)))
    order = jnp.argsort(exact, axis=1, stable=True)[:, :count]
    return _Nearest(jnp.take_along_axis(candidates, order, 1), jnp.take_along_axis(exact, order, 1))


def _search(queries: Array, among: Array, count: int) -> Array:
    """[N, K]: the nearest as far as float32's matrix product tells, in order of their index where it does not."""
    size = min(_CHUNK, len(among))
    beyond = -len(among) % size
    chunks = jnp.pad(among, ((0, beyond), (0, 0))).reshape(-1, size, among.shape[1])
    numbers = jnp.arange(len(among) + beyond).reshape(-1, size)
    best = jnp.full((len(queries), count), jnp.inf), jnp.zeros((len(queries), count), numbers.dtype)

    def look(best: tuple[Array, Array], chunk: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        places, number = chunk
        # without |q|^2, which is the same for all places
        far = (places**2).sum(1)[None] - 2 * jnp.matmul(queries, places.T, precision="highest")
        far = jnp.where(number[None] < len(among), far, jnp.inf)
        both = jnp.concatenate([best[0], far], 1)
        which = jnp.concatenate([best[1], jnp.broadcast_to(number[None], far.shape)], 1)
        least, order = lax.top_k(-both, count)
        return (-least, jnp.take_along_axis(which, order, 1)), None

    return lax.scan(look, best, (chunks, numbers))[0][1]


def _squared_distances(query: Array, places: Array) -> Array:
    """|query - place|^2 of a query [D] and places [K, D]: [K]."""
    return jnp.square(query[None] - places).sum(1)


def majority_label(labels: np.ndarray) -> np.ndarray:
    """[N]: the commonest of the neighbours' labels [N, K], the nearest first; of equally common ones, the nearest's."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(2)
    return labels[np.arange(len(labels)), votes.argmax(1)]
