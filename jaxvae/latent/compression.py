"""Lossy compression: the bits of a code and its reconstruction's error, against transform coding by components.

z ~ q(z|x) can be sent by relative entropy coding in about KL(q(z|x) || p(z)) / ln 2 bits, given a shared source of
randomness (Havasi et al. 2019, arXiv 1810.00440; Flamich, Havasi & Hernandez-Lobato 2020, arXiv 2010.01185).
Axis letters: N training examples, M others, D values of an example, K components, T step sizes.
"""

import math
from typing import NamedTuple

import numpy as np
from jax import Array

from jaxvae.terms import example_keys

__all__ = ["PrincipalComponents", "ideal_compression", "pareto_frontier", "transform_coding_curves"]
__all__ += ["transform_coding_reconstruction"]


class _Compressed(NamedTuple):
    """Examples after compression."""

    bits: Array  # [B], of the code
    x: Array  # [B, *X], the reconstruction


def ideal_compression(
    model, variables, key: Array, x: Array, index: Array, condition: Array | None = None
) -> _Compressed:
    """Returns rate / ln 2 bits and the mean of p(x|z) for x [B, *X] and one z ~ q(z|x).

    The bits are the ideal cost, which a coder exceeds by a few; for a codebook they are the cost of the codes' indices.
    The condition is not counted: the decoder has it.
    """
    terms = model.apply(variables, example_keys(key, index), x, condition)
    return _Compressed(terms.rate[0] / math.log(2), terms.px.mean()[0])


class PrincipalComponents(NamedTuple):
    """The leading principal components of training examples, and the examples' coordinates, each column ascending."""

    mean: np.ndarray  # [D]
    directions: np.ndarray  # [D, K], orthonormal
    coordinates: np.ndarray  # [N, K]


def code_lengths(training: np.ndarray, symbols: np.ndarray, step: float = 1.0) -> np.ndarray:
    """Returns [K]: mean bits of each column of whole numbers `symbols` [M, K], by their frequencies in training.

    The numbers are `training` [N, K], each column ascending, in whole steps. A symbol costs -log2 of
    (count + 1/2) / (N + L/2), L the whole numbers from the column's smallest to its largest
    (Krichevsky & Trofimov 1981, IEEE Trans. Inf. Theory 27(2)). An arithmetic coder with that table takes a bit or two
    more in all. A number outside the table is coded as the nearest in it.
    """
    low, high = np.round(training[0] / step), np.round(training[-1] / step)
    inside = np.clip(symbols, low, high)
    edges = (inside + np.reshape([-0.5, 0.5], (2, 1, 1))) * step
    edges = edges.astype(np.promote_types(training.dtype, np.float32))  # else each column would be converted
    found = [np.diff(np.searchsorted(column, edges[..., k]), axis=0)[0] for k, column in enumerate(training.T)]
    return -np.log2((np.stack(found, -1) + 0.5) / (len(training) + 0.5 * (high - low + 1))).mean(0)


def _quantize(coordinates: np.ndarray, step: float, within: np.ndarray) -> np.ndarray:
    """Returns the coordinates [M, K] in whole steps, clipped to the range of `within` [N, K], each column ascending."""
    ends = np.round(within[0] / step), np.round(within[-1] / step)
    return np.clip(np.round(coordinates / step), *ends).astype(np.int64)


def transform_coding_curves(
    principal: PrincipalComponents, x: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (bits per example, mean squared error per value), [T, K + 1] each, of x [M, *X] by 0 to K components.

    One row for every step size. The reconstruction is not clipped, so that the errors add up over components.
    """
    flat = x.reshape(len(x), -1) - principal.mean
    coordinates = flat @ principal.directions
    energy = (coordinates**2).mean(0, dtype=np.float64)
    bits, errors = [], []
    for step in steps:
        sent = _quantize(coordinates, step, principal.coordinates)
        lost = ((coordinates - step * sent) ** 2).mean(0, dtype=np.float64)
        bits.append(np.concatenate([[0.0], np.cumsum(code_lengths(principal.coordinates, sent, step))]))
        errors.append((flat**2).sum(1, dtype=np.float64).mean() + np.concatenate([[0.0], np.cumsum(lost - energy)]))
    return np.array(bits), np.array(errors) / flat.shape[1]


def transform_coding_reconstruction(
    principal: PrincipalComponents, x: np.ndarray, count: int, step: float
) -> np.ndarray:
    """Returns the reconstruction of x [M, *X] from `count` components in whole steps, clipped to [0, 1]."""
    flat = x.reshape(len(x), -1) - principal.mean
    directions, within = principal.directions[:, :count], principal.coordinates[:, :count]
    sent = step * _quantize(flat @ directions, step, within) if count else np.zeros((len(flat), 0))
    return np.clip(sent @ directions.T + principal.mean, 0.0, 1.0).reshape(x.shape)


def pareto_frontier(bits: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Returns flat indices of the points with no other better in both bits and error, by ascending bits."""
    order = np.lexsort((errors.ravel(), bits.ravel()))
    ascending = errors.ravel()[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(ascending)[:-1]])
    return order[ascending < before]
