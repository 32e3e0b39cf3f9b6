"""Categorical variables as one-hot vectors, and draws near them that gradients pass through."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxvae.distributions._base import draw_and_score, draw_each, sum_event

__all__ = ["OneHot", "RelaxedOneHot"]


def _mean(density: Any) -> Array:
    """Returns the probabilities of the classes, [*batch, D, K]."""
    return jax.nn.softmax(density.logits)


def _sample(density: Any, keys: Array, temperature: float | Array = 1.0) -> Array:
    """Draws with probabilities proportional to exp(logits / temperature), 0 giving the likeliest class.

    See `draw_each` for the keys; no gradient flows through the draws.
    """
    return _one_hot_argmax(density.logits + temperature * _gumbel_noise(keys, density.logits, density.event))


def _log_prob(density: Any, x: Array) -> Array:
    """Returns the sum of x log p over variables and classes; linear in x, so defined between one-hot vectors."""
    return sum_event(x * jax.nn.log_softmax(density.logits), density.event)


@struct.dataclass
class OneHot:
    """D independent categorical variables of K classes with `logits [*batch, D, K]`; outcomes are one-hot over K."""

    logits: Array
    event: int = struct.field(pytree_node=False, default=2)

    mean, sample, log_prob, sample_and_log_prob = _mean, _sample, _log_prob, draw_and_score


@struct.dataclass
class RelaxedOneHot:
    """The same variables with `relaxed_sample`, whose draws depend smoothly on the logits.

    All other methods are those of the one-hot outcomes, so that evaluation is of the discrete density. With
    `straight_through` a relaxed draw is hard in value, and has the soft one's gradient.
    """

    logits: Array
    temperature: float = struct.field(pytree_node=False, default=0.5)
    straight_through: bool = struct.field(pytree_node=False, default=False)
    event: int = struct.field(pytree_node=False, default=2)

    mean, sample, log_prob, sample_and_log_prob = _mean, _sample, _log_prob, draw_and_score

    def relaxed_sample(self, keys: Array) -> Array:
        """Draws softmax((logits + Gumbel noise) / temperature), near `sample(keys)` at a low temperature.

        Jang et al. 2016, arXiv 1611.01144, eq. 2; Maddison et al. 2016, arXiv 1611.00712.
        """
        noisy = self.logits + _gumbel_noise(keys, self.logits, self.event)
        soft = jax.nn.softmax(noisy / self.temperature)
        if not self.straight_through:
            return soft
        return _one_hot_argmax(noisy) + (soft - lax.stop_gradient(soft))  # in this order: 0 and 1 stay exact


def _gumbel_noise(keys: Array, logits: Array, event: int) -> Array:
    """Draws standard Gumbel noise: logits plus noise are largest at class k with probability softmax(logits)_k."""
    return draw_each(random.gumbel, keys, logits.shape, event)


def _one_hot_argmax(scores: Array) -> Array:
    """Returns one-hot vectors of the largest score, [*batch, D, K], without a gradient."""
    return jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1], dtype=scores.dtype)
