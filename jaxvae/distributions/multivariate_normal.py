"""Gaussians whose coordinates are correlated: a full covariance, and a diagonal one plus a few factors."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxvae.distributions._base import LOG_2PI, draw_each

__all__ = ["LowRankNormal", "MultivariateNormal", "inverse_tril", "matvec"]


@struct.dataclass
class MultivariateNormal:
    """Gaussians with means `loc [*batch, D]` and covariances L L', `scale_tril` = L [*batch, D, D] lower triangular."""

    loc: Array
    scale_tril: Array
    event: ClassVar[int] = 1

    def mean(self) -> Array:
        return jnp.broadcast_to(self.loc, self._shape)

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws loc + temperature * L eps, reparameterized; see `draw_each` for the keys."""
        return self.loc + temperature * matvec(self.scale_tril, self._noise(keys))

    def log_prob(self, x: Array) -> Array:
        return self._log_prob_of_noise(matvec(inverse_tril(self.scale_tril), x - self.loc))

    def sample_and_log_prob(self, keys: Array) -> tuple[Array, Array]:
        noise = self._noise(keys)  # log p from the noise needs no triangular solve
        return self.loc + matvec(self.scale_tril, noise), self._log_prob_of_noise(noise)

    def log_diagonal(self) -> Array:
        """Returns log L_ii, [*batch, D]; the log-determinant of the covariance is twice their sum."""
        return jnp.log(jnp.diagonal(self.scale_tril, axis1=-2, axis2=-1))

    def _noise(self, keys: Array) -> Array:
        return draw_each(random.normal, keys, self._shape, self.event)

    def _log_prob_of_noise(self, noise: Array) -> Array:
        return (-0.5 * (noise**2 + LOG_2PI) - self.log_diagonal()).sum(-1)

    @property
    def _shape(self) -> tuple[int, ...]:
        return jnp.broadcast_shapes(self.loc.shape, self.scale_tril.shape[:-1])


@struct.dataclass
class LowRankNormal:
    """Gaussians with means `loc [*batch, D]` and covariances diag(exp(log_diagonal)) + F F', `factor` = F [.., D, R].

    As of z = loc + F u + e, with u in R dimensions and e independent. Nothing of size D x D is formed; where F is some
    thousand times wider than the diagonal, and its columns are parallel, float32 does not hold the covariance.
    """

    loc: Array
    log_diagonal: Array
    factor: Array
    event: ClassVar[int] = 1

    def mean(self) -> Array:
        return jnp.broadcast_to(self.loc, self._shape)

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws loc + temperature * (F u + e), reparameterized; see `draw_each` for the keys."""
        return self.loc + temperature * self._distance(keys)

    def log_prob(self, x: Array) -> Array:
        return self._log_prob_of_distance(x - self.loc)

    def sample_and_log_prob(self, keys: Array) -> tuple[Array, Array]:
        distance = self._distance(keys)  # x - loc would round it
        return self.loc + distance, self._log_prob_of_distance(distance)

    def log_shrinkage(self) -> Array:
        """Returns half the log-determinant of I + F' diag^-1 F, [*batch]: what the factors add to the diagonal's."""
        return _half_log_det(self._inner())

    def _distance(self, keys: Array) -> Array:
        noise = draw_each(random.normal, keys, (*self._shape[:-1], sum(self.factor.shape[-2:])), self.event)
        each, shared = jnp.split(noise, (self.factor.shape[-2],), axis=-1)
        return jnp.exp(0.5 * self.log_diagonal) * each + matvec(self.factor, shared)

    def _log_prob_of_distance(self, distance: Array) -> Array:
        """Returns log p by the matrix determinant lemma and Woodbury's identity, without its difference of squares.

        d' C^-1 d = min_u |w - G u|^2 + |u|^2, with w, G = d, F over the diagonal's root: both squares are positive.
        """
        scaled, inner = self._scaled_factor(), self._inner()
        whitened = distance * jnp.exp(-0.5 * self.log_diagonal)
        shared = matvec(jax.scipy.linalg.cho_solve((inner, True), jnp.swapaxes(scaled, -1, -2)), whitened)
        rest = whitened - matvec(scaled, shared)
        own = -0.5 * (rest**2 + LOG_2PI + self.log_diagonal).sum(-1)
        return own - 0.5 * (shared**2).sum(-1) - _half_log_det(inner)

    def _scaled_factor(self) -> Array:
        return self.factor * jnp.exp(-0.5 * self.log_diagonal)[..., None]

    def _inner(self) -> Array:
        """Returns the Cholesky factor of I + G' G, [*batch, R, R], with G = diag^-1/2 F."""
        scaled = self._scaled_factor()
        gram = jnp.einsum("...ir,...is->...rs", scaled, scaled, precision=lax.Precision.HIGHEST)
        return jnp.linalg.cholesky(gram + jnp.broadcast_to(jnp.eye(gram.shape[-1]), gram.shape))

    @property
    def _shape(self) -> tuple[int, ...]:
        return jnp.broadcast_shapes(self.loc.shape, self.log_diagonal.shape, self.factor.shape[:-1])


def matvec(matrix: Array, vector: Array) -> Array:
    """Returns matrix [*batch, D, R] times vector [*batch, R], in full float32: accelerators round the factors."""
    return jnp.einsum("...ij,...j->...i", matrix, vector, precision=lax.Precision.HIGHEST)


def inverse_tril(lower: Array) -> Array:
    """Returns the inverse of lower triangular matrices [*batch, D, D].

    Formed once and multiplied, since a batch of matrices meets many more vectors: S draws, or K components each.
    """
    identity = jnp.broadcast_to(jnp.eye(lower.shape[-1], dtype=lower.dtype), lower.shape)
    return lax.linalg.triangular_solve(lower, identity, left_side=True, lower=True)


def _half_log_det(cholesky: Array) -> Array:
    return jnp.log(jnp.diagonal(cholesky, axis1=-2, axis2=-1)).sum(-1)
