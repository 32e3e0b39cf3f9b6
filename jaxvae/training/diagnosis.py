"""The diagnosis of a run's weights: what is measured for it besides the scores, and where it is kept."""

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

__all__ = ["MAX_DIAGNOSED", "diagnose", "measure_run"]

MAX_DIAGNOSED = 2000  # examples looked at once more
_SEED = 2  # of which they are
_PROTOCOL = (
    f"of at most {MAX_DIAGNOSED:,} images N, one z ~ q(z|x) each, and as many draws of the prior: told apart by "
    "their nearest neighbours; rate = I(i; z) + KL(q(z) || p(z)), q(z) the mean of the N posteriors, exact for these "
    "N. For the images that they stand for, this KL is too large in expectation, and I <= log N too small. It is at "
    "least 2 (2 a - 1)^2, a the share told apart, and what q(z) without each z's own posterior gives, up to noise"
)


def diagnose(
    experiment: Experiment,
    variables: Any,
    results: dict[str, Any],
    values: dict[str, dict[str, np.ndarray]],
    workdir: Path,
) -> None:
    """Adds the findings about the weights that were scored to the `results` that `scoring.score` gave with `values`.

    Of the test images, or else of the first split that was scored; none where a score is not finite. Classes that
    training never saw say nothing of its health. All processes measure, as all of them score.
    """
    seen = [name for name in values if name != "left_out"]
    if not seen:
        return
    split = "test" if "test" in seen else seen[0]
    results["diagnosis"] = []
    if not np.isfinite(values[split]["rate"] + values[split]["distortion"]).all():
        return  # there is nothing to be said of such numbers; training said where they came from
    measured = measure_run(experiment, variables, split, values[split])
    betas = [line["beta"] for line in read_metrics(workdir, results["step"]) if "beta" in line]
    results["diagnosis"] = apply_rules(experiment.config, results[split], measured, betas)
    results["protocol"]["diagnosis"] = _PROTOCOL


def measure_run(experiment: Experiment, variables: Any, split: str, values: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the findings need besides the scores: of at most MOST examples of the split, and as many training images."""
    config, layout, splits = experiment.config, experiment.layout, experiment.data.splits

    def batches(name: str):
        count = min(len(splits[name]), len(splits[split]), MAX_DIAGNOSED)
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
