"""The same codes decoded as every class: what a conditional model keeps in z, and what in the class."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import random

from jaxvae._checks import UsageError
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject

_DRAW = 50  # purpose folded into the subject's key


def draw_conditional(path: Path, subject: Subject, *, n: int = 8, most: int = 12) -> dict[str, np.ndarray]:
    """n draws of z, a row each, decoded as each of the first `most` classes, a column each.

    A prior that depends on the class is given the same randomness in all columns. The arrays shown: `pictures
    [n, classes, ...]`, `z [n, classes, Z]`. ValueError unless the model is conditioned on labels.
    """
    from jaxvae.viz import plots

    run = subject.run
    if run.config.model.condition != "label":
        raise UsageError(
            f"model.condition={run.config.model.condition!r}: a grid of classes is for a model that is told the label."
        )
    classes = np.arange(min(most, run.parts.condition_size or 0))
    keys = jnp.repeat(random.split(subject.key_of(_DRAW), n), len(classes))
    z, px = run.generate(keys, condition=np.tile(classes, n))
    means = px.mean()
    names = subject.data.class_names or tuple(map(str, classes))
    tiles = pictures(means)
    plots.conditional(path, tiles.reshape(n, len(classes), *tiles.shape[1:]), names[: len(classes)])
    return {name: np.asarray(a).reshape(n, len(classes), *a.shape[1:]) for name, a in (("pictures", means), ("z", z))}
