"""Projection of codes and posteriors onto the principal plane of the latent space.

Axis letters: N images, Z latent dimensions, D Gaussian factors of a covariance.
"""

from typing import Any

import jax
import numpy as np

from jaxvae.distributions import LowRankNormal, MultivariateNormal, Normal

__all__ = ["covariance_ellipses", "principal_axes"]


def principal_axes(means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (centre [Z], two leading principal axes [Z, 2], their shares of the variance [2]) of means [N, Z].

    Coordinates on the plane are (z - centre) @ axes. The largest entry of each axis is positive, so that the plane is
    not mirrored by chance. Means that are not finite are left out.
    """
    finite = np.asarray(means, np.float64)[np.isfinite(means).all(1)]
    if not len(finite):
        return np.zeros(means.shape[1]), np.eye(means.shape[1])[:, :2], np.zeros(2)
    centre = finite.mean(0)
    centred = finite - centre
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes, variances = axes[:, :-3:-1], variances[:-3:-1]
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return centre, axes * signs, variances / max((centred**2).sum(), 1e-12)


def covariance_ellipses(q: Any, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the 1-sigma ellipse of each q(z|x) on the plane of two orthonormal `axes` [Z, 2].

    None if q is not Gaussian. Else (half axes [N, 2], the longer first, in the units of z; the angle [N] of the longer
    one, in radians from the first axis towards the second), of the covariances axes' C axes. An ellipse contains
    1 - exp(-1/2) = 39% of the marginal of q in the plane.
    """
    factors = _covariance_factors(jax.device_get(q))
    if factors is None:
        return None
    projected = np.einsum("zk,nzd->nkd", axes, factors)
    half_axes, directions = np.zeros((len(projected), 2)), np.tile(np.eye(2), (len(projected), 1, 1))
    finite = np.isfinite(projected).all((1, 2))
    variances, directions[finite] = np.linalg.eigh(np.einsum("nkd,nld->nkl", projected, projected)[finite])
    half_axes[finite] = np.sqrt(np.maximum(variances[:, ::-1], 0.0))
    half_axes[~finite] = np.nan
    longer = directions[:, :, 1]
    return half_axes, np.arctan2(longer[:, 1], longer[:, 0])


def _covariance_factors(q: Any) -> np.ndarray | None:
    """Returns A [N, Z, D], the covariances A A' of a Gaussian q over [N, Z], leaves on the host; else None."""
    if isinstance(q, Normal) and np.ndim(q.log_scale) == 2:
        return _diagonal_matrices(np.exp(q.log_scale))
    if isinstance(q, MultivariateNormal):
        return np.asarray(q.scale_tril)
    if isinstance(q, LowRankNormal):
        return np.concatenate([_diagonal_matrices(np.exp(0.5 * np.asarray(q.log_diagonal))), q.factor], -1)
    return None


def _diagonal_matrices(values: np.ndarray) -> np.ndarray:
    """Returns diagonal matrices [N, Z, Z] of values [N, Z]."""
    return values[:, :, None] * np.eye(values.shape[1])[None]
