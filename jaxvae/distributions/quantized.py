"""Outcomes without a density: a point, the nearest code of a codebook, a rounded vector; and the uniform over codes.

An outcome of codes is `[slots, dim]`, one code for each slot: `event` is 2. The first three are certain of their
outcome: log_prob is 0 by convention, and what they make with a likelihood is not reported as an elbo (`bound`).
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxvae.distributions._base import draw_and_score, draw_each

__all__ = ["FiniteScalarQuantized", "Point", "UniformCodes", "VectorQuantized", "code_grid"]


def _zero_log_prob(density: Any, z: Array) -> Array:
    """Returns zeros [*batch] for z [*batch, *event]."""
    return jnp.zeros(z.shape[: z.ndim - density.event])


def _repeat_mean(density: Any, keys: Array) -> Array:
    """Returns the outcome, once for every key, [*batch, *event] for keys [*batch]; as it is for a scalar key."""
    outcome = density.mean()
    event = outcome.shape[outcome.ndim - density.event :]
    return jnp.broadcast_to(outcome, (*keys.shape, *event)) if keys.ndim else outcome


@struct.dataclass
class Point:
    """All mass at `loc [*batch, *event]`."""

    loc: Array
    event: int = struct.field(pytree_node=False, default=1)

    def mean(self) -> Array:
        return self.loc

    sample, log_prob, sample_and_log_prob = _repeat_mean, _zero_log_prob, draw_and_score


@struct.dataclass
class VectorQuantized:
    """The code nearest to each of `vectors [*batch, slots, dim]` in `codebook [*1, K, dim]`.

    `usage [*1, K, 1]` is each code's share of what was quantized of late. The gradient of an outcome is passed to its
    vector unchanged, straight through (van den Oord et al. 2017, arXiv 1711.00937, sec. 3.2); the codebook has none.
    """

    vectors: Array
    codebook: Array
    usage: Array
    event: ClassVar[int] = 2

    def codes(self) -> Array:
        """Returns the index of the nearest code of each slot, int32 [*batch, slots]; the first of equally near ones."""
        table = self.codebook.reshape(self.codebook.shape[-2:])
        # |v - e|^2 without |v|^2; a GPU's usual precision would often choose the second nearest
        products = jnp.einsum("...d,kd->...k", self.vectors, table, precision="highest")
        half_squares = (0.5 * (table**2).sum(-1)).reshape((1,) * (products.ndim - 1) + (-1,))
        return jnp.argmin(lax.stop_gradient(half_squares - products), axis=-1).astype(jnp.int32)

    def nearest(self) -> Array:
        """Returns the codes themselves, [*batch, slots, dim], without a gradient."""
        table = self.codebook.reshape(self.codebook.shape[-2:])
        return lax.stop_gradient(table[self.codes()])

    def mean(self) -> Array:
        return _straight_through(self.vectors, self.nearest())

    sample, log_prob, sample_and_log_prob = _repeat_mean, _zero_log_prob, draw_and_score

    def extra(self) -> dict[str, Array]:
        """Returns metrics of the codebook.

        `commitment [*batch]`: |v - e|^2 summed over slots and dimensions (eq. 3, third term). `perplexity [*1]`: exp of
        the entropy of the codebook's usage.
        """
        commitment = ((self.vectors - self.nearest()) ** 2).sum((-2, -1))
        share = self.usage / self.usage.sum((-2, -1), keepdims=True)
        entropy = -jax.scipy.special.xlogy(share, share).sum((-2, -1))
        return {"commitment": commitment, "perplexity": jnp.exp(entropy)}

    def uniform(self) -> UniformCodes:
        """Returns the density that gives every code of every slot the same probability."""
        return UniformCodes(self.codebook, self.vectors.shape[-2])


@struct.dataclass
class FiniteScalarQuantized:
    """`vectors [*batch, slots, dim]` squashed and rounded: dimension i to one of `levels[i]` values in [-1, 1].

    Finite scalar quantization (Mentzer et al. 2023, arXiv 2309.15505, sec. 3.1): the codebook is the grid of all
    levels, K = their product. The gradient passes through the rounding, not around the squashing.
    """

    vectors: Array
    levels: tuple[int, ...] = struct.field(pytree_node=False)
    event: ClassVar[int] = 2

    def mean(self) -> Array:
        """Returns the codes, [*batch, slots, dim]; an even number of levels is uneven around 0: -1, -1/2, 0, 1/2."""
        squashed = self._squashed()
        return _straight_through(squashed, jnp.round(squashed)) / self._row(_half_levels(self.levels))

    def codes(self) -> Array:
        """Returns the index of each slot's code, int32 [*batch, slots]; the first dimension varies fastest."""
        digits = jnp.round(self._squashed()).astype(jnp.int32) + self._row(_half_levels(self.levels))
        return (digits * self._row(_strides(self.levels))).sum(-1)

    sample, log_prob, sample_and_log_prob = _repeat_mean, _zero_log_prob, draw_and_score

    def uniform(self) -> UniformCodes:
        """Returns the density that gives every code of every slot the same probability."""
        table = code_grid(self.levels)
        return UniformCodes(table.reshape((1,) * (self.vectors.ndim - 2) + table.shape), self.vectors.shape[-2])

    def _squashed(self) -> Array:
        half = [(level - 1) * (1 - 1e-3) / 2 for level in self.levels]  # less: nothing rounds beyond the last level
        offset = [0.5 * (level % 2 == 0) for level in self.levels]
        # brings 0 near level 0 again, as in the paper's appendix; artanh would do so exactly, but not for 2 levels
        shift = [math.tan(o / h) for o, h in zip(offset, half, strict=True)]
        return jnp.tanh(self.vectors + self._row(shift)) * self._row(half) - self._row(offset)

    def _row(self, values: Sequence[float]) -> Array:
        """Returns one value for each dimension, at the vectors' rank."""
        return jnp.asarray(values).reshape((1,) * (self.vectors.ndim - 1) + (-1,))


@struct.dataclass
class UniformCodes:
    """Independent uniform choices among the K rows of `codebook [*1, K, dim]`, one for each of `slots`."""

    codebook: Array
    slots: int = struct.field(pytree_node=False)
    event: ClassVar[int] = 2

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws codes [*batch, slots, dim]; `temperature` changes nothing, as a uniform density has no scale."""
        choose = functools.partial(random.randint, minval=0, maxval=self.codebook.shape[-2])
        index = draw_each(choose, keys, (*self.codebook.shape[:-2], self.slots), 1)
        return self.codebook.reshape(self.codebook.shape[-2:])[index]

    def log_prob(self, z: Array) -> Array:
        """Returns -slots log K, for any z, which is taken to be codes."""
        return _zero_log_prob(self, z) - self.slots * math.log(self.codebook.shape[-2])

    sample_and_log_prob = draw_and_score

    def mean(self) -> Array:
        """Returns the mean of all codes, in each slot."""
        mean = self.codebook.mean(-2, keepdims=True)
        return jnp.broadcast_to(mean, (*mean.shape[:-2], self.slots, mean.shape[-1]))


def _straight_through(vectors: Array, outcome: Array) -> Array:
    """Returns the outcome, to the bit, with the gradient of the vectors."""
    return lax.stop_gradient(outcome) + (vectors - lax.stop_gradient(vectors))


def _strides(levels: tuple[int, ...]) -> tuple[int, ...]:
    """Returns what one level counts in the number of a code: 1, levels[0], levels[0] levels[1], ..."""
    return tuple(itertools.accumulate((1, *levels[:-1]), operator.mul))


def _half_levels(levels: tuple[int, ...]) -> tuple[int, ...]:
    """Returns how many levels of each dimension are below 0."""
    return tuple(level // 2 for level in levels)


def code_grid(levels: tuple[int, ...]) -> Array:
    """Returns all codes in the order of their numbers, [K, dim], each coordinate in [-1, 1]."""
    column = jnp.arange(math.prod(levels))[:, None]
    place, count, half = (jnp.asarray(each)[None] for each in (_strides(levels), levels, _half_levels(levels)))
    return (column // place % count - half) / half
