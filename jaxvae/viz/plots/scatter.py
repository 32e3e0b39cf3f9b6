"""The latent space as a plane of dots, one an image. Axis letters: N images, M of them with ellipses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from jaxvae._checks import UsageError
from jaxvae.viz.plots.style import BLUE, GREY, INK, PALE, new_figure, write_haloed, write_title

__all__ = ["CLASSES", "Ellipses", "class_colours", "class_indices", "latent_map", "latent_plane", "list_classes"]
__all__ += ["name_classes", "prior_circles", "reach_of"]

# Petroff's ten colours (arXiv:2107.02270), chosen so that every pair stays apart under each kind of colour blindness.
CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"]
CLASSES += ["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]


class Ellipses(NamedTuple):
    """The ellipses of M posteriors, in the plane's units."""

    centres: np.ndarray  # [M,2]
    half_axes: np.ndarray  # [M,2], the longer first
    angles: np.ndarray  # [M], of the longer, in radians
    labels: np.ndarray | None  # [M]


def class_indices(labels: ArrayLike | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes and each point's index among them; without labels no class, and 0 for `count` points."""
    return (np.array([]), np.zeros(count, int)) if labels is None else np.unique(labels, return_inverse=True)


def class_colours(count: int) -> np.ndarray:
    """Returns a colour for each of `count` classes: up to ten distinct ones, else a scale; without classes, one."""
    scale = matplotlib.colormaps["turbo"](np.linspace(0.04, 0.96, count))
    some = CLASSES[:count] if count <= len(CLASSES) else [to_hex(colour) for colour in scale]
    return np.array(some or [BLUE])


def _scatter_classes(axes: Axes, points: np.ndarray, labels: np.ndarray | None) -> dict[Any, Any]:
    """Draws finite points [N,2] in the colours of their classes and name these; returns {class: its colour}."""
    classes, indices = class_indices(labels, len(points))
    colours = class_colours(len(classes))
    # A shuffled order, the same at every drawing: otherwise the last class would cover the others.
    order = np.random.default_rng(0).permutation(len(points))
    size = np.clip(20000 / max(len(points), 1), 4, 30)
    axes.scatter(
        points[order, 0], points[order, 1], s=size, c=colours[indices[order]], alpha=0.7, lw=0, rasterized=True
    )
    name_classes(axes, points, labels, classes, weight="bold", fontsize=12)
    if len(classes):
        list_classes(axes, classes, colours)
    return dict(zip(classes.tolist(), colours, strict=False))


def name_classes(axes: Axes, points: np.ndarray, labels: np.ndarray | None, classes: np.ndarray, **style: Any) -> None:
    """Writes each class's name at the median of its points [N,2], unless another's is there, or there are over 20."""
    apart = 0.04 * np.ptp(points, axis=0).max() if len(points) else 0.0
    written = np.empty((0, 2))
    for label in classes if len(classes) <= 20 else ():
        place = np.median(points[labels == label], axis=0)
        if (np.linalg.norm(written - place, axis=1) >= apart).all():
            write_haloed(axes, place[0], place[1], str(label), ha="center", va="center", **style)
            written = np.vstack([written, place])


def list_classes(axes: Axes, classes: np.ndarray, colours: np.ndarray) -> None:
    """Lists the classes in a legend at the right."""
    handles = [Line2D([], [], marker="o", ls="", color=colour, ms=7) for colour in colours]
    columns = -(-len(classes) // 20)
    names = [str(label) for label in classes]
    axes.legend(handles, names, title="label", loc="upper left", bbox_to_anchor=(1, 1), ncols=columns)


@contextmanager
def _class_plane(path: Path, points: np.ndarray, labels: np.ndarray | None) -> Iterator[tuple[Axes, dict[Any, Any]]]:
    """Yields a square plane of the points [N,2], beside a legend of their classes, and the classes' colours."""
    with new_figure(path, 6.7 + 0.9 * -(-len(class_indices(labels, 0)[0]) // 20), 6.8) as figure:
        plane = figure.add_subplot(aspect="equal")
        yield plane, _scatter_classes(plane, points, labels)


def latent_plane(
    path: Path,
    means: ArrayLike,
    labels: ArrayLike | None,
    *,
    axes: tuple[str, str] = ("z1", "z2"),
    circles: bool = True,
    ellipses: Ellipses | None = None,
) -> None:
    """Draws the posterior means [N,2], coloured by labels [N] (ints, or None), over the prior's circles of radius 1, 2.

    `axes` are the two axes' names; `ellipses` are those of some posteriors. Without circles the dots set the scale.
    Means that are not finite are left out.
    """
    points, classes = _finite_points("means", means, labels)
    parts = ["dots: means of q(z|x)" if circles or ellipses else "one dot an image"]
    parts += ["ellipses: some at one deviation"] if ellipses else []
    parts += ["dashed: the prior"] if circles else []
    with _class_plane(path, points, classes) as (plane, colours):
        if circles:
            prior_circles(plane)
        if ellipses:
            _draw_ellipses(plane, ellipses, colours)
        reach = reach_of(points if not ellipses else np.concatenate([points, *_corners(ellipses)]), circles)
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=axes[0], ylabel=axes[1])
        write_title(plane, "The latent space", "; ".join(parts))


def reach_of(points: np.ndarray, circles: bool) -> float:
    """Returns how far the axes go from 0: to the last point, and with the prior's circles at least to these."""
    return 1.05 * max(2.2 if circles else 0.01, np.abs(points).max(initial=0.0))


def _finite_points(name: str, points: ArrayLike, labels: ArrayLike | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the finite ones of `points` [N,2], and their labels, refusing other shapes."""
    points, labels = np.asarray(points, float), None if labels is None else np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or (labels is not None and len(labels) != len(points)):
        raise UsageError(
            f"{name} have shape {points.shape} and there are {None if labels is None else len(labels)} labels; "
            "expected [N,2] and N, or None: choose two dimensions, or project on two."
        )
    finite = np.isfinite(points).all(axis=1)
    return points[finite], None if labels is None else labels[finite]


def prior_circles(axes: Axes) -> None:
    """Draws the circles that hold 39% and 86% of a standard normal prior's plane."""
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, fill=False, ls="--", lw=1, color=PALE, zorder=0.9))
        write_haloed(axes, 0, -radius, f"radius {radius}", color=GREY, fontsize=8, ha="center", va="top")


def _corners(ellipses: Ellipses) -> tuple[np.ndarray, np.ndarray]:
    """Returns two corners [M,2] of the finite ones among the squares that hold the ellipses."""
    centres, longer = np.asarray(ellipses.centres), np.asarray(ellipses.half_axes)[:, :1]
    kept = np.isfinite(np.column_stack([centres, longer])).all(1)
    return centres[kept] - longer[kept], centres[kept] + longer[kept]


def _draw_ellipses(axes: Axes, ellipses: Ellipses, colours: dict[Any, Any]) -> None:
    """Draws the finite ellipses in the colours of their classes, dark-edged, with a dot at each mean."""
    kept = np.isfinite(np.column_stack(ellipses[:3])).all(1)
    centres, half_axes, angles = (np.asarray(each)[kept] for each in ellipses[:3])
    labels = np.zeros(len(centres)) if ellipses.labels is None else np.asarray(ellipses.labels)[kept]
    shown = [colours.get(label, BLUE) for label in labels.tolist()]
    widths, heights = 2 * half_axes.T
    style: Any = {"units": "xy", "offsets": centres, "offset_transform": axes.transData}
    for fill, line, alpha in ((shown, "none", 0.35), ("none", INK, 0.8)):
        look: Any = {"facecolors": fill, "edgecolors": line, "lw": 0.9, "alpha": alpha}
        axes.add_collection(EllipseCollection(widths, heights, np.degrees(angles), **look, **style))
    axes.scatter(centres[:, 0], centres[:, 1], s=4, c=INK, lw=0, zorder=2)


def latent_map(path: Path, points: ArrayLike, labels: ArrayLike | None) -> None:
    """Draws a t-SNE map [N,2] of posterior means, coloured by labels [N], or None."""
    points, labels = _finite_points("points", points, labels)
    with _class_plane(path, points, labels) as (plane, _):
        reach = 1.05 * max(np.abs(points).max(initial=0.0), 1e-3)
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        plane.set(xlabel="no axis has a unit: only who is near whom counts")
        write_title(plane, "A map of the latent space (t-SNE)", "one dot an image; neighbours in z are neighbours here")
