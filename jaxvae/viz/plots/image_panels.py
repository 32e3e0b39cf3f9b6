"""Panels of images: samples, the decoded plane, training.

Images as in image_grid.py. Axis letters: N images, H height, W width, C channels (1 grey, 3 colour), R side of a grid,
T snapshots of training.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, checked_images, fitted, gallery, gallery_of_rows, mosaic, require_one_each

__all__ = ["decoded_plane", "manifold", "samples", "training"]


def samples(path: Path, means: ArrayLike) -> None:
    """Draws generated images [N,H,W,C], the means of p(x|z) for z from the prior, in a near-square grid."""
    means = checked_images("means", means, "NHWC")
    columns = int(np.ceil(np.sqrt(len(means))))
    picture = mosaic(fitted(means, columns), columns, GAP)
    with gallery(path, picture, "Samples: means of p(x|z)", "each z is drawn from the prior"):
        pass


def training(path: Path, steps: Sequence[int] | np.ndarray, frames: ArrayLike) -> None:
    """Draws frames [T,N,H,W,C], the same N latent codes decoded at steps [T]: a row a step, a column a code.

    At most 8 rows are drawn, evenly spaced in [T] and always with the first and the last, and at most 16 columns.
    """
    frames = checked_images("frames", frames, "TNHWC")[:, :16]
    require_one_each("steps", steps, "frames", frames)
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), 8)).round().astype(int)
    labels = [f"step {int(steps[index]):,}" for index in chosen]
    with gallery_of_rows(path, frames[chosen], labels, "As training goes on", "each column is one fixed z, decoded"):
        pass


def manifold(
    path: Path,
    grid: ArrayLike,
    *,
    names: tuple[str, str] = ("z1", "z2"),
    of: int = 2,
    whose: str = "the prior",
    given: str = "",
) -> None:
    """Draws a grid [R,R,H,W,C] of decoded z, row 0 having the largest z2 and column 0 the smallest z1.

    Columns and rows are at the middles of R equally probable parts, (i + 1/2) / R. `names` are those of the two
    dimensions, of all `of`; `whose` is the distribution of the quantiles; `given` is the end of a sentence about
    the condition.
    """
    grid = checked_images("grid", grid, "RRHWC")
    side = len(grid)
    if grid.shape[1] != side:
        raise UsageError(f"grid has {side} rows and {grid.shape[1]} columns; expected a square: decode R x R points.")
    gap = GAP if max(grid.shape[2:4]) < 16 else 0  # tiny pictures have no margin: without a gap they run together
    ticks = np.array([0.05, 0.25, 0.5, 0.75, 0.95]) if side > 1 else np.array([0.5])
    places, labels = ticks.clip(0.5 / side, 1 - 0.5 / side), [f"{tick:.0%}" for tick in ticks]
    rest = f", the other {of - 2} dimensions in their middle" if of > 2 else ""
    subtitle = f"the mean of p(x|z) at equally probable steps of {names[0]} and {names[1]}{rest}{given}"
    decoded_plane(path, grid, places, labels, "The latent space, decoded", subtitle, names, f"quantile of {whose}", gap)


def decoded_plane(
    path: Path,
    grid: np.ndarray,
    places: np.ndarray,
    labels: list[str],
    title: str,
    subtitle: str,
    names: tuple[str, str],
    unit: str,
    gap: int = GAP,
) -> None:
    """Draws a grid [R,R,H,W,C], `gap` pixels apart, with `labels` at `places`, shares of a side, on both axes."""
    picture = mosaic(fitted(grid.reshape(-1, *grid.shape[2:]), len(grid), gap), len(grid), gap)
    with gallery(path, picture, title, subtitle, left=0.9, bottom=0.7) as axes:
        axes.set_xticks(places * picture.shape[1] - 0.5, labels)
        axes.set_yticks((1 - places) * picture.shape[0] - 0.5, labels)
        axes.set(xlabel=f"{names[0]}, {unit}", ylabel=f"{names[1]}, {unit}")
