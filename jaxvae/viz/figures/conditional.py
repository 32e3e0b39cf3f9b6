"""The same codes decoded as every class, of a conditional model."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random

from jaxvae._checks import UsageError
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.image_grid import GAP, fitted, gallery, mosaic

__all__ = ["ConditionalData", "compute_conditional", "plot_conditional"]

_DRAW = 50  # purpose folded into the subject's key


class ConditionalData(NamedTuple):
    """Means of p(x|z) `pictures` [N, K, *X] of N codes and K classes, the codes z [N, K, Z], the classes' names [K]."""

    pictures: np.ndarray
    z: np.ndarray
    names: tuple[str, ...]


def compute_conditional(subject: Subject, *, n: int = 8, most: int = 12) -> ConditionalData:
    """Decodes n draws of z as each of the first `most` classes.

    A prior that depends on the class is given the same randomness for all classes. ValueError unless the model is
    conditioned on labels.
    """
    run = subject.run
    if run.config.model.condition != "label":
        raise UsageError(f"model.condition={run.config.model.condition!r}: expected 'label' for a grid of classes.")
    classes = np.arange(min(most, run.parts.condition_size or 0))
    keys = jnp.repeat(random.split(subject.key_for(_DRAW), n), len(classes))
    z, px = run.generate(keys, condition=np.tile(classes, n))
    names = (subject.data.class_names or tuple(map(str, classes)))[: len(classes)]
    means, codes = (np.asarray(a).reshape(n, len(classes), *a.shape[1:]) for a in (px.mean(), z))
    return ConditionalData(means, codes, names)


def plot_conditional(path: Path, data: ConditionalData) -> None:
    """Draws a row for each code and a column for each class."""
    columns = len(data.names)
    tiles = fitted(pictures(data.pictures.reshape(-1, *data.pictures.shape[2:])), columns)
    picture, title = mosaic(tiles, columns, GAP), "The class, and everything else"
    subtitle = "each row is one z from the prior; each column tells the decoder another class"
    with gallery(path, picture, title, subtitle, left=0.3, bottom=0.7) as axes:
        width = tiles.shape[2] + GAP
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(map(len, data.names)) > 4 else {}
        axes.set_xticks(np.arange(columns) * width + (width - GAP) / 2, data.names, **turned)
        axes.set_xlabel("class")
        axes.tick_params(length=0)
