"""Likelihoods p(x|z): heads from the decoder's features [S, B, H, W, F] to a density over [S, B, *X].

`features(channels)` returns how many features a pixel needs. Each declares by its traits the data that it is a density
of, and whether it is a probability of coded pixels. One that fits its scale is called in training with x [1, B, *X].
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax

from jaxvae import distributions
from jaxvae._checks import UsageError, is_instance, require_whole
from jaxvae.model.layers import LOG_SCALE_BOUND, smooth_bound
from jaxvae.model.traits import Traits

__all__ = ["GaussianLikelihood", "bernoulli", "beta", "categorical", "continuous_bernoulli", "discretized_logistic"]
__all__ += ["gaussian", "laplace", "logistic_mixture", "student_t"]

_MIN_SCALE = math.exp(-LOG_SCALE_BOUND)  # of the optimal scale, which a perfect fit would make 0
_EM_STEPS = 10  # of the optimal scale with weighted draws
SCALE_DECAY = 0.99  # per step, of the running mean square
_INITIAL_LOGISTIC_SCALE = 0.15  # its standard deviation is that of the uniform density on [0, 1]


class _LogitLikelihood(nn.Module):
    """Heads whose features, one for each channel, are the only parameters of the `_density` of every pixel."""

    def features(self, channels: int) -> int:
        return channels

    def __call__(self, features: Array) -> Any:
        return self._density(features.astype(jnp.float32), event=features.ndim - 2)


class BernoulliLikelihood(_LogitLikelihood):
    """p(x|z) = Bernoulli(sigmoid(features)), pixel by pixel, from logits."""

    traits = Traits(support="binary", mass=True)
    _density = distributions.Bernoulli


class ContinuousBernoulliLikelihood(_LogitLikelihood):
    """p(x|z) = ContinuousBernoulli(features), pixel by pixel, from logits."""

    traits = Traits(support="unit")
    _density = distributions.ContinuousBernoulli


class _LocationScaleLikelihood(nn.Module):
    """Heads whose features are the locations of a `_density` of that scale: a number, 'learned' or 'pixel'.

    A learned scale is one for all pixels, a parameter of the head; 'pixel' takes each pixel's from the second half of
    the features. Both are `_start` where parameter or feature is 0, and stay within a factor e^7 of it.
    """

    scale: float | str
    _start = 1.0

    def features(self, channels: int) -> int:
        return 2 * channels if self.scale == "pixel" else channels

    @nn.compact
    def __call__(self, features: Array) -> Any:
        loc, event = features.astype(jnp.float32), features.ndim - 2
        if self.scale == "pixel":
            loc, free = jnp.split(loc, 2, axis=-1)
            return self._density(loc, self._log_scale(free), event=event)
        if self.scale == "learned":
            log_scale = self._log_scale(self.param("log_scale", nn.initializers.zeros_init(), (), jnp.float32))
        else:
            log_scale = jnp.full((), math.log(float(self.scale)))
        return self._density(loc, log_scale.reshape((1,) * loc.ndim), event=event)

    def _log_scale(self, free: Array) -> Array:
        return math.log(self._start) + smooth_bound(free, LOG_SCALE_BOUND)


class GaussianLikelihood(_LocationScaleLikelihood):
    """p(x|z) = N(features, scale^2)."""

    traits = Traits(support="real")
    _density = distributions.Normal


class OptimalGaussianLikelihood(nn.Module):
    """p(x|z) = N(features, sigma^2), sigma^2 the mean square error: sigma-VAE (Rybkin et al. 2021, arXiv 2006.13202).

    Called with x, in training, sigma is the batch's own, over samples, examples and pixels alike, and an average of
    the mean squares over batches is renewed in the collection "scale"; called without, sigma is that average's: what
    is scored is a density fixed beforehand. Untrained, sigma is 1. Under pmap and shard_map the batch is a
    device's share of it, so that training depends a little on their number; the average does not, where all draws
    weigh the same.

    The average includes the noise of dropout: scored, without dropout, sigma is a little too large. So is a trained
    scale, which is fitted to the same draws.

    With `weigh`, a function from log p(x|z) [S, B] to the weights of the draws, the squares are weighted by them.
    """

    traits = Traits(support="real", fits_scale=True, weighs_draws=True)
    features = _LogitLikelihood.features

    @nn.compact
    def __call__(
        self, features: Array, x: Array | None = None, weigh: Callable[[Array], Array] | None = None
    ) -> distributions.Normal:
        loc = features.astype(jnp.float32)
        # sums of weights and of weighted values: their ratio has forgotten that both began at 0
        total = self.variable("scale", "mean_square", jnp.zeros, (), jnp.float32)
        weight = self.variable("scale", "weight", jnp.zeros, (), jnp.float32)
        if x is None:
            mean_square = jnp.where(weight.value > 0, total.value / jnp.maximum(weight.value, 1e-6), 1.0)
        else:
            # at its optimum the loss has no slope in sigma, so that nothing is lost by holding it fixed
            squares = lax.stop_gradient((x - loc) ** 2)
            mean_square = jnp.mean(squares) if weigh is None else _weighted_mean_square(squares, weigh)
            if self.is_mutable_collection("scale") and not self.is_initializing():
                total.value = SCALE_DECAY * total.value + (1 - SCALE_DECAY) * mean_square
                weight.value = SCALE_DECAY * weight.value + (1 - SCALE_DECAY)
        log_scale = 0.5 * jnp.log(jnp.maximum(mean_square, _MIN_SCALE**2))
        return distributions.Normal(loc, log_scale.reshape((1,) * loc.ndim), event=loc.ndim - 2)


def _weighted_mean_square(squares: Array, weigh: Callable[[Array], Array]) -> Array:
    """Returns the sigma^2 of greatest bound for squares [S, B, *X], by EM (Dempster, Laird & Rubin 1977)."""
    pixels = math.prod(squares.shape[2:])
    total = squares.reshape(*squares.shape[:2], -1).sum(-1)

    def step(_: int, mean_square: Array) -> Array:
        weights = weigh(-0.5 * total / jnp.maximum(mean_square, _MIN_SCALE**2))  # constants change no weight
        return (weights * total).sum(0).mean() / pixels

    return lax.fori_loop(0, _EM_STEPS, step, total.mean() / pixels)


class LaplaceLikelihood(_LocationScaleLikelihood):
    """p(x|z) = Laplace(features, scale)."""

    traits = Traits(support="real")
    _density = distributions.Laplace


class StudentTLikelihood(_LocationScaleLikelihood):
    """p(x|z) = t with df degrees of freedom around features."""

    df: float
    traits = Traits(support="real")

    def _density(self, loc: Array, log_scale: Array, event: int) -> distributions.StudentT:
        return distributions.StudentT(loc, log_scale, self.df, event)


class BetaLikelihood(nn.Module):
    """p(x|z) = Beta(a, b), log a and log b features within 7 of 0; features of 0 give the uniform density."""

    traits = Traits(support="open")

    def features(self, channels: int) -> int:
        return 2 * channels

    def __call__(self, features: Array) -> distributions.Beta:
        shapes = smooth_bound(features.astype(jnp.float32), LOG_SCALE_BOUND)
        log_alpha, log_beta = jnp.split(shapes, 2, axis=-1)
        return distributions.Beta(log_alpha, log_beta, event=features.ndim - 2)


class DiscretizedLogisticLikelihood(_LocationScaleLikelihood):
    """P(x|z): logistics around 1/2 + features cut to the 256 levels."""

    traits = Traits(support="coded", mass=True)
    _start = _INITIAL_LOGISTIC_SCALE

    def _density(self, loc: Array, log_scale: Array, event: int) -> distributions.DiscretizedLogistic:
        return distributions.DiscretizedLogistic(loc + 0.5, log_scale, event)


class LogisticMixtureLikelihood(nn.Module):
    """P(x|z): every pixel a mixture of discretized logistics, later channels given earlier ones (PixelCNN++).

    Features of 0 spread the components' centres evenly over [0, 1]: equal ones would take long to part.
    """

    components: int
    traits = Traits(support="coded", mass=True, couples_channels=True)

    def features(self, channels: int) -> int:
        return self.components * self._features_each(channels)

    def __call__(self, features: Array) -> distributions.LogisticMixture:
        event, each = features.ndim - 2, features.shape[-1] // self.components
        channels = next(c for c in range(1, each) if self._features_each(c) == each)
        values = features.astype(jnp.float32).reshape(*features.shape[:-1], self.components, each)
        logits, loc, log_scale, coefficients = jnp.split(values, [1, 1 + channels, 1 + 2 * channels], axis=-1)
        centres = (jnp.arange(self.components) + 0.5) / self.components
        loc += centres.reshape((1,) * (loc.ndim - 2) + (-1, 1))
        log_scale = math.log(_INITIAL_LOGISTIC_SCALE) + smooth_bound(log_scale, LOG_SCALE_BOUND)
        return distributions.LogisticMixture(logits[..., 0], loc, log_scale, jnp.tanh(coefficients), event=event)

    def _features_each(self, channels: int) -> int:
        """Returns the features of a component: a weight, means, scales, a coefficient for each pair of channels."""
        return 1 + 2 * channels + channels * (channels - 1) // 2


class CategoricalLikelihood(nn.Module):
    """P(x|z): for every pixel a probability of its own for each of the 256 levels, from logits."""

    traits = Traits(support="coded", mass=True)

    def features(self, channels: int) -> int:
        return distributions.LEVELS * channels

    def __call__(self, features: Array) -> distributions.CategoricalLevels:
        logits = features.astype(jnp.float32).reshape(*features.shape[:-1], -1, distributions.LEVELS)
        return distributions.CategoricalLevels(logits, event=features.ndim - 2)


def _require_scale(name: str, scale: float | str, *more: str) -> float | str:
    """Returns the scale, a word or a float; raises UsageError unless it is such a word or a positive number."""
    words = ("learned", "pixel", *more)
    if scale in words:
        return scale
    if isinstance(scale, str) or not is_instance(scale, float) or not 1e-30 < scale < 1e30:
        listed = " or ".join(map(repr, words))
        raise UsageError(f"{name}(scale={scale!r}): scale is a positive number, or {listed}.")
    return float(scale)


def bernoulli() -> BernoulliLikelihood:
    """Independent coins, log p(x) = x l - log(1 + e^l): for binarized images alone."""
    return BernoulliLikelihood()


def continuous_bernoulli() -> ContinuousBernoulliLikelihood:
    """Densities like e^(l x) over grey values in [0, 1]: a Bernoulli with the normalizer that it needs on them.

    Loaiza-Ganem & Cunningham 2019, arXiv 1907.06845, sec. 3. A density: its numbers compare with those of other
    densities, not with a Bernoulli's.
    """
    return ContinuousBernoulliLikelihood()


def gaussian(scale: float | str = 1.0) -> GaussianLikelihood | OptimalGaussianLikelihood:
    """Independent Gaussians N(x; features, scale^2), the scale in the data's units.

    `scale` is a number; 'learned', one for all pixels, trained from 1; 'pixel', one for each, from the decoder; or
    'optimal', the root of the mean square error, analytic in training and its running average when scored (sigma-VAE,
    Rybkin et al. 2021, arXiv 2006.13202), never below e^-7. With several draws, `iwae` and the like weigh the squares
    as they weigh the draws. With dropout in training, a fitted scale is a little too large for scoring, which has none.
    On data that are not dequantized, a free scale can make the density as large as it likes: compare only with
    data.prepare='dequantize'.
    """
    if scale == "optimal":
        return OptimalGaussianLikelihood()
    return GaussianLikelihood(_require_scale("gaussian", scale, "optimal"))


def laplace(scale: float | str = 1.0) -> LaplaceLikelihood:
    """Independent Laplace densities e^(-|x - features| / scale) / (2 scale): the absolute error, as a likelihood.

    `scale` is a number; 'learned', one for all pixels, trained from 1; or 'pixel', one for each, from the decoder.
    """
    return LaplaceLikelihood(_require_scale("laplace", scale))


def student_t(df: float = 4.0, scale: float | str = 1.0) -> StudentTLikelihood:
    """Independent t densities with `df` degrees of freedom around the features: robust to outliers.

    Takahashi et al. 2018 (IJCAI, Student-t variational autoencoder). df > 1, so that there is a mean; a large one makes
    Gaussians. `scale` is a number; 'learned', one for all pixels, trained from 1; or 'pixel', one for each.
    """
    if not is_instance(df, float) or not 1 < df < 1e30:
        raise UsageError(f"student_t(df={df!r}): df is a number above 1, such as 4; for a Gaussian choose gaussian().")
    return StudentTLikelihood(_require_scale("student_t", scale), float(df))


def beta() -> BetaLikelihood:
    """Independent Beta densities x^(a - 1) (1 - x)^(b - 1) / B(a, b) over the open interval (0, 1).

    log a and log b come from the decoder, bounded to 7. For data.prepare='dequantize': at 0 and 1 it may be infinite.
    """
    return BetaLikelihood()


def discretized_logistic(scale: float | str = "learned") -> DiscretizedLogisticLikelihood:
    """The probability of each of the 256 levels under a logistic around 1/2 + features: bits per dimension of images.

    Salimans et al. 2017, arXiv 1701.05517, eq. 2. `scale`, in units of the whole range, is 'learned', one for all
    pixels; 'pixel', one for each, from the decoder; or a number. For data.prepare='grey'.
    """
    return DiscretizedLogisticLikelihood(_require_scale("discretized_logistic", scale))


def logistic_mixture(components: int = 10) -> LogisticMixtureLikelihood:
    """The probability of a pixel's levels under a mixture of logistics, later channels given the earlier ones.

    Salimans et al. 2017, arXiv 1701.05517, eqs. 1 to 3, for any number of channels C: components * (1 + 2 C +
    C (C - 1) / 2) features a pixel. For data.prepare='grey'.
    """
    return LogisticMixtureLikelihood(require_whole("components", components, 1, 1000))


def categorical() -> CategoricalLikelihood:
    """A free probability for each of the 256 levels of every pixel, a softmax of 256 features a channel.

    van den Oord et al. 2016, arXiv 1601.06759, sec. 3.4. Knows nothing of which levels are neighbours, and takes 256
    times a Bernoulli's memory. For data.prepare='grey'.
    """
    return CategoricalLikelihood()
