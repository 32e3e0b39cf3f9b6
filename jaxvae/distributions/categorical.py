"""Categorical variables as one-hot vectors, and draws near them that gradients pass through."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae.distributions._base import draw_and_score, draw_each, sum_event

__all__ = ["OneHot", "RelaxedOneHot"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneHot:
    """D independent categorical variables of K classes with `logits [*batch, D, K]`; outcomes are one-hot over K."""

    logits: Array
    event: int = dataclasses.field(default=2, metadata={"static": True})

    def mean(self) -> Array:
        """Returns the probabilities of the classes, [*batch, D, K]."""
        return jax.nn.softmax(self.logits)

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws with probabilities proportional to exp(logits / temperature), 0 giving the likeliest class.

        See `draw_each` for the keys; no gradient flows through the draws.
        """
        return _one_hot_argmax(self.logits + temperature * _gumbel_noise(keys, self.logits, self.event))

    def log_prob(self, x: Array) -> Array:
        """Returns the sum of x log p over variables and classes; linear in x, so defined between one-hot vectors."""
        return sum_event(x * jax.nn.log_softmax(self.logits), self.event)

    sample_and_log_prob = draw_and_score


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RelaxedOneHot:
    """The same variables with `relaxed_sample`, whose draws depend smoothly on the logits.

    All other methods are those of the one-hot outcomes, so that evaluation is of the discrete density. With
    `straight_through` a relaxed draw is hard in value, and has the soft one's gradient.
    """

    logits: Array
    temperature: float = dataclasses.field(default=0.5, metadata={"static": True})
    straight_through: bool = dataclasses.field(default=False, metadata={"static": True})
    event: int = dataclasses.field(default=2, metadata={"static": True})

    def mean(self) -> Array:
        return self.hard_density().mean()

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        return self.hard_density().sample(keys, temperature)

    def log_prob(self, x: Array) -> Array:
        return self.hard_density().log_prob(x)

    def sample_and_log_prob(self, keys: Array) -> tuple[Array, Array]:
        return self.hard_density().sample_and_log_prob(keys)

    def relaxed_sample(self, keys: Array) -> Array:
        """Draws softmax((logits + Gumbel noise) / temperature), near `sample(keys)` at a low temperature.

        Jang et al. 2016, arXiv 1611.01144, eq. 2; Maddison et al. 2016, arXiv 1611.00712.
        """
        noisy = self.logits + _gumbel_noise(keys, self.logits, self.event)
        soft = jax.nn.softmax(noisy / self.temperature)
        if not self.straight_through:
            return soft
        return _one_hot_argmax(noisy) + (soft - lax.stop_gradient(soft))  # in this order: 0 and 1 stay exact

    def hard_density(self) -> OneHot:
        return OneHot(self.logits, self.event)


def _gumbel_noise(keys: Array, logits: Array, event: int) -> Array:
    """Draws standard Gumbel noise: logits plus noise are largest at class k with probability softmax(logits)_k."""
    return draw_each(random.gumbel, keys, logits.shape, event)


def _one_hot_argmax(scores: Array) -> Array:
    """Returns one-hot vectors of the largest score, [*batch, D, K], without a gradient."""
    return jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1], dtype=scores.dtype)
