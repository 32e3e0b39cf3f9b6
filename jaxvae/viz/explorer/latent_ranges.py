"""What the codes of many images say together: how far they reach, and who lies near whom.

Arrays in, arrays out. Axis letters: N images, Z latent dimensions.
"""

from __future__ import annotations

import numpy as np

_SPREAD = 3.0  # deviations about the middle that are shown, at least
_OUTSIDE = 0.002  # the share of the codes that may lie beyond what is shown, at either end


def reach(codes: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lowest [Z], highest [Z]) that a slider shows: three deviations, `spread` [Z], about the `middle` [Z], and nearly
    all codes [N, Z], to a tenth outwards.
    """
    low, high = np.quantile(codes.astype(np.float64), [_OUTSIDE, 1 - _OUTSIDE], axis=0)
    low, high = np.minimum(low, middle - _SPREAD * spread), np.maximum(high, middle + _SPREAD * spread)
    return np.floor(np.round(10 * low, 3)) / 10, np.ceil(np.round(10 * high, 3)) / 10


def nearest(
    codes: np.ndarray, z: np.ndarray, count: int, *, without: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(positions, Euclidean distances) of the `count` codes [N, Z] nearest to z [Z], nearest first, one left out."""
    distances = np.sqrt(((codes - z) ** 2).sum(axis=1))
    if without is not None:
        distances[without] = np.inf
    order = np.argsort(distances, kind="stable")[: min(count, len(codes) - (without is not None))]
    return order, distances[order]
