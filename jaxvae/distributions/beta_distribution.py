"""Densities of values inside (0, 1)."""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random
from jax.scipy.special import gammaln

from jaxvae.distributions._base import LOG_2PI, draw_and_score, flat_log_prob, map_keys, softplus

__all__ = ["Beta"]

_SMALLEST, _LARGEST = 2.0**-126, 1 - 2.0**-24  # the float32 next to 0 (without subnormals) and next to 1


def _stirling_error(a: Array) -> Array:
    """Returns log Gamma(a) - ((a - 1/2) log a - a + log(2 pi) / 2), the error of Stirling's formula at a > 0."""
    small, large = jnp.minimum(a, 8), jnp.maximum(a, 8)
    direct = gammaln(small) - (small - 0.5) * jnp.log(small) + small - 0.5 * LOG_2PI
    inverse = 1 / large
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
    return jnp.where(a < 8, direct, series)


@struct.dataclass
class Beta:
    """Independent Beta densities x^(a - 1) (1 - x)^(b - 1) / B(a, b) on the open interval (0, 1).

    a = exp(log_alpha), b = exp(log_beta), both `[*batch, *event]`. At 0 and 1 it may be infinite: data are between.
    """

    log_alpha: Array
    log_beta: Array
    event: int = struct.field(pytree_node=False, default=1)

    def mean(self) -> Array:
        """Returns a / (a + b)."""
        return jax.nn.sigmoid(self.log_alpha - self.log_beta)

    def sample(self, keys: Array) -> Array:
        """Draws strictly between 0 and 1, also where float32 would round to one of them; keys as in `draw_each`.

        No gradient flows through them.
        """
        shape = jnp.broadcast_shapes(self.log_alpha.shape, self.log_beta.shape)
        # a and b are not location and scale: each key has its own
        draw, keys = map_keys(random.beta, keys, shape[: len(shape) - self.event])
        whole = (*keys.shape, *shape[len(shape) - self.event :])
        alpha, beta = (jnp.broadcast_to(jnp.exp(log), whole) for log in (self.log_alpha, self.log_beta))
        return lax.stop_gradient(jnp.clip(draw(keys, alpha, beta), _SMALLEST, _LARGEST))

    def log_prob_each(self, x: Array) -> Array:
        """Returns log p(x) of each coordinate, shaped `[*batch, *event]`, for 0 < x < 1."""
        alpha, beta = jnp.exp(self.log_alpha), jnp.exp(self.log_beta)
        ratio, log_x, log_rest = self.log_alpha - self.log_beta, jnp.log(x), jnp.log1p(-x)
        # log B(a, b) by Stirling's formula, its large terms paired with the data's before they are multiplied: three
        # log-gammas would leave an error of 1e-3 nats a pixel at a = b = 1000
        low, high = softplus(-ratio), softplus(ratio)  # -log mean, -log(1 - mean)
        rest = _stirling_error(alpha + beta) - _stirling_error(alpha) - _stirling_error(beta)
        spread = jnp.logaddexp(self.log_alpha, self.log_beta) - low - high - LOG_2PI
        return alpha * (log_x + low) + beta * (log_rest + high) - log_x - log_rest + 0.5 * spread + rest

    log_prob, sample_and_log_prob = flat_log_prob, draw_and_score
