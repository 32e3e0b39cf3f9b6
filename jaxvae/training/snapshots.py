"""Snapshots of the model while it trains, for the animations: samples, and the codes of some images."""

import math
from pathlib import Path
from typing import Any

from jax import random

from jaxvae.data.dataset import draw_rows
from jaxvae.data.pipeline import in_order
from jaxvae.rundir.snapshots import save_codes, save_frame
from jaxvae.rundir.state import variables_of
from jaxvae.runtime import multihost
from jaxvae.step import State
from jaxvae.training.setup import Experiment
from jaxvae.viz import figures

__all__ = ["EARLY_STEPS", "save_snapshot"]

EARLY_STEPS = tuple(2**n for n in range(11))  # to 1,024: samples change fastest at first
_SAMPLES = 16  # of a snapshot
_MOST_IMAGES = 1000  # whose codes are saved,
_MOST_NUMBERS, _MOST_VALUES = 2**16, 2**22  # in their codes, and in the images read for them
_CODES_SEED = 3  # chooses the images


def save_snapshot(experiment: Experiment, state: State, workdir: Path, step: int) -> None:
    """Saves samples of the same z at every step, and the codes of the same images.

    All processes encode the images, as they do to validate; the first one saves.
    """
    _save_codes(experiment, variables_of(state), workdir, step)
    variables = experiment.layout.to_first_device(variables_of(state))
    if not multihost.is_first_process():
        return
    labels = figures.conditions(experiment.parts, experiment.data, _SAMPLES)
    keys = random.split(random.clone(experiment.figure_key), _SAMPLES)
    _, px = experiment.generate(variables, keys, experiment.parts.prepare.conditions(labels))
    save_frame(workdir, step, figures.pictures(px.mean()))


def _save_codes(experiment: Experiment, variables: Any, workdir: Path, step: int) -> None:
    """Saves the posterior means of some images, of the validation split if there is one; none of a model without means.

    The function that scores images gives them: it is compiled anyway.
    """
    splits, config = experiment.data.splits, experiment.config
    split = splits.get("validation") or splits["train"]
    most = min(_MOST_NUMBERS // config.model.latent_dim, _MOST_VALUES // math.prod(experiment.data.shape))
    count = min(len(split), _MOST_IMAGES, max(1, most))
    few = draw_rows(split, count, _CODES_SEED)[0]
    values = experiment.evaluate(variables, in_order(few, config.evaluate.batch_size, experiment.layout))
    if "means" in values and multihost.is_first_process():
        classes = few.label[few.rows] if few.label is not None and few.label.ndim == 1 else None
        save_codes(workdir, step, values["means"], classes)
