"""The diagnosis of a trained model: what is measured of it beyond its scores, for the rules to read."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.dataset import draw_rows
from jaxvae.data.pipeline import in_order
from jaxvae.evaluate.aggregate_posterior import compare_to_prior
from jaxvae.evaluate.bounds import mean_and_stderr
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.training.diagnosis_rules import apply_rules
from jaxvae.training.setup import Experiment

__all__ = ["diagnose", "measure_run"]

_MOST_EXAMPLES = 2000  # that are measured
_SEED = 2  # which chooses them
_PROTOCOL = (
    f"N images, at most {_MOST_EXAMPLES:,}, with one z ~ q(z|x) each, and N draws of the prior. Two-sample test: the "
    "accuracy a of a nearest-neighbour classifier, its standard error with dependent pairs (Schilling 1986). "
    "rate = I(i; z) + KL(q(z) || p(z)), where q(z) is the mean of the N posteriors. For the population this KL is "
    "biased upwards, and without each z's own posterior downwards. Its bounds are these two, each widened by two "
    "standard errors, and from below 2 (2 a - 1)^2 at a minus two standard errors"
)


def diagnose(
    experiment: Experiment,
    variables: Any,
    results: dict[str, Any],
    values: dict[str, dict[str, np.ndarray]],
    workdir: Path,
) -> None:
    """Adds the findings about the weights to the `results` that `scoring.score` returned with `values`.

    They are of the test split, or else of the first that was scored and trained on. There are none if a score is not
    finite: training reports where that began.
    """
    seen = [name for name in values if name != "left_out"]
    if not seen:
        return
    split = "test" if "test" in seen else seen[0]
    results["diagnosis"] = []
    if not np.isfinite(values[split]["rate"] + values[split]["distortion"]).all():
        return
    measured = measure_run(experiment, variables, split, values[split])
    betas = [line["beta"] for line in read_metrics(workdir, results["step"]) if "beta" in line]
    results["diagnosis"] = apply_rules(experiment.config, results[split], measured, betas)
    results["protocol"]["diagnosis"] = _PROTOCOL


def measure_run(experiment: Experiment, variables: Any, split: str, values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns what the rules need beyond the scores, of some examples of the split, and as many training images."""
    config, layout, splits = experiment.config, experiment.layout, experiment.data.splits

    def batches(name: str):
        count = min(len(splits[name]), len(splits[split]), _MOST_EXAMPLES)
        few = draw_rows(splits[name], count, _SEED)[0]  # the same ones every time
        return in_order(few, config.evaluate.batch_size, layout)

    codes = experiment.codes(variables, batches(split))
    found: dict[str, Any] = {"split": split, "meeting": compare_to_prior(codes)}
    if "square_error" in codes:
        error = codes["square_error"].mean(dtype=float)
        found["sigma"] = {"used": float(codes["scale"][0]), "implied": math.sqrt(error)}
    if split != "train":
        found["gap"] = _generalization_gap(experiment.evaluate(variables, batches("train")), values)
    if "codes" in values:
        found["codebook"] = _codebook_usage(values)
    return found


def _generalization_gap(train: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> dict[str, float]:
    """How much better training images score than others: the mean difference, its standard error, and both sizes."""
    name = "elbo" if "elbo" in values else "distortion"
    sign = 1 if name == "elbo" else -1
    one, other = (sign * each[name].astype(np.float64) for each in (train, values))
    several = min(len(one), len(other)) > 1
    stderr = math.hypot(mean_and_stderr(one)["stderr"], mean_and_stderr(other)["stderr"]) if several else math.inf
    return {
        "value": float(one.mean() - other.mean()),
        "stderr": stderr,
        "score": float(other.mean()),
        "train_examples": len(one),
        "examples": len(other),
    }


def _codebook_usage(values: dict[str, np.ndarray]) -> dict[str, float]:
    """How many codes there are, K of the rate slots log K; how many were chosen, and would be if all were alike."""
    chosen, rate = values["codes"], values["rate"].mean(dtype=float)
    size = round(math.exp(rate / chosen.shape[1]))
    return {
        "codes": size,
        "used": len(np.unique(chosen)),
        "expected": -size * math.expm1(chosen.size * math.log1p(-1 / size)) if size > 1 else 1.0,
    }
