"""The range of each latent dimension over many codes, and the codes nearest to one."""

import numpy as np

__all__ = ["nearest_codes", "slider_ranges"]

_DEVIATIONS = 3.0  # about the middle that a slider covers at least
_OUTSIDE = 0.002  # the share of the codes that may be beyond each end of a slider


def slider_ranges(codes: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (lowest [Z], highest [Z]) of the sliders, rounded outwards to a tenth.

    They cover three deviations `spread` [Z] about the `middle` [Z], and nearly all codes [N, Z].
    """
    low, high = np.quantile(codes.astype(np.float64), [_OUTSIDE, 1 - _OUTSIDE], axis=0)
    low, high = np.minimum(low, middle - _DEVIATIONS * spread), np.maximum(high, middle + _DEVIATIONS * spread)
    return np.floor(np.round(10 * low, 3)) / 10, np.ceil(np.round(10 * high, 3)) / 10


def nearest_codes(
    codes: np.ndarray, z: np.ndarray, count: int, *, without: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (positions, Euclidean distances) of the `count` codes [N, Z] nearest to z [Z], except `without`."""
    distances = np.sqrt(((codes - z) ** 2).sum(axis=1))
    if without is not None:
        distances[without] = np.inf
    order = np.argsort(distances, kind="stable")[: min(count, len(codes) - (without is not None))]
    return order, distances[order]
