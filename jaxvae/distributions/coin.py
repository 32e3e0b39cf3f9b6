"""Coins: densities of a pixel that is 0, 1 or, for the continuous one, between them."""

from __future__ import annotations

import dataclasses

import jax
from jax import Array, lax, random

from jaxvae.distributions.event import draw_each, flat_log_prob, softplus


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Independent coins with log-odds `logits [*batch, *event]`; outcomes are 0. or 1."""

    logits: Array
    event: int = dataclasses.field(default=1, metadata={"static": True})

    def mean(self) -> Array:
        return jax.nn.sigmoid(self.logits)

    def sample(self, keys: Array) -> Array:
        """Draws zeros and ones; see `draw_each` for the keys. No gradient flows through them."""
        uniform = draw_each(random.uniform, keys, self.logits.shape, self.event)
        return (uniform < lax.stop_gradient(self.mean())).astype(self.logits.dtype)

    def log_prob_each(self, x: Array) -> Array:
        """log p(x) of each coin: x l - log(1 + e^l), which stays finite and exact for every logit l."""
        return x * self.logits - softplus(self.logits)

    def log_prob(self, x: Array) -> Array:
        return flat_log_prob(self, x)

    def sample_and_log_prob(self, keys: Array) -> tuple[Array, Array]:
        x = self.sample(keys)
        return x, self.log_prob(x)
