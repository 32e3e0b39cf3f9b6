"""The figure of an added attribute: images above, measured changes below.

Axis letters: N images, T strengths, L attributes of the classifier, M measured ones, H height, W width, C channels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxvae._checks import UsageError
from jaxvae.viz.figures.attributes import AttributeData
from jaxvae.viz.plots.image_grid import GAP, checked_images, gallery, side_by_side, stacked
from jaxvae.viz.plots.style import BLUE, GREY, INK, LIGHT_BLUE, PALE, VERMILION

__all__ = ["plot_attribute"]

_ONE_SIDED = 1.96  # standard errors on each side that hold 95%
_MOST_BARS = 14  # attributes whose change is drawn, the largest ones
_BARS = 0.21  # inches a bar
_METHODS = {"means": "the difference of means", "probe": "a linear probe's"}
_PANELS = 1.3  # inches that the panels are high, beside their bars


def plot_attribute(path: Path, data: AttributeData) -> None:
    """Draws images and their moved codes, decoded; below, how often the attribute appears, and what else changed."""
    images, strengths = checked_images("images", data.images, "NTHWC"), data.strengths
    originals = checked_images("originals", data.originals, "NHWC")
    if images.shape[1] != len(strengths) or originals.shape != images[:, 0].shape:
        raise UsageError(
            f"images have shape {images.shape} for {len(strengths)} strengths and originals {originals.shape}; "
            "expected [N,T,H,W,C], [T], and [N,H,W,C]."
        )
    rows = [side_by_side(original[None], moved) for original, moved in zip(originals, images, strict=True)]
    (first, wide), (picture, _) = rows[0], stacked([row for row, _ in rows], [GAP] * len(rows))
    right = first.shape[1] - wide - (wide + GAP) * np.arange(len(strengths))  # of the last image, the one before, ...
    starts = np.concatenate([[0], right[::-1]])
    kept = f", keeping {', '.join(map(str, data.keep))}" if len(data.keep) else ""
    how = f"({_METHODS[data.method]}{kept})"
    subtitle = f"an image, and its code moved by so many times the direction {how}, decoded; framed: unmoved"
    high = _PANELS + _BARS * min(_MOST_BARS, len(data.change.judged_names))
    with gallery(path, picture, f"Adding {data.attribute!r}", subtitle, left=0.35, bottom=high + 0.65) as axes:
        axes.set_xticks(starts + (wide - 1) / 2, ["image", *map(_signed, strengths)])
        axes.tick_params(length=0)
        axes.set_xlabel("strength")
        left = starts[1 + int(np.flatnonzero(strengths == 0)[0])] - GAP / 2 - 0.5
        size = wide + GAP, picture.shape[0] + 2 * GAP - 1
        axes.add_patch(Rectangle((left, -GAP), *size, fill=False, edgecolor=VERMILION, linewidth=2, clip_on=False))
        figure = axes.figure
        assert isinstance(figure, Figure)
        _plot_panels(figure, data, high)


def _signed(value: float) -> str:
    """Returns a strength with its sign; 0 as 0."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _plot_panels(figure: Figure, data: AttributeData, high: float) -> None:
    """Adds the charts to the lowest `high` inches."""
    name, change, at = data.attribute, data.change, _signed(float(data.change.judged_at))
    figure.set_layout_engine("constrained", rect=(0.01, 0, 0.98, high / figure.get_figheight()))
    measured, judged = len(change.measured_names), min(_MOST_BARS, len(change.judged_names))
    grid = figure.add_gridspec(1, 3 if measured else 2)
    _plot_appearance(figure.add_subplot(grid[0]), data)
    if measured:
        # its bars as wide as the others', and nothing below them
        parts = [measured + 1, max(judged - measured, 0) + 1e-3]
        axes = figure.add_subplot(grid[1].subgridspec(2, 1, height_ratios=parts)[0])
        _plot_bars(axes, change.measured_names, np.asarray(change.measured_shift), name)
        axes.set(xlabel="deviations")
        axes.set_title(f"Measured at {at}", fontsize=10)
    axes = figure.add_subplot(grid[-1])
    _plot_bars(axes, change.judged_names, 100 * np.asarray(change.judged_shift), name)
    axes.set_xlabel("percentage points")
    axes.set_title(f"Judged at {at}", fontsize=10)


def _plot_appearance(axes: Axes, data: AttributeData) -> None:
    """Draws how often the attribute appears against the strength, with its 95% band."""
    change = data.change
    low, high = 100 * np.asarray(change.appears_band)
    axes.axhline(100 * float(change.had), color=GREY, lw=1, ls="--", label="the images themselves")
    axes.fill_between(data.strengths, low, high, color=LIGHT_BLUE, alpha=0.5, lw=0)
    style: dict[str, Any] = {"color": BLUE, "marker": "o", "ms": 4, "label": "by the classifier"}
    axes.plot(data.strengths, 100 * np.asarray(change.appears), **style)
    if change.measured_appears is not None:
        style = {"color": VERMILION, "marker": "s", "ms": 3.5, "ls": ":", "label": "measured"}
        axes.plot(data.strengths, 100 * change.measured_appears, **style)
    axes.set(xlabel="strength", ylabel="% that have it", ylim=(-4, 104), yticks=range(0, 101, 20))
    axes.set_title(f"Who has {data.attribute!r}", fontsize=10)
    axes.legend(fontsize=8, loc="best", borderaxespad=0.4)


def _plot_bars(axes: Axes, names: Sequence[str] | np.ndarray, shift: np.ndarray, name: str) -> None:
    """Draws changes [2, L], means and standard errors, as bars: the attribute itself first, then the largest."""
    names, (change, error) = [str(each) for each in names], np.asarray(shift, float)
    order = sorted(range(len(names)), key=lambda i: (names[i] != name, -abs(change[i])))[:_MOST_BARS]
    places = np.arange(len(order))
    colours = [VERMILION if names[i] == name else BLUE for i in order]
    style = {"ecolor": INK, "elinewidth": 1, "capsize": 2}
    axes.barh(places, change[order], 0.7, color=colours, xerr=_ONE_SIDED * error[order], error_kw=style)
    axes.axvline(0, color=PALE, lw=1)
    classes = [names[i].partition("label=")[2] for i in order]  # a class without 'label=', unless it is a number
    labels = [value if value and not value.isdecimal() else names[i] for i, value in zip(order, classes, strict=True)]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
