"""Objectives of the aggregate posterior q(z) = E_p(x)[q(z|x)]: divergences from the prior, or from independence.

They compare the examples of the whole batch: each device has its own rows, and all columns.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae._checks import UsageError, require_choice, require_number, require_positive, require_whole
from jaxvae.objective.base import Loss, Needs, Objective, Weight, bound_metrics, init_stateless, require_weight
from jaxvae.terms import Level, Terms

__all__ = ["dip_i", "dip_ii", "flatten_events", "local_rows", "mmd", "sample_prior", "tc"]

_KERNEL_WIDTHS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # multiples of c (arXiv 1711.01558, its authors' code)


def tc(
    beta: Weight = 6.0, alpha: float = 1.0, gamma: float = 1.0, weights: str = "stratified", *, examples: int | None
) -> Objective:
    """Distortion + alpha I(x; z) + beta TC(z) + gamma sum_j KL(q(z_j) || p(z_j)): the rate in three parts.

    beta-TCVAE (Chen et al. 2018, arXiv 1802.04942, eq. 4); the total correlation TC = KL(q(z) || prod_j q(z_j)) is 0
    where latents are independent. With 1, 1, 1 it is the elbo. q(z) over the data set's N = `examples` is estimated
    from the B of a batch, with `weights`: 'stratified', 1/N for an example's own density and (N - 1) / (N (B - 1)) for
    each other, without bias; 'weighted', 1/(N B) for each (eq. 5), whose TC is too large by about (Z - 1) log N, a
    constant without gradient. Both estimates of log q(z) lie below it (Jensen), the less the larger B is.
    """
    schedule = require_weight("beta", beta)
    alpha, gamma = require_number("alpha", alpha, 0), require_number("gamma", gamma, 0)
    require_choice("weights", weights, ("stratified", "weighted"))
    if examples is None:
        raise UsageError("tc needs the number of training examples: tc(..., examples=N), or build(..., examples=N).")
    log_weights = LOG_WEIGHTS[weights]
    require_whole("examples", examples)

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        information, correlation, marginal = jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
        for level in terms.levels:
            log_qz, log_qz_each = estimate_log_q(level, gather, examples, log_weights)
            information += (level.log_q - log_qz).mean(0)
            correlation += (log_qz - log_qz_each.sum(-1)).mean(0)
            marginal += (log_qz_each.sum(-1) - level.log_p).mean(0)
        weight, metrics = schedule(step), bound_metrics(terms)
        value = metrics["distortion"] + alpha * information + weight * correlation + gamma * marginal
        parts = {"mutual_information": information, "total_correlation": correlation, "marginal_kl": marginal}
        return Loss(value, memory, {**metrics, **parts, "beta": weight})

    return Objective(init_stateless, apply, Needs(posterior={"samples", "density", "each"}, engine={"batch"}))


def estimate_log_q(
    level: Level, gather, examples: int, log_weights: Callable[[Array, int], Array]
) -> tuple[Array, Array]:
    """Returns (log q(z) [S, B], log q(z_j) [S, B, Z]) at the level's own draws, estimated from the batch, nats."""
    z = level.z
    everyone = jax.tree.map(lambda leaf: leaf[:, None], gather(level.q))  # [1, 1, B of all devices, Z]
    each = everyone.log_prob_each(z[:, :, None])  # [S, B, B of all, Z]
    each = each.reshape(*each.shape[:3], -1)
    weight = log_weights(self_mask(z, gather), examples)[None]  # [1, B, B of all]
    return jax.nn.logsumexp(each.sum(-1) + weight, axis=2), jax.nn.logsumexp(each + weight[..., None], axis=2)


def stratified_log_weights(own: Array, examples: int) -> Array:
    """Returns log weights [B, all] that make sum_j w_ij q(z|x_j) an unbiased estimate of q(z) for z ~ q(z|x_i).

    Example i itself is one of N, each other represents (N - 1) / (B - 1) of them (Chen et al. 2018, appendix C.2, there
    with all that the sum needs put on one of the others; spread over all, it varies less).
    """
    others = own.shape[1] - 1
    if others == 0:
        raise UsageError("tc compares the examples of a batch with one another: choose data.batch_size from 2 on.")
    return jnp.where(own, -math.log(examples), math.log(max(examples - 1, 1) / examples / others))


LOG_WEIGHTS: dict[str, Callable[[Array, int], Array]] = {
    "stratified": stratified_log_weights,
    "weighted": lambda own, examples: jnp.full(own.shape, -math.log(examples * own.shape[1])),  # eq. 5
}


def self_mask(z: Array, gather) -> Array:
    """Returns where row and column are the same example: bool [B, B of all devices]."""
    rows = local_rows(z, gather)
    return rows[:, None] == jnp.arange(gather(z).shape[1])[None]


def local_rows(z: Array, gather) -> Array:
    """Returns the places of this device's examples in the gathered batch, [B]: the block equal to this z [S, B, *Z].

    If two blocks are equal, either gives the same result.
    """
    here = jnp.arange(z.shape[1])
    blocks = gather(z)
    if blocks.shape == z.shape:
        return here
    blocks = lax.stop_gradient(blocks).reshape(len(z), -1, *z.shape[1:])
    # the nearest, not the equal: XLA may compute z twice and round it differently
    distance = jnp.square(blocks - lax.stop_gradient(z)[:, None]).sum(axis=(0, *range(2, blocks.ndim)))
    return jnp.argmin(distance) * z.shape[1] + here


def mmd(kernel: str = "imq", scale: float = 1.0) -> Objective:
    """The squared maximum mean discrepancy of q(z) and p(z), a term to be added; estimated without bias, B draws each.

    Of InfoVAE (Zhao et al. 2017, arXiv 1706.02262) and the Wasserstein autoencoder (Tolstikhin et al. 2017, arXiv
    1711.01558, algorithm 2). With r the distance of two draws and c = 2 Z `scale`, the mean squared distance of draws
    from N(0, I) in Z dimensions: 'imq' is c / (c + r^2), 'rbf' exp(-r^2 / c), both averaged over seven multiples of c
    from a tenth to ten. It is no number of nats: at most 2, and about 0 where q(z) is p(z).
    """
    require_choice("kernel", kernel, tuple(_KERNELS))
    scale = require_positive("scale", scale)

    def averaged(width: float, squared: Array) -> Array:
        return jnp.stack([_KERNELS[kernel](squared, width * multiple) for multiple in _KERNEL_WIDTHS]).mean(0)

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        value = jnp.zeros(())
        for number, level in enumerate(terms.levels):
            prior = sample_prior(random.fold_in(key, number), level, gather)
            z, p, rows = flatten_events(level.z), flatten_events(prior), local_rows(level.z, gather)
            value += _mmd_per_example(z, gather(z), p, rows, partial(averaged, 2 * z.shape[-1] * scale))
        return Loss(value, memory, {**bound_metrics(terms), "mmd": value})

    return Objective(init_stateless, apply, Needs(posterior={"continuous"}, engine={"batch"}))


_KERNELS: dict[str, Callable[[Array, float], Array]] = {
    "imq": lambda squared, c: c / (c + squared),
    "rbf": lambda squared, c: jnp.exp(-squared / c),
}


def _mmd_per_example(z: Array, everyone: Array, prior: Array, rows: Array, kernel: Callable[[Array], Array]) -> Array:
    """Returns [B], whose batch mean is the unbiased estimate of MMD^2 (Gretton et al. 2012, JMLR 13, eq. 3)."""
    count = everyone.shape[1]
    mine = jnp.take(prior, rows, axis=1)
    other = (rows[:, None] != jnp.arange(count)[None])[None]

    def mean_over_others(a: Array, b: Array) -> Array:
        return jnp.where(other, kernel(_squared_distances(a, b)), 0.0).sum(-1) / (count - 1)

    across = kernel(_squared_distances(z, prior)).mean(-1)
    return (mean_over_others(z, everyone) + mean_over_others(mine, prior) - 2 * across).mean(0)


def _squared_distances(a: Array, b: Array) -> Array:
    """Returns |a_i - b_j|^2, [S, A, D] and [S, B, D] -> [S, A, B], by differences: a product would round small ones."""
    return jnp.square(a[:, :, None] - b[:, None]).sum(-1)


def sample_prior(key: Array, level: Level, gather) -> Array:
    """Draws z ~ p(z), one for each example of the whole batch, [1, B of all devices, *Z], equal on every device."""
    count = level.z.shape[1]
    conditional = any(leaf.shape[1] == count for leaf in jax.tree.leaves(level.p))
    everyone = gather(level.z).shape[1]
    p = gather(level.p) if conditional and count > 1 else level.p
    return p.sample(random.split(key, (1, everyone)))


def flatten_events(z: Array) -> Array:
    """Returns z [S, B, *Z] with its event axes flattened."""
    return z.reshape(*z.shape[:2], -1)


def dip_i(off_diagonal: float = 10.0, diagonal: float = 5.0) -> Objective:
    """Holds the covariance C of q's means at I: off_diagonal sum_(i != j) C_ij^2 + diagonal sum_i (C_ii - 1)^2.

    DIP-VAE-I (Kumar et al. 2017, arXiv 1711.00848, section 3), a term to be added; of the whole batch's means. The
    default weighs the diagonal half as much as the rest. The study of Locatello et al. 2019 (arXiv 1811.12359, its
    appendix and code) weighs it 10 times as much: dip_i(10, 100).
    """
    return _covariance_penalty(off_diagonal, diagonal, lambda q, covariance: covariance)


def dip_ii(off_diagonal: float = 10.0, diagonal: float = 10.0) -> Objective:
    """As dip_i, of the covariance of the draws themselves: that of q's means plus the mean of q's variances.

    DIP-VAE-II (Kumar et al. 2017, arXiv 1711.00848, section 3), a term to be added.
    """

    def of_draws(q: Any, covariance: Array) -> Array:
        variances = jnp.square(q.scale()).reshape(q.mean().shape[1], -1).mean(0)
        return covariance + jnp.diag(variances)

    return _covariance_penalty(off_diagonal, diagonal, of_draws)


def _covariance_penalty(off_diagonal: float, diagonal: float, of: Callable[[Any, Array], Array]) -> Objective:
    """Returns the term that holds of(q, the covariance of q's means) at the identity; q [1, B of all devices, Z]."""
    off_diagonal, diagonal = require_number("off_diagonal", off_diagonal, 0), require_number("diagonal", diagonal, 0)

    def penalty(q: Any) -> Array:
        means = q.mean().reshape(q.mean().shape[1], -1)
        centred = means - means.mean(0, keepdims=True)
        covariance = of(q, jnp.matmul(centred.T, centred, precision="highest") / len(means))
        variances = jnp.diag(covariance)
        off = jnp.square(covariance).sum() - jnp.square(variances).sum()
        return off_diagonal * off + diagonal * jnp.square(variances - 1).sum()

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        value = jnp.stack([penalty(gather(level.q)) for level in terms.levels]).sum()
        each = jnp.broadcast_to(value.reshape(1), terms.log_px.shape[1:])  # of [B], whose mean it is
        return Loss(each, memory, {**bound_metrics(terms), "dip": value})

    return Objective(init_stateless, apply, Needs(posterior={"samples", "each"}, engine={"batch"}))
