"""results.json: the run's numbers, each with its standard error and the protocol it was measured by."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae.config import Config
from jaxvae.data.pipeline import in_order
from jaxvae.evaluate.bounds import from_corrupted, summarize
from jaxvae.rundir.checkpoint import RESULTS
from jaxvae.runtime.files import DamagedFile, read_json, write_json
from jaxvae.training.setup import Experiment

VERSION = 1
log = logging.getLogger("jaxvae")
NO_BOUND = {  # the protocol of a model that chooses its z instead of drawing it
    "elbo, log_likelihood, bits_per_dim": "not given: this posterior chooses one z for an image, "
    "where a VAE's draws from a density",
    "rate": "slots x log K, what naming codes costs that are equally probable; of a point 0, by convention",
    "distortion": "-log p(x|z) at the one z of each image",
}


MEASURED = (
    ", in what the encoder was shown in training. Numbers named from_corrupted are measured so, on one draw per image, "
    "fixed by the seed, and against the clean image; all others from clean inputs"
)


def score(experiment: Experiment, variables: Any, step: int) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """(the content of results.json, {split: every example's values}) of these weights, by the config's `evaluate`."""
    config, parts, samples = experiment.config, experiment.parts, experiment.config.evaluate.samples
    results: dict[str, Any] = {"version": VERSION, "protocol": {}, "step": step}
    results["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    values = {}
    for name in config.evaluate.splits:
        batches = partial(in_order, experiment.data.splits[name], config.evaluate.batch_size, experiment.layout)
        values[name] = experiment.evaluate(variables, batches(), samples=samples)
        results[name] = summarize(values[name], samples=samples, bits=parts.bits)
        if experiment.evaluate_corrupted:
            results[name] |= from_corrupted(experiment.evaluate_corrupted(variables, batches()))
    bound = all("elbo" in results[name] for name in config.evaluate.splits)
    results["protocol"] = protocol(experiment, bound=bound)
    return results, values


def protocol(experiment: Experiment, *, bound: bool = True) -> dict[str, str]:
    """How the numbers were measured, in words; what differs from split to split stands with the split's numbers.

    `bound`: whether the model gives a bound on log p(x).
    """
    config, prepare, data = experiment.config, experiment.parts.prepare, experiment.data
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in data.splits.items())
    sources = "; ".join(f"{name} images are {data.source(name)}" for name in data.splits if name != "train")
    best = "elbo" if bound else "rate + distortion"
    chosen = f"at the best validation {best}" if config.train.patience else "at the last step"
    corrupted = experiment.parts.corrupted
    average = f"averaged over steps (EMA {config.optimizer.ema:g}), " if config.optimizer.ema else ""
    fixed = "; scored on one draw per image, fixed by the seed" if prepare.support == "binary" else ""
    density = "densities of values that are no coded pixels: comparable under the same likelihood alone"
    measured = {
        "elbo": "one z per image, KL in closed form where there is one",
        "log_likelihood": "importance-weighted bound (IW-K), K = `samples`, z ~ q(z|x)",
        **({} if experiment.parts.bits else {"bits_per_dim": "not given: " + density}),
    }
    return {
        "data": f"{data.name} {data.version}, fingerprint {data.fingerprint[:12]}",
        "split": f"images: {sizes}; {sources}; a split is scored whole",
        "binarization": prepare.protocol + fixed,
        **({"corruption": corrupted.corruption.protocol + MEASURED} if corrupted else {}),
        "weights": average + chosen,
        **(measured if bound else NO_BOUND),
        "units": "nats: summed over pixels and latents, mean over images; standard errors over images",
        "seed": str(config.train.seed),
    }


def write(workdir: Path, results: dict[str, Any]) -> None:
    """Writes results.json."""
    write_json(workdir / RESULTS, results)


def read(workdir: Path) -> dict[str, Any]:
    """The content of results.json; {} where there is none yet, or, with a warning, where it is damaged."""
    path = workdir / RESULTS
    try:
        return read_json(path) if path.exists() else {}
    except DamagedFile as reason:
        log.warning(
            "%s is damaged (%s): its numbers are not used, and measured again when they are asked for.", path, reason
        )
        return {}


def covers(results: dict[str, Any], config: Config, step: int) -> bool:
    """Whether these results are of this step and hold all that the config's `evaluate` asks for."""
    found = [results.get(split, {}) for split in config.evaluate.splits]
    return results.get("step") == step and all(enough(numbers, config.evaluate.samples) for numbers in found)


def enough(numbers: dict[str, Any], samples: int) -> bool:
    """Whether a split's numbers hold a likelihood of so many samples, or are of a model that has none."""
    if "elbo" not in numbers:
        return "distortion" in numbers
    return numbers.get("log_likelihood", {}).get("samples", 0) >= samples


def lines(results: dict[str, Any]) -> list[str]:
    """The numbers as lines for the screen."""
    text = []
    for split, numbers in results.items():
        if not isinstance(numbers, dict) or "examples" not in numbers:
            continue
        text.append(f"{split}, {numbers['examples']:,} images, step {results['step']:,}, in nats:")
        width = max(16, *(2 + len(name) for name in numbers))
        for name, number in numbers.items():
            if isinstance(number, dict) and isinstance(number["value"], int | float):
                error = (
                    f" +- {number['stderr']:.3f}"
                    if "stderr" in number
                    else f" of {number['of']}"
                    if "of" in number
                    else ""
                )
                detail = f"  (K={number['samples']})" if "samples" in number else ""
                value = f"{number['value']:.3f}" if isinstance(number["value"], float) else number["value"]
                text.append(f"  {name:<{width}}{value}{error}{detail}")
    return text + [
        f"{each['level']}, {each['name']}: {each['says']}" + (f" Try {each['remedy']}" if each["remedy"] else "")
        for each in results.get("diagnosis", ())
        if each["level"] != "fine"
    ]
