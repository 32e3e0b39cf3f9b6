"""Which images are near an image, by pixels and by codes, and how often they are of its class."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae.latent.neighbours import majority_label, nearest
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import BATCH, Subject, spaced

_VOTERS = 5  # neighbours that name a class together
_SPACES = ("pixels", "codes")


def draw_neighbours(
    path: Path, subject: Subject, *, n: int = 6, count: int = 6, most: int = 1000, among: int = 5000
) -> dict[str, np.ndarray]:
    """n images of the split, each with its nearest training images by pixels and by the means of q(z|x).

    Distances are Euclidean, among `among` training images, evenly spaced. Where there are classes, they are also named
    by the vote of the 5 nearest, for `most` images of the split. The arrays shown: `images`; by space
    `SPACE_nearest`, the pictures, `SPACE_index`, `SPACE_distance [n, count]`, and `SPACE_accuracy` of all.
    """
    from jaxvae.viz import plots

    training = dataclasses.replace(subject, name="train")
    places, queries = _placed(training, among), _placed(subject, most)
    asked, there = spaced(len(subject.split), most), spaced(len(training.split), among)
    drawn, count = spaced(len(asked), n), min(count, len(there))
    voters = min(max(_VOTERS, count), len(there))
    classes, of_places = subject.classes, training.classes
    arrays: dict[str, np.ndarray] = {"images": np.asarray(subject.examples(asked[drawn]).x)}
    rows, same = {}, {}
    for space in _SPACES:
        found = jax.device_get(nearest(queries[space], places[space], voters))
        shown = there[found.indices[drawn, :count]]
        arrays[f"{space}_index"], arrays[f"{space}_distance"] = shown, found.distances[drawn, :count]
        near = np.asarray(training.examples(shown.ravel()).x)
        arrays[f"{space}_nearest"] = near.reshape(*shown.shape, *subject.run.shape)
        rows[space] = np.stack([pictures(row) for row in arrays[f"{space}_nearest"]])
        if classes is not None and of_places is not None:
            same[space] = of_places[shown] == classes[asked[drawn]][:, None]
            right = majority_label(of_places[there[found.indices[:, :_VOTERS]]]) == classes[asked]
            arrays[f"{space}_accuracy"] = np.asarray(right.mean())
    accuracy = {space: float(arrays[f"{space}_accuracy"]) for space in same}
    plots.neighbours(path, pictures(arrays["images"]), rows, same, accuracy)
    return arrays


def _placed(subject: Subject, most: int) -> dict[str, np.ndarray]:
    """Where at most so many images of the split lie: {"pixels": [N, D], "codes": [N, Z]}."""
    chosen = spaced(len(subject.split), most)
    found: dict[str, list[np.ndarray]] = {space: [] for space in _SPACES}
    for first in range(0, len(chosen), BATCH):
        shown = subject.examples(chosen[first : first + BATCH])
        q: Any = subject.run.encode(shown.x, shown.condition)
        for space, places in zip(_SPACES, (shown.x, q.mean()), strict=True):
            found[space].append(np.asarray(places).reshape(len(shown.x), -1))
    return {space: np.concatenate(parts) for space, parts in found.items()}
