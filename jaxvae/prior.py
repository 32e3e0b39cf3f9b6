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

from jaxvae.distributions import Flow, Normal, UniformCodes, UniformSphere
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


class SpherePrior(nn.Module):
    """p(z) = 1 / area, on the unit sphere of R^latent_dim; no leaves."""

    latent_dim: int
    spaces = frozenset({"sphere"})
    learned = False
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, infer: Callable, condition: Array | None = None) -> UniformSphere:
        return UniformSphere(self.latent_dim)


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


class CodesPrior(nn.Module):
    """The uniform over the posterior's codes, leaves [1, 1, K, dim]; `data_shape` is *X."""

    data_shape: tuple[int, ...]
    spaces = frozenset({"codes"})
    learned = False
    needs: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> UniformCodes:
        # the codebook is the posterior's: whatever it infers, of a blank image too, holds it
        blank = jnp.zeros((1, *self.data_shape))
        return infer(blank, None if condition is None else jnp.zeros_like(condition[:1])).uniform()


def codes(*, data_shape: tuple[int, ...]) -> CodesPrior:
    """Every code of every slot equally probable: log p(z) = -slots log K, nats, the prior of VQ's and FSQ's training.

    Goes with the posteriors 'vq' and 'fsq', whose codebook it takes.
    """
    return CodesPrior(data_shape)


def sphere(*, latent_dim: int) -> SpherePrior:
    """The uniform density on the unit sphere, p(z) = Gamma(D/2) / (2 pi^(D/2)) for |z| = 1, D = latent_dim.

    For posterior 'vmf' (Davidson et al. 2018, arXiv 1804.00891). Sampling ignores a temperature. Not for posteriors of
    real vectors.
    """
    if latent_dim < 2:
        raise ValueError(f"sphere needs model.latent_dim from 2 on (2 is the circle), not {latent_dim}; raise it.")
    return SpherePrior(latent_dim)


def realnvp(steps: int = 8, hidden: int = 128, layers: int = 2, *, latent_dim: int) -> FlowPrior:
    """The standard Gaussian through affine couplings, one half of z <- z exp(s) + t, s and t of the other half.

    Dinh et al. 2016 (arXiv 1605.08803, eq. 4-5); the halves change from step to step. Each step has a dense network of so
    many hidden `layers` of width `hidden`; a condition enters all of them. Sampling and scoring cost the same. Needs
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
