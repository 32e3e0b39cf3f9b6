"""The three films of a run: what its codes became while it learned, where its images went, and a walk among them."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.scipy.stats import norm

from jaxvae import latent
from jaxvae.rundir.snapshots import read_codes, read_frames
from jaxvae.terms import example_keys
from jaxvae.viz.figures.images import conditions, pictures
from jaxvae.viz.figures.latent_plane import view_of
from jaxvae.viz.figures.subject import Subject

RADIUS = 1.2  # of the walk round a plane: about the middle of a standard normal's radius there, sqrt(2 log 2)
_STOPS = 6  # images that a walk passes
SIDE = 20  # pictures along each side of the plane that the walk is shown on
_BACKGROUND = 1500  # images that a walk is shown among
_RATE = 12  # points of a walk, a second
Arrays = dict[str, np.ndarray]


def draw_training(path: Path, workdir: Path, *, seconds: float = 6.0, still: Path | None = None) -> Arrays:
    """The samples that were kept of the same z while the run learned; {} where none or one moment was kept."""
    from jaxvae.viz import plots

    frames = read_frames(workdir)
    if len(frames) < 2:
        return {}
    steps, means = np.array(list(frames)), np.stack(list(frames.values()))
    plots.training_film(path, steps, means, seconds=seconds, still=still)
    return {"steps": steps, "means": means}


def draw_unfolding(
    path: Path, workdir: Path, *, circles: bool, seconds: float = 6.0, still: Path | None = None
) -> Arrays:
    """The posterior means that were kept of the same images; {} where those of none or of one moment were.

    Above two dimensions on the principal plane of the last moment's, so that all moments share one view.
    """
    from jaxvae.viz import plots

    codes, labels = read_codes(workdir)
    if len(codes) < 2:
        return {}
    steps, means = np.array(list(codes)), np.stack(list(codes.values()))
    middle, basis, names = view_of(means[-1])
    points = (means - middle) @ basis
    plots.plane_film(path, steps, points, labels, axes=names, circles=circles, seconds=seconds, still=still)
    return {"steps": steps, "points": points, "codes": means} | ({} if labels is None else {"labels": labels})


def draw_walk(path: Path, subject: Subject, *, seconds: float = 6.0, still: Path | None = None) -> Arrays:
    """A closed walk: round the plane of a standard normal prior of two dimensions, else from image to image."""
    from jaxvae.viz import plots

    count = max(2 * _STOPS, round(seconds * _RATE))
    if subject.run.latent_shape == (2,) and subject.run.config.model.prior == "standard" and draws(subject):
        walk = _round_the_plane(subject, count)
    else:
        walk = _from_image_to_image(subject, count)
    plots.walk_film(path, seconds=seconds, still=still, **{name: a for name, a in walk.items() if name != "z"})
    return {name: np.asarray(array) for name, array in walk.items() if array is not None}


def _round_the_plane(subject: Subject, count: int) -> dict:
    """A circle about the middle of the plane, and the plane decoded; a conditional model is given one condition."""
    z = np.asarray(latent.circle(RADIUS, count))
    first = conditions(subject.run.parts, subject.data, 1)
    grid = latent.quantile_grid(SIDE)
    seen = decoded(subject, np.concatenate([z, grid.reshape(-1, 2)]), first)
    told = [f"z = ({a:.1f}, {b:.1f})".replace("-", "−") for a, b in z.round(1) + 0.0]  # no minus before 0
    manifold = seen[count:].reshape(SIDE, SIDE, *seen.shape[1:])
    axes = ("z1, quantile of the prior", "z2, quantile of the prior")
    track = np.asarray(norm.cdf(z))
    return {"z": z, "track": track, "images": seen[:count], "told": told, "manifold": manifold, "axes": axes}


def _from_image_to_image(subject: Subject, count: int) -> dict:
    """A tour of the codes of STOPS images, seen on the principal plane of all; of a conditional model, of one class."""
    positions, means, classes = _stops_of(subject), subject.means, subject.classes
    way = latent.great_circle if draws(subject) and means.shape[1] > 2 else latent.line
    each = max(2, count // len(positions))
    z = np.asarray(latent.closed_path(jnp.asarray(means[positions]), each, way))
    middle, basis, axes = view_of(means)
    shown = np.unique(np.linspace(0, len(means) - 1, _BACKGROUND).astype(int))
    shown = shown[np.isfinite(means[shown]).all(1)]
    names = [f"image {p}" + ("" if classes is None else f" ({classes[p]})") for p in positions]
    told = [f"{a} → {b}" for a, b in zip(names, [*names[1:], names[0]], strict=True) for _ in range(each)]
    return {
        "z": z,
        "track": (z - middle) @ basis,
        "images": decoded(subject, z, subject.examples(positions[:1]).condition),
        "told": told,
        "stops": each * np.arange(len(positions)),
        "points": (means[shown] - middle) @ basis,
        "labels": None if classes is None else classes[shown],
        "axes": axes,
    }


def _stops_of(subject: Subject) -> np.ndarray:
    """Positions of STOPS images: the first of so many classes; of a conditional model's, the first of one class."""
    classes, count = subject.classes, len(subject.split)
    if classes is None:
        return np.unique(np.linspace(0, count - 1, min(_STOPS, count)).astype(int))
    if subject.run.conditional:
        return np.flatnonzero(classes == classes[0])[:_STOPS]
    firsts = np.sort(np.unique(classes, return_index=True)[1])[:_STOPS]
    others = np.setdiff1d(np.arange(min(count, _STOPS)), firsts)  # where there are few classes
    return np.concatenate([firsts, others])[: min(_STOPS, count)]


def decoded(subject: Subject, z: np.ndarray, condition: np.ndarray | None) -> np.ndarray:
    """Means of p(x|z) for z [F, Z], as pictures [F, H, W, C]; `condition` [1] or [1, C] for all."""
    given = None if condition is None else np.repeat(condition, len(z), axis=0)
    return pictures(subject.run.decode(z, given).mean())


def draws(subject: Subject) -> bool:
    """Whether the model draws z from a density, and holds it near its prior; nothing is computed for it."""
    run, x = subject.run, jnp.zeros((1, *subject.run.shape))
    size = run.parts.condition_size
    condition = None if size is None else jnp.zeros((1, size))
    keys = example_keys(random.key(0), jnp.arange(1))
    return jax.eval_shape(lambda: run.model.apply(run.variables, keys, x, condition)).bound
