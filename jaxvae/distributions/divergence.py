"""KL divergences that have a closed form, in a table by the pair of densities."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxvae.distributions._base import softplus, sum_event
from jaxvae.distributions._bessel import kl_to_uniform
from jaxvae.distributions.bernoulli import Bernoulli
from jaxvae.distributions.categorical import OneHot, RelaxedOneHot
from jaxvae.distributions.location_scale import Normal
from jaxvae.distributions.multivariate_normal import LowRankNormal, MultivariateNormal, inverse_tril, matvec
from jaxvae.distributions.quantized import Point
from jaxvae.distributions.von_mises_fisher import UniformSphere, VonMisesFisher

__all__ = ["has_kl", "has_kl_each", "kl", "kl_each"]


def kl(q: Any, p: Any) -> Array:
    """Returns KL(q || p) in nats, shaped `[*batch]`; TypeError for a pair without a closed form."""
    if isinstance(q, Point):  # it has no density to compare with any p's: its rate is 0 by convention
        return jnp.zeros(q.loc.shape[: q.loc.ndim - q.event])
    if has_kl_each(q, p):
        return sum_event(kl_each(q, p), q.event)
    if has_kl(q, p):
        return _WHOLE[type(q), type(p)](q, p)
    known = ", ".join(f"KL({a.__name__} || {b.__name__})" for a, b in _EACH | _WHOLE)
    raise TypeError(
        f"KL({type(q).__name__} || {type(p).__name__}) has no closed form here; known: {known}. "
        "Estimate it as the mean of q.log_prob(z) - p.log_prob(z) over z ~ q."
    )


def kl_each(q: Any, p: Any) -> Array:
    """Returns KL(q || p) of each coordinate in nats, `[*batch, *event]`, if q and p factorise (see `has_kl_each`)."""
    return _EACH[type(q), type(p)](q, p)


def has_kl(q: Any, p: Any) -> bool:
    """Returns whether KL(q || p) has a closed form here."""
    return isinstance(q, Point) or (type(q), type(p)) in _EACH | _WHOLE


def has_kl_each(q: Any, p: Any) -> bool:
    """Returns whether KL(q || p) is a sum over coordinates with a closed form here."""
    return (type(q), type(p)) in _EACH


def _normal_normal(q: Normal, p: Normal) -> Array:
    """Returns KL between Gaussians (Kingma & Welling 2013, arXiv 1312.6114, appendix B, for any p)."""
    log_ratio = q.log_scale - p.log_scale
    distance = (q.loc - p.loc) * jnp.exp(-p.log_scale)
    return 0.5 * (jnp.expm1(2 * log_ratio) + distance**2) - log_ratio


def _bernoulli_bernoulli(q: Bernoulli, p: Bernoulli) -> Array:
    return q.mean() * (q.logits - p.logits) + softplus(p.logits) - softplus(q.logits)


def _von_mises_fisher_uniform(q: VonMisesFisher, p: UniformSphere) -> Array:
    """Returns KL to the uniform density of the sphere (Davidson et al. 2018, arXiv 1804.00891, section 3)."""
    return kl_to_uniform(q.dim, jnp.exp(q.log_kappa[..., 0]))


def _full_normal(q: MultivariateNormal, p: Normal) -> Array:
    log_ratio = q.log_diagonal() - p.log_scale
    below = jnp.tril(q.scale_tril, -1) * jnp.exp(-p.log_scale)[..., None]
    distance = (q.loc - p.loc) * jnp.exp(-p.log_scale)
    return (0.5 * (jnp.expm1(2 * log_ratio) + (below**2).sum(-1) + distance**2) - log_ratio).sum(-1)


def _full_full(q: MultivariateNormal, p: MultivariateNormal) -> Array:
    to_p = inverse_tril(p.scale_tril)
    relative = jnp.matmul(to_p, q.scale_tril, precision=lax.Precision.HIGHEST)
    log_ratio, distance = q.log_diagonal() - p.log_diagonal(), matvec(to_p, q.loc - p.loc)
    below = jnp.tril(relative, -1)
    return (0.5 * (jnp.expm1(2 * log_ratio) + (below**2).sum(-1) + distance**2) - log_ratio).sum(-1)


def _low_rank_normal(q: LowRankNormal, p: Normal) -> Array:
    log_ratio = 0.5 * q.log_diagonal - p.log_scale
    factor = q.factor * jnp.exp(-p.log_scale)[..., None]
    distance = (q.loc - p.loc) * jnp.exp(-p.log_scale)
    each = 0.5 * (jnp.expm1(2 * log_ratio) + (factor**2).sum(-1) + distance**2) - log_ratio
    return each.sum(-1) - q.log_shrinkage()


def _one_hot(q: OneHot | RelaxedOneHot, p: OneHot) -> Array:
    """Returns the KL of the one-hot outcomes, also if q is relaxed (Jang et al. 2016, arXiv 1611.01144, sec. 3)."""
    ratio = jax.nn.log_softmax(q.logits) - jax.nn.log_softmax(p.logits)
    return sum_event(q.mean() * ratio, q.event)


_EACH: dict[tuple[type, type], Callable[[Any, Any], Array]] = {
    (Normal, Normal): _normal_normal,
    (Bernoulli, Bernoulli): _bernoulli_bernoulli,
}


_WHOLE: dict[tuple[type, type], Callable[[Any, Any], Array]] = {
    (MultivariateNormal, Normal): _full_normal,
    (MultivariateNormal, MultivariateNormal): _full_full,
    (LowRankNormal, Normal): _low_rank_normal,
    (OneHot, OneHot): _one_hot,
    (RelaxedOneHot, OneHot): _one_hot,
    (VonMisesFisher, UniformSphere): _von_mises_fisher_uniform,
}
