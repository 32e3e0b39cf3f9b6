"""Coins: densities of a pixel that is 0, 1 or, for the continuous one, between them."""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxvae.distributions._base import draw_and_score, draw_each, flat_log_prob, log_decay, mean_decay, softplus

__all__ = ["Bernoulli", "ContinuousBernoulli"]


@struct.dataclass
class Bernoulli:
    """Independent coins with log-odds `logits [*batch, *event]`; outcomes are 0. or 1."""

    logits: Array
    event: int = struct.field(pytree_node=False, default=1)

    def mean(self) -> Array:
        return jax.nn.sigmoid(self.logits)

    def sample(self, keys: Array) -> Array:
        """Draws zeros and ones; see `draw_each` for the keys. No gradient flows through them."""
        uniform = draw_each(random.uniform, keys, self.logits.shape, self.event)
        return (uniform < lax.stop_gradient(self.mean())).astype(self.logits.dtype)

    def log_prob_each(self, x: Array) -> Array:
        """Returns log p(x) of each coin: x l - log(1 + e^l), which stays finite and exact for every logit l."""
        return x * self.logits - softplus(self.logits)

    log_prob, sample_and_log_prob = flat_log_prob, draw_and_score


@jax.custom_jvp
def _log_tilted(x: Array, logits: Array) -> Array:
    """Returns log(e^(l x) l / (e^l - 1)) for x in [0, 1] and l = `logits`."""
    return x * logits - jnp.maximum(logits, 0) - log_decay(jnp.abs(logits))


_log_tilted.defjvps(  # x less its mean, exact at l = 0, too, where |l| has a corner
    lambda tangent, value, x, logits: tangent * logits,
    lambda tangent, value, x, logits: tangent * (x - mean_decay(-logits)),
)


@struct.dataclass
class ContinuousBernoulli:
    """Independent values in [0, 1] with densities like e^(l x), l = `logits [*batch, *event]`.

    Loaiza-Ganem & Cunningham 2019, arXiv 1907.06845, sec. 3: a Bernoulli's formula with the normalizer it needs on grey
    values. Written in l = log(lambda / (1 - lambda)), theirs is C(lambda) = l / tanh(l / 2), and the whole density
    e^(l x) l / (e^l - 1), uniform at l = 0.
    """

    logits: Array
    event: int = struct.field(pytree_node=False, default=1)

    def mean(self) -> Array:
        """Returns 1 / (1 - e^-l) - 1 / l, which is nearer to 1/2 than lambda = sigmoid(l) is."""
        return mean_decay(-self.logits)

    def sample(self, keys: Array) -> Array:
        """Draws values in [0, 1] by the inverse of the distribution function; see `draw_each` for the keys.

        No gradient flows through them.
        """
        uniform = draw_each(random.uniform, keys, self.logits.shape, self.event)
        slope = jnp.maximum(jnp.abs(self.logits), 1e-6)  # so small a slope is none in float32
        from_the_end = jnp.clip(-jnp.log1p(uniform * jnp.expm1(-slope)) / slope, 0, 1)
        return lax.stop_gradient(jnp.where(self.logits > 0, 1 - from_the_end, from_the_end))

    def log_prob_each(self, x: Array) -> Array:
        """Returns log p(x) of each coordinate, exact to float32's rounding for every logit l."""
        return _log_tilted(x, self.logits)

    log_prob, sample_and_log_prob = flat_log_prob, draw_and_score
