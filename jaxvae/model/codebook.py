"""Posteriors over codes: each slot of z holds one of K codes, which a codebook lists or a grid of levels makes.

Heads as in posterior.py, whose latent_dim is the number of slots: z is [S, B, slots, dim]. They choose a code, do not
draw it, and have no elbo. The rate is slots log K, the cost of the codes under the uniform prior.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, random

from jaxvae._checks import UsageError, is_instance, require_fraction, require_whole
from jaxvae.distributions import FiniteScalarQuantized, VectorQuantized
from jaxvae.model.traits import Traits

__all__ = ["CodebookState", "code_vectors", "fsq", "init_codebook", "revive_dead_code", "update_codebook", "vq"]

_COLLECTION = "codebook"  # the collection that holds a CodebookState
_INITIAL_COUNT = 1e-6  # of the counts: the first vectors that a code is given outweigh its random start
_DEAD_SHARE = 0.1  # a code used less than this share of an equal share is given half of another's vectors
_MIN_DECAYING_COUNT = 1e-9  # counts of no use no longer decay from here on: their ratio to the sums must not underflow
_MAX_CODES = 2**20
_MAX_DIM = 2**14


class CodebookState(NamedTuple):
    """A codebook's state: moving averages, linear in means over examples, so that they may be averaged over devices.

    `counts [K]`: the share of all vectors that a code stood for; `sums [K, dim]`: of those vectors times their share;
    `errors [K, dim]`: of their squared distances to it; `revived`: how often a dead code was given a new place
    (float32, since a mean over devices is none of integers).
    """

    counts: Array
    sums: Array
    errors: Array
    revived: Array


def init_codebook(key: Array, codes: int, dim: int) -> CodebookState:
    """Draws a codebook of random codes, which no vector has been averaged into yet."""
    counts = jnp.full(codes, _INITIAL_COUNT / codes, jnp.float32)
    errors = jnp.zeros((codes, dim), jnp.float32)
    places = random.normal(key, (codes, dim), jnp.float32)
    return CodebookState(counts, counts[:, None] * places, errors, jnp.zeros((), jnp.float32))


def code_vectors(book: CodebookState) -> Array:
    """Returns the codes, [K, dim]: for each the average of the vectors assigned to it."""
    return book.sums / book.counts[:, None]


def update_codebook(book: CodebookState, vectors: Array, codes: Array, decay: float) -> CodebookState:
    """Returns the codebook after vectors [M, dim] and the codes [M] assigned to them.

    van den Oord et al. 2017, arXiv 1711.00937, appendix A.1, eqs. 6 to 8, with means over the vectors in place of sums,
    which leaves the codes the same.
    """
    chosen = jax.nn.one_hot(codes, len(book.counts), dtype=vectors.dtype) / len(vectors)  # [M, K]
    squares = (vectors - code_vectors(book)[codes]) ** 2
    new = (chosen.sum(0), *(jnp.matmul(chosen.T, each, precision="highest") for each in (vectors, squares)))
    keep = jnp.where(book.counts < _MIN_DECAYING_COUNT / len(book.counts), 1.0, decay)

    def moved(old: Array, mean: Array) -> Array:
        return keep.reshape((-1,) + (1,) * (old.ndim - 1)) * old + (1 - decay) * mean

    counts, sums, errors = (moved(old, mean) for old, mean in zip(book[:3], new, strict=True))
    return CodebookState(counts, sums, errors, book.revived)


def revive_dead_code(book: CodebookState) -> CodebookState:
    """Returns the codebook with its least used code, if that is dead, moved next to the code with the largest error.

    The latter is split as Linde, Buzo and Gray (1980) grow a codebook: along its widest dimension, at the two best
    points of a Gaussian, sqrt(2 / pi) standard deviations to either side. Each half takes half of its vectors. It
    depends on the codebook alone, which all devices share, so that all of them revive the same code.
    """
    dead, donor = jnp.argmin(book.counts), jnp.argmax(book.errors.sum(-1))
    count, errors = book.counts[donor], book.errors[donor]
    unused = book.counts[dead] < _DEAD_SHARE * book.counts.mean()
    split = unused & (dead != donor) & (errors.sum() > 0)
    widest = jax.nn.one_hot(jnp.argmax(errors), len(errors), dtype=errors.dtype)
    step = widest * jnp.sqrt(2 / math.pi * errors / count)
    middle = book.sums[donor] / count
    left = errors * (1 - 2 / math.pi * widest) / 2
    halves = CodebookState(
        book.counts.at[jnp.stack([dead, donor])].set(count / 2),
        book.sums.at[dead].set(count / 2 * (middle + step)).at[donor].set(count / 2 * (middle - step)),
        book.errors.at[jnp.stack([dead, donor])].set(left[None]),
        book.revived + 1,
    )
    return jax.tree.map(lambda new, old: jnp.where(split, new, old), halves, book)


class NearestCode(nn.Module):
    """Each slot's vector replaced by the nearest code of one codebook; see `vq`."""

    slots: int
    codes: int
    dim: int
    decay: float
    traits = Traits(space="codes", offers=frozenset(), renewed=True, extra=True)

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> VectorQuantized:
        if not self.has_variable(_COLLECTION, "counts"):
            self._store(init_codebook(self.make_rng("params"), self.codes, self.dim))
        vectors = nn.Dense(self.slots * self.dim)(features).astype(jnp.float32)
        book = self._load()
        codebook, usage = code_vectors(book), book.counts[:, None]
        return VectorQuantized(vectors.reshape(1, -1, self.slots, self.dim), codebook[None, None], usage[None, None])

    def renew(self, q: VectorQuantized) -> None:
        """Averages into the codebook the vectors of this q, from the batch of a train step."""
        vectors = jax.lax.stop_gradient(q.vectors).reshape(-1, self.dim)
        self._store(update_codebook(revive_dead_code(self._load()), vectors, q.codes().reshape(-1), self.decay))

    def _load(self) -> CodebookState:
        return CodebookState(*(self.get_variable(_COLLECTION, name) for name in CodebookState._fields))

    def _store(self, book: CodebookState) -> None:
        for name, value in book._asdict().items():
            self.put_variable(_COLLECTION, name, value)


class FiniteScalar(nn.Module):
    """Each slot's vector rounded to a grid of levels; see `fsq`."""

    slots: int
    levels: Sequence[int]
    traits = Traits(space="codes", offers=frozenset())

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> FiniteScalarQuantized:
        vectors = nn.Dense(self.slots * len(self.levels))(features).astype(jnp.float32)
        return FiniteScalarQuantized(vectors.reshape(1, -1, self.slots, len(self.levels)), tuple(self.levels))


def vq(codes: int = 512, dim: int = 8, decay: float = 0.99, *, latent_dim: int) -> NearestCode:
    """latent_dim slots, each one of `codes` vectors of length `dim`, the nearest: the VQ-VAE; a rate of slots log K.

    van den Oord et al. 2017 (arXiv 1711.00937); the codebook is the moving average of what it stands for (appendix
    A.1), with this `decay`, and codes that fall out of use are given a new place. Takes model.prior='codes' and
    objective='reconstruction(commitment=0.25)'; its rate is a constant, so that objective='elbo' is refused.
    """
    require_whole("codes", codes, 2, _MAX_CODES)
    require_whole("dim", dim, 1, _MAX_DIM)
    return NearestCode(latent_dim, codes, dim, require_fraction("decay", decay))


def fsq(levels: Sequence[int] = (8, 5, 5, 5), *, latent_dim: int) -> FiniteScalar:
    """latent_dim slots of rounded coordinates, coordinate i on levels[i] values in [-1, 1]; a rate of slots log K.

    Finite scalar quantization (Mentzer et al. 2023, arXiv 2309.15505): K is the product of the levels, and there is no
    codebook to learn. The paper takes 5 or more levels: (8, 6, 5) for 240 codes, (8, 5, 5, 5) for 1000. Takes
    model.prior='codes' and objective='reconstruction'; its rate is a constant, so that objective='elbo' is refused.
    """
    if not is_instance(levels, tuple[int, ...]) or not levels or min(levels) < 2 or math.prod(levels) > _MAX_CODES:
        raise UsageError(
            f"fsq(levels={levels!r}): expected whole numbers from 2 on, of a product up to {_MAX_CODES:,}, "
            "such as (8, 5, 5, 5)."
        )
    return FiniteScalar(latent_dim, tuple(levels))
