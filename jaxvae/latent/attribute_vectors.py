"""Attribute vectors, directions of the latent space for an attribute, and arithmetic with codes.

Pure functions of codes. Axis letters: N codes, Z latent dimensions, K directions. The length of a direction is the
distance of the two groups' means along it: strength 1 leads from the mean without the attribute to the mean with it.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

__all__ = ["arithmetic", "logistic_regression", "mean_difference", "orthogonalize", "probe"]

_NEWTON_STEPS = 25
_STEP_HALVINGS = 8  # at most, of a Newton step


def mean_difference(codes: Array, has: Array) -> Array:
    """Returns the mean of the codes [N, Z] with the attribute, `has [N]` bool, minus the mean of the others, [Z].

    The attribute vector of Larsen et al. (2016, arXiv:1512.09300, sec. 4.2). It contains all that correlates with
    the attribute in the data: for groups of one Gaussian N(m, S), cut along w, it is along S w.
    """
    weight = has.astype(codes.dtype)
    return weight @ codes / weight.sum() - (1 - weight) @ codes / (1 - weight).sum()


def probe(codes: Array, has: Array, penalty: float = 1.0) -> Array:
    """Returns the direction in which the log-odds of the attribute rise fastest, [Z], by a linear probe.

    The weights w of `logistic_regression`, scaled to w (w . d) / (w . w), with d the difference of the means. So it
    leaves out what correlates with the attribute but does not predict it. (Alain & Bengio 2016, arXiv:1610.01644; as an
    editing direction: Shen et al. 2020, arXiv:1907.10786.)
    """
    weights, _ = logistic_regression(codes, has, penalty)
    return weights * (weights @ mean_difference(codes, has)) / jnp.maximum(weights @ weights, 1e-30)


def orthogonalize(direction: Array, others: Array) -> Array:
    """Returns the part of `direction` [Z] that is orthogonal to all of `others` [K, Z]: [Z].

    If `others` are weights of probes, a step along it changes none of their predictions: the conditional manipulation
    of Shen et al. (2020, arXiv:1907.10786, sec. 3.2).
    """
    basis, _ = jnp.linalg.qr(others.T)
    return direction - basis @ (basis.T @ direction)


def logistic_regression(codes: Array, has: Array, penalty: float = 1.0) -> tuple[Array, Array]:
    """Returns (weights [Z], bias) such that the log-odds of the attribute are codes @ weights + bias.

    The minimum of sum log(1 + exp(-y (codes @ w + b))) + penalty |w|^2 / 2 with y = 1 where has [N], else -1: the L2
    `penalty` (scikit-learn's 1 / C), of the weights and not of the bias, keeps w finite if a plane parts the groups.
    By Newton's method with a line search.
    """
    features = jnp.concatenate([codes, jnp.ones((len(codes), 1), codes.dtype)], axis=1)
    sign = jnp.where(has, 1.0, -1.0).astype(codes.dtype)
    ridge = jnp.full(features.shape[1], penalty, codes.dtype).at[-1].set(0.0)

    def loss(w: Array) -> Array:
        return jax.nn.softplus(-sign * (features @ w)).sum() + (ridge * w**2).sum() / 2

    def step(_: int, w: Array) -> Array:
        odds = jax.nn.sigmoid(features @ w)
        gradient = features.T @ (odds - has) + ridge * w
        hessian = (features * (odds * (1 - odds))[:, None]).T @ features + jnp.diag(ridge + 1e-6)
        newton = jnp.linalg.solve(hessian, gradient)
        candidates = w[None] - newton[None] * jnp.append(0.5 ** jnp.arange(_STEP_HALVINGS), 0.0)[:, None]
        return candidates[jnp.argmin(jax.vmap(loss)(candidates))]

    w = lax.fori_loop(0, _NEWTON_STEPS, step, jnp.zeros(features.shape[1], codes.dtype))
    return w[:-1], w[-1]


def arithmetic(a: Array, b: Array, c: Array) -> Array:
    """Returns a - b + c of codes [*Z].

    Mikolov et al. 2013, NAACL; of images, Radford et al. 2016, arXiv:1511.06434, sec. 6.3.
    """
    return a - b + c
