"""Lossy compression of images by the model, by principal components and by JPEG, at the same bits.

Axis letters: M images, n of them shown, P points of a curve, *X the shape of an example.
"""

import dataclasses
import io
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image
from sklearn.decomposition import PCA

from jaxvae._checks import UsageError
from jaxvae.data.spec import to_pixels, to_unit
from jaxvae.latent import compression
from jaxvae.model.posterior import PointPosterior
from jaxvae.rundir.run import Run
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject, evenly_spaced, jit_once
from jaxvae.viz.plots.image_grid import show_rows
from jaxvae.viz.plots.style import BLUE, GREY, INK, VERMILION, new_figure, write_title

__all__ = ["CoderCurve", "CompressionData", "compute_compression", "has_finite_rate", "plot_compression"]

_COMPRESS = 30  # purpose folded into the subject's key
_COMPONENTS, _STEPS, _POINTS = 512, 24, 24  # of the transform coder: at most: components, step sizes, points drawn
_QUALITIES = (1, 3, 5, 8, 12, 16, 20, 25, 30, 40, 50, 60, 70, 80, 90, 95)
_FIT_VALUES = 2**26  # pixels of training images that the components are fitted to: a quarter of a gigabyte
_TITLES = {"pca": "principal components of {:,} training images, entropy-coded", "jpeg": "JPEG, in one mosaic"}
_LOOKS: dict[str, Any] = {"pca": {"color": BLUE, "marker": "o"}, "jpeg": {"color": GREY, "marker": "s", "ls": "--"}}


class CoderCurve(NamedTuple):
    """Points of one coder, by ascending bits."""

    bits: np.ndarray  # [P], of an image
    error: np.ndarray  # [P], mean squared
    decoded: np.ndarray  # [n, *X], the shown images at `used` bits
    used: float  # the most bits that are not above the model's


class CompressionData(NamedTuple):
    """Images [n, *X], the same decoded by the model, its `bits` [M] and squared `error` [M], and the other coders.

    `fitted` training images gave the principal components and their frequencies.
    """

    images: np.ndarray
    decoded: np.ndarray
    bits: np.ndarray
    error: np.ndarray
    curves: dict[str, CoderCurve]
    binary: bool
    fitted: int


def compute_compression(subject: Subject, *, n: int = 10, most: int = 1000) -> CompressionData:
    """Compresses at most `most` images of the split by each coder; n of them are shown.

    All coders are given the same x, prepared as in training. Principal components are fitted to all training images,
    as the model was, but to no more than `_FIT_VALUES` pixels. ValueError for an autoencoder's point, which has no
    finite number of bits.
    """
    run = subject.run
    if not has_finite_rate(run):
        raise UsageError("the code of an autoencoder is a point without a density: it takes no certain number of bits.")
    positions = evenly_spaced(len(subject.split), most)
    shown = subject.examples(positions)
    x, chosen = np.asarray(shown.x), evenly_spaced(len(positions), n)
    condition = None if shown.condition is None else run.parts.prepare.conditions(shown.condition)
    through = jit_once(run, partial(compression.ideal_compression, run.model))
    key, index = subject.key_for(_COMPRESS), subject.split.index[positions]
    vae = jax.device_get(through(run.variables, key, shown.x, index, condition))
    bits, error = np.asarray(vae.bits), np.square(vae.x - x).reshape(len(x), -1).mean(1)
    fit_on = dataclasses.replace(subject, name="train")
    fit_x = np.asarray(fit_on.examples(evenly_spaced(len(fit_on.split), max(1, _FIT_VALUES // x[0].size))).x)
    curves = {"pca": _pca_curve(fit_x, x, chosen, bits.mean())}
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        curves["jpeg"] = jpeg_curve(x, chosen, bits.mean())
    binary = run.parts.prepare.support == "binary"
    return CompressionData(x[chosen], np.asarray(vae.x)[chosen], bits, error, curves, binary, len(fit_x))


def has_finite_rate(run: Run) -> bool:
    """Returns whether a code is drawn from a density, or chosen among finitely many."""
    return not isinstance(run.model.posterior, PointPosterior)


def _pca_curve(training: np.ndarray, x: np.ndarray, chosen: np.ndarray, bits: float) -> CoderCurve:
    """Returns the best points of quantized principal components, over their number and the step size."""
    principal = fit_components(training)
    widest = float(principal.coordinates.std(0).max())
    steps = np.geomspace(4 * widest, 0.02 * widest, _STEPS)
    found, errors = compression.transform_coding_curves(principal, x, steps)
    best = compression.pareto_frontier(found, errors)
    below = best[found.ravel()[best] <= bits][-1]
    spread = np.geomspace(1, max(2, found.ravel()[best].max()), _POINTS)
    drawn = best[np.unique([0, *np.searchsorted(found.ravel()[best], spread).clip(0, len(best) - 1)])]

    def decoded(some: np.ndarray, point: int) -> np.ndarray:
        step, components = divmod(int(point), found.shape[1])
        return compression.transform_coding_reconstruction(principal, some, components, float(steps[step]))

    exact = np.array([np.square(decoded(x, point) - x).mean() for point in drawn])
    kept = compression.pareto_frontier(found.ravel()[drawn], exact)
    return CoderCurve(found.ravel()[drawn][kept], exact[kept], decoded(x[chosen], below), float(found.ravel()[below]))


def fit_components(training: np.ndarray) -> compression.PrincipalComponents:
    """Returns the principal components of training images [N, *X], without those of no variance."""
    flat = training.reshape(len(training), -1)
    found = PCA(min(_COMPONENTS, *flat.shape), random_state=0).fit(flat)
    kept = found.explained_variance_ > 1e-6 * found.explained_variance_[0]
    directions = found.components_[kept].T
    coordinates = np.sort(((flat - found.mean_) @ directions).T).T  # each column contiguous
    return compression.PrincipalComponents(found.mean_, directions, coordinates)


def jpeg_curve(x: np.ndarray, chosen: np.ndarray, bits: float) -> CoderCurve:
    """Returns JPEG at several qualities, of a mosaic of all images x [M, H, W, C], so that its header is shared."""
    points = [jpeg(x, quality) for quality in _QUALITIES]
    order = np.argsort([cost for cost, _ in points], kind="stable")
    costs = np.array([points[i][0] for i in order])
    errors = np.array([np.square(points[i][1] - x).mean() for i in order])
    below = order[max(int((costs <= bits).sum()) - 1, 0)]  # the fewest it can where that is more than the model's
    return CoderCurve(costs, errors, points[below][1][chosen], points[below][0])


def jpeg(x: np.ndarray, quality: int) -> tuple[float, np.ndarray]:
    """Returns (bits per image, decoded images) of x [M, H, W, C], C 1 or 3, as one JPEG mosaic.

    Each tile is filled up with its last row and column to whole blocks, so that no block holds two images: 8 pixels
    wide, and of colour 16, as chroma is sampled at every second pixel.
    """
    count, height, width, channels = x.shape
    block = 8 if channels == 1 else 16
    tall, wide = -(-height // block) * block, -(-width // block) * block
    across = max(1, min(count, 4096 // wide))
    down = -(-count // across)
    tiles = np.pad(x, ((0, 0), (0, tall - height), (0, wide - width), (0, 0)), mode="edge")
    tiles = np.concatenate([tiles, np.zeros((across * down - count, tall, wide, channels), tiles.dtype)])
    grid = tiles.reshape(down, across, tall, wide, channels).swapaxes(1, 2)
    stored, bytes_ = io.BytesIO(), to_pixels(grid.reshape(down * tall, across * wide, channels))
    Image.fromarray(bytes_[..., 0] if channels == 1 else bytes_).save(stored, "JPEG", quality=quality, optimize=True)
    cost = 8 * len(stored.getvalue()) / count
    with Image.open(stored) as image:
        again = to_unit(np.asarray(image)).reshape(down, tall, across, wide, channels)
    again = again.swapaxes(1, 2).reshape(-1, tall, wide, channels)
    return cost, again[:count, :height, :width]


def plot_compression(path: Path, data: CompressionData) -> None:
    """Draws the coders' curves and the model's point; below, the images above each coder's decoded ones."""
    with new_figure(path, 9, 9) as figure:
        grid = figure.add_gridspec(2, 1, height_ratios=[1.35, 1])
        axes = figure.add_subplot(grid[0])
        for name, curve in data.curves.items():
            title = _TITLES[name].format(data.fitted)
            axes.plot(curve.bits, _decibels(curve.error), ms=4, lw=1.8, label=title, **_LOOKS[name])
        # with standard errors over the images; that of the ratio by the delta method
        mean, spread = data.error.mean(), data.error.std() / np.sqrt(len(data.error))
        x_error, y_error = data.bits.std() / np.sqrt(len(data.bits)), 10 / np.log(10) * spread / max(mean, 1e-12)
        label = f"this model, were its rate met (ideal): {data.bits.mean():,.1f} bits"
        style: dict[str, Any] = {"fmt": "*", "ms": 15, "color": VERMILION, "mec": INK, "zorder": 3}
        axes.errorbar(data.bits.mean(), _decibels(mean), xerr=x_error, yerr=y_error, label=label, **style)
        axes.set_xscale("symlog", linthresh=8, linscale=0.5)
        most = max(curve.bits.max() for curve in data.curves.values())
        axes.set(xlim=(0, 1.1 * max(most, 2 * data.bits.mean())), xlabel="bits for an image")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylim(top=min(axes.get_ylim()[1], 40))  # beyond, nobody sees a difference
        axes.set_ylabel("peak signal-to-noise ratio, dB")
        axes.legend(loc="upper left")
        told = "to the left is shorter, above is closer to the image; all are given the same "
        write_title(axes, "Lossy compression", told + ("binarized images" if data.binary else "images"))
        rows = {"original": data.images, f"VAE, {data.bits.mean():,.0f} bits": data.decoded}
        rows |= {f"{name.upper()}, {curve.used:,.0f} bits": curve.decoded for name, curve in data.curves.items()}
        show_rows(figure.add_subplot(grid[1]), list(map(pictures, rows.values())), list(rows), 64)


def _decibels(error: np.ndarray) -> np.ndarray:
    return -10 * np.log10(np.maximum(error, 1e-12))
