"""What several models learned of the same data, side by side: where their codes lie and their samples come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax import random

from jaxvae import latent
from jaxvae.viz.figures.images import dream, pictures
from jaxvae.viz.figures.subject import DRAW, Subject

_CODES, SAMPLES, _RECONSTRUCTED = 1000, 36, 6  # how many of each a panel shows
DREAMT = 7  # folded into the subject's key, for what is drawn of the prior


def draw_comparison(
    path: Path, subjects: dict[str, Subject], scores: dict[str, dict[str, Any]]
) -> dict[str, np.ndarray]:
    """A column for each run: codes of images and draws of the prior on one plane, samples, reconstructions, numbers.

    `scores` are the numbers of each run's test split, for the plane of rate and distortion beside them.
    """
    from jaxvae.viz import plots

    panels = {name: _panel(subject) for name, subject in subjects.items()}
    plots.comparison(path, panels, {name: rate_and_distortion(scores[name]) for name in panels})
    return {
        f"{name}.{what}": array for name, each in panels.items() for what, array in each.items() if array is not None
    }


def _panel(subject: Subject) -> dict[str, Any]:
    """What one run is compared by: `codes` [N, 2] and `drawn` [N, 2] on the plane of the codes (None where z is none),
    their `labels`, `samples`, `originals` and `reconstructions` as pictures.
    """
    positions = np.random.RandomState(0).permutation(len(subject.split))
    few = subject.examples(positions[:_RECONSTRUCTED])
    again = subject.run.reconstruct(subject.key_of(DRAW), few.x, few.condition)
    return {
        **(plane_of(subject, positions[:_CODES]) or {"codes": None, "drawn": None, "labels": None}),
        "samples": dream(subject.run, subject.data, subject.key_of(DREAMT), SAMPLES),
        "originals": pictures(few.x),
        "reconstructions": pictures(again),
    }


def plane_of(subject: Subject, positions: np.ndarray) -> dict[str, Any] | None:
    """One z ~ q(z|x) of these images and as many z ~ p(z), [N, 2]: beyond two dimensions, on the principal plane."""
    if len(subject.run.latent_shape) != 1:
        return None
    shown = subject.examples(positions)
    q = subject.run.encode(shown.x, shown.condition)
    codes = np.asarray(q.sample(random.split(subject.key_of(DRAW), len(positions))))
    drawn = np.asarray(
        subject.run.generate(random.split(subject.key_of(DREAMT), len(codes)), condition=shown.condition)[0]
    )
    codes, drawn = _on_a_plane([codes, drawn])
    labels = subject.classes
    return {"codes": codes, "drawn": drawn, "labels": None if labels is None else labels[positions]}


def _on_a_plane(sets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each [N, Z] as [N, 2]: as they are, beside zeros, or on the principal plane of the first."""
    dimensions = sets[0].shape[1]
    if dimensions == 1:
        return [np.concatenate([each, np.zeros_like(each)], 1) for each in sets]
    if dimensions == 2:
        return list(sets)
    middle, axes, _ = latent.principal_axes(sets[0])
    return [(each - middle) @ axes for each in sets]


def rate_and_distortion(numbers: dict[str, Any]) -> tuple[float, float] | None:
    """Where a run stands on the plane of rate and distortion, nats; None without a rate, as of a point's."""
    if "elbo" not in numbers:
        return None
    return float(numbers["rate"]["value"]), float(numbers["distortion"]["value"])
