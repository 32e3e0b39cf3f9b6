"""Densities on the real line with heavier tails than a Gaussian's: a few wrong pixels cost less."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, random

from jaxvae.distributions._base import draw_and_score, draw_each, flat_log_prob

__all__ = ["Laplace", "StudentT"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Laplace:
    """Independent Laplace densities e^(-|x - loc| / scale) / (2 scale), scale = exp(log_scale), `[*batch, *event]`."""

    loc: Array
    log_scale: Array
    event: int = dataclasses.field(default=1, metadata={"static": True})

    def mean(self) -> Array:
        return jnp.broadcast_to(self.loc, self._shape)

    def sample(self, keys: Array) -> Array:
        """Draws loc + scale * eps, reparameterized; see `draw_each` for the keys."""
        return self.loc + jnp.exp(self.log_scale) * draw_each(random.laplace, keys, self._shape, self.event)

    def log_prob_each(self, x: Array) -> Array:
        """Returns log p(x) of each coordinate, shaped `[*batch, *event]`."""
        return -jnp.abs(x - self.loc) * jnp.exp(-self.log_scale) - self.log_scale - math.log(2)

    log_prob = flat_log_prob
    sample_and_log_prob = draw_and_score

    @property
    def _shape(self) -> tuple[int, ...]:
        return jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StudentT:
    """Independent Student t densities with `df` degrees of freedom, centre loc and scale exp(log_scale).

    `loc` and `log_scale` are `[*batch, *event]`. The mean exists for df > 1; as df grows, this becomes a Gaussian.
    """

    loc: Array
    log_scale: Array
    df: float = dataclasses.field(metadata={"static": True})
    event: int = dataclasses.field(default=1, metadata={"static": True})

    def mean(self) -> Array:
        return jnp.broadcast_to(self.loc, self._shape)

    def sample(self, keys: Array) -> Array:
        """Draws loc + scale * t, t a Gaussian over the root of a Gamma, reparameterized; see `draw_each`."""
        draw = functools.partial(random.t, df=self.df)
        return self.loc + jnp.exp(self.log_scale) * draw_each(draw, keys, self._shape, self.event)

    def log_prob_each(self, x: Array) -> Array:
        """Returns log p(x) of each coordinate, shaped `[*batch, *event]`."""
        half = (self.df + 1) / 2
        constant = math.lgamma(half) - math.lgamma(self.df / 2) - 0.5 * math.log(self.df * math.pi)
        standardized = (x - self.loc) * jnp.exp(-self.log_scale)
        return constant - half * jnp.log1p(standardized**2 / self.df) - self.log_scale

    log_prob = flat_log_prob
    sample_and_log_prob = draw_and_score

    @property
    def _shape(self) -> tuple[int, ...]:
        return jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)
