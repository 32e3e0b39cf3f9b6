"""Linear baselines in closed form, as (model, variables): the best linear autoencoder, and the best linear VAE.

The eigenvalues are of the covariance with 1/N, the maximum likelihood's, computed in float64 on the host.
"""

from typing import Any

import numpy as np

from jaxvae._checks import UsageError, require_positive
from jaxvae.model.decoder import MLPDecoder
from jaxvae.model.encoder import MLPEncoder
from jaxvae.model.layers import LOG_SCALE_BOUND
from jaxvae.model.likelihood import GaussianLikelihood
from jaxvae.model.posterior import DiagonalPosterior, PointPosterior
from jaxvae.model.prior import StandardPrior
from jaxvae.model.vae import VAE

__all__ = ["linear_vae", "pca", "probabilistic_pca"]


def pca(x: np.ndarray, latent_dim: int, *, scale: float = 1.0) -> tuple[VAE, dict[str, Any]]:
    """Returns principal component analysis: z are the leading principal components of x, scaled to variance 1.

    Of all linear maps to latent_dim numbers and back, it leaves the least squared error (Pearson 1901). z is a point,
    without a density; the likelihood is a Gaussian of this standard deviation, which moves no mean.
    """
    mean, variances, directions = _principal_components(x, latent_dim)
    lengths = np.sqrt(variances[:latent_dim])
    used = lengths > 1e-6 * lengths[0]  # fewer if x has fewer dimensions than latent_dim
    to_z = directions * np.where(used, 1 / np.where(used, lengths, 1.0), 0.0)
    params = {
        "posterior": {"Dense_0": _dense_params(to_z, -mean @ to_z)},
        "decoder": {"Dense_0": _dense_params((directions * lengths).T, mean)},
    }
    likelihood = GaussianLikelihood(require_positive("scale", scale))
    return linear_vae(PointPosterior(latent_dim), likelihood, x.shape[1:]), {"params": params}


def probabilistic_pca(x: np.ndarray, latent_dim: int) -> tuple[VAE, dict[str, Any]]:
    """Returns the most likely N(mean, W W' + s^2 I) of x: W = U (L - s^2)^(1/2), s^2 the mean of the other variances.

    Tipping & Bishop 1999 (J. R. Stat. Soc. B 61(3), eqs. 7 and 8, with R = I). W's columns are orthogonal, so that the
    posterior N(L^-1 W' (x - mean), s^2 L^-1) is diagonal, as this model's q is: the ELBO is log p(x) itself. ValueError
    where no variance is left, or so little that a log-scale would be beyond its bound.
    """
    mean, variances, directions = _principal_components(x, latent_dim)
    kept, left = variances[:latent_dim], variances[latent_dim:]
    if not len(left) or not left.mean() > 1e-12 * variances[0]:
        raise UsageError(
            f"latent_dim={latent_dim} leaves no variance to the noise: its likelihood has no maximum. "
            "Choose fewer latents, or pca."
        )
    noise = float(left.mean())
    w = directions * np.sqrt(np.maximum(kept - noise, 0.0))
    precision = np.maximum(kept, noise)  # of the posterior, times s^2
    to_mean = w / precision
    kernel = np.concatenate([to_mean, np.zeros_like(to_mean)], 1)
    bias = np.concatenate([-mean @ to_mean, _unbounded_log_scale(noise / precision, "the posterior's")])
    params = {
        "posterior": {"Dense_0": _dense_params(kernel, bias)},
        "decoder": {"Dense_0": _dense_params(w.T, mean)},
        "likelihood": {"log_scale": np.float32(_unbounded_log_scale(noise, "the likelihood's"))},
    }
    return linear_vae(DiagonalPosterior(latent_dim), GaussianLikelihood("learned"), x.shape[1:]), {"params": params}


def _principal_components(x: np.ndarray, latent_dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (mean [D], all D variances, descending, the leading directions [D, latent_dim]) of x [N, *X], float64."""
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    if len(flat) < 2 or not 1 <= latent_dim <= flat.shape[1] or not np.isfinite(flat).all():
        raise UsageError(
            f"x has shape {list(np.shape(x))} and latent_dim={latent_dim}: expected two or more examples [N, *X] of "
            "finite numbers, and from 1 to as many latents as an example has numbers."
        )
    mean = flat.mean(0)
    variances, directions = np.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
    if not variances[-1] > 0:
        raise UsageError("x has no variance: all its examples are the same.")
    return mean, np.maximum(variances[::-1], 0.0), directions[:, ::-1][:, :latent_dim]


def linear_vae(posterior: Any, likelihood: GaussianLikelihood, shape: tuple[int, ...]) -> VAE:
    """Returns the VAE with one linear map to z and one back; its encoder returns x itself."""
    decoder = MLPDecoder((), (*shape[:-1], likelihood.features(shape[-1])))
    return VAE(MLPEncoder(()), posterior, StandardPrior(posterior.latent_dim), decoder, likelihood)


def _dense_params(kernel: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the parameters of a Dense layer."""
    return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}


def _unbounded_log_scale(variance: Any, whose: str) -> np.ndarray:
    """Returns what `smooth_bound` maps to log sqrt(variance); raises UsageError if that is beyond the bound."""
    log_scale = 0.5 * np.log(variance)
    furthest = max(np.ravel(log_scale), key=abs)
    if abs(furthest) > 0.999 * LOG_SCALE_BOUND:
        raise UsageError(
            f"{whose} log standard deviation would be {furthest:.2f}, beyond its bound of {LOG_SCALE_BOUND:g}: "
            "rescale x, or choose fewer latents."
        )
    return LOG_SCALE_BOUND * np.arctanh(log_scale / LOG_SCALE_BOUND)
