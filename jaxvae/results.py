"""results.json: the run's numbers, each with its standard error and the protocol it was measured by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae.build import Parts
from jaxvae.checkpoint import write_durably
from jaxvae.config import Config
from jaxvae.data.dataset import DataSet
from jaxvae.data.pipeline import in_order
from jaxvae.evaluate import summarize

VERSION = 1
RESULTS = "results.json"


def score(
    config: Config, parts: Parts, data: DataSet, evaluate, variables: Any, step: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(the content of results.json, every test example's values) of these weights, by the config's `evaluate`."""
    samples = config.evaluate.samples
    results: dict[str, Any] = {"version": VERSION, "protocol": protocol(config, parts, data), "step": step}
    results["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    values: dict[str, np.ndarray] = {}
    for split in config.evaluate.splits:
        if split not in data.splits:
            raise ValueError(f"evaluate.splits names {split!r}, but this data set has {', '.join(data.splits)}.")
        values = evaluate(variables, in_order(data.splits[split], config.evaluate.batch_size), samples=samples)
        results[split] = summarize(values, samples=samples, bits=parts.bits)
    return results, values


def protocol(config: Config, parts: Parts, data: DataSet) -> dict[str, str]:
    """How the numbers were measured, in words."""
    train, held = len(data.splits["train"]), len(data.splits.get("validation", ()))
    chosen = "at the best validation elbo" if config.train.patience else "at the last step"
    weights = f"averaged over steps (EMA {config.optimizer.ema:g}), " if config.optimizer.ema else ""
    return {
        "data": f"{data.name} {data.version}, fingerprint {data.fingerprint[:12]}",
        "split": f"trained on {train:,} images, {held:,} of the training images held out for validation; "
        + ", ".join(f"{name} {len(split):,}" for name, split in data.splits.items() if name in config.evaluate.splits)
        + " images scored, all of them",
        "binarization": parts.prepare.protocol
        + ("; scored on one draw per image, fixed by the seed" if parts.prepare.support == "binary" else ""),
        "weights": weights + chosen,
        "elbo": "one z per image, KL in closed form where there is one",
        "log_likelihood": f"importance-weighted bound, K={config.evaluate.samples} (IW-{config.evaluate.samples})",
        "units": "nats: summed over pixels and latents, mean over images",
        "seed": str(config.train.seed),
    }


def write(workdir: Path, results: dict[str, Any]) -> None:
    """Writes results.json."""
    write_durably(workdir / RESULTS, results)


def read(workdir: Path) -> dict[str, Any]:
    """The content of results.json; {} where there is none yet."""
    path = workdir / RESULTS
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        return {}


def covers(results: dict[str, Any], config: Config, step: int) -> bool:
    """Whether these results are of this step and hold all that the config's `evaluate` asks for."""
    asked = [results.get(split, {}).get("log_likelihood", {}).get("samples", 0) for split in config.evaluate.splits]
    return results.get("step") == step and all(samples >= config.evaluate.samples for samples in asked)


def lines(results: dict[str, Any]) -> list[str]:
    """The numbers as lines for the screen."""
    text = []
    for split, numbers in results.items():
        if not isinstance(numbers, dict) or "examples" not in numbers:
            continue
        text.append(f"{split}, {numbers['examples']:,} images, step {results['step']:,}, in nats:")
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
                text.append(f"  {name:<16}{value}{error}{detail}")
    return text
