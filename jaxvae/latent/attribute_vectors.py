"""Directions of the latent space that stand for an attribute, and arithmetic with codes.

Pure functions of codes. Axis letters: N codes, Z latent dimensions, K directions. A direction is as long as the two
groups' means are apart along it: from the mean of those without the attribute, strength 1 leads to that of those with.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

_NEWTON_STEPS = 25
_STEP_HALVINGS = 8  # times that a Newton step may be halved


def mean_difference(codes: Array, has: Array) -> Array:
    """[Z]: the mean of the codes [N, Z] that have the attribute, has [N] bool, minus the mean of the others.

    The attribute vector of Larsen et al. (2016, arXiv:1512.09300, sec. 4.2). Whatever goes with the attribute in the
    data is in it, too: of groups of one Gaussian N(m, S), cut along w, it is along S w.
    """
    weight = has.astype(codes.dtype)
    return weight @ codes / weight.sum() - (1 - weight) @ codes / (1 - weight).sum()


def probe(codes: Array, has: Array, penalty: float = 1.0) -> Array:
    """[Z]: the direction in which the log-odds of the attribute rise fastest, as long as the means are apart along it.

    The weights w of `logistic_regression`, scaled to w (w . d) / (w . w), d the difference of the means: what goes with
    the attribute in the data, but does not tell it, is not in it. (A linear probe: Alain & Bengio 2016,
    arXiv:1610.01644; as an editing direction: Shen et al. 2020, arXiv:1907.10786.)
    """
    weights, _ = logistic_regression(codes, has, penalty)
    return _scale_to_mean_difference(weights, codes, has)


def orthogonalize(direction: Array, others: Array) -> Array:
    """[Z]: what of `direction` [Z] is orthogonal to all of `others` [K, Z].

    Where `others` are the weights of probes, a step along it changes none of what they say: the conditional
    manipulation of Shen et al. (2020, arXiv:1907.10786, sec. 3.2).
    """
    basis, _ = jnp.linalg.qr(others.T)
    return direction - basis @ (basis.T @ direction)


def _scale_to_mean_difference(direction: Array, codes: Array, has: Array) -> Array:
    """`direction` [Z], made as long (and as signed) as the means of the two groups are apart along it."""
    apart = direction @ mean_difference(codes, has)
    return direction * apart / jnp.maximum(direction @ direction, 1e-30)


def logistic_regression(codes: Array, has: Array, penalty: float = 1.0) -> tuple[Array, Array]:
    """(weights [Z], bias): the log-odds of the attribute are codes @ weights + bias.

    The minimum of sum log(1 + exp(-y (codes @ w + b))) + penalty |w|^2 / 2 with y = 1 where has [N], else -1: the L2
    `penalty` (scikit-learn's 1 / C), of the weights and not of the bias, keeps w finite where a plane parts the groups.
    By Newton's method, each step as short as lowers the sum most.
    """
    features = jnp.concatenate([codes, jnp.ones((len(codes), 1), codes.dtype)], axis=1)
    sign = jnp.where(has, 1.0, -1.0).astype(codes.dtype)
    ridge = jnp.full(features.shape[1], penalty, codes.dtype).at[-1].set(0.0)

    def loss(w: Array) -> Array:
        return jax.nn.softplus(-sign * (features @ w)).sum() + (ridge * w**2).sum() / 2

    def step(_: int, w: Array) -> Array:
        odds = jax.nn.sigmoid(features @ w)
        slope = features.T @ (odds - has) + ridge * w
        bend = (features * (odds * (1 - odds))[:, None]).T @ features + jnp.diag(ridge + 1e-6)
        newton = jnp.linalg.solve(bend, slope)
        tries = w[None] - newton[None] * jnp.append(0.5 ** jnp.arange(_STEP_HALVINGS), 0.0)[:, None]
        return tries[jnp.argmin(jax.vmap(loss)(tries))]

    w = lax.fori_loop(0, _NEWTON_STEPS, step, jnp.zeros(features.shape[1], codes.dtype))
    return w[:-1], w[-1]


def arithmetic(a: Array, b: Array, c: Array) -> Array:
    """a - b + c of codes [*Z]: what a has and b has not, added to c (Mikolov et al. 2013, NAACL; of images Radford et
    al. 2016, arXiv:1511.06434, sec. 6.3).
    """
    return a - b + c
