"""Corruption of the encoder's input in training: noise, holes or blur, as of a denoising autoencoder.

    x' ~ c(x'|x),    z ~ q(z|x'),    and p(x|z) is evaluated at x

The target stays clean, so that a code which restores x is what training rewards (Vincent et al. 2008, ICML; 2010, JMLR
11:3371; of a VAE Im et al. 2017, arXiv 1511.06406). Pure, on the device, per example; x' may be any real numbers.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from jaxvae import _checks
from jaxvae._checks import UsageError
from jaxvae.data.prepare import Batch, Examples, Prepare
from jaxvae.distributions import draw_each

__all__ = ["CORRUPT", "Corrupted", "Corruption", "bits_threshold", "blur", "mask", "noise", "none", "salt_and_pepper"]

# Purpose folded into the key of an example, which prepared x. It is no small number: word d of a key's bits and
# fold_in(key, d) are threefry's cipher of the same counter, and no image has so many words.
CORRUPT = 2**31 - 1
_REACH = 4.0  # standard deviations at which a blur's window ends
_MOST_BLUR = 16.0  # pixels: a window is 8 times as wide, each of its places a term of the program


@dataclasses.dataclass(frozen=True)
class Corruption:
    """`change(keys [B], x [B, *X]) -> x' [B, *X]`, or None if x stays as it is, and its text in the protocol."""

    change: Callable[[Array, Array], Array] | None
    protocol: str

    def __call__(self, keys: Array, x: Array) -> Array:
        if self.change is None:
            return x
        # behind a barrier its bits do not depend on what a program makes of x', and are computed once
        return lax.optimization_barrier(self.change(keys, x))


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """As `prepare`, whose draws do not change, with x corrupted by its own draws and the target clean."""

    prepare: Prepare
    corruption: Corruption

    def __call__(self, keys: Array, batch: Examples) -> Batch:
        own = jax.vmap(random.fold_in, (0, None))(keys, CORRUPT)
        clean = self.prepare(keys, batch)
        return dataclasses.replace(clean, x=self.corruption(own, clean.x))


def none() -> Corruption:
    """The encoder is shown x as it is."""
    return Corruption(None, "none")


def noise(scale: float) -> Corruption:
    """Gaussian noise of standard deviation `scale`, added to every value (Vincent et al. 2010, JMLR 11, sec. 3.3)."""
    scale = _checks.require_positive("scale", scale)

    def change(keys: Array, x: Array) -> Array:
        return x + scale * draw_each(random.normal, keys, x.shape, x.ndim - 1)

    return Corruption(change, f"Gaussian noise of standard deviation {scale:g} added to every value")


def mask(share: float) -> Corruption:
    """Each pixel, all of its channels, set to 0 with probability `share` (Vincent et al. 2008, ICML, sec. 2.3, where it
    is a fixed number of them).
    """
    share = _checks.require_fraction("share", share)

    def change(keys: Array, x: Array) -> Array:
        return jnp.where(_draw_words(keys, x) < bits_threshold(share), 0.0, x)

    return Corruption(change, f"each pixel set to 0 with probability {share:g}")


def salt_and_pepper(share: float) -> Corruption:
    """Each pixel, all of its channels, set with probability `share`, to 0 or 1 as a coin falls (Vincent et al. 2010,
    JMLR 11, sec. 3.3).
    """
    share = _checks.require_fraction("share", share)

    def change(keys: Array, x: Array) -> Array:
        drawn = _draw_words(keys, x)
        return jnp.where(drawn < bits_threshold(share / 2), 0.0, jnp.where(drawn < bits_threshold(share), 1.0, x))

    return Corruption(change, f"each pixel set with probability {share:g}, to 0 or 1 with equal probability")


def blur(scale: float) -> Corruption:
    """Each channel convolved with a Gaussian of standard deviation `scale`, in pixels (at most 16) along every side.

    The window ends at 4 standard deviations; beyond the edges the image is reflected, its outermost pixels twice:
    scipy.ndimage.gaussian_filter's defaults.
    """
    scale = _checks.require_positive("scale", scale)
    if scale > _MOST_BLUR:
        raise UsageError(f"scale={scale:g}: expected at most {_MOST_BLUR:g} pixels.")
    reach = int(_REACH * scale + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / scale) ** 2)
    weights /= weights.sum()

    def change(keys: Array, x: Array) -> Array:
        for axis in range(1, x.ndim - 1):
            x = _weighted_windows(x, axis, weights) if x.shape[axis] > 1 else x
        return x

    return Corruption(change, f"Gaussian blur of standard deviation {scale:g} pixels, of each channel")


def _draw_words(keys: Array, x: Array) -> Array:
    """Draws uniform uint32 for every pixel of x [B, *X], shared by its channels, [B, ..., 1]; keys [B]."""
    return draw_each(partial(random.bits, dtype=jnp.uint32), keys, (*x.shape[:-1], 1), x.ndim - 1)


def bits_threshold(share: float) -> Array:
    """Returns the uint32 that a uniform uint32 is below with this probability, to within 2^-33."""
    return jnp.uint32(min(round(share * 2**32), 2**32 - 1))


def _weighted_windows(x: Array, axis: int, weights: np.ndarray) -> Array:
    """Returns the weighted sum of x's windows along an axis, of x's shape; x is reflected at its edges.

    Term by term and without a product of matrices or a convolution, whose bits depend on the batch.
    """
    reach, length = len(weights) // 2, x.shape[axis]
    beyond = [(reach, reach) if each == axis else (0, 0) for each in range(x.ndim)]
    # behind barriers: else every term computes the padding again, and every term of the next axis this sum
    padded = lax.optimization_barrier(jnp.pad(x, beyond, mode="symmetric"))
    terms = [float(w) * lax.slice_in_dim(padded, k, k + length, axis=axis) for k, w in enumerate(weights)]
    return lax.optimization_barrier(sum(terms[1:], terms[0]))
