"""Gaussians."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array, random

from jaxvae.distributions._base import LOG_2PI, draw_and_score, draw_each, flat_log_prob

__all__ = ["Normal"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Normal:
    """Independent Gaussians with means `loc` and standard deviations `exp(log_scale)`, both `[*batch, *event]`."""

    loc: Array
    log_scale: Array
    event: int = dataclasses.field(default=1, metadata={"static": True})

    def mean(self) -> Array:
        return jnp.broadcast_to(self.loc, self._shape)

    def scale(self) -> Array:
        return jnp.broadcast_to(jnp.exp(self.log_scale), self._shape)

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws loc + temperature * scale * eps, reparameterized; see `draw_each` for the keys."""
        return self.loc + temperature * jnp.exp(self.log_scale) * draw_each(
            random.normal, keys, self._shape, self.event
        )

    def log_prob_each(self, x: Array) -> Array:
        """Returns log N(x) of each coordinate, shaped `[*batch, *event]`."""
        standardized = (x - self.loc) * jnp.exp(-self.log_scale)
        return -0.5 * (standardized**2 + LOG_2PI) - self.log_scale

    log_prob = flat_log_prob
    sample_and_log_prob = draw_and_score

    @property
    def _shape(self) -> tuple[int, ...]:
        return jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)
