"""The plane on which a latent space of many dimensions is seen best, and the shadows that posteriors cast on it.

Axis letters: N images, Z latent dimensions, D Gaussian factors of a covariance.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxvae.distributions import LowRankNormal, MultivariateNormal, Normal


def principal_axes(means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(their middle [Z], the two leading principal axes [Z, 2], their shares of the variance [2]) of means [N, Z].

    Coordinates on the plane are (z - middle) @ axes. Of each axis the largest entry is positive, so that a plane is not
    mirrored by chance; means that are not finite are left out.
    """
    finite = np.asarray(means, np.float64)[np.isfinite(means).all(1)]
    if not len(finite):
        return np.zeros(means.shape[1]), np.eye(means.shape[1])[:, :2], np.zeros(2)
    middle = finite.mean(0)
    centred = finite - middle
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes, variances = axes[:, :-3:-1], variances[:-3:-1]
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return middle, axes * signs, variances / max((centred**2).sum(), 1e-12)


def principal_plane(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two leading principal components of means [N, Z]: coordinates [N, 2] and their shares of the variance [2]."""
    middle, axes, shares = principal_axes(means)
    return (means - middle) @ axes, shares


def covariance_ellipses(q: Any, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Where each q(z|x) casts its 1-sigma ellipse on the plane of two orthonormal `axes` [Z, 2].

    (half axes [N, 2], the longer one first, in the units of z; the angle [N] of the longer one, radians from the first
    axis towards the second) of the covariances axes' C axes: the marginal of q in that plane is the Gaussian of which
    this is the contour at one deviation, within which lie 1 - exp(-1/2) = 39% of it. None where q is no Gaussian.
    """
    factors = _covariance_factors(jax.device_get(q))
    if factors is None:
        return None
    shadows = np.einsum("zk,nzd->nkd", axes, factors)
    half_axes, directions = np.zeros((len(shadows), 2)), np.tile(np.eye(2), (len(shadows), 1, 1))
    finite = np.isfinite(shadows).all((1, 2))
    variances, directions[finite] = np.linalg.eigh(np.einsum("nkd,nld->nkl", shadows, shadows)[finite])
    half_axes[finite] = np.sqrt(np.maximum(variances[:, ::-1], 0.0))
    half_axes[~finite] = np.nan
    longer = directions[:, :, 1]
    return half_axes, np.arctan2(longer[:, 1], longer[:, 0])


def _covariance_factors(q: Any) -> np.ndarray | None:
    """A [N, Z, D] with covariances A A' of a Gaussian q over [N, Z], its leaves on the host; None where q is none."""
    if isinstance(q, Normal) and np.ndim(q.log_scale) == 2:
        return _diagonal_matrices(np.exp(q.log_scale))
    if isinstance(q, MultivariateNormal):
        return np.asarray(q.scale_tril)
    if isinstance(q, LowRankNormal):
        return np.concatenate([_diagonal_matrices(np.exp(0.5 * np.asarray(q.log_diagonal))), q.factor], -1)
    return None


def _diagonal_matrices(values: np.ndarray) -> np.ndarray:
    """Diagonal matrices [N, Z, Z] of values [N, Z]."""
    return values[:, :, None] * np.eye(values.shape[1])[None]
