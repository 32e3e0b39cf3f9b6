"""Several models of the same data side by side: codes and draws of the prior, samples, rate and distortion."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax import random
from matplotlib.axes import Axes

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.reconstructions import compute_temperatures
from jaxvae.viz.figures.subject import DRAW, Subject
from jaxvae.viz.plots.image_grid import GAP, enlarged, mosaic, show_picture
from jaxvae.viz.plots.scatter import CLASSES
from jaxvae.viz.plots.style import BLUE, GREY, PALE, VERMILION, new_figure, write_haloed

__all__ = ["MAX_COMPARED", "Panel", "codes_and_draws", "compute_panel", "plot_comparison", "read_rate_distortion"]

MAX_COMPARED = 6  # runs side by side; more would be too small to see
_CODES, _SAMPLES, _RECONSTRUCTED = 1000, 36, 6  # how many of each a panel shows
SAMPLE = 7  # purpose folded into the subject's key
_COLUMN = 3.0  # inches


class Panel(NamedTuple):
    """What is shown of one run: codes, and pictures [N, H, W, C]."""

    codes: np.ndarray | None  # z ~ q(z|x) [N, 2], None unless z is a vector
    drawn: np.ndarray | None  # z ~ p(z) [N, 2], likewise
    labels: np.ndarray | None  # [N]
    samples: np.ndarray
    originals: np.ndarray
    reconstructions: np.ndarray


def compute_panel(subject: Subject) -> Panel:
    """Computes what is shown of one run."""
    positions = np.random.RandomState(0).permutation(len(subject.split))
    few, chosen = subject.examples(positions[:_RECONSTRUCTED]), positions[:_CODES]
    again = subject.run.reconstruct(subject.key_for(DRAW), few.x, few.condition)
    codes, drawn, labels = codes_and_draws(subject, chosen) or (None, None, None)
    samples = compute_temperatures(subject.run, subject.data, subject.key_for(SAMPLE), _SAMPLES, (1.0,)).means[0]
    return Panel(codes, drawn, labels, samples, pictures(few.x), pictures(again))


def codes_and_draws(subject: Subject, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """Returns one z ~ q(z|x) of these images and as many z ~ p(z), [N, 2], with the labels; None unless z is a vector.

    Above two dimensions both are projected on the principal plane of the codes.
    """
    if len(subject.run.latent_shape) != 1:
        return None
    shown = subject.examples(positions)
    q = subject.run.encode(shown.x, shown.condition)
    codes = np.asarray(q.sample(random.split(subject.key_for(DRAW), len(positions))))
    keys = random.split(subject.key_for(SAMPLE), len(codes))
    drawn = np.asarray(subject.run.generate(keys, condition=shown.condition)[0])
    if codes.shape[1] == 1:
        codes, drawn = (np.concatenate([each, np.zeros_like(each)], 1) for each in (codes, drawn))
    if codes.shape[1] > 2:
        middle, axes, _ = latent.principal_axes(codes)
        codes, drawn = (codes - middle) @ axes, (drawn - middle) @ axes
    return codes, drawn, None if subject.classes is None else subject.classes[positions]


def read_rate_distortion(numbers: dict[str, Any]) -> tuple[float, float] | None:
    """Returns (rate, distortion) in nats of a split's numbers; None without a bound."""
    if "elbo" not in numbers:
        return None
    return float(numbers["rate"]["value"]), float(numbers["distortion"]["value"])


def plot_comparison(path: Path, panels: dict[str, Panel], points: dict[str, tuple[float, float] | None]) -> None:
    """Draws a column for each run and, of two `points` (rate, distortion) and more, all on one chart."""
    if not 1 <= len(panels) <= MAX_COMPARED:
        raise UsageError(f"{len(panels)} runs to draw side by side; expected 1 to {MAX_COMPARED}: draw them in parts.")
    charted = {name: point for name, point in points.items() if point is not None}
    heights = [_COLUMN, _COLUMN, _COLUMN / 3] + [3.4] * (len(charted) > 1)
    with new_figure(path, max(6.5, _COLUMN * len(panels) + 0.9), sum(heights) + 1.6) as figure:
        grid = figure.add_gridspec(len(heights), len(panels), height_ratios=heights)
        for column, (name, panel) in enumerate(panels.items()):
            top, middle, low = (figure.add_subplot(grid[row, column]) for row in range(3))
            _plot_codes(top, panel, name)
            _plot_images(middle, panel.samples, None, "samples: z from the prior")
            both = np.concatenate([panel.originals, panel.reconstructions])
            _plot_images(low, both, len(panel.originals), "images, and what survives the code")
        if len(charted) > 1:
            _plot_rate_and_distortion(figure.add_subplot(grid[3, :]), charted)
        text = "Coloured: a z for each image, by label. Grey: draws of the prior. Grey without colour is a hole."
        figure.suptitle(text, x=0.02, ha="left", color=GREY, fontsize=10)


def _plot_codes(axes: Axes, panel: Panel, name: str) -> None:
    """Draws the codes, above the prior's draws."""
    axes.set_title(name)
    if panel.codes is None or panel.drawn is None:
        axes.text(0.5, 0.5, "its latent is no vector", ha="center", va="center", color=GREY, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    axes.scatter(panel.drawn[:, 0], panel.drawn[:, 1], s=26, c=PALE, lw=0, rasterized=True)
    index = None if panel.labels is None else np.unique(panel.labels, return_inverse=True)[1]
    colours = BLUE if index is None else np.array(CLASSES)[index % len(CLASSES)]
    axes.scatter(panel.codes[:, 0], panel.codes[:, 1], s=9, c=colours, lw=0, alpha=0.9, rasterized=True)
    both = np.concatenate([panel.codes, panel.drawn])
    low, high = np.nanquantile(both, 0.002, axis=0), np.nanquantile(both, 0.998, axis=0)
    half, middle = 0.55 * max(*(high - low), 1e-6), (low + high) / 2
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
    axes.tick_params(labelsize=8)


def _plot_images(axes: Axes, images: np.ndarray, columns: int | None, title: str) -> None:
    """Draws a mosaic below its title, with seams that are narrow beside the images."""
    show_picture(axes, mosaic(enlarged(images, max(1, 56 // max(images.shape[1:3]))), columns, GAP))
    axes.set_title(title, fontsize=9, fontweight="normal", color=GREY)


def _plot_rate_and_distortion(axes: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Draws each run's rate and distortion, on lines of one ELBO, larger to the lower left."""
    rates, distortions = np.array(list(points.values())).T
    wide = max(np.ptp(rates), np.ptp(distortions), 1.0)
    limits = [(values.min() - 0.3 * wide, values.max() + 0.3 * wide) for values in (rates, distortions)]
    limits[0] = (max(limits[0][0], 0.0), limits[0][1])  # a rate is not negative
    for total in sorted({float(f"{total:.6g}") for total in rates + distortions}):
        axes.axline((0, total), slope=-1, color=PALE, lw=1, zorder=0.9)
    axes.scatter(rates, distortions, s=50, c=VERMILION, zorder=2)
    for name, (x, y) in points.items():
        write_haloed(axes, x, y, f"  {name}, ELBO {-(x + y):.1f}".replace("-", "−"), va="center", fontsize=9)
    axes.set(xlim=limits[0], ylim=limits[1], xlabel="rate, nats", ylabel="distortion, nats")
    axes.set_title("Rate and distortion: along a grey line the ELBO is the same", fontsize=10)
