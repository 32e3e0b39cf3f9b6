"""Images beside their nearest training images, by pixels and by codes."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.patches import Rectangle

from jaxvae.latent.neighbours import majority_label, nearest
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject, evenly_spaced
from jaxvae.viz.plots.image_grid import GAP, PICTURE, checked_images, enlarged, gallery, mosaic
from jaxvae.viz.plots.style import BLUE, GREY, VERMILION

__all__ = ["Neighbours", "NeighboursData", "compute_neighbours", "plot_neighbours"]

_VOTERS = 5  # neighbours that name a class together
_SPACES = {"pixels": "nearest by pixels", "codes": "nearest by codes"}
_SEAM = 8  # pixels between neighbouring images, which hold their frames
_BETWEEN = 40  # pixels between an image and its neighbours
_OTHER = {"edgecolor": VERMILION, "ls": (0, (2, 1.2))}  # the frame of a neighbour of another class


class Neighbours(NamedTuple):
    """The K nearest of N images in one space."""

    images: np.ndarray  # [N, K, *X]
    positions: np.ndarray  # [N, K]
    distances: np.ndarray  # [N, K]
    same: np.ndarray | None  # [N, K], whether the classes agree, where there are classes
    accuracy: float | None  # of a vote, of all images


class NeighboursData(NamedTuple):
    """Images [N, *X] and the neighbours of each, by space."""

    images: np.ndarray
    pixels: Neighbours
    codes: Neighbours


def compute_neighbours(
    subject: Subject, *, n: int = 6, count: int = 6, most: int = 1000, among: int = 5000
) -> NeighboursData:
    """Finds for n images of the split the nearest training images by pixels and by the means of q(z|x).

    Distances are Euclidean, among `among` training images, evenly spaced. Where there are classes, the vote of the 5
    nearest is scored on `most` images of the split.
    """
    training = dataclasses.replace(subject, name="train")
    places, queries = _points_of(training, among), _points_of(subject, most)
    scored, there = evenly_spaced(len(subject.split), most), evenly_spaced(len(training.split), among)
    drawn, count = evenly_spaced(len(scored), n), min(count, len(there))
    voters = min(max(_VOTERS, count), len(there))
    classes, of_training = subject.classes, training.classes

    def in_space(space: str) -> Neighbours:
        found = jax.device_get(nearest(queries[space], places[space], voters))
        positions = there[found.indices[drawn, :count]]
        images = np.asarray(training.examples(positions.ravel()).x).reshape(*positions.shape, *subject.run.shape)
        if classes is None or of_training is None:
            return Neighbours(images, positions, found.distances[drawn, :count], None, None)
        same = of_training[positions] == classes[scored[drawn]][:, None]
        right = majority_label(of_training[there[found.indices[:, :_VOTERS]]]) == classes[scored]
        return Neighbours(images, positions, found.distances[drawn, :count], same, float(right.mean()))

    images = np.asarray(subject.examples(scored[drawn]).x)
    return NeighboursData(images, in_space("pixels"), in_space("codes"))


def _points_of(subject: Subject, most: int) -> dict[str, np.ndarray]:
    """Returns {"pixels": [N, D], "codes": [N, Z]} of at most `most` images of the split."""
    chosen = evenly_spaced(len(subject.split), most)
    found = {"pixels": np.asarray(subject.examples(chosen).x), "codes": subject.encode(chosen)}
    return {space: points.reshape(len(chosen), -1) for space, points in found.items()}


def plot_neighbours(path: Path, data: NeighboursData) -> None:
    """Draws each image left of its neighbours in each space, nearest first.

    A neighbour of the image's class has a solid blue frame, another a dashed vermilion one; without classes none has.
    """
    queries = checked_images("images", pictures(data.images), "NHWC")
    spaces = {"pixels": data.pixels, "codes": data.codes}
    blocks = {"": queries[:, None]} | {name: np.stack(list(map(pictures, s.images))) for name, s in spaces.items()}
    columns = sum(each.shape[1] for each in blocks.values())
    factor = max(1, ((PICTURE - 2 * _BETWEEN) // columns - _SEAM) // queries.shape[2])
    tall, wide = queries.shape[1] * factor + _SEAM, queries.shape[2] * factor + _SEAM
    between = np.ones((len(queries) * tall - _SEAM, _BETWEEN, queries.shape[-1]))
    parts, starts, left = [], {}, 0
    for name, each in blocks.items():
        large = enlarged(each.reshape(-1, *each.shape[2:]), factor)
        parts += [mosaic(large, each.shape[1], _SEAM), between]
        starts[name], left = left, left + each.shape[1] * wide - _SEAM + _BETWEEN
    classes = data.pixels.same is not None
    told = "a whole frame: of the image's class; a broken one: of another" if classes else "by Euclidean distance"
    with gallery(path, np.concatenate(parts[:-1], 1), "Who is near", told, left=0.3, bottom=0.75) as axes:
        for name, space in spaces.items():
            for (row, column), same in np.ndenumerate(np.empty((0, 0)) if space.same is None else space.same):
                place = starts[name] + column * wide - GAP - 0.5, row * tall - GAP - 0.5  # in the seam
                size = wide - _SEAM + 2 * GAP, tall - _SEAM + 2 * GAP
                look: dict[str, Any] = {"edgecolor": BLUE, "ls": "-"} if same else _OTHER
                axes.add_patch(Rectangle(place, *size, fill=False, lw=1.6, clip_on=False, **look))
            middle = starts[name] + (space.positions.shape[1] * wide - _SEAM) / 2
            share = "" if space.accuracy is None else f"\n5 nearest name the class: {space.accuracy:.1%} right"
            style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top"}
            below = len(queries) * tall - _SEAM
            text = _SPACES[name] + share
            axes.annotate(text, (middle, below), (0, -8), **style, color=GREY, annotation_clip=False)
