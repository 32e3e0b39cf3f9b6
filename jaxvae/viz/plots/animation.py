"""Three films: samples of fixed z as training goes on, the plane unfolding, and a walk through the latent space.

A film of training begins with what it ends with, so that its first frame, which is all that some readers see, is what
was learned. Axis letters: T moments, N images or codes, K stops, F frames, H height, W width, C channels.
"""

import itertools

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, bounded, checked_images, enlarged, mosaic
from jaxvae.viz.plots.scatter import class_colours, class_indices, list_classes, name_classes, prior_circles, reach_of
from jaxvae.viz.plots.style import GREY, INK, VERMILION, write_title
from jaxvae.viz.plots.video import DPI, RATE, stage, write_film

SIDE = 400  # pixels that a film's picture takes, if a whole enlargement allows
_MARGIN, _TOP, _BOTTOM = 20, 62, 40  # pixels around it
_LEAST_WIDTH = 360  # pixels that a title takes
_MOMENTS = 14  # that the plane passes through, at most: more could not be followed
_REST = 0.25  # of a film of training's time, in which its end is seen


def training_film(path, steps, frames, *, seconds=6.0, still=None):
    """Film frames [T,N,H,W,C], the same N latent codes decoded at steps [T].

    Each moment is shown as long as the others, the last one longer; none between them is made up. `still`, here and
    below: a .png for the first frame.
    """
    frames = checked_images("frames", frames, "TNHWC")
    _require_as_many("steps", steps, "frames", frames)
    pictures = [mosaic(moment, pad=0) for moment in frames]
    factor = _factor(pictures[0].shape)
    pictures = [_rgb(mosaic(enlarged(moment, factor), pad=GAP)) for moment in frames]
    order = [len(pictures) - 1, *range(len(pictures))]
    height, width = pictures[0].shape[:2]
    size = 2 * _MARGIN + max(width, _LEAST_WIDTH), _TOP + height + _BOTTOM
    with stage(size[0] / DPI, size[1] / DPI) as (figure, shoot):
        screen = _screen(figure, _MARGIN, _BOTTOM, pictures[0])
        write_title(screen.axes, "Samples as training goes on", "each tile is one fixed z, decoded")
        said = _said(screen.axes)
        shots = []
        for index in order:
            screen.set_data(pictures[index])
            said.set_text(f"step {int(steps[index]):,}")
            shots.append(shoot([screen, said]))
    write_film(path, shots, _rested(len(shots), seconds), greys=frames.shape[-1] == 1, still=still)


def plane_film(path, steps, points, labels, *, axes=("z1", "z2"), circles=True, seconds=6.0, still=None):
    """Film points [T,N,2], where the same N images lie at steps [T], coloured by labels [N], or None, moving between.

    The axes stay as they are, and the dots go straight from one moment to the next, slowly at both ends: what lies
    between two moments was not seen. At most MOMENTS are passed. Axes and circles as for latent_plane.
    """
    points = np.asarray(points, float)
    if points.ndim != 3 or points.shape[2] != 2 or (labels is not None and len(labels) != points.shape[1]):
        raise UsageError(
            f"points have shape {points.shape} and there are {None if labels is None else len(labels)} labels; "
            "expected [T,N,2] and N, or None."
        )
    _require_as_many("steps", steps, "points", points)
    classes, indices = class_indices(labels, points.shape[1])
    colours = class_colours(len(classes))
    chosen = np.unique(np.linspace(0, len(points) - 1, min(_MOMENTS, len(points))).round().astype(int))
    track, told = _between(points[chosen], np.asarray(steps)[chosen], round(seconds * (1 - _REST) * RATE))
    with stage(4.9 + 0.75 * -(-len(classes) // 20), 5.2) as (figure, shoot):
        figure.set_layout_engine("constrained")
        plane = figure.add_subplot(aspect="equal")
        reach = _steady_reach(points, circles)
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=axes[0], ylabel=axes[1])
        if circles:
            prior_circles(plane)
        if len(classes):
            list_classes(plane, classes, colours)
        write_title(plane, "The latent space as training goes on", "one dot an image: the mean of its q(z|x)")
        size = np.clip(6000 / points.shape[1], 8, 30)
        dots = plane.scatter(*track[0].T, s=size, c=colours[indices], lw=0, animated=True)
        style = {"transform": plane.transAxes, "weight": "bold", "va": "top", "animated": True}
        said = plane.text(0.02, 0.99, "", **style)
        shots = []
        for moment, step in zip([track[-1], *track], [told[-1], *told], strict=True):
            dots.set_offsets(moment)
            said.set_text(f"step {int(step):,}")
            shots.append(shoot([dots, said]))
    write_film(path, shots, _rested(len(shots), seconds), still=still)


def walk_film(
    path,
    track,
    images,
    told,
    *,
    stops=(),
    manifold=None,
    points=None,
    labels=None,
    axes=("", ""),
    seconds=6.0,
    still=None,
):
    """Film a walk through the latent space: images [F,H,W,C], decoded along a track [F,2] on the map beside them.

    told [F] says where the walk is; at `stops` [K], places in F, it passes an image's code. The map is a decoded plane
    `manifold` [R,R,H,W,C], whose track is in quantiles of the prior, from 0 to 1; or points [N,2] coloured by labels
    [N], or None.
    """
    images = checked_images("images", images, "FHWC")
    _require_as_many("points of the track", track, "images", images)
    pictures = [_rgb(enlarged(image, _factor(image.shape))) for image in images]
    height, width = pictures[0].shape[:2]
    tall = max(height, SIDE)
    size = 4 * _MARGIN + 60 + SIDE + max(width, _LEAST_WIDTH - 60), _TOP + tall + _BOTTOM + 20
    with stage(size[0] / DPI, size[1] / DPI) as (figure, shoot):
        place = (60 + _MARGIN) / size[0], (_BOTTOM + 20) / size[1], SIDE / size[0], SIDE / size[1]
        chart = figure.add_axes(place)
        _draw_map(chart, manifold, points, labels)
        chart.set(xlabel=axes[0], ylabel=axes[1])
        chart.plot(*np.concatenate([track, track[:1]]).T, color="white", lw=3)
        chart.plot(*np.concatenate([track, track[:1]]).T, color=INK, lw=1)
        chart.scatter(*track[list(stops)].T, s=22, c=INK, zorder=3)
        write_title(chart, "A walk through the latent space", "left: where z is; right: the mean of p(x|z) there")
        dot = chart.scatter(*track[:1].T, s=90, c=VERMILION, edgecolors="white", lw=1.5, zorder=4, animated=True)
        screen = _screen(figure, 3 * _MARGIN + 60 + SIDE, _BOTTOM + 20 + tall - height, pictures[0])
        said = _said(screen.axes, weight="normal")
        shots = []
        for where, picture, text in zip(track, pictures, told, strict=True):
            dot.set_offsets(where[None])
            screen.set_data(picture)
            said.set_text(text)
            shots.append(shoot([dot, screen, said]))
    greys = images.shape[-1] == 1 and manifold is not None
    write_film(path, shots, [seconds / len(shots)] * len(shots), greys=greys, still=still)


def _require_as_many(name, some, other, arrays):
    """ValueError unless there is one of `some` for each of `arrays`."""
    if len(some) != len(arrays):
        raise UsageError(f"{len(some)} {name} for {len(arrays)} {other}; expected one each.")


def _factor(shape):
    """Return by how much a picture [H,W,C] of this shape is enlarged for a film."""
    return max(1, SIDE // max(shape[:2]))


def _rgb(image):
    """Return a picture [H,W,C] in three channels, in [0, 1]."""
    return bounded(np.broadcast_to(image, (*image.shape[:2], 3)))


def _screen(figure, left, bottom, picture):
    """Return the artist that shows such pictures [H,W,3] in the figure, pixel for pixel, at this place in pixels."""
    width, height = figure.get_size_inches() * DPI
    place = left / width, bottom / height, picture.shape[1] / width, picture.shape[0] / height
    axes = figure.add_axes(place)
    axes.set_axis_off()
    return axes.imshow(picture, interpolation="nearest", aspect="auto", animated=True)


def _said(axes, weight="bold"):
    """Return the text below the axes that says which moment is shown."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    return axes.annotate("", (0, 0), (0, -8), weight=weight, color=INK, animated=True, **place)


def _rested(count, seconds):
    """Return how long each of `count` frames is shown: the first and the last, which are one, for REST of the time."""
    between = seconds * (1 - _REST) / max(count - 2, 1)
    return [seconds * _REST / 2, *[between] * (count - 2), seconds * _REST / 2]


def _between(points, steps, frames):
    """Return (points [F,N,2] on the straight ways between points [T,N,2], eased, ending with the last; steps [F])."""
    each = max(1, frames // max(len(points) - 1, 1))
    t = np.arange(each) / each
    eased = (t * t * (3 - 2 * t))[:, None, None]
    ways = [(1 - eased) * one + eased * other for one, other in itertools.pairwise(points)]
    return np.concatenate([*ways, points[-1:]]), [*np.repeat(steps[:-1], each), steps[-1]]


def _steady_reach(points, circles):
    """Return how far axes go that hold the last of points [T,N,2], and the others where they are not much farther."""
    finite = np.where(np.isfinite(points), points, 0.0)
    return min(reach_of(finite, circles), 1.5 * reach_of(finite[-1], circles))


def _draw_map(axes, manifold, points, labels):
    """Draw what a walk is shown on: the decoded plane, or the dots of the images."""
    if manifold is not None:
        side, tile = len(manifold), manifold.shape[2:]
        factor = -(-SIDE // (side * max(tile[:2])))
        tiles = enlarged(manifold.reshape(-1, *tile), factor)
        picture = _rgb(mosaic(tiles, side, pad=GAP if max(tile[:2]) < 16 else 0))
        axes.imshow(picture, extent=(0, 1, 0, 1), aspect="auto", alpha=0.85)
        axes.set(xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.25, 0.5, 0.75, 1])
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(False)
        return
    classes, indices = class_indices(labels, len(points))
    axes.scatter(*points.T, s=7, c=class_colours(len(classes))[indices], alpha=0.45, lw=0)
    name_classes(axes, points, labels, classes, weight="bold", color=GREY)
    reach = reach_of(points, False)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
