"""Densities on the unit sphere of R^D, with respect to its area: the uniform one and the von Mises-Fisher."""

import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxvae.distributions._base import draw_and_score, draw_each, map_keys
from jaxvae.distributions._bessel import log_mean_scaled, mean_resultant_length, one_minus_resultant

__all__ = ["UniformSphere", "VonMisesFisher", "angle_gradient", "log_area", "reflect_tangent"]

_MAX_PROPOSALS = 100  # two of three proposals are accepted at worst, so that this is never reached
_NODES = 32
_MIN_SQUARED_TEMPERATURE = 1e-14  # the least square of a temperature


@struct.dataclass
class UniformSphere:
    """The uniform density on the unit sphere of R^dim; it has no leaves, and any batch."""

    dim: int = struct.field(pytree_node=False)
    event: ClassVar[int] = 1

    def mean(self) -> Array:
        return jnp.zeros((self.dim,))

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws one point for every key, `[*keys, dim]`. `temperature` changes nothing: a uniform has no scale."""
        return draw_each(_sample_unit_vector, keys, (self.dim,), event=1)

    def log_prob(self, x: Array) -> Array:
        """Returns -log(area), `[*batch]`, at every x `[*batch, dim]`; x is taken to lie on the sphere."""
        return jnp.full_like(x[..., 0], -log_area(self.dim))

    sample_and_log_prob = draw_and_score


@struct.dataclass
class VonMisesFisher:
    """p(x) proportional to exp(kappa loc.x) on the unit sphere: `loc [*batch, D]` of length 1, `log_kappa [*batch, 1]`.

    The normalizer is exact to about 1e-6 for kappa up to 1e16 (see _bessel.py); D is 2 or more.
    """

    loc: Array
    log_kappa: Array
    event: ClassVar[int] = 1

    def mean(self) -> Array:
        """Returns E[x], inside the sphere: the nearer to it, the more concentrated the density."""
        return mean_resultant_length(self.dim, jnp.exp(self.log_kappa)) * self.loc

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws cos(a) loc + sin(a) v: an angle a from loc, and a uniform tangent v; reparameterized.

        In kappa it is so implicitly (see `_implicit_angle`), in loc by a reflection, so that loc has to be of length 1.
        `temperature` divides kappa by its square, as it multiplies the deviations of a Gaussian.
        """
        batch, dim = jnp.broadcast_shapes(self.loc.shape[:-1], self.log_kappa.shape[:-1]), self.dim
        kappa = jnp.exp(self.log_kappa[..., 0]) / jnp.maximum(jnp.square(temperature), _MIN_SQUARED_TEMPERATURE)

        def draw_angle_and_direction(key: Array, kappa: Array) -> tuple[Array, Array]:
            angle_key, direction_key = random.split(key)
            return _draw_angle(angle_key, kappa, dim), _sample_unit_vector(direction_key, (dim - 1,))

        draw, keys = map_keys(draw_angle_and_direction, keys, batch)
        angle, around = draw(keys, jnp.broadcast_to(lax.stop_gradient(kappa), keys.shape))
        angle = _implicit_angle(dim, angle, kappa)[..., None]
        loc = jnp.broadcast_to(self.loc, (*angle.shape[:-1], dim))
        return jnp.cos(angle) * loc + jnp.sin(angle) * reflect_tangent(loc, around)

    def log_prob(self, x: Array) -> Array:
        """Returns log p(x), `[*batch]`, nats, at x on the sphere; by |x - loc|, exact for large kappa, too."""
        kappa = jnp.exp(self.log_kappa[..., 0])
        distance = jnp.square(x - self.loc).sum(axis=-1)
        return -0.5 * kappa * distance - log_mean_scaled(self.dim, kappa) - log_area(self.dim)

    sample_and_log_prob = draw_and_score

    @property
    def dim(self) -> int:
        return self.loc.shape[-1]


def log_area(dim: int) -> float:
    """Returns the log of the area of the unit sphere of R^dim."""
    return math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)


def _sample_unit_vector(key: Array, shape: tuple[int, ...]) -> Array:
    """Draws a uniform point of the unit sphere, `[D]`."""
    x = random.normal(key, shape)
    x = jnp.where((x == 0).all(), 1.0, x)  # where D = 1, a zero comes once in 10^7 draws
    return x / jnp.sqrt(jnp.square(x).sum())


def reflect_tangent(loc: Array, around: Array) -> Array:
    """Returns unit vectors orthogonal to the first axis, `around [*batch, D-1]`, reflected to be orthogonal to `loc`.

    The reflection takes the first axis, with the sign that is farther from loc, to loc. It is smooth in loc up to the
    change of sign, where the distribution of the outcome does not change.
    """
    first, rest = loc[..., :1], loc[..., 1:]
    sign = jnp.where(first < 0, -1.0, 1.0)
    along = (rest * around).sum(axis=-1, keepdims=True) / (1 + jnp.abs(first))
    return jnp.concatenate([-along * (first + sign), around - along * rest], axis=-1)


def _draw_angle(key: Array, kappa: Array, dim: int) -> Array:
    """Draws an angle with density proportional to exp(kappa cos a) sin(a)^(D-2), by rejection (Ulrich 1984; Wood 1994).

    A proposal is the angle b of a uniform point, contracted: tan(a/2) = shrink tan(b/2). It is accepted with the
    density ratio over its largest value, which the best `shrink` has at b = pi/2.
    """
    shrink2 = _best_squared_shrink(dim, kappa)
    widest, top = (1 + shrink2) / 2, 2 * shrink2 / (1 + shrink2)

    def propose(tried: tuple[Any, ...]) -> tuple[Any, ...]:
        count, key, _, _ = tried
        key, point_key, coin_key = random.split(key, 3)
        near, far = _squared_half_angle(random.normal(point_key, (dim,), kappa.dtype))
        width = far + shrink2 * near
        log_ratio = (dim - 1) * jnp.log(widest / width) - kappa * (2 * shrink2 * near / width - top)
        accepted = -random.exponential(coin_key, (), kappa.dtype) <= log_ratio
        return count + 1, key, 2 * jnp.arctan2(jnp.sqrt(shrink2 * near), jnp.sqrt(far)), accepted

    # made from key and kappa, so that what the loop carries varies over devices from the start, as shard_map asks
    unset = 0 * (kappa + random.key_data(key)[0].astype(kappa.dtype))
    tried: tuple[Any, ...] = (0, key, unset, unset > 0)
    return lax.while_loop(lambda tried: ~tried[3] & (tried[0] < _MAX_PROPOSALS), propose, tried)[2]


def _best_squared_shrink(dim: int, kappa: Array) -> Array:
    """Returns the square of the contraction that brings the uniform density nearest to kappa's (Wood 1994, his b)."""
    return (dim - 1) / (2 * kappa + jnp.sqrt(4 * kappa**2 + (dim - 1) ** 2))


def _squared_half_angle(x: Array) -> tuple[Array, Array]:
    """Returns sin^2 and cos^2 of half the angle between x [D] and the first axis, both relatively exact."""
    across = jnp.square(x[1:]).sum()
    length = jnp.sqrt(x[0] ** 2 + across)
    sum_ = length + jnp.abs(x[0])
    large, small = sum_ / (2 * length), across / (2 * length * sum_)
    return jnp.where(x[0] > 0, small, large), jnp.where(x[0] > 0, large, small)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _implicit_angle(dim: int, angle: Array, kappa: Array) -> Array:
    """Returns the drawn angle, which moves with kappa such that its quantile stays: da/dkappa = -(dF/dkappa) / (dF/da).

    (Figurnov, Mohamed & Mnih 2018, arXiv 1805.08498, section 3.)
    """
    return angle


@_implicit_angle.defjvp
def _implicit_angle_jvp(dim: int, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    angle, kappa = primals
    return angle, tangents[0] + angle_gradient(dim, angle, kappa) * tangents[1]


def angle_gradient(dim: int, angle: Array, kappa: Array) -> Array:
    """Returns da/dkappa at a fixed quantile: -integral of (E[u] - u(a')) p(a') da' over a' < a, over p(a).

    Here u(a) = 1 - cos(a). The integrals over the two sides of a differ by the sign alone; the side without E[u] inside
    is taken, where nothing cancels. The variable is the sampler's b, whose density hardly depends on kappa.
    """
    nodes, weights = (
        jnp.asarray(column, angle.dtype).reshape(*(1,) * angle.ndim, -1) for column in zip(*_fejer(_NODES), strict=True)
    )
    angle, kappa = angle[..., None], kappa[..., None]
    sin, cos, shrink = jnp.sin(angle / 2), jnp.cos(angle / 2), jnp.sqrt(_best_squared_shrink(dim, kappa))
    mean, b = one_minus_resultant(dim, kappa), 2 * jnp.arctan2(sin, shrink * cos)
    reach = 7 / math.sqrt(dim - 2) if dim > 2 else math.pi
    end = jnp.where(2 * sin**2 < mean, jnp.maximum(b - reach, 0), jnp.minimum(b + reach, math.pi))
    near, far = jnp.sin((b + nodes * (end - b)) / 2), jnp.cos((b + nodes * (end - b)) / 2)
    width = far**2 + (shrink * near) ** 2
    u, sin_there = 2 * (shrink * near) ** 2 / width, 2 * shrink * near * far / width
    log_ratio = (
        (dim - 2) * (_safe_log(sin_there) - _safe_log(2 * sin * cos))
        + kappa * (2 * sin**2 - u)
        + jnp.log(shrink / width)
    )
    return -jnp.abs(end - b)[..., 0] * (weights * (jnp.abs(mean - u) * jnp.exp(log_ratio))).sum(axis=-1)


def _safe_log(x: Array) -> Array:
    """Returns log x, finite at 0."""
    return jnp.log(jnp.maximum(x, 1e-30))


@functools.cache
def _fejer(count: int) -> list[tuple[float, float]]:
    """Returns nodes in (0, 1) and weights of Fejer's first rule: exact for polynomials of a degree below `count`."""
    rule = []
    for k in range(count):
        theta = math.pi * (k + 0.5) / count
        ripple = sum(math.cos(2 * j * theta) / (4 * j**2 - 1) for j in range(1, count // 2 + 1))
        rule.append(((1 - math.cos(theta)) / 2, (1 - 2 * ripple) / count))
    return rule
