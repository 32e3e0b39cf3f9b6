"""Validation during training: scores, early stopping by them, and snapshots for the animations."""

import math
from pathlib import Path
from typing import Any

from jax import random

from jaxvae.data.dataset import draw_rows
from jaxvae.data.pipeline import in_order
from jaxvae.rundir import checkpoint, manifest
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.snapshots import save_codes, save_frame
from jaxvae.rundir.state import abstract_state, variables_of
from jaxvae.runtime import multihost
from jaxvae.step import State
from jaxvae.training.setup import Experiment
from jaxvae.viz import figures

__all__ = ["EARLY_STEPS", "EarlyStopping", "restore_best", "save_snapshot", "score_of", "validate"]

EARLY_STEPS = tuple(2**n for n in range(11))  # to 1,024: samples change fastest at first
_SAMPLES = 16  # of a snapshot
_MOST_IMAGES = 1000  # whose codes are saved,
_MOST_NUMBERS, _MOST_VALUES = 2**16, 2**22  # in their codes, and in the images read for them
_CODES_SEED = 3  # chooses the images


def validate(experiment: Experiment, state: State) -> dict[str, float]:
    """Returns the bound and its parts, means over the validation images; {} if there are no such images."""
    split = experiment.data.splits.get("validation")
    if split is None:
        return {}
    batches = in_order(split, experiment.config.evaluate.batch_size, experiment.layout)
    values = experiment.evaluate(variables_of(state), batches)
    return {
        name: float(values[name].mean(dtype="float64")) for name in ("elbo", "rate", "distortion") if name in values
    }


def score_of(means: dict[str, Any]) -> float | None:
    """Returns the elbo, or for a model without one, minus the sum of rate and distortion.

    None if there are none, or if they are not finite, as metrics.jsonl stores such numbers.
    """
    if "elbo" in means:
        return means["elbo"]
    parts = means.get("rate"), means.get("distortion")
    return None if None in parts else -(means["rate"] + means["distortion"])


class EarlyStopping:
    """Counts validations without a better score, including those of earlier sessions of the run up to `step`."""

    def __init__(self, patience: int | None, workdir: Path, step: int):
        self.patience, self.best, self.waited = patience, float("-inf"), 0
        for line in read_metrics(workdir, step):
            if line["split"] == "validation":
                self.record(score_of(line))

    def record(self, score: float | None) -> bool:
        """Returns whether this score is the best so far."""
        if score is None:
            return False
        better = score > self.best
        self.best, self.waited = (score, 0) if better else (self.best, self.waited + 1)
        return better

    @property
    def stops(self) -> bool:
        return self.patience is not None and self.waited >= self.patience


def restore_best(experiment: Experiment, folder: Path, state: State) -> State:
    """Restores the state with the best validation score; returns the given one if there is no checkpoint."""
    abstract = experiment.layout.abstract(abstract_state(experiment.config, experiment.parts))
    multihost.broadcast_from_first(0)  # the first process has written all manifests now
    return checkpoint.restore(folder, abstract, prefer=manifest.best_step(folder)) or state


def save_snapshot(experiment: Experiment, state: State, workdir: Path, step: int) -> None:
    """Saves samples of the same z at every step, and posterior means of the same images; the first process saves."""
    splits, config = experiment.data.splits, experiment.config
    split = splits.get("validation") or splits["train"]
    most = min(_MOST_NUMBERS // config.model.latent_dim, _MOST_VALUES // math.prod(experiment.data.shape))
    few = draw_rows(split, min(len(split), _MOST_IMAGES, max(1, most)), _CODES_SEED)[0]
    batches = in_order(few, config.evaluate.batch_size, experiment.layout)
    values = experiment.evaluate(variables_of(state), batches)
    variables = experiment.layout.to_first_device(variables_of(state))
    if not multihost.is_first_process():
        return
    if "means" in values:  # else the posterior has none
        classes = few.label[few.rows] if few.label is not None and few.label.ndim == 1 else None
        save_codes(workdir, step, values["means"], classes)
    labels = figures.conditions(experiment.parts, experiment.data, _SAMPLES)
    keys = random.split(random.clone(experiment.figure_key), _SAMPLES)
    _, px = experiment.generate(variables, keys, experiment.parts.prepare.conditions(labels))
    save_frame(workdir, step, figures.pictures(px.mean()))
