"""The aggregate posterior q(z) = 1/N sum_i q(z|x_i) of N examples against the prior, for the diagnosis of a model.

The rate is the sum of two parts: the mutual information of codes and examples, and the divergence of q(z) from p(z),
1/N sum_i KL(q(z|x_i) || p(z)) = I(i; z) + KL(q(z) || p(z)) (Hoffman & Johnson 2016, ELBO surgery).
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from jaxvae.distributions import Normal
from jaxvae.evaluate.bounds import mean_and_stderr
from jaxvae.model.traits import traits_of
from jaxvae.terms import Level, Terms, example_keys

__all__ = ["compare_to_prior", "divergence_bounds", "make_collect_codes", "pinsker_bound"]

_MAX_POSTERIOR_VALUES = 2**15  # values of one posterior: of a larger one q(z) is not estimated
_MAX_PAIR_VALUES = 2**31  # values of a posterior, times pairs of a z and an example, at most: a second of a core or two
_PAIR_CHUNK_VALUES = 2**22
_ERRORS = 2.0  # standard errors by which bounds of KL(q(z) || p(z)) are widened


def make_collect_codes(
    model, prepare: Callable, *, key: Array, fetch: Callable = np.asarray
) -> Callable[..., dict[str, Any]]:
    """Returns collect_codes(variables, batches, *, key=key): one z ~ q(z|x) of every example, and its densities.

    Arrays on the host: `z` and as many draws `prior` of p(z), [N, *Z]; `log_q` and `log_p` [N], nats; `posterior`, the
    q of all examples, leaves [N, *Z], if it has a density at any z; `square_error` [N], the mean of (x - E[x|z])^2 over
    x, and `scale` [N], if p(x|z) is Gaussian with one scale for all x. Only the last two are returned for several
    latents, codes of a codebook, or a prior that depends on the condition.
    """
    posterior = traits_of(model.posterior)

    @jax.jit
    def draw(variables, batch, prepare_key, model_key, prior_key) -> dict[str, Any]:
        data = prepare(example_keys(prepare_key, batch.index)[0], batch)
        keys, prior_keys = (example_keys(each, data.index) for each in (model_key, prior_key))
        terms = model.apply(variables, keys, data.x, data.condition, target=data.target)
        single = len(terms.levels) == 1 and posterior.space != "codes"
        if single and not _prior_depends_on_condition(model, variables, data.condition):
            return _squared_errors(terms) | _latent_draws(terms.levels[0], prior_keys, "density" in posterior.offers)
        return _squared_errors(terms)

    def collect_codes(variables, batches: Iterable, *, key: Array = key) -> dict[str, Any]:
        # as in make_evaluate: the draws that it scored
        prepare_key, model_key, weight_key = random.split(random.clone(key), 3)
        drawn = []
        for batch, real in batches:
            found = draw(variables, batch, prepare_key, model_key, random.fold_in(weight_key, 1))
            drawn.append(jax.tree.map(lambda a, real=real: fetch(a)[:real], found))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *drawn)

    return collect_codes


def _prior_depends_on_condition(model, variables, condition: Array | None) -> bool:
    """Returns whether p(z) depends on the condition."""
    if condition is None:
        return False
    two = jax.ShapeDtypeStruct((2, *condition.shape[1:]), condition.dtype)
    p = jax.eval_shape(partial(model.apply, method="prior"), variables, two)
    return any(leaf.shape[1] == 2 for leaf in jax.tree.leaves(p))


def _latent_draws(level: Level, prior_keys: Array, has_density: bool) -> dict[str, Any]:
    """Returns each example's z with its log-densities, a draw of the prior, and q itself if `has_density`."""
    batch = level.z.shape[1]
    found = {"z": level.z[0], "log_q": level.log_q[0], "log_p": level.log_p[0], "prior": level.p.sample(prior_keys)[0]}
    if has_density and sum(math.prod(leaf.shape[2:]) for leaf in jax.tree.leaves(level.q)) <= _MAX_POSTERIOR_VALUES:
        found["posterior"] = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[0], (batch, *leaf.shape[2:])), level.q)
    return found


def _squared_errors(terms: Terms) -> dict[str, Array]:
    """Returns each example's mean square error and the scale, if p(x|z) is Gaussian with one scale; else {}."""
    px = terms.px
    if not isinstance(px, Normal) or px.log_scale.size != 1:
        return {}
    error = (terms.x - px.mean())[0] ** 2
    return {
        "square_error": error.reshape(len(error), -1).mean(-1),
        "scale": jnp.broadcast_to(jnp.exp(px.log_scale).reshape(1), (len(error),)),
    }


def compare_to_prior(codes: dict[str, Any]) -> dict[str, float]:
    """Returns how the codes of N examples differ from N draws of the prior: a two-sample test, and parts of the rate.

    `told_apart` is the accuracy of a nearest-neighbour classifier of codes against draws (Lopez-Paz & Oquab 2016, arXiv
    1610.06545, with k = 1). Where q(z) = p(z) it is 1/2, or less than 1/2N below. No classifier is right more often
    than (1 + TV) / 2, which `pinsker_bound` uses. `told_apart_stderr` is that of `_dependent_stderr`.
    `decompose_rate` adds the parts if q has a density. Returns {} if there are fewer than two codes.
    """
    values = sum(leaf[0].size for leaf in jax.tree.leaves(codes.get("posterior", codes.get("z"))))
    count = min(len(codes.get("z", ())), math.isqrt(_MAX_PAIR_VALUES // max(1, values)))
    if count < 2:
        return {}
    chosen = np.linspace(0, len(codes["z"]) - 1, count).astype(int)
    codes = jax.tree.map(lambda a: a[chosen], codes)
    right, nearest = nearest_neighbour_test(codes["z"], codes["prior"])
    found = {
        "examples": count,
        "told_apart": float(right.mean()),
        "told_apart_stderr": _dependent_stderr(right, nearest),
    }
    if "posterior" in codes:
        among, others = log_aggregate_posterior(codes["posterior"], codes["z"])
        found |= decompose_rate(codes["log_q"], codes["log_p"], among, others)
    return found


def nearest_neighbour_test(z: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns whether the nearest neighbour of each point is of its kind, and which it is; z, prior [N, *Z]: two [2 N].

    The points are each z, then each draw of the prior. The first is 1 if the neighbour is of the kind, 0 if not, and
    1/2 if one neighbour of each kind is equally near.
    """
    points = np.concatenate([z, prior])
    own, other, nearest = map(np.asarray, _nearest(points, chunk=max(1, _PAIR_CHUNK_VALUES // points.size)))
    return 0.5 * (1 + np.sign(other.astype(np.float64) - own)), nearest


def _dependent_stderr(right: np.ndarray, nearest: np.ndarray) -> float:
    """Returns the standard error of the mean of `right` [M], by the nearest neighbour `nearest` [M] of each point.

    Adds the covariances of mutual neighbours and of points with the same one (Schilling 1986, JASA 81:799; Henze 1988).
    """
    off, mutual = right - right.mean(), nearest[nearest] == np.arange(len(nearest))
    variance = (np.bincount(nearest, off) ** 2).sum() + (off[mutual] ** 2).sum()
    return math.sqrt(variance) / len(right)


def pinsker_bound(accuracy: float) -> float:
    """Returns the least KL(q(z) || p(z)), nats, if a classifier separates their draws with this accuracy.

    By Pinsker's inequality it is 2 TV^2, where TV >= 2 accuracy - 1.
    """
    return 2 * max(0.0, 2 * accuracy - 1) ** 2


def divergence_bounds(found: dict[str, float]) -> tuple[float, float]:
    """Returns the least and the most that KL(q(z) || p(z)) is, nats, by `compare_to_prior`; widened by two errors.

    The most is infinite if q has no density.
    """
    least = pinsker_bound(found["told_apart"] - _ERRORS * found["told_apart_stderr"])
    if "divergence" not in found:
        return least, math.inf
    least = max(least, found["divergence_least"] - _ERRORS * found["divergence_least_stderr"])
    return least, max(least, found["divergence"] + _ERRORS * found["divergence_stderr"])


def decompose_rate(log_q: np.ndarray, log_p: np.ndarray, among: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """Returns the rate and its two parts by one draw of each of N examples, nats; all arguments [N], at z_i ~ q(z|x_i).

    `among` is the log of the mean of q(z_i|x_j) over all j. It gives the parts of these N examples' rate without bias.
    As an estimate of KL(q(z) || p(z)) over the whole population, `divergence` is too large in expectation, as KL is
    convex and I(i; z) <= log N. So it means little if `information` is near log N. `others` leaves j = i out: by
    Jensen's inequality `divergence_least` is too small. The truth is between them, up to their standard errors.
    """
    log_q, log_p, among, others = (each.astype(np.float64) for each in (log_q, log_p, among, others))
    divergence, least = mean_and_stderr(among - log_p), mean_and_stderr(others - log_p)
    return {
        "rate": float((log_q - log_p).mean()),
        "information": float((log_q - among).mean()),
        "divergence": divergence["value"],
        "divergence_stderr": divergence["stderr"],
        "divergence_least": least["value"],
        "divergence_least_stderr": least["stderr"],
    }


def log_aggregate_posterior(q: Any, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns log 1/N sum_j q_j(z_i) at z [N, *Z], over all j and over j != i: two [N], nats; q's leaves [N, *Z]."""
    size = sum(leaf[0].size for leaf in jax.tree.leaves(q))
    return jax.tree.map(np.asarray, _log_aggregate_posterior(q, z, chunk=max(1, _PAIR_CHUNK_VALUES // (len(z) * size))))


@partial(jax.jit, static_argnames="chunk")
def _log_aggregate_posterior(q: Any, z: Array, *, chunk: int) -> tuple[Array, Array]:
    count = len(z)
    q = jax.tree.map(lambda leaf: leaf[None], q)

    def sums(each: tuple[Array, Array]) -> tuple[Array, Array]:
        z, number = each
        log_prob = q.log_prob(jnp.broadcast_to(z[None, None], (1, count, *z.shape)))[0]
        others = jnp.where(jnp.arange(count) == number, -jnp.inf, log_prob)
        return jax.nn.logsumexp(log_prob), jax.nn.logsumexp(others)

    among, others = lax.map(sums, (z, jnp.arange(count)), batch_size=chunk)
    return among - math.log(count), others - math.log(count - 1)


@partial(jax.jit, static_argnames="chunk")
def _nearest(points: Array, *, chunk: int) -> tuple[Array, Array, Array]:
    """Returns, [M] each, squared distances to the nearest of the own half of M points, and of the other; and which."""
    number = jnp.arange(len(points))
    in_first = number < len(points) // 2

    def least(each: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        point, own = each
        squares = ((points - point[None]) ** 2).reshape(len(points), -1).sum(-1)
        squares, same = jnp.where(number == own, jnp.inf, squares), in_first == in_first[own]
        own_kind, other_kind = (jnp.where(kind, squares, jnp.inf).min() for kind in (same, ~same))
        return own_kind, other_kind, squares.argmin()

    return lax.map(least, (points, number), batch_size=chunk)
