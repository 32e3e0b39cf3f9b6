"""Perceptual distortions: similarity of images beyond single pixels."""

import functools

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxvae._checks import require_positive, require_whole
from jaxvae.objective.base import Loss, Needs, Objective, bound_metrics, init_stateless
from jaxvae.terms import Terms

__all__ = ["SCALE_WEIGHTS", "ms_ssim", "multiscale_ssim"]

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_WINDOW, _WINDOW_SIGMA = 11, 1.5  # pixels: side and standard deviation of the Gaussian window
_C1, _C2 = 0.01**2, 0.03**2  # for values in [0, 1]


def ms_ssim(weight: float = 100.0, scales: int = 5) -> Objective:
    """weight (1 - MS-SSIM(x, E[x|z])), the multi-scale structural similarity, for sums with rate() or elbo().

    Wang, Simoncelli & Bovik 2003 (Asilomar, eq. 7), with the five scales' shares of that paper; of small images only so
    many scales as an 11-pixel window fits into (one, with a smaller window, where none does), their shares made to sum
    to 1. For images [H, W, C] with values in [0, 1]; 1 is the same picture. Not in nats: `weight` sets what it costs
    beside the rate. It looks at the mean of p(x|z) alone: a scale that the likelihood learns needs elbo() in the sum.
    """
    weight, scales = require_positive("weight", weight), require_whole("scales", scales, 1, len(SCALE_WEIGHTS))

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        similarity = multiscale_ssim(terms.x, terms.px.mean(), scales).mean(0)
        return Loss(weight * (1 - similarity), memory, {**bound_metrics(terms), "ms_ssim": similarity})

    return Objective(init_stateless, apply, Needs(data={"images"}))


def multiscale_ssim(x: Array, y: Array, scales: int = len(SCALE_WEIGHTS)) -> Array:
    """Returns the MS-SSIM of images [S, B, H, W, C], values in [0, 1], over channels and places: [S, B], at most 1."""
    size = min(x.shape[2:4])
    count = max(1, sum(size >> scale >= _WINDOW for scale in range(scales)))
    shares = np.array(SCALE_WEIGHTS[:count]) / sum(SCALE_WEIGHTS[:count])
    product = jnp.ones((1, 1))
    for scale, share in enumerate(shares):
        luminance, structure = _ssim_parts(x, y)
        similarity = structure if scale < count - 1 else structure * luminance
        product = product * jnp.maximum(similarity.mean(axis=(2, 3, 4)), 1e-6) ** share
        x, y = _average_pool(x), _average_pool(y)
    return product


def _ssim_parts(x: Array, y: Array) -> tuple[Array, Array]:
    """Returns (luminance, contrast times structure) of two images at each place (Wang et al. 2004, IEEE TIP 13(4))."""
    mean_x, mean_y = _gaussian_filter(x), _gaussian_filter(y)
    variance = _gaussian_filter(x * x) - mean_x**2 + _gaussian_filter(y * y) - mean_y**2
    covariance = _gaussian_filter(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return luminance, (2 * covariance + _C2) / (variance + _C2)


def _gaussian_filter(x: Array) -> Array:
    """Returns Gaussian means [S, B, H', W', C], by products: convolutions are slow inside a CPU's compiled loop."""
    rows, columns = _window_matrix(x.shape[2]), _window_matrix(x.shape[3])
    return jnp.einsum("sbhwc,hi,wj->sbijc", x, rows, columns, precision="highest")


@functools.lru_cache
def _window_matrix(length: int) -> np.ndarray:
    """Returns [length, places] whose column j is the window around place j."""
    side = min(_WINDOW, length)
    taps = np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / _WINDOW_SIGMA) ** 2)
    matrix = np.zeros((length, length - side + 1), np.float32)
    for place in range(length - side + 1):
        matrix[place : place + side, place] = taps / taps.sum()
    return matrix


def _average_pool(x: Array) -> Array:
    """Returns means of 2 x 2 pixels, a last odd row or column left out; what has one pixel stays."""
    height, width = max(x.shape[2] // 2, 1), max(x.shape[3] // 2, 1)
    if min(x.shape[2:4]) < 2:
        return x
    x = x[:, :, : 2 * height, : 2 * width].reshape(*x.shape[:2], height, 2, width, 2, x.shape[-1])
    return x.mean(axis=(3, 5))
