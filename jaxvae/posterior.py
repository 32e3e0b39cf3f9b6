"""Approximate posteriors q(z|x): heads from features [B, F] to a density whose leaves are [1, B, *Z].

Each says what `space` its z lives in ('real', 'sphere', 'one-hot', 'codes') and what it `offers` objectives and priors:
'samples' with their log-density, 'density' at any z, 'each' coordinate on its own, 'path' derivatives.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jaxvae.distributions import Normal, VonMisesFisher
from jaxvae.layers import smooth_bound

LOG_SCALE_BOUND = 7.0  # standard deviations stay within e^-7 and e^7: no overflow, and a gradient everywhere
MOST_KAPPA = 1e4  # the largest concentration: a deviation of a hundredth of the radius


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


class VonMisesFisherPosterior(nn.Module):
    """q(z|x) = vMF(mu(x), kappa(x)) on the unit sphere of R^latent_dim.

    kappa stays above sqrt(latent_dim) / 2, where the KL is an eighth of a nat at most: much nearer to uniform, z says
    so little of x that no gradient leads back, and training ends with a posterior that ignores x.
    """

    latent_dim: int
    space = "sphere"
    offers = frozenset({"samples", "density"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> VonMisesFisher:
        # in float32 whatever the network computes in: at kappa 10000 a coarser loc would be off by many deviations
        out = nn.Dense(self.latent_dim + 1)(features).astype(jnp.float32)
        least, most = math.log(self.latent_dim) / 2 - math.log(2), math.log(MOST_KAPPA)
        half = (most - least) / 2
        log_kappa = least + half + smooth_bound(out[..., -1:] - half / 2, half)  # starts near 5 sqrt(latent_dim)
        return VonMisesFisher(normalized(out[..., :-1])[None], log_kappa[None])


def normalized(x: Array) -> Array:
    """x [N, D] at length 1, with a finite gradient everywhere; where x is as good as zero, the first axis."""
    vanishes = jnp.square(x).sum(axis=-1, keepdims=True) < 1e-12
    first = (jnp.arange(x.shape[-1]) == 0).astype(x.dtype)
    x = x + jnp.where(vanishes, first[None], 0.0)
    return x / jnp.sqrt(jnp.square(x).sum(axis=-1, keepdims=True))


def diagonal(*, latent_dim: int) -> DiagonalPosterior:
    """A Gaussian with a diagonal covariance."""
    return DiagonalPosterior(latent_dim)


def vmf(*, latent_dim: int) -> VonMisesFisherPosterior:
    """A von Mises-Fisher density on the unit sphere: q(z|x) proportional to exp(kappa(x) mu(x).z), |z| = |mu| = 1.

    Hyperspherical VAE (Davidson et al. 2018, arXiv 1804.00891), with prior 'sphere', to which the KL is exact. The
    sphere has latent_dim - 1 dimensions: latent_dim=2 is the circle. kappa stays within sqrt(latent_dim) / 2 and 10000.
    Not for objectives that look at single coordinates (tc), nor for priors of real vectors.
    """
    if latent_dim < 2:
        raise ValueError(f"vmf needs model.latent_dim from 2 on (2 is the circle), not {latent_dim}; raise it.")
    return VonMisesFisherPosterior(latent_dim)
