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
from jaxvae.viz.plots.comparison import Panel, comparison

_CODES, SAMPLES, _RECONSTRUCTED = 1000, 36, 6  # how many of each a panel shows
DREAMT = 7  # folded into the subject's key, for what is drawn of the prior


def draw_comparison(
    path: Path, subjects: dict[str, Subject], scores: dict[str, dict[str, Any]]
) -> dict[str, np.ndarray]:
    """Draws a column for each run; returns its arrays as {'run.array': array}.

    `scores` are the numbers of each run's test split, for the chart of rate and distortion.
    """
    panels = {name: _panel(subject) for name, subject in subjects.items()}
    comparison(path, panels, {name: _rate_and_distortion(scores[name]) for name in panels})
    arrays = {f"{name}.{field}": array for name, panel in panels.items() for field, array in vars(panel).items()}
    return {name: array for name, array in arrays.items() if array is not None}


def _panel(subject: Subject) -> Panel:
    positions = np.random.RandomState(0).permutation(len(subject.split))
    few = subject.examples(positions[:_RECONSTRUCTED])
    again = subject.run.reconstruct(subject.key_of(DRAW), few.x, few.condition)
    codes, drawn, labels = codes_and_draws(subject, positions[:_CODES]) or (None, None, None)
    return Panel(
        codes=codes,
        drawn=drawn,
        labels=labels,
        samples=dream(subject.run, subject.data, subject.key_of(DREAMT), SAMPLES),
        originals=pictures(few.x),
        reconstructions=pictures(again),
    )


def codes_and_draws(subject: Subject, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """Returns one z ~ q(z|x) of these images and as many z ~ p(z), [N, 2], with the labels; None where z is no vector.

    Beyond two dimensions both are on the principal plane of the codes.
    """
    if len(subject.run.latent_shape) != 1:
        return None
    shown = subject.examples(positions)
    q = subject.run.encode(shown.x, shown.condition)
    codes = np.asarray(q.sample(random.split(subject.key_of(DRAW), len(positions))))
    drawn = np.asarray(
        subject.run.generate(random.split(subject.key_of(DREAMT), len(codes)), condition=shown.condition)[0]
    )
    codes, drawn = _project([codes, drawn])
    labels = subject.classes
    return codes, drawn, None if labels is None else labels[positions]


def _project(sets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns each [N, Z] as [N, 2]: as it is, beside zeros, or on the principal plane of the first."""
    dimensions = sets[0].shape[1]
    if dimensions == 1:
        return [np.concatenate([each, np.zeros_like(each)], 1) for each in sets]
    if dimensions == 2:
        return list(sets)
    middle, axes, _ = latent.principal_axes(sets[0])
    return [(each - middle) @ axes for each in sets]


def _rate_and_distortion(numbers: dict[str, Any]) -> tuple[float, float] | None:
    """Returns (rate, distortion), nats; None without a bound, as of a plain autoencoder."""
    if "elbo" not in numbers:
        return None
    return float(numbers["rate"]["value"]), float(numbers["distortion"]["value"])
