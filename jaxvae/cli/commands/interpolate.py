"""`jaxvae interpolate`, `traverse` and `manifold`: walks through the latent space of a run.

Each draws its picture at `where` and returns the arrays that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.viz.figures import interpolation
from jaxvae.viz.figures.subject import Subject

_Shown = dict[str, np.ndarray]


def interpolate(subject: Subject, where: Path, *, images: Sequence[int] | None, steps: int, path: str) -> _Shown:
    """Walks between pairs of images; by default between eight pairs."""
    if images is None:
        pairs = interpolation.default_pairs(subject)
    else:
        if len(images) % 2:
            raise UsageError(f"--images {' '.join(map(str, images))}: expected an even number of them, two for a walk.")
        pairs = list(zip(*(_require_images(subject, images)[end::2] for end in (0, 1)), strict=True))
    return interpolation.draw_interpolation(where, subject, pairs, steps=steps, way=path)


def traverse(
    subject: Subject,
    where: Path,
    *,
    image: int | None,
    dimensions: Sequence[int] | None,
    together: bool,
    steps: int,
    reach: float,
) -> _Shown:
    """A row of pictures for each latent dimension; `together`, the plane of two of them about the start."""
    chosen = None if dimensions is None else _require_dimensions(subject, dimensions)
    if image is not None:
        _require_images(subject, [image])
    draw = interpolation.draw_plane_about if together else interpolation.draw_traversal
    return draw(where, subject, chosen, image=image, steps=steps, reach=reach)


def manifold(subject: Subject, where: Path, *, dimensions: Sequence[int] | None, side: int) -> _Shown:
    """The plane of two latent dimensions, decoded."""
    chosen = None if dimensions is None else _require_dimensions(subject, dimensions)
    return interpolation.draw_manifold(where, subject, chosen, side=side)


def _require_images(subject: Subject, images: Sequence[int]) -> Sequence[int]:
    """The positions; ValueError for one that the split does not have."""
    for image in images:
        if not 0 <= image < len(subject.split):
            raise UsageError(
                f"image {image}: the {subject.name} split has {len(subject.split):,} images, numbered from 0."
            )
    return images


def _require_dimensions(subject: Subject, dimensions: Sequence[int]) -> list[int]:
    """The dimensions, counted from 0; they are given from 1 on, as the pictures name them. ValueError for others."""
    count = subject.means.shape[1]
    for dimension in dimensions:
        if not 1 <= dimension <= count:
            raise UsageError(f"--dimensions {dimension}: this model has {count}, z1 to z{count}; name them from 1 on.")
    if len(set(dimensions)) != len(dimensions):
        raise UsageError(f"--dimensions {' '.join(map(str, dimensions))}: one is named twice; name each once.")
    return [dimension - 1 for dimension in dimensions]
