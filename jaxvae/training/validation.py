"""Scores on the validation split while training, and early stopping by them."""

from pathlib import Path
from typing import Any

from jaxvae.data.pipeline import in_order
from jaxvae.rundir import checkpoint, manifest
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.state import abstract_state, variables_of
from jaxvae.runtime import multihost
from jaxvae.step import State
from jaxvae.training.setup import Experiment

__all__ = ["EarlyStopping", "restore_best", "score_of", "validate"]


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
