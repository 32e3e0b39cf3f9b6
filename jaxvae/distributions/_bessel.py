"""How far a von Mises-Fisher law is from the uniform one: its normalizer, its mean, its KL, for any dimension.

Of a point uniform on the unit sphere of R^D, with w its coordinate along some axis, all follow from
log M(kappa) = log E[exp(kappa w)] = log 0F1(; D/2; kappa^2 / 4), which is log I_v(kappa) up to elementary terms,
v = D/2 - 1. JAX has no I_v. Here log M of a high order comes from Debye's expansion, uniform in kappa (NIST Digital
Library of Mathematical Functions, 10.41.3), and that of v from the recurrence downwards, which is stable. Every term is
arranged so that small differences are computed as such: relative errors stay near 1e-6 in float32 for kappa from 0 on.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

_DEBYE_ORDER = 16.0  # Debye's expansion, cut after its third term, is exact to float32 from this order on
_DEBYE = (  # log of Debye's series is the sum of d_k(t) / order^k; here d_k as {power of t: coefficient}
    {1: 1 / 8, 3: -5 / 24},
    {2: 1 / 16, 4: -6 / 16, 6: 5 / 16},
    {3: 25 / 384, 5: -531 / 640, 7: 221 / 128, 9: -1105 / 1152},
)


class _Moments(NamedTuple):
    """Of w under the von Mises-Fisher law of concentration kappa; each shaped like kappa."""

    log_mean: Array  # log M(kappa), relatively exact for small kappa
    log_mean_scaled: Array  # log M(kappa) - kappa, absolutely exact for large kappa
    slope: Array  # E[w] / kappa
    deficit: Array  # kappa (1 - E[w])
    curvature: Array  # d log E[w] / d log kappa


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_mean_scaled(dim: int, kappa: Array) -> Array:
    """Returns log E[exp(kappa (w - 1))] for w a coordinate of a uniform point on the unit sphere of R^dim."""
    return _moments(dim, kappa).log_mean_scaled


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def mean_resultant_length(dim: int, kappa: Array) -> Array:
    """Returns the length of the mean of a von Mises-Fisher law, I_{dim/2}(kappa) / I_{dim/2-1}(kappa), from 0 to 1."""
    return kappa * _moments(dim, kappa).slope


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def kl_to_uniform(dim: int, kappa: Array) -> Array:
    """Returns KL(von Mises-Fisher || uniform) = kappa E[w] - log M(kappa), nats."""
    of = _moments(dim, kappa)
    # either form loses what the other keeps: log M and kappa E[w] are near kappa when that is large
    return jnp.where(kappa < dim, kappa**2 * of.slope - of.log_mean, -of.log_mean_scaled - of.deficit)


def one_minus_resultant(dim: int, kappa: Array) -> Array:
    """Returns 1 - E[w], relatively exact for large kappa."""
    of = _moments(dim, kappa)
    return jnp.where(kappa < 1, 1 - kappa * of.slope, of.deficit / jnp.maximum(kappa, 1))


@log_mean_scaled.defjvp
def _log_mean_scaled_jvp(dim: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return log_mean_scaled(dim, *primals), -one_minus_resultant(dim, *primals) * tangents[0]


@mean_resultant_length.defjvp
def _mean_resultant_length_jvp(dim: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    of = _moments(dim, *primals)
    return mean_resultant_length(dim, *primals), of.slope * of.curvature * tangents[0]


@kl_to_uniform.defjvp
def _kl_to_uniform_jvp(dim: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    of = _moments(dim, *primals)  # the derivative is kappa d E[w] / d kappa
    return kl_to_uniform(dim, *primals), primals[0] * of.slope * of.curvature * tangents[0]


def _moments(dim: int, kappa: Array) -> _Moments:
    """Returns the moments at order dim/2 - 1, by recurrence from an order of at least _DEBYE_ORDER."""
    order = dim / 2 - 1
    steps = max(0, math.ceil(_DEBYE_ORDER - order))
    of = _high_order_moments(order + steps, kappa)
    for step in reversed(range(steps)):
        of = _lower_order(order + step, kappa, of)
    return of


def _lower_order(order: float, kappa: Array, above: _Moments) -> _Moments:
    """Returns the moments at an order from those at order + 1.

    By I_v = I_{v+2} + 2 (v + 1) I_{v+1} / kappa and its derivative. The last two have a recurrence of their own: so
    they do not gather the rounding of the slope.
    """
    twice = 2 * (order + 1)
    ratio = kappa**2 * above.slope / twice
    left = twice - above.deficit
    return _Moments(
        above.log_mean + jnp.log1p(ratio),
        above.log_mean_scaled + jnp.log1p(ratio),
        1 / (twice * (1 + ratio)),
        kappa * left / (kappa + left),
        (twice - (kappa - above.deficit) * above.curvature) / (kappa + left),
    )


def _high_order_moments(order: float, kappa: Array) -> _Moments:
    """Returns the moments by Debye's expansion and its derivatives, in t = (1 + z^2)^(-1/2), z = kappa / order."""
    z = kappa / order
    excess = z**2 / (1 + jnp.sqrt(1 + z**2))  # of sqrt(1 + z^2) over 1
    t = 1 / (1 + excess)
    tail, bend = _tail_of(order), _bend_of(order)
    rest = -order * jnp.log1p(excess / 2) - 0.5 * jnp.log1p(excess) - excess * t * _horner(tail, t)
    lost = _horner(bend, t)
    kept = 1 / (1 + t) - lost  # E[w] = z t kept
    kept_slope = -1 / (1 + t) ** 2 - _horner([power * c for power, c in enumerate(bend)][1:], t)
    return _Moments(
        order * excess + rest,
        -order * (excess + z) / (1 + excess + z) + rest,
        t * kept / order,
        kappa * (2 * t / (1 + t + z * t) + z * t * lost),
        t * (t * kept - (1 - t) * (1 + t) * kept_slope) / kept,
    )


def _tail_of(order: float) -> list[float]:
    """Returns the coefficients of (sum_k (d_k(1) - d_k(t)) / order^k) / (1 - t); d_k(1) is Stirling's."""
    coefficients = [0.0] * 9
    for k, terms in enumerate(_DEBYE, 1):
        for power, coefficient in terms.items():
            for lower_power in range(power):
                coefficients[lower_power] += coefficient / order**k
    return coefficients


def _bend_of(order: float) -> list[float]:
    """Returns coefficients of t / (2 order) + t^2 sum_k d_k'(t) / order^(k+1)."""
    coefficients = [0.0, 0.5 / order] + [0.0] * 9
    for k, terms in enumerate(_DEBYE, 1):
        for power, coefficient in terms.items():
            coefficients[power + 1] += power * coefficient / order ** (k + 1)
    return coefficients


def _horner(coefficients: list[float], t: Array) -> Array:
    """Returns the polynomial with these coefficients, lowest power first, at t."""
    value = jnp.full_like(t, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * t + coefficient
    return value
