"""The diagnosis of a trained model: what is measured of it beyond its scores, for the rules to read."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array, random

from jaxvae.data.dataset import draw_rows
from jaxvae.data.pipeline import in_order
from jaxvae.evaluate.aggregate_posterior import compare_to_prior
from jaxvae.evaluate.bounds import mean_and_stderr, summarize
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.state import make_first_state, variables_of
from jaxvae.training.diagnosis_rules import apply_rules
from jaxvae.training.setup import Experiment
from jaxvae.training.validation import score_of

__all__ = ["diagnose", "measure_run"]

_MOST_EXAMPLES = 2000  # that are measured
_SEED = 2  # which chooses them
_COIN = math.log(2)  # nats a pixel, of a fair coin: a model that scores better did not diverge
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

    They are about the validation images if there are any, as options are chosen by them. Otherwise they are about the
    test images, or the training images if no others were scored.
    """
    splits, seen = experiment.data.splits, {name: each for name, each in values.items() if name != "left_out"}
    if "validation" in splits and "validation" not in seen:
        batches = in_order(splits["validation"], experiment.config.evaluate.batch_size, experiment.layout)
        seen["validation"] = experiment.evaluate(variables, batches)
    split = next((name for name in ("validation", "test", "train") if name in seen), None)
    if split is None:
        return
    numbers, lines = summarize(seen[split]), read_metrics(workdir)
    measured: dict[str, Any] = {"split": split}
    if np.isfinite(seen[split]["rate"] + seen[split]["distortion"]).all():
        measured = measure_run(experiment, variables, split, seen[split])
    scores = [(line["step"], score_of(line)) for line in lines if line.get("split") == "validation"]
    measured["validation"] = [(step, score) for step, score in scores if score is not None and math.isfinite(score)]
    betas = [line["beta"] for line in lines if "beta" in line and line["step"] <= results["step"]]
    results["diagnosis"] = apply_rules(experiment.config, numbers, measured, betas)
    results["protocol"]["diagnosis"] = f"on the {split} split. {_PROTOCOL}"


def measure_run(experiment: Experiment, variables: Any, split: str, values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns what the rules need beyond the scores, of some examples of the split, and of the training images."""
    config, layout, splits = experiment.config, experiment.layout, experiment.data.splits

    def batches(name: str):
        few = draw_rows(splits[name], min(len(splits[name]), _MOST_EXAMPLES), _SEED)[0]  # the same ones every time
        return in_order(few, config.evaluate.batch_size, layout)

    codes = experiment.codes(variables, batches(split))
    found: dict[str, Any] = {"split": split, "meeting": compare_to_prior(codes)}
    if "square_error" in codes and experiment.parts.objective.draw_weights is None:  # one draw implies no sigma of K
        error = codes["square_error"].mean(dtype=float)
        found["sigma"] = {"used": float(codes["scale"][0]), "implied": math.sqrt(error)}
    if (values["rate"] + values["distortion"]).mean() > _COIN * math.prod(experiment.data.shape):
        found["untrained"] = _score_untrained(experiment, batches(split))
    if split != "train":
        found["gap"] = _generalization_gap(experiment.evaluate(variables, batches("train")), values)
    if "codes" in values:
        chosen, rate = values["codes"], values["rate"].mean(dtype=float)
        size = round(math.exp(rate / chosen.shape[1]))  # the rate of each slot is log K
        expected = -size * math.expm1(chosen.size * math.log1p(-1 / size)) if size > 1 else 1.0  # if all were alike
        found["codebook"] = {"codes": size, "used": len(np.unique(chosen)), "expected": expected}
    return found


def _score_untrained(experiment: Experiment, batches: Iterable) -> dict[str, float]:
    """Returns the mean rate and distortion of the weights before the first step."""
    make, layout = make_first_state(experiment.config, experiment.parts), experiment.layout
    keys = random.clone(experiment.init_key), random.clone(experiment.train_key)

    def draw(init_key: Array, train_key: Array) -> Any:
        return variables_of(make(init_key=init_key, train_key=train_key))

    places = layout.state_shardings(jax.eval_shape(draw, *keys)) if layout.is_distributed else None
    values = experiment.evaluate(jax.jit(draw, out_shardings=places)(*keys), batches)
    return {name: float(values[name].mean(dtype=float)) for name in ("rate", "distortion")}


def _generalization_gap(train: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> dict[str, float]:
    """How much better training images score than others: the mean difference, its standard error, and both sizes."""
    name = "elbo" if "elbo" in values else "distortion"
    sign = 1 if name == "elbo" else -1
    one, other = (sign * each[name].astype(np.float64) for each in (train, values))
    several = min(len(one), len(other)) > 1
    stderr = math.hypot(mean_and_stderr(one)["stderr"], mean_and_stderr(other)["stderr"]) if several else math.inf
    found = {"value": float(one.mean() - other.mean()), "stderr": stderr, "score": float(other.mean())}
    return found | {"train_examples": len(one), "examples": len(other)}
