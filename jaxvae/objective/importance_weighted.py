"""Tighter bounds from several draws of z per example: importance weights w_s = p(x, z_s) / q(z_s|x), s = 1 .. K.

K is train.samples; at K = 1 all of them are the elbo, with a sampled KL.
"""

import math
from collections.abc import Callable, Set

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxvae._checks import UsageError, require_choice, require_number, require_whole
from jaxvae.objective.base import Loss, Needs, Objective, bound_metrics, init_stateless
from jaxvae.terms import Level, Terms, reweight_gradient

__all__ = ["ciwae", "iwae", "miwae", "piwae", "renyi"]

_MIN_WEIGHT = 1e-20  # of piwae's decoder: what the gate divides by
_MIN_DISTANCE_TO_ONE = 0.01  # of Renyi's alpha, unless it is 1: 1 / (1 - alpha) enlarges float32's rounding


def iwae(gradient: str = "plain") -> Objective:
    """-log 1/K sum_s w_s, the importance-weighted bound, K = train.samples (arXiv 1509.00519, eq. 8).

    `gradient` is how the encoder learns. 'plain': its derivative as it stands. 'stl', sticking the landing: without
    the score of q, whose mean is 0 at K = 1 (Roeder et al. 2017, arXiv 1703.09194); above it is biased. 'dreg',
    doubly reparameterized: unbiased at any K, and the better the larger K is (Tucker et al. 2018, arXiv 1810.04152).
    The decoder's and the prior's gradient is the same in all three.
    """
    require_choice("gradient", gradient, ("plain", "stl", "dreg"))
    if gradient == "plain":
        return _importance_objective("iwae", _log_mean)

    def value(terms: Terms) -> Array:
        log_w = _path_log_weight(terms, f"iwae({gradient!r})")
        bound = _log_mean(log_w)
        if gradient == "stl":
            return -bound
        return reweight_gradient(terms.levels[0], jax.nn.softmax(log_w, axis=0)) - bound

    model = {"gate"} if gradient == "dreg" else set()
    return _importance_objective("iwae", _log_mean, value, posterior={"path", "density"}, model=model)


def miwae(groups: int = 2, *, samples: int | None = None) -> Objective:
    """The mean of `groups` importance-weighted bounds of K / groups draws each; K = train.samples.

    MIWAE of Rainforth et al. 2018 (arXiv 1802.04537, section 6): tighter bounds give the encoder a noisier gradient,
    which averaging makes up for. groups=1 is iwae, groups=K the elbo with K draws.
    """
    _require_groups(groups, samples)

    def bound(log_w: Array) -> Array:
        _require_groups(groups, len(log_w))
        return jax.vmap(_log_mean)(log_w.reshape(groups, -1, log_w.shape[1])).mean(0)

    return _importance_objective("miwae", bound)


def ciwae(share: float = 0.5) -> Objective:
    """share times the elbo plus (1 - share) times the importance-weighted bound, of the same draws; K = train.samples.

    CIWAE of Rainforth et al. 2018 (arXiv 1802.04537, section 6).
    """
    require_number("share", share, 0, 1)

    def bound(log_w: Array) -> Array:
        return share * log_w.mean(0) + (1 - share) * _log_mean(log_w)

    return _importance_objective("ciwae", bound)


def piwae(groups: int = 2, *, samples: int | None = None) -> Objective:
    """The decoder and the prior learn by iwae, the encoder by miwae(groups), from the same draws; K = train.samples.

    PIWAE of Rainforth et al. 2018 (arXiv 1802.04537, section 6). The value is iwae's. A prior made of the encoder,
    as 'vamp', counts as prior.
    """
    _require_groups(groups, samples)

    def value(terms: Terms) -> Array:
        log_w = lax.stop_gradient(terms.log_weight)
        decoder_weight = jnp.maximum(jax.nn.softmax(log_w, axis=0), _MIN_WEIGHT)
        in_groups = log_w.reshape(groups, -1, log_w.shape[1])
        encoder_weight = (jax.nn.softmax(in_groups, axis=1) / groups).reshape(log_w.shape)
        level = _single_level(terms, "piwae")
        # the path through z has the decoder's weights, which the gate replaces by the encoder's; q's own parameters, at
        # fixed z, are the encoder's alone
        path_term = decoder_weight * _path_log_weight(terms, "piwae")
        q_term = encoder_weight * level.q.log_prob(lax.stop_gradient(level.z))
        surrogate = (q_term - path_term).sum(0) + reweight_gradient(level, encoder_weight / decoder_weight)
        return surrogate - lax.stop_gradient(surrogate) - _log_mean(log_w)

    return _importance_objective("piwae", _log_mean, value, posterior={"path", "density"}, model={"gate"})


def renyi(alpha: float = 0.5) -> Objective:
    """Minus the variational Renyi bound, 1 / (1 - alpha) log 1/K sum_s w_s^(1 - alpha); K = train.samples.

    Li & Turner 2016 (arXiv 1602.02311). alpha = 0 is iwae, alpha = 1 the elbo; it falls with alpha: above 1 it lies
    below the elbo, and below 0 it is no lower bound on log p(x) any more.
    """
    power = 1 - require_number("alpha", alpha)
    if 0 < abs(power) < _MIN_DISTANCE_TO_ONE:
        raise UsageError(f"alpha={alpha!r}: too near 1 for float32; choose alpha=1, the elbo, or one further away.")

    def bound(log_w: Array) -> Array:
        return _log_mean(power * log_w) / power if power else log_w.mean(0)

    return _importance_objective("renyi", bound)


def _importance_objective(
    name: str, bound: Callable[[Array], Array], value: Callable[[Terms], Array] | None = None, **needs: Set[str]
) -> Objective:
    """Returns the objective that maximises bound(log w), [K, B] -> [B], by the loss `value(terms)` if given."""

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        loss = value(terms) if value else -bound(terms.log_weight)
        return Loss(loss, memory, {**bound_metrics(terms), name: -loss})

    draw_weights = jax.grad(lambda log_w: bound(log_w).sum())  # those of `iwae`: normalized importance weights
    return Objective(init_stateless, apply, Needs(posterior={"samples", "continuous"}) | Needs(**needs), draw_weights)


def _log_mean(log_w: Array) -> Array:
    """Returns log 1/K sum_s exp(log_w[s]), [K, B] -> [B]."""
    return jax.nn.logsumexp(log_w, axis=0) - math.log(len(log_w))


def _require_groups(groups: int, samples: int | None) -> None:
    """Raises UsageError unless `groups` is a whole number that divides the number of draws, if given."""
    require_whole("groups", groups)
    if samples is not None and samples % groups:
        raise UsageError(
            f"groups={groups} equal groups cannot be made of train.samples={samples} draws; "
            f"choose train.samples={max(groups, samples // groups * groups)}, or another groups."
        )


def _path_log_weight(terms: Terms, name: str) -> Array:
    """Returns log w [K, B] whose derivative leaves out the score of q: q's parameters count through z alone."""
    level = _single_level(terms, name)
    return terms.log_px + level.log_p - lax.stop_gradient(level.q).log_prob(level.z)


def _single_level(terms: Terms, name: str) -> Level:
    """Returns the only level; UsageError for a hierarchy, where fixing q would cut the path through the z above."""
    if len(terms.levels) != 1:
        raise UsageError(
            f"objective={name!r} is unbiased for one latent variable, this model has {len(terms.levels)}; "
            "choose objective='iwae()', or 'elbo'."
        )
    return terms.levels[0]
