"""Several runs side by side: a column for each, and all of them on the plane of rate and distortion."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, bounded, enlarged, mosaic
from jaxvae.viz.plots.scatter import CLASSES
from jaxvae.viz.plots.style import BLUE, GREY, PALE, VERMILION, new_figure, write_haloed

_COLUMN = 3.0  # inches
MOST = 6  # runs side by side; more would be too small to see


@dataclasses.dataclass(frozen=True)
class Panel:
    """What one run is compared by.

    `codes` of images and what was `drawn` of the prior, [N, 2], are on one plane; both are None where z is no vector.
    `labels` [N] may be None. The others are pictures [N, H, W, C].
    """

    codes: np.ndarray | None
    drawn: np.ndarray | None
    labels: np.ndarray | None
    samples: np.ndarray
    originals: np.ndarray
    reconstructions: np.ndarray


def comparison(path: Path, panels: Mapping[str, Panel], places: Mapping[str, tuple[float, float] | None]) -> None:
    """Draws a column for each run, and a chart of `places`, (rate, distortion) in nats, if there are two."""
    if not 1 <= len(panels) <= MOST:
        raise UsageError(f"{len(panels)} runs to draw side by side; expected 1 to {MOST}: draw them in parts.")
    known = {name: place for name, place in places.items() if place is not None}
    charted = len(known) > 1
    heights = [_COLUMN, _COLUMN, _COLUMN / 3] + [3.4] * charted
    with new_figure(path, max(6.5, _COLUMN * len(panels) + 0.9), sum(heights) + 1.6) as figure:
        figure.set_layout_engine("constrained")
        grid = figure.add_gridspec(len(heights), len(panels), height_ratios=heights)
        for column, (name, panel) in enumerate(panels.items()):
            top, middle, low = (figure.add_subplot(grid[row, column]) for row in range(3))
            _plane(top, panel, name)
            _pictures(middle, _tiled(panel.samples), "samples: z from the prior")
            both = np.concatenate([panel.originals, panel.reconstructions])
            _pictures(low, _tiled(both, len(panel.originals)), "images, and what survives the code")
        if charted:
            _rate_and_distortion(figure.add_subplot(grid[3, :]), known)
        legend = "Coloured: a z for each image, by label. Grey: draws of the prior. Grey without colour is a hole."
        figure.suptitle(legend, x=0.02, ha="left", color=GREY, fontsize=10)


def _plane(axes, panel: Panel, name: str) -> None:
    """Draw where the codes lie, and the prior's draws beneath them."""
    axes.set_title(name)
    if panel.codes is None or panel.drawn is None:
        axes.text(0.5, 0.5, "its latent is no vector", ha="center", va="center", color=GREY, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    codes, drawn, labels = panel.codes, panel.drawn, panel.labels
    axes.scatter(*drawn.T, s=26, c=PALE, lw=0, rasterized=True)
    colours = BLUE if labels is None else np.array(CLASSES)[np.unique(labels, return_inverse=True)[1] % len(CLASSES)]
    axes.scatter(*codes.T, s=9, c=colours, lw=0, alpha=0.9, rasterized=True)
    both = np.concatenate([codes, drawn])
    low, high = np.nanquantile(both, 0.002, axis=0), np.nanquantile(both, 0.998, axis=0)
    half, middle = 0.55 * max(*(high - low), 1e-6), (low + high) / 2
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
    axes.tick_params(labelsize=8)


def _tiled(images, columns=None):
    """Lay images out with seams that are narrow beside them, however small they are."""
    return mosaic(enlarged(images, max(1, 56 // max(images.shape[1:3]))), columns, GAP)


def _pictures(axes, picture, title):
    """Show a mosaic below its title."""
    picture = bounded(picture if picture.shape[-1] == 3 else picture.repeat(3, axis=-1))
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(title, fontsize=9, fontweight="normal", color=GREY)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _rate_and_distortion(axes, places):
    """Draw each run's rate and distortion, on lines of one ELBO, larger to the lower left."""
    rates, distortions = np.array(list(places.values())).T
    wide = max(np.ptp(rates), np.ptp(distortions), 1.0)
    limits = [(values.min() - 0.3 * wide, values.max() + 0.3 * wide) for values in (rates, distortions)]
    limits[0] = (max(limits[0][0], 0.0), limits[0][1])  # a rate is no smaller
    for total in sorted({float(f"{total:.6g}") for total in rates + distortions}):
        axes.axline((0, total), slope=-1, color=PALE, lw=1, zorder=0.9)
    axes.scatter(rates, distortions, s=50, c=VERMILION, zorder=2)
    for name, place in places.items():
        x, y = place
        write_haloed(axes, x, y, f"  {name}, ELBO {-sum(place):.1f}".replace("-", "−"), va="center", fontsize=9)
    axes.set(xlim=limits[0], ylim=limits[1], xlabel="rate, nats", ylabel="distortion, nats")
    axes.set_title("Rate and distortion: along a grey line the ELBO is the same", fontsize=10)
