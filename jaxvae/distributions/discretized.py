"""Probabilities of coded pixels: of the 256 values k / 255, not densities on the real line.

A logistic's share of each level's cell, from half a level below to half a level above; the cells of 0 and 1 take the
tails (Salimans et al. 2017, arXiv 1701.05517, eq. 2).
"""

import math

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxvae.distributions._base import draw_and_score, draw_each, flat_log_prob, log_decay, softplus

__all__ = ["LEVELS", "CategoricalLevels", "DiscretizedLogistic", "LogisticMixture"]

LEVELS = 256
_TOP = LEVELS - 1


def _log_level(x: Array, loc: Array, log_scale: Array) -> Array:
    """Returns the log-probability of the level x = k / 255 under a logistic, finite however small the probability.

    Between the edges u of its cell's upper and l of its lower end, in scales from loc,
    sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - e^-(u - l)), whose three logarithms are exact.
    """
    level = jnp.round(_TOP * x)  # k + 1/2 is exact, so that neighbours share their edge to the bit: the sum is 1
    inverse = jnp.exp(-log_scale)
    upper = ((level + 0.5) / _TOP - loc) * inverse
    lower = ((level - 0.5) / _TOP - loc) * inverse
    below = jnp.where(level < _TOP, -softplus(-upper), 0)
    above = jnp.where(level > 0, -softplus(lower), 0)
    width = log_decay(inverse / _TOP) - log_scale - math.log(_TOP)
    return below + above + jnp.where((level > 0) & (level < _TOP), width, 0)


def _mean_level(loc: Array, log_scale: Array) -> Array:
    """Returns the mean of x = k / 255: the sum over k > 0 of P(x >= k / 255), / 255, one at a time to save memory."""
    inverse = jnp.exp(-log_scale)

    def tail(k: Array | int) -> Array:
        return jax.nn.sigmoid((loc - (k - 0.5) / _TOP) * inverse)

    return lax.fori_loop(2, LEVELS, lambda k, total: total + tail(k), tail(1)) / _TOP


def _nearest_level(x: Array) -> Array:
    """Returns the level k / 255 whose cell x lies in. No gradient flows through it."""
    return lax.stop_gradient(jnp.clip(jnp.round(_TOP * x), 0, _TOP) / _TOP)


@struct.dataclass
class DiscretizedLogistic:
    """Independent logistics of location loc and scale exp(log_scale), `[*batch, *event]`, cut to 256 levels k / 255."""

    loc: Array
    log_scale: Array
    event: int = struct.field(pytree_node=False, default=1)

    def mean(self) -> Array:
        """Returns the mean over the 256 levels, exactly; near the ends it is not loc."""
        return _mean_level(self.loc, self.log_scale)

    def sample(self, keys: Array) -> Array:
        """Draws levels k / 255; see `draw_each` for the keys. No gradient flows through them."""
        shape = jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)
        noise = draw_each(random.logistic, keys, shape, self.event)
        return _nearest_level(self.loc + jnp.exp(self.log_scale) * noise)

    def log_prob_each(self, x: Array) -> Array:
        """Returns log P(x) of each coordinate, shaped `[*batch, *event]`, for x = k / 255."""
        return _log_level(x, self.loc, self.log_scale)

    log_prob, sample_and_log_prob = flat_log_prob, draw_and_score


@struct.dataclass
class LogisticMixture:
    """Pixels of C channels, each pixel a mixture of K discretized logistics (arXiv 1701.05517, sec. 2).

    An outcome is `[*pixels, C]` in levels k / 255, `event` axes in all. `logits [*batch, *pixels, K]` weigh the
    components; `loc` and `log_scale` are `[*batch, *pixels, K, C]`. All channels share the component, and within it a
    channel's location moves with the channels before it: channel c adds, for every j < c, coefficient
    c (c - 1) / 2 + j of `coefficients [*batch, *pixels, K, C (C - 1) / 2]` times (x_j - 1/2). That is the
    paper's eq. 3, whose pixels run from -1 to 1.
    """

    logits: Array
    loc: Array
    log_scale: Array
    coefficients: Array
    event: int = struct.field(pytree_node=False, default=1)

    def mean(self) -> Array:
        """Returns the mean of x, each channel's given the earlier channels' means within its component.

        Exact for the first channel; for later ones as far as the cut at 0 and 1 leaves their dependence linear.
        """
        found: list[Array] = []
        for c in range(self.loc.shape[-1]):
            found.append(_mean_level(self._located(c, found), self.log_scale[..., c]))
        weight = jax.nn.softmax(self.logits)[..., None]
        return (weight * jnp.stack(found, axis=-1)).sum(axis=-2)

    def sample(self, keys: Array) -> Array:
        """Draws a component for every pixel, then its channels one after the other. No gradient flows through them."""
        channels, components = self.loc.shape[-1], self.logits.shape[-1]

        def noises(key: Array, shape: tuple[int, ...]) -> Array:
            of_component, of_level = random.split(key)
            gumbel = random.gumbel(of_component, (*shape[:-1], components))
            return jnp.concatenate([gumbel, random.logistic(of_level, shape)], axis=-1)

        both = draw_each(noises, keys, (*self.logits.shape[:-1], channels), self.event)
        gumbel, noise = both[..., :components], both[..., components:]
        chosen = jax.nn.one_hot(jnp.argmax(self.logits + gumbel, axis=-1), components)
        found: list[Array] = []
        for c in range(channels):
            location = self._located(c, [x[..., None] for x in found])
            spread = jnp.exp(self.log_scale[..., c]) * noise[..., c, None]
            found.append(_nearest_level((chosen * (location + spread)).sum(axis=-1)))
        return jnp.stack(found, axis=-1)

    def log_prob(self, x: Array) -> Array:
        """Returns log P(x), `[*batch]`, for x in levels k / 255."""
        pixels = self.event - 1
        loc, log_scale, coefficients = (
            _flatten_pixels(leaf, pixels, 2) for leaf in (self.loc, self.log_scale, self.coefficients)
        )
        flat = LogisticMixture(_flatten_pixels(self.logits, pixels, 1), loc, log_scale, coefficients, event=2)
        x = _flatten_pixels(x, pixels, 1)
        channels = [x[..., None, c] for c in range(x.shape[-1])]
        each = jax.nn.log_softmax(flat.logits)
        for c, channel in enumerate(channels):
            each += _log_level(channel, flat._located(c, channels), flat.log_scale[..., c])
        return jax.nn.logsumexp(each, axis=-1).sum(axis=-1)

    sample_and_log_prob = draw_and_score

    def _located(self, c: int, channels: list[Array]) -> Array:
        """Returns the location of channel c in every component, given the channels before it, `[..., K]`."""
        first = c * (c - 1) // 2
        location = self.loc[..., c]
        for j, x in enumerate(channels[:c]):
            location += self.coefficients[..., first + j] * (x - 0.5)
        return location


def _flatten_pixels(a: Array, pixels: int, own: int) -> Array:
    """Returns the array with the `pixels` axes before its last `own` flattened: a CPU sums fast over one axis."""
    last, batch = a.ndim - own, a.ndim - own - pixels
    return a.reshape(*a.shape[:batch], math.prod(a.shape[batch:last]), *a.shape[last:])


@struct.dataclass
class CategoricalLevels:
    """Independent pixels, each with a probability of its own for all of the 256 levels: `logits [*batch, *event, 256]`.

    `event` counts the axes of an outcome, the levels' own not among them.
    """

    logits: Array
    event: int = struct.field(pytree_node=False, default=1)

    def mean(self) -> Array:
        shape = (1,) * (self.logits.ndim - 1) + (LEVELS,)
        return (jax.nn.softmax(self.logits) * (jnp.arange(LEVELS) / _TOP).reshape(shape)).sum(axis=-1)

    def sample(self, keys: Array) -> Array:
        """Draws levels k / 255 by inverting the cumulative sum; see `draw_each`. No gradient flows through them."""
        uniform = draw_each(random.uniform, keys, self.logits.shape[:-1], self.event)[..., None]
        cumulative = jnp.cumsum(jax.nn.softmax(self.logits), axis=-1)
        passed = cumulative <= uniform * cumulative[..., -1:]  # the last is 1 but for rounding
        return passed.sum(axis=-1).astype(self.logits.dtype) / _TOP

    def log_prob_each(self, x: Array) -> Array:
        """Returns log P(x) of each coordinate, shaped `[*batch, *event]`, for x = k / 255."""
        level = jnp.round(_TOP * x).astype(jnp.int32)[..., None]
        chosen = jnp.broadcast_to(level, (*jnp.broadcast_shapes(level.shape[:-1], self.logits.shape[:-1]), 1))
        log_p = jax.nn.log_softmax(self.logits)
        log_p = jnp.broadcast_to(log_p, (*chosen.shape[:-1], LEVELS))
        return jnp.take_along_axis(log_p, chosen, axis=-1)[..., 0]

    def log_prob(self, x: Array) -> Array:
        each = self.log_prob_each(x)
        return each.reshape(*each.shape[: each.ndim - self.event], -1).sum(axis=-1)

    sample_and_log_prob = draw_and_score
