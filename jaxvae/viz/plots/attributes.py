"""Attributes added to images, and arithmetic with codes, drawn: the pictures above, what a judge says below.

Axis letters: N images, T strengths, L judged attributes, M measured ones, H height, W width, C channels.
"""

import textwrap

import numpy as np
from matplotlib.patches import Rectangle

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, checked_images, enlarged, fitted, gallery, mosaic, stacked
from jaxvae.viz.plots.style import BLUE, GREY, INK, LIGHT_BLUE, PALE, VERMILION

_ONE_SIDED = 1.96  # standard errors on each side that hold 95%
_MOST_BARS = 14  # attributes whose change is drawn, the largest ones
_BARS = 0.21  # inches a bar
_METHODS = {"means": "the difference of means", "probe": "a linear probe's"}
_PANELS = 1.3  # inches that the panels are high, beside their bars
TERM, _SIGN, _WORDS = 240, 76, 28  # pixels: a term of a sum, a sign beside it, a line of words below it
_NOTE = 30  # characters of a line below the small images
_SEAM = 8  # pixels between an image and its moved codes


def attribute(path, shown):
    """Draw images, and their codes moved by strengths times an attribute's direction; how often it appears, what else
    changed.

    `shown` holds arrays by the names of `figures.attributes.draw_attribute`: originals [N,H,W,C], images [N,T,H,W,C],
    strengths [T], ...
    """
    images, strengths = checked_images("images", shown["images"], "NTHWC"), np.asarray(shown["strengths"])
    originals = checked_images("originals", shown["originals"], "NHWC")
    if images.shape[1] != len(strengths) or originals.shape != images[:, 0].shape:
        raise UsageError(
            f"images have shape {images.shape} for {len(strengths)} strengths and originals {originals.shape}; "
            "expected [N,T,H,W,C], [T], and [N,H,W,C]."
        )
    rows = [_row(*each) for each in zip(originals, images, strict=True)]
    picture, _ = stacked(rows, [GAP] * len(rows))
    wide = fitted(images[0], 1 + len(strengths)).shape[2]
    starts = np.concatenate([[0], wide + _SEAM + (wide + GAP) * np.arange(len(strengths))])
    kept = f", keeping {', '.join(map(str, shown['keep']))}" if len(shown["keep"]) else ""
    how = f"({_METHODS[str(shown['method'])]}{kept})"
    subtitle = f"an image, and its code moved by so many times the direction {how}, decoded; framed: unmoved"
    high = _PANELS + _BARS * min(_MOST_BARS, len(shown["judged_names"]))
    title = f"Adding {str(shown['attribute'])!r}"
    with gallery(path, picture, title, subtitle, left=0.35, bottom=high + 0.65) as axes:
        axes.set_xticks(starts + (wide - 1) / 2, ["image", *map(strength, strengths)])
        axes.tick_params(length=0)
        axes.set_xlabel("strength")
        left = starts[1 + int(np.flatnonzero(strengths == 0)[0])] - GAP / 2 - 0.5
        size = wide + GAP, picture.shape[0] + 2 * GAP - 1
        axes.add_patch(Rectangle((left, -GAP), *size, fill=False, edgecolor=VERMILION, linewidth=2, clip_on=False))
        _panels(axes.figure, shown, high)


def _row(original, moved):
    """Lay an image and its moved codes, decoded, side by side, a seam between."""
    images = fitted(np.concatenate([original[None], moved]), 1 + len(moved))
    seam = np.ones((images.shape[1], _SEAM, images.shape[3]))
    return np.concatenate([images[0], seam, mosaic(images[1:], len(moved), GAP)], axis=1)


def strength(value):
    """Write a strength with its sign; 0 as 0."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _panels(figure, shown, high):
    """Add the charts of the judgement to the lowest `high` inches."""
    name, at = str(shown["attribute"]), strength(float(shown["judged_at"]))
    figure.set_layout_engine("constrained", rect=(0.01, 0, 0.98, high / figure.get_figheight()))
    measured, judged = len(shown["measured_names"]), min(_MOST_BARS, len(shown["judged_names"]))
    grid = figure.add_gridspec(1, 3 if measured else 2)
    _appearance(figure.add_subplot(grid[0]), shown, name)
    if measured:
        # its bars as wide as the others', and nothing below them
        parts = [measured + 1, max(judged - measured, 0) + 1e-3]
        axes = figure.add_subplot(grid[1].subgridspec(2, 1, height_ratios=parts)[0])
        _bars(axes, shown["measured_names"], shown["measured_shift"], name)
        axes.set(xlabel="deviations")
        axes.set_title(f"Measured at {at}", fontsize=10)
    axes = figure.add_subplot(grid[-1])
    _bars(axes, shown["judged_names"], 100 * np.asarray(shown["judged_shift"]), name)
    axes.set_xlabel("percentage points")
    axes.set_title(f"Judged at {at}", fontsize=10)


def _appearance(axes, shown, name):
    """Draw how often the attribute appears against the strength, with its 95% band."""
    strengths = np.asarray(shown["strengths"])
    low, high = 100 * np.asarray(shown["appears_band"])
    axes.axhline(100 * float(shown["had"]), color=GREY, lw=1, ls="--", label="the images themselves")
    axes.fill_between(strengths, low, high, color=LIGHT_BLUE, alpha=0.5, lw=0)
    axes.plot(strengths, 100 * np.asarray(shown["appears"]), color=BLUE, marker="o", ms=4, label="by the classifier")
    if "measured_appears" in shown:
        values = 100 * np.asarray(shown["measured_appears"])
        axes.plot(strengths, values, color=VERMILION, marker="s", ms=3.5, ls=":", label="measured")
    axes.set(xlabel="strength", ylabel="% that have it", ylim=(-4, 104), yticks=range(0, 101, 20))
    axes.set_title(f"Who has {name!r}", fontsize=10)
    axes.legend(fontsize=8, loc="best", borderaxespad=0.4)


def _short(name):
    """Write a class without 'label=', unless it is but a number."""
    kind, _, value = name.partition("=")
    return name if kind != "label" or value.isdecimal() else value


def _bars(axes, names, shift, name):
    """Draw what changed, [2, L] with standard errors, the attribute itself first, then the largest, as bars."""
    names, (change, error) = [str(each) for each in names], np.asarray(shift, float)
    order = sorted(range(len(names)), key=lambda i: (names[i] != name, -abs(change[i])))[:_MOST_BARS]
    places = np.arange(len(order))
    colours = [VERMILION if names[i] == name else BLUE for i in order]
    style = {"ecolor": INK, "elinewidth": 1, "capsize": 2}
    axes.barh(places, change[order], 0.7, color=colours, xerr=_ONE_SIDED * error[order], error_kw=style)
    axes.axvline(0, color=PALE, lw=1)
    axes.set_yticks(places, [_short(names[i]) for i in order], fontsize=8)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")


def arithmetic(path, pictures, names, values, beside, notes):
    """Draw a - b + c = result: pictures [4,H,W,C] with their `names`, `values` measured on them, and signs between.

    Below each stand at most 6 of the real images `beside` [4] of [N,H,W,C]; notes say what they are.
    """
    pictures = checked_images("pictures", pictures, "NHWC")
    if not len(pictures) == len(names) == len(values) == len(beside) == len(notes) == 4:
        raise UsageError(f"{len(pictures)} pictures, {len(names)} names, {len(beside)} rows; expected 4 each.")
    height, width, channels = pictures.shape[1:]
    factor = max(1, TERM // max(height, width))
    large = enlarged(pictures, factor)
    below = [_six(images, max(1, factor // 3), (height, width, channels)) for images in beside]
    size, six = large.shape[1], below[0].shape[0]
    wide = max(large.shape[2], below[0].shape[1], TERM)
    words = [name.count("\n") + 1 + len(value.splitlines()) for name, value in zip(names, values, strict=True)]
    top = size + _WORDS * max(words) + _WORDS // 2  # where the small ones start
    canvas = np.ones((top + six, 4 * wide + 3 * _SIGN, channels))
    lefts = [k * (wide + _SIGN) for k in range(4)]
    for left, image, small in zip(lefts, large, below, strict=True):
        canvas[:size, left : left + image.shape[1]] = image
        canvas[top:, left : left + small.shape[1]] = small
    subtitle = "large: the mean of p(x|z) at a code; small: real images"
    notes = ["\n".join(textwrap.wrap(note, _NOTE)) for note in notes]
    lines = 1 + max(note.count("\n") for note in notes)
    with gallery(path, canvas, "Arithmetic with codes", subtitle, bottom=0.2 + 0.14 * lines) as axes:
        for left, name, value, note in zip(lefts, names, values, notes, strict=True):
            axes.text(left, size + 12, name, va="top", fontsize=9, weight="bold", linespacing=1.3)
            axes.text(left, size + 12 + _WORDS * (1 + name.count("\n")), value, va="top", fontsize=9, linespacing=1.3)
            axes.text(left, top + six + 8, note, va="top", fontsize=8, color=GREY, linespacing=1.2)
        for left, sign in zip(lefts, "−+=", strict=False):
            axes.text(left + wide + _SIGN / 2, size / 2, sign, fontsize=26, ha="center", va="center")


def _six(images, factor, shape):
    """Lay at most 6 images out in two rows of three, each enlarged; what is missing is white."""
    height, width, channels = shape
    cells = np.ones((6, height, width, channels))
    images = np.asarray(images, float)[:6]
    cells[: len(images)] = images
    return mosaic(enlarged(cells, factor), 3, GAP)
