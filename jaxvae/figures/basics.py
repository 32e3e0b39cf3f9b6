"""The images of a split above their reconstructions, and where the encoder puts them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jax import Array, random

from jaxvae import latent
from jaxvae.data.corrupt import CORRUPT
from jaxvae.data.dataset import Split
from jaxvae.figures.pictures import pictures
from jaxvae.run import Run


def draw_reconstructions(path: Path, run: Run, split: Split, n: int, keys: Array) -> None:
    """The first n images of the split above their reconstructions; of a model trained on corrupted inputs, corrupted
    between the two, and restored. Of the keys [2] one prepares and corrupts, the other draws z.
    """
    from jaxvae import plots

    image, label, index = split.take(np.arange(min(n, len(split))))
    preparing, drawing = keys
    corrupting = random.fold_in(preparing, CORRUPT)
    x = run.prepare(preparing, image, index)
    corrupted = run.corrupt(corrupting, x) if run.parts.corrupted else None
    again = run.reconstruct(drawing, x if corrupted is None else corrupted, label if run.conditional else None)
    plots.reconstructions(
        path, pictures(x), pictures(again), corrupted=None if corrupted is None else pictures(corrupted)
    )


def draw_plane(path: Path, means: np.ndarray, split, *, circles: bool) -> dict[str, np.ndarray]:
    """The posterior means of all scored examples, coloured by label; their principal plane above two dimensions.

    Returns what is shown: xy [N, 2], axes [2] (their names), circles, and label [N] where there are classes.
    """
    from jaxvae import plots

    axes: tuple[str, ...] = ("z1", "z2")
    if means.shape[1] == 1:
        means, axes = np.concatenate([means, np.zeros_like(means)], 1), ("z1", "(the latent has one dimension)")
    elif means.shape[1] > 2:
        means, shares = latent.principal_plane(means)
        axes = tuple(
            f"{order} principal component ({share:.0%} of the variance)"
            for order, share in zip(("first", "second"), shares, strict=True)
        )
    label = split.labels(np.arange(len(split))) if split.label is not None and split.label.ndim == 1 else None
    plots.latent_plane(path, means, label, axes=axes, circles=circles)
    shown = {"xy": np.asarray(means), "axes": np.array(axes), "circles": np.array(circles)}
    return shown if label is None else shown | {"label": label}
