"""Arrays of a model as pictures, and the conditions that pictures are generated with."""

import numpy as np
from jax import Array

from jaxvae.config.build import Parts
from jaxvae.data.dataset import DataSet

__all__ = ["conditions", "curves_of", "mean_of_squares", "pictures", "residuals"]

CURVE = 48  # pixels that the picture of a sequence is high, and at least as wide
_CHANNELS = [(0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.0, 0.62, 0.45)]  # orange, sky blue, green


def conditions(parts: Parts, data: DataSet, n: int) -> np.ndarray | None:
    """Returns the labels of n training images, sorted, for a conditional model; None for another."""
    if parts.condition_size is None:
        return None
    label = data.splits["train"].labels(np.arange(n) % len(data.splits["train"]))
    return label[np.argsort(label if label.ndim == 1 else label[:, 0], kind="stable")]


def pictures(means: Array | np.ndarray) -> np.ndarray:
    """Returns [N, H, W, C] as pictures: grey or colour (the first channel of 2, or of more than 3), clipped to [0, 1].

    A sequence [N, L, C] is shown as curves, white on black as the data sets' digits, the first three channels at most.
    """
    shown = np.asarray(means)
    if shown.ndim == 3:
        return curves_of(shown)
    return np.clip(_in_colour(shown), 0.0, 1.0)


def _in_colour(images: np.ndarray) -> np.ndarray:
    """Returns the channels of images [N, H, W, C] that are shown: all of 1 or 3, else the first."""
    return images if images.shape[-1] in (1, 3) else images[..., :1]


def mean_of_squares(images: np.ndarray, side: int) -> np.ndarray:
    """Returns images [N, H, W, C] with each square of `side` pixels averaged; what is left over is cut off."""
    count, height, width, _ = images.shape
    tall, wide = min(side, height), min(side, width)
    rows, columns = height // tall, width // wide
    return images[:, : rows * tall, : columns * wide].reshape(count, rows, tall, columns, wide, -1).mean((2, 4))


def residuals(x: Array | np.ndarray, means: Array | np.ndarray) -> np.ndarray:
    """Returns x - means of [N, H, W, C], signed, [N, H, W, 1]: of colours the mean over the channels that are shown.

    Of sequences [N, L, C], the first channel's, as bars [N, H, W, 1] about a middle line: up where x is above its mean.
    """
    difference = np.asarray(x, np.float32) - np.asarray(means, np.float32)
    if difference.ndim == 3:
        values = np.clip(np.nan_to_num(difference[..., 0]), -1.0, 1.0)  # +-1 are the edges
        bounded = values.repeat(max(1, -(-CURVE // values.shape[1])), axis=1)
        height = (CURVE - 1) / 2 - np.arange(CURVE)  # of each row above the middle, in pixels
        reached = np.round(np.abs(bounded) * CURVE / 2)[:, None]
        side = np.sign(bounded)[:, None] * height[None, :, None]
        return np.where((side > 0) & (side < reached), bounded[:, None], 0.0)[..., None]
    return _in_colour(difference).mean(-1, keepdims=True)


def curves_of(sequences: np.ndarray) -> np.ndarray:
    """Returns pictures [N, H, W, 1 or 3] of sequences [N, L, C] in [0, 1], a curve for each channel; 0 is the bottom.

    One channel is a white curve; two or three have colours of their own (Okabe & Ito 2008), which colour-blind
    readers can tell apart.
    """
    clipped = np.clip(np.nan_to_num(sequences[..., :3]), 0.0, 1.0)
    wide = max(1, -(-CURVE // clipped.shape[1]))  # pixels for one step of the sequence
    level = np.round((1 - clipped) * (CURVE - 1)).repeat(wide, axis=1)  # the row of each column's value
    before = np.concatenate([level[:, :1], level[:, :-1]], 1)
    low, high = np.minimum(level, before), np.maximum(level, before)
    rows = np.arange(CURVE)[None, :, None, None]
    lit = ((rows >= low[:, None]) & (rows <= high[:, None])).astype(float)  # [N, H, W, C]
    if lit.shape[-1] == 1:
        return lit
    colours = np.array(_CHANNELS[: lit.shape[-1]])
    return np.clip(np.einsum("nhwc,ck->nhwk", lit, colours), 0.0, 1.0)
