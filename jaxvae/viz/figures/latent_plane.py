"""Posterior means on a plane, with some posteriors' ellipses, and on a map by t-SNE."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae.data.spec import to_pixels, to_unit
from jaxvae.viz.figures.images import mean_of_squares, pictures
from jaxvae.viz.figures.subject import BATCH, Subject
from jaxvae.viz.plots.scatter import Ellipses, latent_plane
from jaxvae.viz.plots.style import replacing

__all__ = ["MapData", "PlaneData", "compute_dots", "compute_map", "compute_plane", "count_ellipses", "embed"]
__all__ += ["plane_axes", "plot_plane"]

MOST_ELLIPSES, LEAST_ELLIPSES = 60, 15  # posteriors that a plane shows,
_COVERED = 0.8  # and how much of it they may cover together, each alone
_MAPPED, _LEAST_MAPPED = 1000, 50  # images on a map, at most and at least
_PERPLEXITY = 30  # neighbours that t-SNE keeps near each image
_DOTS = 1500  # of the interactive plane, at most
_SIDE = 64  # pixels of an image there, at most
_PIXELS = 2**21  # bytes of all images together, and as many of all reconstructions


class PlaneData(NamedTuple):
    """Posterior means of N images on a plane."""

    points: np.ndarray  # [N, 2]
    labels: np.ndarray | None  # [N]
    axes: tuple[str, str]  # their names
    ellipses: Ellipses | None
    circles: bool  # whether those of a standard normal prior belong on the plane
    dots: dict[str, np.ndarray]  # of `compute_dots`


def compute_plane(subject: Subject, means: np.ndarray, *, circles: bool) -> PlaneData:
    """Projects the posterior means [N, Z] of the split on a plane, with 1-sigma ellipses of some Gaussian q(z|x)."""
    middle, basis, axes = plane_axes(means)
    points, ellipses = (means - middle) @ basis, _ellipses_of(subject, middle, basis)
    dots = compute_dots(subject, means, circles=circles)
    return PlaneData(points, subject.classes, axes, ellipses, circles, dots)


def plot_plane(path: Path, data: PlaneData) -> None:
    """Draws the points, coloured by label, and the ellipses; saves the dots as .npz beside the picture."""
    latent_plane(path, data.points, data.labels, axes=data.axes, circles=data.circles, ellipses=data.ellipses)
    with replacing(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **data.dots)


def plane_axes(means: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """Returns (middle [Z], basis [Z, 2], names of the axes): means [N, Z] are shown at (z - middle) @ basis."""
    size = means.shape[1]
    if size <= 2:
        return np.zeros(size), np.eye(size, 2), ("z1", "z2" if size == 2 else "(the latent has one dimension)")
    middle, basis, shares = latent.principal_axes(means)
    first, second = (
        f"{order} principal component ({share:.0%} of the variance)"
        for order, share in zip(("first", "second"), shares, strict=True)
    )
    return middle, basis, (first, second)


def _ellipses_of(subject: Subject, middle: np.ndarray, basis: np.ndarray) -> Ellipses | None:
    """Returns ellipses of some images; None unless q is Gaussian of more than one dimension (a line hides the dots)."""
    positions = np.unique(np.linspace(0, len(subject.split) - 1, MOST_ELLIPSES).astype(int))
    shown = subject.examples(positions)
    q: Any = subject.run.encode(shown.x, shown.condition)
    found = latent.covariance_ellipses(q, basis) if len(basis) > 1 else None
    if found is None:
        return None
    half_axes, angles = found
    centres = (np.asarray(q.mean()) - middle) @ basis
    chosen = np.unique(np.linspace(0, len(positions) - 1, count_ellipses(centres, half_axes)).astype(int))
    labels = None if subject.classes is None else shown.label[chosen]
    return Ellipses(centres[chosen], half_axes[chosen], angles[chosen], labels)


def count_ellipses(centres: np.ndarray, half_axes: np.ndarray) -> int:
    """Returns how many of the ellipses can be told apart: fewer if they are wide."""
    finite = np.isfinite(centres).all(1) & np.isfinite(half_axes).all(1)
    if not finite.any():
        return LEAST_ELLIPSES
    plane = np.prod(np.ptp(centres[finite], axis=0))
    each = np.pi * np.prod(half_axes[finite], axis=1).mean()
    return int(np.clip(_COVERED * plane / max(each, 1e-12), LEAST_ELLIPSES, MOST_ELLIPSES))


def compute_dots(subject: Subject, means: np.ndarray, *, circles: bool) -> dict[str, np.ndarray]:
    """Returns at most 1,500 images of the split, evenly spread, with their places on the plane, for the report.

    For P dots: xy [P, 2], axes [2] (their names), circles (whether the prior's are drawn), position [P] in the split,
    total (images in the split), image and reconstruction [P, H, W, 1 or 3] (the reconstruction is of the
    posterior mean, of `means` [N, Z]), and if images have classes label [P] and names.
    """
    split = subject.split
    first = _small(pictures(to_unit(jnp.asarray(split.take(np.arange(1))[0]))))
    count = max(1, min(len(split), _DOTS, _PIXELS // first.size))
    position = np.linspace(0, len(split) - 1, count).round().astype(np.int32)
    middle, basis, axes = plane_axes(means)
    images, again = [], []
    for start in range(0, count, BATCH):
        part = position[start : start + BATCH]
        image, label, _ = split.take(part)
        z = np.asarray(means[part], np.float32).reshape(len(part), *subject.run.latent_shape)
        px = subject.run.decode(z, label if subject.run.conditional else None)
        images.append(_small(pictures(to_unit(jnp.asarray(image)))))
        again.append(_small(pictures(px.mean())))
    arrays = {
        "xy": ((means[position] - middle) @ basis).astype(np.float32),
        "axes": np.array(axes),
        "circles": np.array(circles),
        "position": position,
        "total": np.array(len(split)),
        "image": np.concatenate(images),
        "reconstruction": np.concatenate(again),
    }
    if subject.classes is not None:
        names = np.array([str(name) for name in subject.data.class_names], dtype=str)
        arrays |= {"label": subject.classes[position], "names": names}
    return arrays


def _small(images: np.ndarray) -> np.ndarray:
    """Returns images [N, H, W, C] in [0, 1] as pixels, each side at most 64: means of squares of pixels."""
    return to_pixels(mean_of_squares(np.nan_to_num(images), -(-max(images.shape[1:3]) // _SIDE)))


class MapData(NamedTuple):
    """Points [N, 2] of the images at `positions` [N] on a map, and their labels [N] or None."""

    points: np.ndarray
    positions: np.ndarray
    labels: np.ndarray | None


def compute_map(subject: Subject, means: np.ndarray) -> MapData | None:
    """Embeds at most 1,000 posterior means [N, Z] by t-SNE; None for fewer than 50 finite ones."""
    positions = np.unique(np.linspace(0, len(means) - 1, _MAPPED).astype(int))
    positions = positions[np.isfinite(means[positions]).all(1)]
    if len(positions) < _LEAST_MAPPED:
        return None
    return MapData(embed(means[positions]), positions, None if subject.classes is None else subject.classes[positions])


def embed(means: np.ndarray) -> np.ndarray:
    """Returns a map [N, 2] of means [N, Z] that keeps neighbours (t-SNE: van der Maaten & Hinton 2008, JMLR 9).

    It runs on one thread: several sum in another order and give another map of the same means each time.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(means) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, init="pca", random_state=0, max_iter=500, perplexity=perplexity)
        return np.asarray(tsne.fit_transform(means.astype(np.float32)))
