"""Priors p(z): heads called as head(infer, condition), whose density's leaves broadcast to [S, B, *Z].

`infer` is the model's own, so that a prior made of posteriors (VampPrior) imports nothing. Each says of which `spaces`
it is a density, whether it has parameters to learn, and what it `needs` the posterior to offer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jaxvae.distributions import Normal


class StandardPrior(nn.Module):
    """p(z) = N(0, I), leaves [1, 1, latent_dim]."""

    latent_dim: int
    spaces = frozenset({"real"})
    learned = False
    needs: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Normal:
        zeros = jnp.zeros((1, 1, self.latent_dim))
        return Normal(zeros, zeros, event=1)


def standard(*, latent_dim: int) -> StandardPrior:
    """The standard Gaussian."""
    return StandardPrior(latent_dim)
