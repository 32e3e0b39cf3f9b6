"""Approximate posteriors q(z|x): heads from features [B, F] to a density whose leaves are [1, B, *Z].

Each declares by its traits the space of its z and what it offers objectives and priors.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxvae._checks import UsageError, require_number, require_type, require_whole
from jaxvae.distributions import Flow, LowRankNormal, MultivariateNormal, Normal, Point, RelaxedOneHot, VonMisesFisher
from jaxvae.model._sizes import MAX_WIDTH, require_sizes
from jaxvae.model.flows import CouplingFlow, InverseAutoregressiveFlow, make_flow, require_flow_sizes
from jaxvae.model.layers import LOG_SCALE_BOUND, smooth_bound
from jaxvae.model.traits import Traits

__all__ = ["DiagonalPosterior", "PointPosterior", "coupling", "diagonal", "full", "iaf", "low_rank", "point", "relaxed"]
__all__ += ["vmf"]

_MAX_FULL_DIM = 2048  # coordinates, each with each
_MAX_KAPPA = 1e4  # the largest concentration: a deviation of a hundredth of the radius
FACTOR_BOUND = 7.0  # what couples two coordinates, in units of the coordinate's own scale: correlations reach 0.99


class DiagonalPosterior(nn.Module):
    """q(z|x) = N(mu(x), diag sigma(x)^2) (Kingma & Welling 2013, arXiv 1312.6114, eq. 9)."""

    latent_dim: int
    traits = Traits(offers={"samples", "density", "each", "path"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> Normal:
        return _make_normal(nn.Dense(2 * self.latent_dim)(features))


class FlowPosterior(nn.Module):
    """q(z|x): the diagonal Gaussian of the features, carried through a flow that sees the features, too."""

    flow: nn.Module
    traits = Traits(offers={"samples"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> Flow:
        base = _make_normal(nn.Dense(2 * self.flow.dim, name="base")(features))
        return make_flow(base, self.flow, nn.Dense(self.flow.context_features, name="context")(features))


class VonMisesFisherPosterior(nn.Module):
    """q(z|x) = vMF(mu(x), kappa(x)) on the unit sphere of R^latent_dim.

    kappa stays above sqrt(latent_dim) / 2, where the KL is an eighth of a nat at most: much nearer to uniform, z has
    so little information on x that training ends with a posterior that ignores x.
    """

    latent_dim: int
    traits = Traits(space="sphere", offers={"samples", "density"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> VonMisesFisher:
        # always in float32: at kappa 10000 a coarser loc would be off by many deviations
        out = nn.Dense(self.latent_dim + 1)(features).astype(jnp.float32)
        least, most = math.log(self.latent_dim) / 2 - math.log(2), math.log(_MAX_KAPPA)
        half = (most - least) / 2
        log_kappa = least + half + smooth_bound(out[..., -1:] - half / 2, half)  # starts near 5 sqrt(latent_dim)
        return VonMisesFisher(_normalize(out[..., :-1])[None], log_kappa[None])


class PointPosterior(nn.Module):
    """z = f(x), leaves [1, B, latent_dim]."""

    latent_dim: int
    traits = Traits(offers=frozenset())

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> Point:
        return Point(nn.Dense(self.latent_dim)(features).astype(jnp.float32)[None], event=1)


class FullPosterior(nn.Module):
    """q(z|x) = N(mu(x), L(x) L(x)'), a Cholesky factor with a positive diagonal (arXiv 1906.02691, sec. 2.5.1)."""

    latent_dim: int
    traits = Traits(offers={"samples", "density", "path"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> MultivariateNormal:
        size = self.latent_dim
        free = nn.Dense(2 * size + size * (size - 1) // 2)(features).astype(jnp.float32)
        loc, log_scale, below = jnp.split(free, (size, 2 * size), axis=-1)
        # over the root of the size, so that a fresh network's covariance is as wide in many dimensions as in few
        below = smooth_bound(below / math.sqrt(size), FACTOR_BOUND)
        rows, columns = np.tril_indices(size, -1)
        unit = jnp.broadcast_to(jnp.eye(size), (len(free), size, size)).at[:, rows, columns].set(below)
        scale = jnp.exp(smooth_bound(log_scale, LOG_SCALE_BOUND))
        return MultivariateNormal(loc[None], (scale[:, :, None] * unit)[None])


class LowRankPosterior(nn.Module):
    """q(z|x) = N(mu(x), diag sigma(x)^2 + F(x) F(x)'), F of `rank` columns (arXiv 1701.03208)."""

    latent_dim: int
    rank: int
    traits = Traits(offers={"samples", "density", "path"})

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> LowRankNormal:
        size = self.latent_dim
        free = nn.Dense((2 + self.rank) * size)(features).astype(jnp.float32)
        loc, log_scale, factor = jnp.split(free, (size, 2 * size), axis=-1)
        log_scale = smooth_bound(log_scale, LOG_SCALE_BOUND)
        factor = smooth_bound(factor / math.sqrt(self.rank), FACTOR_BOUND).reshape(-1, size, self.rank)
        return LowRankNormal(loc[None], 2 * log_scale[None], (jnp.exp(log_scale)[:, :, None] * factor)[None])


class RelaxedPosterior(nn.Module):
    """q(z|x) of latent_dim categorical variables, trained through relaxed draws (arXiv 1611.01144, 1611.00712)."""

    latent_dim: int
    classes: int
    temperature: float
    straight_through: bool
    traits = Traits(space="one-hot", offers={"samples", "density"}, relaxed=True)

    @nn.compact
    def __call__(self, features: Array, condition: Array | None = None) -> RelaxedOneHot:
        logits = nn.Dense(self.latent_dim * self.classes)(features).astype(jnp.float32)
        logits = logits.reshape(1, -1, self.latent_dim, self.classes)
        return RelaxedOneHot(logits, self.temperature, self.straight_through)


def _make_normal(outputs: Array) -> Normal:
    """Returns the Gaussian with the halves of outputs [B, 2 D] as means and log-scales; leaves [1, B, D]."""
    loc, log_scale = jnp.split(outputs, 2, axis=-1)
    # always in float32, and bounded once, so that sampling and KL have the same value
    log_scale = smooth_bound(log_scale.astype(jnp.float32), LOG_SCALE_BOUND)
    return Normal(loc.astype(jnp.float32)[None], log_scale[None], event=1)


def _normalize(x: Array) -> Array:
    """Returns x [N, D] at length 1, with a finite gradient everywhere; where x is as good as zero, the first axis."""
    vanishes = jnp.square(x).sum(axis=-1, keepdims=True) < 1e-12
    first = (jnp.arange(x.shape[-1]) == 0).astype(x.dtype)
    x = x + jnp.where(vanishes, first[None], 0.0)
    return x / jnp.sqrt(jnp.square(x).sum(axis=-1, keepdims=True))


def diagonal(*, latent_dim: int) -> DiagonalPosterior:
    """A Gaussian with a diagonal covariance, N(mu(x), diag(sigma(x)^2)): z = mu + sigma eps.

    Kingma & Welling 2013 (arXiv 1312.6114, eqs. 9 and 10). log sigma is bounded to 7. Goes with every prior of real
    vectors and every objective.
    """
    return DiagonalPosterior(latent_dim)


def point(*, latent_dim: int) -> PointPosterior:
    """One point z = f(x), of a plain autoencoder: no density, no bound on log p(x), a rate of 0 by convention.

    Takes objective='reconstruction' and a prior without parameters, which z never meets: samples of the prior may be
    decoded where no image was encoded.
    """
    return PointPosterior(latent_dim)


def vmf(*, latent_dim: int) -> VonMisesFisherPosterior:
    """A von Mises-Fisher density on the unit sphere: q(z|x) proportional to exp(kappa(x) mu(x).z), |z| = |mu| = 1.

    Hyperspherical VAE (Davidson et al. 2018, arXiv 1804.00891), with prior 'sphere', to which the KL is exact. The
    sphere has latent_dim - 1 dimensions: latent_dim=2 is the circle. kappa stays within sqrt(latent_dim) / 2 and 10000.
    Not for objectives that look at single coordinates (tc), nor for priors of real vectors.
    """
    if latent_dim < 2:
        raise UsageError(f"vmf needs model.latent_dim from 2 on (2 is the circle), not {latent_dim}; raise it.")
    return VonMisesFisherPosterior(latent_dim)


def iaf(steps: int = 4, hidden: int = 256, layers: int = 1, *, latent_dim: int) -> FlowPosterior:
    """A Gaussian through inverse autoregressive steps, z <- g z + (1 - g) m, g and m of the coordinates before.

    Kingma et al. 2016 (arXiv 1606.04934, eq. 10-14); the order turns round from step to step. Each step has a masked
    network of so many hidden `layers` of width `hidden`, which sees the encoder's features. Needs latent_dim >= 2, and
    knows its density only at its own draws: not for objectives or priors that need it at any z.
    """
    require_flow_sizes("iaf", latent_dim, steps, hidden, layers, "model.posterior='diagonal'")
    return FlowPosterior(InverseAutoregressiveFlow(latent_dim, steps, hidden, layers))


def coupling(steps: int = 4, hidden: int = 128, layers: int = 1, *, latent_dim: int) -> FlowPosterior:
    """A Gaussian through affine couplings, one half of z <- z exp(s) + t, s and t of the other half.

    Dinh et al. 2016 (arXiv 1605.08803, eq. 4-5); the halves change from step to step. Each step has a dense network of
    so many hidden `layers` of width `hidden`, which sees the encoder's features. Needs latent_dim >= 2, and
    knows, as `iaf` does, its density at its own draws alone.
    """
    require_flow_sizes("coupling", latent_dim, steps, hidden, layers, "model.posterior='diagonal'")
    return FlowPosterior(CouplingFlow(latent_dim, steps, hidden, layers))


def full(*, latent_dim: int) -> FullPosterior:
    """A Gaussian with a full covariance L L': z = mu + L eps, L lower triangular with a positive diagonal.

    Kingma & Welling 2019, arXiv 1906.02691, sec. 2.5.1. Its head grows with the square of latent_dim. Coordinates have
    no density of their own, so objectives that compare them one by one refuse it.
    """
    if latent_dim > _MAX_FULL_DIM:
        raise UsageError(
            f"full makes latent_dim^2 / 2 numbers of every image, with model.latent_dim={latent_dim:,} too many; "
            f"expected at most {_MAX_FULL_DIM:,}. Choose model.posterior='low_rank(4)', or 'diagonal'."
        )
    return FullPosterior(latent_dim)


def low_rank(rank: int = 1, *, latent_dim: int) -> LowRankPosterior:
    """A Gaussian with covariance diag(sigma^2) + F F', where F has `rank` columns: z = mu + sigma eps + F u.

    Ong, Nott & Smith 2018, arXiv 1701.03208, for variational inference. `rank` is at most latent_dim; 'full' has every
    covariance. Coordinates have no density of their own, so objectives that compare them one by one refuse it.
    """
    require_sizes(rank=rank)
    if rank > latent_dim:
        raise UsageError(
            f"low_rank(rank={rank}): expected at most model.latent_dim={latent_dim}; 'full' has every covariance."
        )
    return LowRankPosterior(latent_dim, rank)


def relaxed(
    classes: int = 10, temperature: float = 0.5, straight_through: bool = False, *, latent_dim: int
) -> RelaxedPosterior:
    """Categorical variables, latent_dim of them with `classes` each, as one-hot vectors; z ~ softmax((logits + G) / t).

    The Gumbel-softmax of Jang et al. 2016, arXiv 1611.01144, also called Concrete (Maddison et al. 2016, arXiv
    1611.00712). Training alone sees relaxed draws, at the given temperature t; with straight_through=True they are
    one-hot, with the relaxed draw's gradient. What is evaluated is the discrete model and its bound. Takes the prior
    'categorical'.
    """
    require_whole("classes", classes, 2, MAX_WIDTH)
    require_type("straight_through", straight_through, bool)
    temperature = require_number("temperature", temperature, 1e-30, 1e30)
    return RelaxedPosterior(latent_dim, classes, temperature, straight_through)
