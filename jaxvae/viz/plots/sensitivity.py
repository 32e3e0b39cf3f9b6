"""Codes moved along the directions of steepest and flattest change, and how far codes move with their images."""

import numpy as np

from jaxvae.viz.plots.image_grid import GAP, bounded, checked_images, mosaic
from jaxvae.viz.plots.style import BLUE, INK, LIGHT_BLUE, VERMILION, new_figure, write_title


def sensitivity(path, pictures, lengths, sizes, moved, amounts, kind, spread):
    """Draw `pictures` [N,2,T,H,W,C] of codes moved by `sizes` [T] in steepest and flattest direction, with how far
    a unit step moves the picture, lengths [N,Z], descending; below, the distances `moved` [A,M] of codes whose images
    were changed by `amounts` [A] of a `kind`, against their posteriors' `spread` [M].
    """
    pictures = checked_images("pictures", pictures, "NDTHWC")
    with new_figure(path, 9, 4.6 + 1.3 * len(pictures)) as figure:
        figure.set_layout_engine("constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=[1.3 * len(pictures), 3])
        _walks(figure.add_subplot(grid[0]), pictures, lengths, sizes)
        _distances(figure.add_subplot(grid[1]), moved, amounts, kind, spread)


def _walks(axes, pictures, lengths, sizes):
    """Two rows for each code."""
    count, _, steps, height, width = pictures.shape[:5]
    factor = max(1, 64 // max(height, width))
    tiles = pictures.reshape(-1, *pictures.shape[3:]).repeat(factor, axis=1).repeat(factor, axis=2)
    picture = bounded(mosaic(tiles, steps, GAP))
    axes.imshow(picture if picture.shape[-1] == 3 else picture.repeat(3, axis=-1), interpolation="nearest")
    tall, wide = height * factor + GAP, width * factor + GAP
    names = [
        f"{kind}: {lengths[i, which]:.2g}" for i in range(count) for kind, which in (("steepest", 0), ("flattest", -1))
    ]
    axes.set_yticks(np.arange(2 * count) * tall + tall / 2, names, fontsize=9)
    axes.set_xticks(np.arange(steps) * wide + wide / 2, [f"{size:+.2g}" if size else "0" for size in sizes], fontsize=8)
    axes.set_xlabel("length of the step from the code in the middle", fontsize=9)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    write_title(axes, "Small changes of the code", "with how far the picture moves for a step of length 1, at the code")


def _distances(axes, moved, amounts, kind, spread):
    """The median distance and the band that holds four of five codes."""
    low, middle, high = np.quantile(moved, [0.1, 0.5, 0.9], axis=1)
    axes.fill_between(amounts, low, high, color=LIGHT_BLUE, alpha=0.4, lw=0, label="four of five codes")
    axes.plot(amounts, middle, color=BLUE, marker="o", ms=5, lw=2, label="the median code")
    if spread.max() > 0:
        label = "spread of q(z|x): root mean square distance from its mean, median"
        axes.axhline(np.median(spread), color=VERMILION, ls="--", lw=1.8, label=label)
    axes.set_xscale("log")
    axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
    axes.minorticks_off()
    axes.set(xlabel=kind, ylabel="distance in z")
    axes.set_ylim(0, 1.45 * max(high.max(), np.median(spread), 1e-6))
    axes.legend(loc="upper left", labelcolor=INK)
    write_title(axes, "Small changes of the image", "how far the mean of q(z|x) moves")
