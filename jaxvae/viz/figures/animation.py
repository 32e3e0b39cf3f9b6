"""The films of a run: samples of fixed z during training, the latent plane during training, a closed path through it.

A film of training begins with its last frame, so that a reader that shows one frame alone shows the result. Axis
letters: T snapshots, N images or codes, K stops, F frames, H height, W width, C channels.
"""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.scipy.stats import norm
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Annotation

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.rundir.snapshots import read_codes, read_frames
from jaxvae.terms import example_keys
from jaxvae.viz.figures.images import conditions
from jaxvae.viz.figures.latent_plane import plane_axes
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.image_grid import GAP, as_rgb, checked_images, enlarged, mosaic, require_one_each
from jaxvae.viz.plots.scatter import class_colours, class_indices, list_classes, name_classes, prior_circles, reach_of
from jaxvae.viz.plots.style import GREY, INK, VERMILION, write_title
from jaxvae.viz.plots.video import FILM_DPI, RATE, new_film

__all__ = ["PathData", "TrainingData", "UnfoldingData", "compute_path", "compute_training", "compute_unfolding"]
__all__ += ["has_bound", "plot_path_film", "plot_training_film", "plot_unfolding_film"]

RADIUS = 1.2  # of the circle on a plane: near the median radius of a standard normal, sqrt(2 log 2)
_STOPS = 6  # images that a path passes
_SIDE = 20  # pictures along each side of the plane that the circle is shown on
_BACKGROUND = 1500  # images that a path is shown among
_RATE = 12  # points of a path, a second
_PICTURE = 400  # pixels that a film's picture takes, if a whole enlargement allows
_MARGIN, _TOP, _BOTTOM = 20, 62, 40  # pixels around it
_LEFT = 60  # pixels for the labels of a map's vertical axis
_LEAST_WIDTH = 360  # pixels that a title takes
_SNAPSHOTS = 14  # that the film of the plane passes through, at most: more could not be followed
_REST = 0.25  # share of a training film's time in which its end is shown


class TrainingData(NamedTuple):
    """Samples `means` [T, N, H, W, C] of the same N latent codes at training steps [T]."""

    steps: np.ndarray
    means: np.ndarray


def compute_training(workdir: Path, least: int = 1) -> TrainingData | None:
    """Reads the samples kept during training; None for fewer than `least` snapshots."""
    frames = read_frames(workdir)
    return TrainingData(np.array(list(frames)), np.stack(list(frames.values()))) if len(frames) >= least else None


class UnfoldingData(NamedTuple):
    """Posterior means `codes` [T, N, Z] of N images at training steps [T], their `points` [T, N, 2], labels [N]."""

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
    """Codes z [F, Z] along a closed path, decoded to `images` [F, H, W, C], each with its text `told` [F].

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
        z, grid = np.asarray(latent.circle(RADIUS, count)), latent.quantile_grid(_SIDE)
        condition = conditions(subject.run.parts, subject.data, 1)
        seen = subject.decode(np.concatenate([z, grid.reshape(-1, 2)]), condition)
        told = [f"z = ({a:.1f}, {b:.1f})".replace("-", "−") for a, b in z.round(1) + 0.0]  # no minus before 0
        manifold = seen[count:].reshape(_SIDE, _SIDE, *seen.shape[1:])
        names = np.array([f"{each}, quantile of the prior" for each in ("z1", "z2")])
        return PathData(z, np.asarray(norm.cdf(z)), seen[:count], np.array(told), names, manifold=manifold)
    return _image_to_image(subject, count)


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
    images = subject.decode(z, subject.examples(positions[:1]).condition)
    track, points = ((codes - middle) @ basis for codes in (z, means[shown]))
    stops, labels = each * np.arange(len(positions)), None if classes is None else classes[shown]
    return PathData(z, track, images, np.array(told), np.array(axes), None, stops, points, labels)


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


def has_bound(subject: Subject) -> bool:
    """Returns whether the model draws z from a density, and so gives a bound; only shapes are computed."""
    run, x = subject.run, jnp.zeros((1, *subject.run.shape))
    size = run.parts.condition_size
    condition = None if size is None else jnp.zeros((1, size))
    keys = example_keys(random.key(0), jnp.arange(1))
    return jax.eval_shape(lambda: run.model.apply(run.variables, keys, x, condition)).bound


def plot_training_film(path: Path, data: TrainingData, *, seconds: float = 6.0, still: Path | None = None) -> None:
    """Films the samples of the same codes at each snapshot, each shown for the same time, the last one longer.

    `still`, here and below, is a .png to write the first frame to.
    """
    frames = checked_images("means", data.means, "TNHWC")
    require_one_each("steps", data.steps, "means", frames)
    factor = max(1, _PICTURE // max(mosaic(frames[0], pad=0).shape[:2]))
    shown = [as_rgb(mosaic(enlarged(each, factor), pad=GAP)) for each in frames]
    order = [len(shown) - 1, *range(len(shown))]
    height, width = shown[0].shape[:2]
    size = 2 * _MARGIN + max(width, _LEAST_WIDTH), _TOP + height + _BOTTOM
    greys = frames.shape[-1] == 1
    with new_film(path, size[0] / FILM_DPI, size[1] / FILM_DPI, greys=greys, still=still) as (figure, shoot):
        screen, caption = _add_screen(figure, _MARGIN, _BOTTOM, shown[0], "bold")
        write_title(screen.axes, "Samples as training goes on", "each tile is one fixed z, decoded")
        for index, shown_for in zip(order, _durations(len(order), seconds), strict=True):
            screen.set_data(shown[index])
            caption.set_text(f"step {int(data.steps[index]):,}")
            shoot([screen, caption], shown_for)


def plot_unfolding_film(path: Path, data: UnfoldingData, *, seconds: float = 6.0, still: Path | None = None) -> None:
    """Films the points of the same images, coloured by label, as they move from snapshot to snapshot.

    Points move straight between two snapshots, slowly at both ends; at most 14 snapshots are shown.
    """
    points, labels = np.asarray(data.points, float), data.labels
    if points.ndim != 3 or points.shape[2] != 2 or (labels is not None and len(labels) != points.shape[1]):
        raise UsageError(
            f"points have shape {points.shape} and there are {None if labels is None else len(labels)} labels; "
            "expected [T,N,2] and N, or None."
        )
    require_one_each("steps", data.steps, "points", points)
    classes, indices = class_indices(labels, points.shape[1])
    colours = class_colours(len(classes))
    chosen = np.unique(np.linspace(0, len(points) - 1, min(_SNAPSHOTS, len(points))).round().astype(int))
    track, steps = _interpolate(points[chosen], np.asarray(data.steps)[chosen], round(seconds * (1 - _REST) * RATE))
    with new_film(path, 4.9 + 0.75 * -(-len(classes) // 20), 5.2, still=still) as (figure, shoot):
        figure.set_layout_engine("constrained")
        plane = figure.add_subplot(aspect="equal")
        finite = np.where(np.isfinite(points), points, 0.0)
        # early points may be far away
        reach = min(reach_of(finite, data.circles), 1.5 * reach_of(finite[-1], data.circles))
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=data.axes[0], ylabel=data.axes[1])
        if data.circles:
            prior_circles(plane)
        if len(classes):
            list_classes(plane, classes, colours)
        write_title(plane, "The latent space as training goes on", "one dot an image: the mean of its q(z|x)")
        size = np.clip(6000 / points.shape[1], 8, 30)
        dots = plane.scatter(track[0, :, 0], track[0, :, 1], s=size, c=colours[indices], lw=0, animated=True)
        caption = plane.text(0.02, 0.99, "", transform=plane.transAxes, weight="bold", va="top", animated=True)
        shown_for = _durations(len(track) + 1, seconds)
        for place, step, each in zip([track[-1], *track], [steps[-1], *steps], shown_for, strict=True):
            dots.set_offsets(place)
            caption.set_text(f"step {int(step):,}")
            shoot([dots, caption], each)


def plot_path_film(path: Path, data: PathData, *, seconds: float = 6.0, still: Path | None = None) -> None:
    """Films the decoded images of a path, beside the map that its track is drawn on."""
    images, track = checked_images("images", data.images, "FHWC"), data.track
    require_one_each("points of the track", track, "images", images)
    factor = max(1, _PICTURE // max(images.shape[1:3]))
    shown = [as_rgb(enlarged(image, factor)) for image in images]
    height, width = shown[0].shape[:2]
    tall, bottom = max(height, _PICTURE), _BOTTOM + 20
    size = 4 * _MARGIN + _LEFT + _PICTURE + max(width, _LEAST_WIDTH - _LEFT), _TOP + tall + bottom
    greys = images.shape[-1] == 1 and data.manifold is not None
    with new_film(path, size[0] / FILM_DPI, size[1] / FILM_DPI, greys=greys, still=still) as (figure, shoot):
        place = (_LEFT + _MARGIN) / size[0], bottom / size[1], _PICTURE / size[0], _PICTURE / size[1]
        chart = figure.add_axes(place)
        _draw_map(chart, data)
        chart.set(xlabel=data.axes[0], ylabel=data.axes[1])
        chart.plot(*np.concatenate([track, track[:1]]).T, color="white", lw=3)
        chart.plot(*np.concatenate([track, track[:1]]).T, color=INK, lw=1)
        stops = track[[] if data.stops is None else list(data.stops)]
        chart.scatter(stops[:, 0], stops[:, 1], s=22, c=INK, zorder=3)
        write_title(chart, "A walk through the latent space", "left: where z is; right: the mean of p(x|z) there")
        look: dict[str, Any] = {"s": 90, "c": VERMILION, "edgecolors": "white", "lw": 1.5, "zorder": 4}
        dot = chart.scatter(track[:1, 0], track[:1, 1], animated=True, **look)
        left = 3 * _MARGIN + _LEFT + _PICTURE
        screen, caption = _add_screen(figure, left, bottom + tall - height, shown[0], "normal")
        for point, picture, text in zip(track, shown, data.told, strict=True):
            dot.set_offsets(point[None])
            screen.set_data(picture)
            caption.set_text(text)
            shoot([dot, screen, caption], seconds / len(track))


def _add_screen(
    figure: Figure, left: float, bottom: float, picture: np.ndarray, weight: str
) -> tuple[AxesImage, Annotation]:
    """Returns the artist of pictures [H,W,3], pixel for pixel at this place in pixels, and the text below it."""
    width, height = figure.get_size_inches() * FILM_DPI
    axes = figure.add_axes((left / width, bottom / height, picture.shape[1] / width, picture.shape[0] / height))
    axes.set_axis_off()
    screen = axes.imshow(picture, interpolation="nearest", aspect="auto", animated=True)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    return screen, axes.annotate("", (0, 0), (0, -8), weight=weight, color=INK, animated=True, **place)


def _durations(count: int, seconds: float) -> list[float]:
    """Returns how long each of `count` frames is shown: the first and the last, which are the same, for a quarter."""
    between = seconds * (1 - _REST) / max(count - 2, 1)
    return [seconds * _REST / 2, *[between] * (count - 2), seconds * _REST / 2]


def _interpolate(points: np.ndarray, steps: np.ndarray, frames: int) -> tuple[np.ndarray, list[int]]:
    """Returns (points [F,N,2] on straight lines between points [T,N,2], eased, ending with the last; steps [F])."""
    each = max(1, frames // max(len(points) - 1, 1))
    t = np.arange(each) / each
    eased = (t * t * (3 - 2 * t))[:, None, None]
    lines = [(1 - eased) * one + eased * other for one, other in itertools.pairwise(points)]
    return np.concatenate([*lines, points[-1:]]), [*np.repeat(steps[:-1], each), steps[-1]]


def _draw_map(axes: Axes, data: PathData) -> None:
    if data.manifold is not None:
        side, tile = len(data.manifold), data.manifold.shape[2:]
        factor = -(-_PICTURE // (side * max(tile[:2])))
        tiles = enlarged(data.manifold.reshape(-1, *tile), factor)
        picture = as_rgb(mosaic(tiles, side, pad=GAP if max(tile[:2]) < 16 else 0))
        axes.imshow(picture, extent=(0, 1, 0, 1), aspect="auto", alpha=0.85)
        axes.set(xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(False)
    elif data.points is not None:
        classes, indices = class_indices(data.labels, len(data.points))
        x, y = data.points.T
        axes.scatter(x, y, s=7, c=class_colours(len(classes))[indices], alpha=0.45, lw=0)
        name_classes(axes, data.points, data.labels, classes, weight="bold", color=GREY)
        reach = reach_of(data.points, False)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
