"""Rate against distortion of three coders, and what they make of some images."""

import numpy as np

from jaxvae.viz.plots.image_grid import GAP, bounded, checked_images, mosaic
from jaxvae.viz.plots.style import BLUE, GREY, INK, VERMILION, new_figure, write_title

_NAMES = {"vae": "VAE", "pca": "PCA", "jpeg": "JPEG"}
_TITLES = {"pca": "principal components, quantized and entropy-coded", "jpeg": "JPEG, in one mosaic"}
_LOOKS = {"pca": {"color": BLUE, "marker": "o"}, "jpeg": {"color": GREY, "marker": "s", "ls": "--"}}


def compression(path, originals, rows, point, curves, *, binary):
    """Draw `curves` {coder: with bits [P] and error [P]} and the model's `point` (bits [M], errors [M]); below them
    `originals` [N,H,W,C] above `rows` {coder: (what it decodes [N,H,W,C], its bits)}.
    """
    with new_figure(path, 9, 9) as figure:
        figure.set_layout_engine("constrained")
        grid = figure.add_gridspec(2, 1, height_ratios=[1.35, 1])
        axes = figure.add_subplot(grid[0])
        for name, curve in curves.items():
            axes.plot(curve.bits, _decibels(curve.error), ms=4, lw=1.8, label=_TITLES[name], **_LOOKS[name])
        _model(axes, *point)
        axes.set_xscale("symlog", linthresh=8, linscale=0.5)
        most = max(curve.bits.max() for curve in curves.values())
        axes.set(xlim=(0, 1.1 * max(most, 2 * point[0].mean())), xlabel="bits for an image")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylim(top=min(axes.get_ylim()[1], 40))  # beyond, nobody sees a difference
        axes.set_ylabel("peak signal-to-noise ratio, dB")
        axes.legend(loc="upper left")
        told = "to the left is shorter, above is closer to the image; all are given the same "
        write_title(axes, "Lossy compression", told + ("binarized images" if binary else "images"))
        _images(figure.add_subplot(grid[1]), originals, rows)


def _decibels(error):
    return -10 * np.log10(np.maximum(error, 1e-12))


def _model(axes, bits, error):
    """The model's point, with standard errors over the images; of its ratio, carried over from the mean error's."""
    mean, spread = error.mean(), error.std() / np.sqrt(len(error))
    bars = {"xerr": bits.std() / np.sqrt(len(bits)), "yerr": 10 / np.log(10) * spread / max(mean, 1e-12)}
    label = f"this model, were its rate met (ideal): {bits.mean():,.1f} bits"
    axes.errorbar(bits.mean(), _decibels(mean), **bars, fmt="*", ms=15, color=VERMILION, mec=INK, label=label, zorder=3)


def _images(axes, originals, rows):
    """The originals above what each coder makes of them."""
    shown = [
        checked_images("originals", originals, "NHWC"),
        *(checked_images(name, each, "NHWC") for name, (each, _) in rows.items()),
    ]
    labels = ["original", *(f"{_NAMES[name]}, {bits:,.0f} bits" for name, (_, bits) in rows.items())]
    height, columns = originals.shape[1], len(originals)
    factor = max(1, 64 // max(originals.shape[1:3]))
    large = np.concatenate(shown).repeat(factor, axis=1).repeat(factor, axis=2)
    picture = bounded(mosaic(large, columns, GAP))
    axes.imshow(picture if picture.shape[-1] == 3 else picture.repeat(3, axis=-1), interpolation="nearest")
    step = height * factor + GAP
    axes.set_yticks([step * row + step / 2 for row in range(len(labels))], labels, fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
