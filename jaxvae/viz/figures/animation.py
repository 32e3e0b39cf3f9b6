"""What the films of a run show: samples and codes during training, and a closed path through the latent space."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.scipy.stats import norm

from jaxvae import latent
from jaxvae.rundir.snapshots import read_codes, read_frames
from jaxvae.terms import example_keys
from jaxvae.viz.figures.images import conditions, pictures
from jaxvae.viz.figures.latent_plane import plane_axes
from jaxvae.viz.figures.subject import Subject

__all__ = ["PathData", "TrainingData", "UnfoldingData", "compute_path", "compute_training", "compute_unfolding"]
__all__ += ["has_bound"]

RADIUS = 1.2  # of the circle on a plane: near the median radius of a standard normal, sqrt(2 log 2)
_STOPS = 6  # images that a path passes
_SIDE = 20  # pictures along each side of the plane that the circle is shown on
_BACKGROUND = 1500  # images that a path is shown among
_RATE = 12  # points of a path, a second


class TrainingData(NamedTuple):
    """Samples `means` [T, N, H, W, C] of the same N latent codes at training steps [T]."""

    steps: np.ndarray
    means: np.ndarray


def compute_training(workdir: Path, least: int = 1) -> TrainingData | None:
    """Reads the samples kept during training; None for fewer than `least` snapshots."""
    frames = read_frames(workdir)
    return TrainingData(np.array(list(frames)), np.stack(list(frames.values()))) if len(frames) >= least else None


class UnfoldingData(NamedTuple):
    """Posterior means `codes` [T, N, Z] of the same N images at training steps [T], and their `points` [T, N, 2] on one
    plane; the images' `labels` [N], or None, the names of the plane's axes, and whether the prior's circles are drawn.
    """

    steps: np.ndarray
    points: np.ndarray
    codes: np.ndarray
    labels: np.ndarray | None
    axes: tuple[str, str]
    circles: bool


def compute_unfolding(workdir: Path, *, circles: bool) -> UnfoldingData | None:
    """Reads the posterior means kept during training; None for fewer than two snapshots.

    Above two dimensions they are projected on the principal plane of the last snapshot.
    """
    codes, labels = read_codes(workdir)
    if len(codes) < 2:
        return None
    means = np.stack(list(codes.values()))
    middle, basis, axes = plane_axes(means[-1])
    return UnfoldingData(np.array(list(codes)), (means - middle) @ basis, means, labels, axes, circles)


class PathData(NamedTuple):
    """Codes z [F, Z] along a closed path, decoded to pictures `images` [F, H, W, C], with a text for each, `told` [F].

    The `track` [F, 2] is the path on a map: a decoded plane `manifold` [R, R, H, W, C] in quantiles of the prior, or
    `points` [N, 2] of images with `labels` [N]. At `stops` [K] the path passes an image's code.
    """

    z: np.ndarray
    track: np.ndarray
    images: np.ndarray
    told: np.ndarray
    axes: np.ndarray
    manifold: np.ndarray | None = None
    stops: np.ndarray | None = None
    points: np.ndarray | None = None
    labels: np.ndarray | None = None


def compute_path(subject: Subject, *, seconds: float = 6.0) -> PathData:
    """Decodes a circle on the plane of a standard normal prior of two dimensions, else a path from image to image."""
    count = max(2 * _STOPS, round(seconds * _RATE))
    if subject.run.latent_shape == (2,) and subject.run.config.model.prior == "standard" and has_bound(subject):
        return _circle(subject, count)
    return _image_to_image(subject, count)


def _circle(subject: Subject, count: int) -> PathData:
    """Decodes a circle about the middle of the plane, and the plane; a conditional model is given one condition."""
    z = np.asarray(latent.circle(RADIUS, count))
    condition = conditions(subject.run.parts, subject.data, 1)
    grid = latent.quantile_grid(_SIDE)
    seen = _decode(subject, np.concatenate([z, grid.reshape(-1, 2)]), condition)
    told = [f"z = ({a:.1f}, {b:.1f})".replace("-", "−") for a, b in z.round(1) + 0.0]  # no minus before 0
    manifold = seen[count:].reshape(_SIDE, _SIDE, *seen.shape[1:])
    axes = np.array(["z1, quantile of the prior", "z2, quantile of the prior"])
    return PathData(z, np.asarray(norm.cdf(z)), seen[:count], np.array(told), axes, manifold=manifold)


def _image_to_image(subject: Subject, count: int) -> PathData:
    """Decodes a path through the codes of some images, shown on the principal plane of all codes."""
    positions, means, classes = _choose_stops(subject), subject.means, subject.classes
    path = latent.great_circle if has_bound(subject) and means.shape[1] > 2 else latent.line
    each = max(2, count // len(positions))
    z = np.asarray(latent.closed_path(jnp.asarray(means[positions]), each, path))
    middle, basis, axes = plane_axes(means)
    shown = np.unique(np.linspace(0, len(means) - 1, _BACKGROUND).astype(int))
    shown = shown[np.isfinite(means[shown]).all(1)]
    names = [f"image {p}" + ("" if classes is None else f" ({classes[p]})") for p in positions]
    told = [f"{a} → {b}" for a, b in zip(names, [*names[1:], names[0]], strict=True) for _ in range(each)]
    return PathData(
        z=z,
        track=(z - middle) @ basis,
        images=_decode(subject, z, subject.examples(positions[:1]).condition),
        told=np.array(told),
        axes=np.array(axes),
        stops=each * np.arange(len(positions)),
        points=(means[shown] - middle) @ basis,
        labels=None if classes is None else classes[shown],
    )


def _choose_stops(subject: Subject) -> np.ndarray:
    """Returns positions of 6 images: the first of each of 6 classes, or, for a conditional model, of one class."""
    classes, count = subject.classes, len(subject.split)
    if classes is None:
        return np.unique(np.linspace(0, count - 1, min(_STOPS, count)).astype(int))
    if subject.run.conditional:
        return np.flatnonzero(classes == classes[0])[:_STOPS]
    firsts = np.sort(np.unique(classes, return_index=True)[1])[:_STOPS]
    others = np.setdiff1d(np.arange(min(count, _STOPS)), firsts)  # for few classes
    return np.concatenate([firsts, others])[: min(_STOPS, count)]


def _decode(subject: Subject, z: np.ndarray, condition: np.ndarray | None) -> np.ndarray:
    """Returns means of p(x|z) for z [F, Z], as pictures [F, H, W, C]; `condition` [1] or [1, C] is that of all."""
    given = None if condition is None else np.repeat(condition, len(z), axis=0)
    return pictures(subject.run.decode(z, given).mean())


def has_bound(subject: Subject) -> bool:
    """Returns whether the model draws z from a density, and so gives a bound; only shapes are computed."""
    run, x = subject.run, jnp.zeros((1, *subject.run.shape))
    size = run.parts.condition_size
    condition = None if size is None else jnp.zeros((1, size))
    keys = example_keys(random.key(0), jnp.arange(1))
    return jax.eval_shape(lambda: run.model.apply(run.variables, keys, x, condition)).bound
