"""Approximate posteriors q(z|x): heads from features [B, F] to a density whose leaves are [1, B, *Z].

Each says what `space` its z lives in ('real', 'sphere', 'one-hot', 'codes') and what it `offers` objectives and priors:
'samples' with their log-density, 'density' at any z, 'each' coordinate on its own, 'path' derivatives.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jaxvae.distributions import Normal, Point
from jaxvae.layers import smooth_bound

LOG_SCALE_BOUND = 7.0  # standard deviations stay within e^-7 and e^7: no overflow, and a gradient everywhere


class DiagonalPosterior(nn.Module):
    """q(z|x) = N(mu(x), diag sigma(x)^2) (Kingma & Welling 2013, arXiv 1312.6114, eq. 9)."""

    latent_dim: int
    space = "real"
    offers = frozenset({"samples", "density", "each", "path"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> Normal:
        loc, log_scale = jnp.split(nn.Dense(2 * self.latent_dim)(features), 2, axis=-1)
        # in float32 whatever the network computes in: bounded once, so sampling and KL see the same value
        log_scale = smooth_bound(log_scale.astype(jnp.float32), LOG_SCALE_BOUND)
        return Normal(loc.astype(jnp.float32)[None], log_scale[None], event=1)


def diagonal(*, latent_dim: int) -> DiagonalPosterior:
    """A Gaussian with a diagonal covariance."""
    return DiagonalPosterior(latent_dim)


class PointPosterior(nn.Module):
    """z = f(x), leaves [1, B, latent_dim]."""

    latent_dim: int
    space = "real"
    offers: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> Point:
        return Point(nn.Dense(self.latent_dim)(features).astype(jnp.float32)[None], event=1)


def point(*, latent_dim: int) -> PointPosterior:
    """One point z = f(x), of a plain autoencoder: no density, no bound on log p(x), a rate of 0 by convention.

    Takes objective='reconstruction' and a prior without parameters, which z never meets: samples of the prior may be
    decoded where no image was encoded.
    """
    return PointPosterior(latent_dim)
