"""Attributes added to images, and arithmetic with codes, drawn: the pictures above, what a judge says below.

Axis letters: N images, T strengths, L judged attributes, M measured ones, H height, W width, C channels.
"""

import numpy as np
from matplotlib.patches import Rectangle

from jaxvae.plots.canvas import BLUE, GREY, INK, LIGHT_BLUE, PALE, VERMILION
from jaxvae.plots.galleries import GAP, _checked, _fitted, _gallery, _stacked, mosaic

ONE_SIDED = 1.96  # standard errors on each side that hold 95%
MOST_BARS = 14  # attributes whose change is drawn, the largest ones
BARS = 0.21  # inches a bar
METHODS = {"means": "the difference of means", "probe": "a linear probe's"}
PANELS = 2.9  # inches that the panels are high, at least


def attribute(path, shown):
    """Draw images moved by strengths times an attribute's direction, and how often it appears, and what else changed.

    `shown` holds arrays by the names of `figures.attributes.draw_attribute`: images [N,T,H,W,C], strengths [T], ...
    """
    images, strengths = _checked("images", shown["images"], "NTHWC"), np.asarray(shown["strengths"])
    if images.shape[1] != len(strengths):
        raise ValueError(f"images have shape {images.shape} for {len(strengths)} strengths; expected [N,T,H,W,C], [T].")
    columns = len(strengths)
    rows = [mosaic(_fitted(row, columns), columns, GAP) for row in images]
    picture, _ = _stacked(rows, [GAP] * len(rows))
    name, bars = str(shown["attribute"]), min(MOST_BARS, len(shown["judged_names"]))
    high = max(PANELS, BARS * bars + 1.0)
    kept = f", keeping {', '.join(map(str, shown['keep']))}" if len(shown["keep"]) else ""
    subtitle = f"each row an image's code, moved by so many times the direction ({METHODS[str(shown['method'])]}{kept})"
    with _gallery(path, picture, f"Adding {name!r}", subtitle, left=0.35, bottom=high + 0.75) as axes:
        wide = (picture.shape[1] + GAP) / columns
        axes.set_xticks((np.arange(columns) + 0.5) * wide - GAP / 2, [strength(each) for each in strengths])
        axes.tick_params(length=0)
        axes.set_xlabel("strength; framed: unchanged, the image's own code")
        unmoved = int(np.flatnonzero(strengths == 0)[0])
        corner = (unmoved * wide - GAP, -GAP)
        frame = Rectangle(corner, wide + GAP, picture.shape[0] + 2 * GAP, fill=False, ec=VERMILION, lw=2)
        axes.add_patch(frame)
        frame.set_clip_on(False)
        _panels(axes.figure, shown, name, high)


def strength(value):
    """Write a strength with its sign; 0 as 0."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _panels(figure, shown, name, high):
    """Add the three charts of the judgement to the lower `high` inches."""
    height = figure.get_figheight()
    measured = len(shown["measured_names"]) > 0
    parts = (0.28, 0.2, 0.24) if measured else (0.38, 0.0, 0.4)
    lefts = (0.08, 0.5, 0.745) if measured else (0.08, 0.0, 0.58)
    panels = [
        figure.add_axes((left, 0.6 / height, part, (high - 1.15) / height)) if part else None
        for left, part in zip(lefts, parts, strict=True)
    ]
    _appearance(panels[0], shown, name)
    at = strength(float(shown["judged_at"]))
    if measured:
        _bars(panels[1], shown["measured_names"], shown["measured_shift"], name)
        panels[1].set_xlabel("deviations of the data")
        panels[1].set_title(f"Measured change at {at}", fontsize=10)
    _bars(panels[2], shown["judged_names"], 100 * np.asarray(shown["judged_shift"]), name)
    panels[2].set_xlabel("probability, percentage points")
    panels[2].set_title(f"Judged change at {at}", fontsize=10)


def _appearance(axes, shown, name):
    """Draw how often the attribute appears against the strength, with its 95% band."""
    strengths = np.asarray(shown["strengths"])
    low, high = 100 * np.asarray(shown["appears_band"])
    axes.axhline(100 * float(shown["had"]), color=GREY, lw=1, ls="--", label="in the images themselves")
    axes.fill_between(strengths, low, high, color=LIGHT_BLUE, alpha=0.5, lw=0)
    axes.plot(strengths, 100 * np.asarray(shown["appears"]), color=BLUE, marker="o", ms=4, label="says the classifier")
    if "measured_appears" in shown:
        values = 100 * np.asarray(shown["measured_appears"])
        axes.plot(strengths, values, color=VERMILION, marker="s", ms=3.5, ls=":", label="measured on the picture")
    axes.set(xlabel="strength", ylabel="% of pictures with it", ylim=(-4, 104))
    axes.set_title(f"How often {name!r} appears", fontsize=10)
    axes.legend(fontsize=8, loc="best", framealpha=0.8, frameon=True, edgecolor="none")


def _bars(axes, names, shift, name):
    """Draw what changed, [2, L] with standard errors, largest first after the attribute itself, as bars."""
    names, (change, error) = [str(each) for each in names], np.asarray(shift, float)
    order = sorted(range(len(names)), key=lambda i: (names[i] != name, -abs(change[i])))[:MOST_BARS]
    places = np.arange(len(order))
    colours = [VERMILION if names[i] == name else BLUE for i in order]
    style = {"ecolor": INK, "elinewidth": 1, "capsize": 2}
    axes.barh(places, change[order], 0.7, color=colours, xerr=ONE_SIDED * error[order], error_kw=style)
    axes.axvline(0, color=PALE, lw=1)
    axes.set_yticks(places, [names[i] for i in order], fontsize=8)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.grid(False, axis="y")


def arithmetic(path, pictures, names, beside, notes):
    """Draw a - b + c = result: pictures [4,H,W,C] with their `names` and signs between, and small images below each.

    beside are four arrays [N,H,W,C] of real images, at most 6 each, whose own sizes may differ; notes say what they are.
    """
    pictures = _checked("pictures", pictures, "NHWC")
    if not len(pictures) == len(names) == len(beside) == len(notes) == 4:
        raise ValueError(f"{len(pictures)} pictures, {len(names)} names, {len(beside)} rows; expected 4 each.")
    height, width, channels = pictures.shape[1:]
    factor = 3 * max(1, 180 // (3 * max(height, width)))
    gap, small = 75, factor // 3
    large = [image.repeat(factor, 0).repeat(factor, 1) for image in pictures]
    below = [_six(images, small, (height, width, channels)) for images in beside]
    tall, wide = large[0].shape[0] + 70 + below[0].shape[0], max(large[0].shape[1], below[0].shape[1])
    canvas = np.ones((tall, 4 * wide + 3 * gap, channels))
    for k, (image, six) in enumerate(zip(large, below, strict=True)):
        left = k * (wide + gap)
        canvas[: image.shape[0], left : left + image.shape[1]] = image
        canvas[tall - six.shape[0] :, left : left + six.shape[1]] = six
    title, subtitle = "Arithmetic with codes", "each large picture is the mean of p(x|z); small ones are real images"
    with _gallery(path, canvas, title, subtitle, bottom=0.5) as axes:
        for k in range(4):
            left = k * (wide + gap)
            axes.text(left, large[0].shape[0] + 14, names[k], va="top", fontsize=9, color=INK, weight="bold")
            axes.text(left, tall + 8, notes[k], va="top", fontsize=8, color=GREY)
            if k < 3:
                where = (left + wide + gap / 2, large[0].shape[0] / 2)
                axes.text(*where, "−+="[k], fontsize=26, ha="center", va="center", color=INK)


def _six(images, factor, shape):
    """Lay at most 6 images out in two rows of three, each enlarged; what is missing is white."""
    height, width, channels = shape
    cells = np.ones((6, height, width, channels))
    images = np.asarray(images, float)[:6]
    cells[: len(images)] = images
    return mosaic(cells.repeat(factor, 1).repeat(factor, 2), 3, GAP)
