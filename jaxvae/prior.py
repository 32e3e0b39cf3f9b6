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

from jaxvae.distributions import Flow, Normal
from jaxvae.encoder import require_sizes
from jaxvae.flows import CouplingFlow, MaskedAutoregressiveFlow, require_coordinates, transformed


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


class FlowPrior(nn.Module):
    """p(z): the standard Gaussian carried through a flow, which sees the condition where there is one."""

    flow: nn.Module
    spaces = frozenset({"real"})
    learned = True
    needs: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Flow:
        zeros = jnp.zeros((1, 1 if condition is None else len(condition), self.flow.dim))
        context = None if condition is None else nn.Dense(self.flow.context_features, name="context")(condition)
        return transformed(Normal(zeros, zeros, event=1), self.flow, context)


def standard(*, latent_dim: int) -> StandardPrior:
    """The standard Gaussian."""
    return StandardPrior(latent_dim)


def realnvp(steps: int = 8, hidden: int = 128, layers: int = 2, *, latent_dim: int) -> FlowPrior:
    """The standard Gaussian through affine couplings, one half of z <- z exp(s) + t, s and t of the other half.

    Dinh et al. 2016 (arXiv 1605.08803, eq. 4-5); the halves change from step to step. Each step has a dense network of
    so many hidden `layers` of width `hidden`; a condition enters all of them. Sampling and scoring cost the same. Needs
    latent_dim >= 2.
    """
    require_sizes(steps=steps, hidden=hidden, layers=layers)
    require_coordinates("realnvp", latent_dim, "model.prior='standard'")
    return FlowPrior(CouplingFlow(latent_dim, steps, hidden, layers))


def maf(steps: int = 5, hidden: int = 256, layers: int = 1, *, latent_dim: int) -> FlowPrior:
    """The standard Gaussian through autoregressive steps, z_i <- z_i exp(a_i) + m_i, a_i and m_i of z_1 .. z_{i-1}.

    Papamakarios et al. 2017 (arXiv 1705.07057, eq. 3-5); the order turns round from step to step. Each step has a
    masked network of so many hidden `layers` of width `hidden`; a condition enters all of them. Scoring is one pass,
    sampling latent_dim passes a step. Needs latent_dim >= 2.
    """
    require_sizes(steps=steps, hidden=hidden, layers=layers)
    require_coordinates("maf", latent_dim, "model.prior='standard'")
    return FlowPrior(MaskedAutoregressiveFlow(latent_dim, steps, hidden, layers))
