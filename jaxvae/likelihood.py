"""Likelihoods p(x|z): heads from the decoder's features [S, B, H, W, F] to a density over [S, B, *X].

Each says how many features a pixel of so many channels needs (`features`) and which data it is a density of
(`support`); a `mass` is a probability of coded pixels, any other a density. One with `fits` is called in training with
x [1, B, *X] besides, to fit what it keeps in variables.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxvae.distributions import Bernoulli, Normal
from jaxvae.layers import smooth_bound

LOG_SCALE_BOUND = 7.0
SUPPORTS = {
    "binary": ("the values 0 and 1 only", lambda x: bool(np.isin(x, (0.0, 1.0)).all())),
    "coded": (
        "the 256 values k / 255",
        lambda x: bool((np.abs(255 * x - np.round(255 * x)) < 1e-3).all() and in_unit(x)),
    ),
    "open": ("values inside (0, 1), its ends excluded", lambda x: bool(((x > 0) & (x < 1)).all())),
    "unit": ("values from 0 to 1", lambda x: in_unit(x)),
    "real": ("finite real numbers", lambda x: bool(np.isfinite(x).all())),
}
LIES_IN = {  # support -> those that contain it
    "binary": {"binary", "coded", "unit", "real"},
    "coded": {"coded", "unit", "real"},
    "open": {"open", "unit", "real"},
    "unit": {"unit", "real"},
    "real": {"real"},
}


def in_unit(x: np.ndarray) -> bool:
    return bool(((x >= 0) & (x <= 1)).all())


class BernoulliLikelihood(nn.Module):
    """p(x|z) = Bernoulli(sigmoid(features)), pixel by pixel, from logits."""

    support = "binary"
    mass = True

    def features(self, channels: int) -> int:
        return channels

    def __call__(self, features: Array) -> Bernoulli:
        return Bernoulli(features.astype(jnp.float32), event=features.ndim - 2)


class GaussianLikelihood(nn.Module):
    """p(x|z) = N(features, scale^2): one standard deviation for all pixels, given, or learned with the network."""

    initial_scale: float
    learned: bool
    support = "real"
    mass = False

    def features(self, channels: int) -> int:
        return channels

    @nn.compact
    def __call__(self, features: Array) -> Normal:
        log_scale = jnp.full((1,) * features.ndim, math.log(self.initial_scale))
        if self.learned:
            free = self.param("log_scale", nn.initializers.zeros_init(), ())
            log_scale = log_scale + smooth_bound(free, LOG_SCALE_BOUND)
        return Normal(features.astype(jnp.float32), log_scale, event=features.ndim - 2)


def bernoulli() -> BernoulliLikelihood:
    """Independent coins: for binarized images."""
    return BernoulliLikelihood()


def gaussian(scale: float | str = 1.0) -> GaussianLikelihood:
    """Independent Gaussians with standard deviation `scale`, in the data's units; 'learned' trains it, from 1."""
    if scale == "learned":
        return GaussianLikelihood(1.0, learned=True)
    if isinstance(scale, str) or not scale > 0 or not math.isfinite(scale):
        raise ValueError(f"gaussian(scale={scale!r}): scale is a positive number, or 'learned'.")
    return GaussianLikelihood(float(scale), learned=False)


def check_support(support: str, x: np.ndarray, name: str) -> None:
    """Raises ValueError, in words, where x holds values that the likelihood of that support gives no density."""
    expected, holds = SUPPORTS[support]
    x = np.asarray(x)
    if not holds(x):
        raise ValueError(
            f"{name} holds values from {np.min(x):g} to {np.max(x):g}; "
            f"this model's likelihood is a density over {expected}. "
            "Pass uint8 images through prepare(key, images) first, as in training."
        )
