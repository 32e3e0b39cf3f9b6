"""The films of a run: samples of fixed z during training, the latent plane during training, a path through it.

A film of training begins with its last frame, so that a reader that shows one frame alone shows the result. Axis
letters: T snapshots, N images or codes, K stops, F frames, H height, W width, C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Annotation

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, as_rgb, bounded, checked_images, enlarged, mosaic
from jaxvae.viz.plots.scatter import class_colours, class_indices, list_classes, name_classes, prior_circles, reach_of
from jaxvae.viz.plots.style import GREY, INK, VERMILION, write_title
from jaxvae.viz.plots.video import FILM_DPI, RATE, stage, write_film

if TYPE_CHECKING:
    from jaxvae.viz.figures.animation import PathData, TrainingData, UnfoldingData

__all__ = ["plot_path_film", "plot_training_film", "plot_unfolding_film"]

_SIDE = 400  # pixels that a film's picture takes, if a whole enlargement allows
_MARGIN, _TOP, _BOTTOM = 20, 62, 40  # pixels around it
_LEFT = 60  # pixels for the labels of a map's vertical axis
_LEAST_WIDTH = 360  # pixels that a title takes
_SNAPSHOTS = 14  # that the film of the plane passes through, at most: more could not be followed
_REST = 0.25  # share of a training film's time in which its end is shown


def plot_training_film(path: Path, data: TrainingData, *, seconds: float = 6.0, still: Path | None = None) -> None:
    """Films the samples of the same codes at each snapshot, each shown for the same time, the last one longer.

    `still`, here and below, is a .png to write the first frame to.
    """
    frames = checked_images("means", data.means, "TNHWC")
    _require_one_each("steps", data.steps, "means", frames)
    factor = _factor(mosaic(frames[0], pad=0).shape)
    pictures = [_to_rgb(mosaic(enlarged(each, factor), pad=GAP)) for each in frames]
    order = [len(pictures) - 1, *range(len(pictures))]
    height, width = pictures[0].shape[:2]
    size = 2 * _MARGIN + max(width, _LEAST_WIDTH), _TOP + height + _BOTTOM
    with stage(size[0] / FILM_DPI, size[1] / FILM_DPI) as (figure, shoot):
        screen = _add_screen(figure, _MARGIN, _BOTTOM, pictures[0])
        write_title(screen.axes, "Samples as training goes on", "each tile is one fixed z, decoded")
        caption = _add_caption(screen.axes)
        shots = []
        for index in order:
            screen.set_data(pictures[index])
            caption.set_text(f"step {int(data.steps[index]):,}")
            shots.append(shoot([screen, caption]))
    write_film(path, shots, _durations(len(shots), seconds), greys=frames.shape[-1] == 1, still=still)


def plot_unfolding_film(path: Path, data: UnfoldingData, *, seconds: float = 6.0, still: Path | None = None) -> None:
    """Films the points of the same images, coloured by label, as they move from snapshot to snapshot.

    The axes are fixed. Points move straight between two snapshots, slowly at both ends; at most 14 snapshots are shown.
    """
    points, labels = np.asarray(data.points, float), data.labels
    if points.ndim != 3 or points.shape[2] != 2 or (labels is not None and len(labels) != points.shape[1]):
        raise UsageError(
            f"points have shape {points.shape} and there are {None if labels is None else len(labels)} labels; "
            "expected [T,N,2] and N, or None."
        )
    _require_one_each("steps", data.steps, "points", points)
    classes, indices = class_indices(labels, points.shape[1])
    colours = class_colours(len(classes))
    chosen = np.unique(np.linspace(0, len(points) - 1, min(_SNAPSHOTS, len(points))).round().astype(int))
    track, steps = _interpolate(points[chosen], np.asarray(data.steps)[chosen], round(seconds * (1 - _REST) * RATE))
    with stage(4.9 + 0.75 * -(-len(classes) // 20), 5.2) as (figure, shoot):
        figure.set_layout_engine("constrained")
        plane = figure.add_subplot(aspect="equal")
        finite = np.where(np.isfinite(points), points, 0.0)
        reach = min(
            reach_of(finite, data.circles), 1.5 * reach_of(finite[-1], data.circles)
        )  # early points may be far away
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=data.axes[0], ylabel=data.axes[1])
        if data.circles:
            prior_circles(plane)
        if len(classes):
            list_classes(plane, classes, colours)
        write_title(plane, "The latent space as training goes on", "one dot an image: the mean of its q(z|x)")
        size = np.clip(6000 / points.shape[1], 8, 30)
        dots = plane.scatter(track[0, :, 0], track[0, :, 1], s=size, c=colours[indices], lw=0, animated=True)
        caption = plane.text(0.02, 0.99, "", transform=plane.transAxes, weight="bold", va="top", animated=True)
        shots = []
        for place, step in zip([track[-1], *track], [steps[-1], *steps], strict=True):
            dots.set_offsets(place)
            caption.set_text(f"step {int(step):,}")
            shots.append(shoot([dots, caption]))
    write_film(path, shots, _durations(len(shots), seconds), still=still)


def plot_path_film(path: Path, data: PathData, *, seconds: float = 6.0, still: Path | None = None) -> None:
    """Films the decoded images of a path, beside the map that its track is drawn on."""
    images, track = checked_images("images", data.images, "FHWC"), data.track
    _require_one_each("points of the track", track, "images", images)
    pictures = [_to_rgb(enlarged(image, _factor(image.shape))) for image in images]
    height, width = pictures[0].shape[:2]
    tall, bottom = max(height, _SIDE), _BOTTOM + 20
    size = 4 * _MARGIN + _LEFT + _SIDE + max(width, _LEAST_WIDTH - _LEFT), _TOP + tall + bottom
    with stage(size[0] / FILM_DPI, size[1] / FILM_DPI) as (figure, shoot):
        place = (_LEFT + _MARGIN) / size[0], bottom / size[1], _SIDE / size[0], _SIDE / size[1]
        chart = figure.add_axes(place)
        _draw_map(chart, data)
        chart.set(xlabel=data.axes[0], ylabel=data.axes[1])
        chart.plot(*np.concatenate([track, track[:1]]).T, color="white", lw=3)
        chart.plot(*np.concatenate([track, track[:1]]).T, color=INK, lw=1)
        stops = track[[] if data.stops is None else list(data.stops)]
        chart.scatter(stops[:, 0], stops[:, 1], s=22, c=INK, zorder=3)
        write_title(chart, "A walk through the latent space", "left: where z is; right: the mean of p(x|z) there")
        dot = chart.scatter(
            track[:1, 0], track[:1, 1], s=90, c=VERMILION, edgecolors="white", lw=1.5, zorder=4, animated=True
        )
        screen = _add_screen(figure, 3 * _MARGIN + _LEFT + _SIDE, bottom + tall - height, pictures[0])
        caption = _add_caption(screen.axes, weight="normal")
        shots = []
        for point, picture, text in zip(track, pictures, data.told, strict=True):
            dot.set_offsets(point[None])
            screen.set_data(picture)
            caption.set_text(text)
            shots.append(shoot([dot, screen, caption]))
    greys = images.shape[-1] == 1 and data.manifold is not None
    write_film(path, shots, [seconds / len(shots)] * len(shots), greys=greys, still=still)


def _require_one_each(name: str, some: Sequence[Any] | np.ndarray, other: str, arrays: np.ndarray) -> None:
    """Raises UsageError unless there is one of `some` for each of `arrays`."""
    if len(some) != len(arrays):
        raise UsageError(f"{len(some)} {name} for {len(arrays)} {other}; expected one each.")


def _factor(shape: tuple[int, ...]) -> int:
    """Returns the factor that enlarges a picture [H,W,C] of this shape for a film."""
    return max(1, _SIDE // max(shape[:2]))


def _to_rgb(image: np.ndarray) -> np.ndarray:
    """Returns a picture [H,W,C] with three channels, in [0, 1]."""
    return bounded(as_rgb(image))


def _add_screen(figure: Figure, left: float, bottom: float, picture: np.ndarray) -> AxesImage:
    """Returns the artist that shows such pictures [H,W,3] pixel for pixel, at this place of the figure in pixels."""
    width, height = figure.get_size_inches() * FILM_DPI
    axes = figure.add_axes((left / width, bottom / height, picture.shape[1] / width, picture.shape[0] / height))
    axes.set_axis_off()
    return axes.imshow(picture, interpolation="nearest", aspect="auto", animated=True)


def _add_caption(axes: Axes, weight: str = "bold") -> Annotation:
    """Returns the text below the axes."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    return axes.annotate("", (0, 0), (0, -8), weight=weight, color=INK, animated=True, **place)


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
    """Draws the decoded plane, or the points of the images."""
    if data.manifold is not None:
        side, tile = len(data.manifold), data.manifold.shape[2:]
        factor = -(-_SIDE // (side * max(tile[:2])))
        tiles = enlarged(data.manifold.reshape(-1, *tile), factor)
        picture = _to_rgb(mosaic(tiles, side, pad=GAP if max(tile[:2]) < 16 else 0))
        axes.imshow(picture, extent=(0, 1, 0, 1), aspect="auto", alpha=0.85)
        axes.set(xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(False)
    elif data.points is not None:
        classes, indices = class_indices(data.labels, len(data.points))
        axes.scatter(
            data.points[:, 0], data.points[:, 1], s=7, c=class_colours(len(classes))[indices], alpha=0.45, lw=0
        )
        name_classes(axes, data.points, data.labels, classes, weight="bold", color=GREY)
        reach = reach_of(data.points, False)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
