"""How well scores tell novel images from known ones: curves, histograms, and the extreme images."""

import numpy as np

from jaxvae.viz.plots.image_grid import GAP, bounded, checked_images, mosaic
from jaxvae.viz.plots.style import BLUE, GREY, INK, PALE, VERMILION, new_figure, write_title

_NAMES = {"negative_log_likelihood": "−log p(x)", "negative_elbo": "−ELBO", "rate": "rate", "distortion": "distortion"}
LINES = ((BLUE, "-"), (VERMILION, "--"), (INK, ":"), (GREY, "-."))  # told apart without colour, too
_ROWS = {
    ("known", 0): "known,\nleast strange",
    ("known", 1): "known,\nmost strange",
    ("novel", 0): "left out,\nleast strange",
    ("novel", 1): "left out,\nmost strange",
}


def anomaly(path, curves, scores, rows, classes):
    """Draw `curves` {score: Roc}, histograms of one score's values {"known": [N], "novel": [M]}, and rows of images.

    `rows` are {"known" or "novel": (least, most strange [K,H,W,C])}; `classes` those that training never saw.
    """
    with new_figure(path, 10, 9.4) as figure:
        figure.set_layout_engine("constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=[1.05, 1])
        _curves(figure.add_subplot(grid[0, 0], aspect="equal"), curves)
        _histograms(figure.add_subplot(grid[0, 1]), scores, next(iter(curves)))
        shown = "class " if len(classes) == 1 else "classes "
        axes = figure.add_subplot(grid[1, :])
        _images(axes, rows, f"The extremes; left out of training: {shown}{', '.join(map(str, classes))}")


def _curves(axes, curves):
    for (name, curve), (colour, dashes) in zip(curves.items(), LINES, strict=False):
        label = f"{_NAMES.get(name, name)}: {curve.area:.3f} ± {curve.error:.3f}"
        axes.plot(curve.false_positives, curve.true_positives, color=colour, ls=dashes, lw=2, label=label)
    axes.plot([0, 1], [0, 1], color=PALE, lw=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="share of the known above the threshold")
    axes.set_ylabel("share of the left out above it")
    axes.legend(loc="lower right", title="area under the curve", fontsize=9)
    write_title(axes, "Is it new?", "the diagonal, an area of 0.5, is guessing")


def _histograms(axes, scores, name):
    """Two histograms over the range that holds all but the last hundredth of either."""
    low = min(np.quantile(each, 0.005) for each in scores.values())
    high = max(np.quantile(each, 0.995) for each in scores.values())
    bins = np.linspace(low, high if high > low else low + 1, 31)
    looks = {"known": ("known classes", BLUE, None), "novel": ("left out", VERMILION, "////")}
    for kind, (label, colour, hatch) in looks.items():
        weights = np.full(len(scores[kind]), 1 / len(scores[kind]))
        style = {"histtype": "stepfilled", "facecolor": colour + "40", "edgecolor": colour, "hatch": hatch}
        axes.hist(scores[kind], bins, weights=weights, lw=1.5, label=f"{label} ({len(scores[kind]):,})", **style)
    axes.set(xlabel=f"{_NAMES.get(name, name)}, nats", ylabel="share of the images")
    axes.legend(loc="upper right")
    write_title(axes, "The first score", "of test images that training never saw")


def _images(axes, rows, title):
    """Four rows of images, named at their left."""
    stacked = [checked_images(label, rows[kind][which], "NHWC") for (kind, which), label in _ROWS.items()]
    columns = max(map(len, stacked))
    height, width = stacked[0].shape[1:3]
    factor = max(1, 48 // max(height, width))
    large = [each.repeat(factor, axis=1).repeat(factor, axis=2) for each in stacked]
    full = [np.concatenate([each, np.ones((columns - len(each), *each.shape[1:]))]) for each in large]
    picture = bounded(mosaic(np.concatenate(full), columns, GAP))
    axes.imshow(picture if picture.shape[-1] == 3 else picture.repeat(3, axis=-1), interpolation="nearest")
    step = height * factor + GAP
    axes.set_yticks([step * row + step / 2 for row in range(4)], list(_ROWS.values()), fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10)
