"""Approximate posteriors q(z|x): heads from features [B, F] to a density whose leaves are [1, B, *Z].

Each says what `space` its z lives in ('real', 'sphere', 'one-hot', 'codes') and what it `offers` objectives and priors:
'samples' with their log-density, 'density' at any z, 'each' coordinate on its own, 'path' derivatives.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jaxvae.distributions import Flow, Normal
from jaxvae.encoder import require_sizes
from jaxvae.flows import CouplingFlow, InverseAutoregressiveFlow, require_coordinates, transformed
from jaxvae.layers import smooth_bound

LOG_SCALE_BOUND = 7.0  # standard deviations stay within e^-7 and e^7: no overflow, and a gradient everywhere


class DiagonalPosterior(nn.Module):
    """q(z|x) = N(mu(x), diag sigma(x)^2) (Kingma & Welling 2013, arXiv 1312.6114, eq. 9)."""

    latent_dim: int
    space = "real"
    offers = frozenset({"samples", "density", "each", "path"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> Normal:
        return gaussian_of(nn.Dense(2 * self.latent_dim)(features))


class FlowPosterior(nn.Module):
    """q(z|x): the diagonal Gaussian of the features, carried through a flow that sees the features, too."""

    flow: nn.Module
    space = "real"
    offers = frozenset({"samples"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> Flow:
        base = gaussian_of(nn.Dense(2 * self.flow.dim, name="base")(features))
        return transformed(base, self.flow, nn.Dense(self.flow.context_features, name="context")(features))


def gaussian_of(outputs: Array) -> Normal:
    """The Gaussian whose means and log-scales are the halves of a network's outputs [B, 2 D]; leaves [1, B, D]."""
    loc, log_scale = jnp.split(outputs, 2, axis=-1)
    # in float32 whatever the network computes in: bounded once, so sampling and KL see the same value
    log_scale = smooth_bound(log_scale.astype(jnp.float32), LOG_SCALE_BOUND)
    return Normal(loc.astype(jnp.float32)[None], log_scale[None], event=1)


def diagonal(*, latent_dim: int) -> DiagonalPosterior:
    """A Gaussian with a diagonal covariance."""
    return DiagonalPosterior(latent_dim)


def iaf(steps: int = 4, hidden: int = 256, layers: int = 1, *, latent_dim: int) -> FlowPosterior:
    """A Gaussian through inverse autoregressive steps, z <- g z + (1 - g) m, g and m of the coordinates before.

    Kingma et al. 2016 (arXiv 1606.04934, eq. 10-14); the order turns round from step to step. Each step has a masked
    network of so many hidden `layers` of width `hidden`, which sees the encoder's features. Needs latent_dim >= 2, and
    knows its density only at its own draws: not for objectives or priors that need it at any z.
    """
    require_sizes(steps=steps, hidden=hidden, layers=layers)
    require_coordinates("iaf", latent_dim, "model.posterior='diagonal'")
    return FlowPosterior(InverseAutoregressiveFlow(latent_dim, steps, hidden, layers))


def coupling(steps: int = 4, hidden: int = 128, layers: int = 1, *, latent_dim: int) -> FlowPosterior:
    """A Gaussian through affine couplings, one half of z <- z exp(s) + t, s and t of the other half.

    Dinh et al. 2016 (arXiv 1605.08803, eq. 4-5); the halves change from step to step. Each step has a dense network of
    so many hidden `layers` of width `hidden`, which sees the encoder's features. Needs latent_dim >= 2, and offers its
    density at its own draws only, as `iaf`.
    """
    require_sizes(steps=steps, hidden=hidden, layers=layers)
    require_coordinates("coupling", latent_dim, "model.posterior='diagonal'")
    return FlowPosterior(CouplingFlow(latent_dim, steps, hidden, layers))
