"""Densities on the real line of a location and a scale; heavier tails than a Gaussian's forgive a few wrong pixels."""

import functools
import math
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import Array, random

from jaxvae.distributions._base import LOG_2PI, draw_and_score, draw_each, flat_log_prob

__all__ = ["Laplace", "Normal", "StudentT"]


def _shape(density: Any) -> tuple[int, ...]:
    return jnp.broadcast_shapes(density.loc.shape, density.log_scale.shape)


def _mean(density: Any) -> Array:
    return jnp.broadcast_to(density.loc, _shape(density))


@struct.dataclass
class Normal:
    """Independent Gaussians with means `loc` and standard deviations `exp(log_scale)`, both `[*batch, *event]`."""

    loc: Array
    log_scale: Array
    event: int = struct.field(pytree_node=False, default=1)

    mean, log_prob, sample_and_log_prob = _mean, flat_log_prob, draw_and_score

    def scale(self) -> Array:
        return jnp.broadcast_to(jnp.exp(self.log_scale), _shape(self))

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws loc + temperature * scale * eps, reparameterized; see `draw_each` for the keys."""
        return self.loc + temperature * jnp.exp(self.log_scale) * draw_each(
            random.normal, keys, _shape(self), self.event
        )

    def log_prob_each(self, x: Array) -> Array:
        """Returns log N(x) of each coordinate, shaped `[*batch, *event]`."""
        standardized = (x - self.loc) * jnp.exp(-self.log_scale)
        return -0.5 * (standardized**2 + LOG_2PI) - self.log_scale


@struct.dataclass
class Laplace:
    """Independent Laplace densities e^(-|x - loc| / scale) / (2 scale), scale = exp(log_scale), `[*batch, *event]`."""

    loc: Array
    log_scale: Array
    event: int = struct.field(pytree_node=False, default=1)

    mean, log_prob, sample_and_log_prob = _mean, flat_log_prob, draw_and_score

    def sample(self, keys: Array) -> Array:
        """Draws loc + scale * eps, reparameterized; see `draw_each` for the keys."""
        return self.loc + jnp.exp(self.log_scale) * draw_each(random.laplace, keys, _shape(self), self.event)

    def log_prob_each(self, x: Array) -> Array:
        """Returns log p(x) of each coordinate, shaped `[*batch, *event]`."""
        return -jnp.abs(x - self.loc) * jnp.exp(-self.log_scale) - self.log_scale - math.log(2)


@struct.dataclass
class StudentT:
    """Independent Student t densities with `df` degrees of freedom, centre loc and scale exp(log_scale).

    `loc` and `log_scale` are `[*batch, *event]`. The mean exists for df > 1; as df grows, this becomes a Gaussian.
    """

    loc: Array
    log_scale: Array
    df: float = struct.field(pytree_node=False)
    event: int = struct.field(pytree_node=False, default=1)

    mean, log_prob, sample_and_log_prob = _mean, flat_log_prob, draw_and_score

    def sample(self, keys: Array) -> Array:
        """Draws loc + scale * t, t a Gaussian over the root of a Gamma, reparameterized; see `draw_each`."""
        draw = functools.partial(random.t, df=self.df)
        return self.loc + jnp.exp(self.log_scale) * draw_each(draw, keys, _shape(self), self.event)

    def log_prob_each(self, x: Array) -> Array:
        """Returns log p(x) of each coordinate, shaped `[*batch, *event]`."""
        half = (self.df + 1) / 2
        constant = math.lgamma(half) - math.lgamma(self.df / 2) - 0.5 * math.log(self.df * math.pi)
        standardized = (x - self.loc) * jnp.exp(-self.log_scale)
        return constant - half * jnp.log1p(standardized**2 / self.df) - self.log_scale
