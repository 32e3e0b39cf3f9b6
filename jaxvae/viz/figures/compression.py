"""Lossy compression of the split's images: the model, principal components and JPEG, at the same bits."""

from __future__ import annotations

import dataclasses
import io
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from jaxvae.viz.figures.subject import Subject, run_once, spaced

_COMPRESS = 30  # purpose folded into the subject's key
_COMPONENTS, _STEPS, _POINTS = (
    512,
    24,
    24,
)  # of the transform coder: at most so many components, step sizes, points drawn
_QUALITIES = (1, 3, 5, 8, 12, 16, 20, 25, 30, 40, 50, 60, 70, 80, 90, 95)


class _Curve(NamedTuple):
    """Points of one coder, by ascending bits."""

    bits: np.ndarray  # [P], per image
    error: np.ndarray  # [P], mean squared error
    decoded: np.ndarray  # [n, *X], what it makes of the images shown, at the most bits that are not above the model's
    used: float  # the bits of that


def draw_compression(
    path: Path, subject: Subject, *, n: int = 10, most: int = 1000, training: int = 4000
) -> dict[str, np.ndarray]:
    """The model's point among the curves of principal components and JPEG, and n images as each decodes them.

    All three are given the same x, prepared as in training. Principal components are fitted to at most so many
    training images; scored are at most `most` of the split. The arrays shown: `images`, `vae`, `pca`, `jpeg`, what was
    decoded; `*_bits`, `*_error` of all points. ValueError for an autoencoder's point, which costs no number of bits.
    """
    from jaxvae.viz import plots

    run = subject.run
    if not costs_bits(run):
        raise UsageError("the code of an autoencoder is a point without a density: it takes no certain number of bits.")
    positions = spaced(len(subject.split), most)
    shown = subject.examples(positions)
    x, chosen = np.asarray(shown.x), spaced(len(positions), n)
    condition = None if shown.condition is None else run.parts.prepare.conditions(shown.condition)
    through = run_once(run, partial(compression.ideal_compression, run.model))
    vae = jax.device_get(
        through(run.variables, subject.key_of(_COMPRESS), shown.x, subject.split.index[positions], condition)
    )
    bits, error = np.asarray(vae.bits), np.square(vae.x - x).reshape(len(x), -1).mean(1)
    curves = {"pca": _principal_curve(_training_images(subject, training), x, chosen, bits.mean())}
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        curves["jpeg"] = jpeg_curve(x, chosen, bits.mean())
    rows = {"vae": (pictures(np.asarray(vae.x)[chosen]), bits.mean())}
    rows |= {name: (pictures(curve.decoded), curve.used) for name, curve in curves.items()}
    binary = run.parts.prepare.support == "binary"
    plots.compression(path, pictures(x[chosen]), rows, (bits, error), curves, binary=binary)
    arrays = {"images": x[chosen], "vae": np.asarray(vae.x)[chosen], "vae_bits": bits, "vae_error": error}
    for name, curve in curves.items():
        arrays |= {name: curve.decoded, f"{name}_bits": curve.bits, f"{name}_error": curve.error}
    return arrays


def costs_bits(run: Run) -> bool:
    """Whether a code is drawn from a density, or chosen among finitely many."""
    return not isinstance(run.model.posterior, PointPosterior)


def _training_images(subject: Subject, most: int) -> np.ndarray:
    """At most so many training images, prepared, [N, *X]."""
    training = dataclasses.replace(subject, name="train")
    return np.asarray(training.examples(spaced(len(training.split), most)).x)


def _principal_curve(training: np.ndarray, x: np.ndarray, chosen: np.ndarray, bits: float) -> _Curve:
    """The best that quantized principal components do, over their number and the step size."""
    principal = fitted(training)
    widest = float(principal.coordinates.std(0).max())
    steps = np.geomspace(4 * widest, 0.02 * widest, _STEPS)
    found, errors = compression.transform_coding_curves(principal, x, steps)
    best = compression.pareto_frontier(found, errors)
    below = best[found.ravel()[best] <= bits][-1]
    spread = np.geomspace(1, max(2, found.ravel()[best].max()), _POINTS)
    drawn = best[np.unique([0, *np.searchsorted(found.ravel()[best], spread).clip(0, len(best) - 1)])]
    across = found.shape[1]

    def decoded(some: np.ndarray, point: int) -> np.ndarray:
        return compression.transform_coding_reconstruction(
            principal, some, int(point % across), float(steps[point // across])
        )

    exact = np.array([np.square(decoded(x, point) - x).mean() for point in drawn])
    kept = compression.pareto_frontier(found.ravel()[drawn], exact)
    return _Curve(found.ravel()[drawn][kept], exact[kept], decoded(x[chosen], below), float(found.ravel()[below]))


def fitted(training: np.ndarray) -> compression.PrincipalComponents:
    """The principal components of training images [N, *X], those of no variance left out."""
    flat = training.reshape(len(training), -1)
    found = PCA(min(_COMPONENTS, *flat.shape), random_state=0).fit(flat)
    kept = found.explained_variance_ > 1e-6 * found.explained_variance_[0]
    directions = found.components_[kept].T
    return compression.PrincipalComponents(found.mean_, directions, (flat - found.mean_) @ directions)


def jpeg_curve(x: np.ndarray, chosen: np.ndarray, bits: float) -> _Curve:
    """JPEG at several qualities, of a mosaic of all images x [M, H, W, C], so that its header is shared."""
    points = [jpeg(x, quality) for quality in _QUALITIES]
    order = np.argsort([cost for cost, _ in points], kind="stable")
    costs = np.array([points[i][0] for i in order])
    errors = np.array([np.square(points[i][1] - x).mean() for i in order])
    below = order[max(int((costs <= bits).sum()) - 1, 0)]  # the fewest it can where that is more than the model's
    return _Curve(costs, errors, points[below][1][chosen], points[below][0])


def jpeg(x: np.ndarray, quality: int) -> tuple[float, np.ndarray]:
    """(bits per image, what is decoded [M, H, W, C]) of images x [M, H, W, C], C 1 or 3, in one mosaic.

    Each tile is filled up with its last row and column to whole blocks, 8 pixels wide, of colour 16, as its chroma is
    sampled at every second pixel: no block holds two images, and no image pays for a header. (A decoder smooths chroma
    over one pixel beyond its block.)
    """
    count, height, width, channels = x.shape
    block = 8 if channels == 1 else 16
    tall, wide = -(-height // block) * block, -(-width // block) * block
    across = max(1, min(count, 4096 // wide))
    down = -(-count // across)
    tiles = np.pad(x, ((0, 0), (0, tall - height), (0, wide - width), (0, 0)), mode="edge")
    tiles = np.concatenate([tiles, np.zeros((across * down - count, tall, wide, channels), tiles.dtype)])
    sheet = (
        tiles.reshape(down, across, tall, wide, channels).swapaxes(1, 2).reshape(down * tall, across * wide, channels)
    )
    stored = io.BytesIO()
    bytes_ = to_pixels(sheet)
    Image.fromarray(bytes_[..., 0] if channels == 1 else bytes_).save(stored, "JPEG", quality=quality, optimize=True)
    cost = 8 * len(stored.getvalue()) / count
    with Image.open(stored) as image:
        again = to_unit(np.asarray(image)).reshape(down, tall, across, wide, channels)
    again = again.swapaxes(1, 2).reshape(-1, tall, wide, channels)
    return cost, again[:count, :height, :width]
