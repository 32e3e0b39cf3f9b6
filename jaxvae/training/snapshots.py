"""What is kept of a training's moments, to be seen afterwards: what the model dreams, where images' codes lie."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from jax import random

from jaxvae.data.dataset import draw_rows
from jaxvae.data.pipeline import in_order
from jaxvae.rundir.state import variables_of
from jaxvae.runtime import multihost
from jaxvae.step import State
from jaxvae.training.setup import Experiment
from jaxvae.viz import figures

EARLY_STEPS = tuple(2**n for n in range(11))  # to 1,024: what the model dreams changes fastest at first
_FRAME = 16  # pictures of a moment of training
_KEPT_CODES = 1000  # images of which it is kept where their codes lie, at most, and
_KEPT_NUMBERS, _READ = 2**16, 2**22  # numbers of a moment's codes, and values of the images read for them
_CODES_SEED = 3  # of which images they are


def save_snapshot(experiment: Experiment, state: State, workdir: Path, step: int) -> None:
    """Keeps samples of the same z at this step, and where the same images' codes lie: how the model learns, to be seen.

    All processes look at the images, as they do to validate; the first keeps.
    """
    _keep_codes(experiment, variables_of(state), workdir, step)
    variables = experiment.layout.to_first_device(variables_of(state))
    if not multihost.is_first_process():
        return
    labels = figures.conditions(experiment.parts, experiment.data, _FRAME)
    keys = random.split(random.clone(experiment.figure_key), _FRAME)
    _, px = experiment.generate(variables, keys, experiment.parts.prepare.conditions(labels))
    figures.save_frame(workdir, step, figures.pictures(px.mean()))


def _keep_codes(experiment: Experiment, variables: Any, workdir: Path, step: int) -> None:
    """Keeps the posterior means of some images, of validation if there are any; of a model without means, none.

    By what scores them: that is compiled anyhow.
    """
    splits, config = experiment.data.splits, experiment.config
    split = splits.get("validation") or splits["train"]
    most = min(_KEPT_NUMBERS // config.model.latent_dim, _READ // math.prod(experiment.data.shape))
    count = min(len(split), _KEPT_CODES, max(1, most))
    few = draw_rows(split, count, _CODES_SEED)[0]
    values = experiment.evaluate(variables, in_order(few, config.evaluate.batch_size, experiment.layout))
    if "means" in values and multihost.is_first_process():
        classes = few.label[few.rows] if few.label is not None and few.label.ndim == 1 else None
        figures.save_codes(workdir, step, values["means"], classes)
