"""results.json: the run's numbers, each with its standard error, and the protocol that measured them."""

import logging
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.config.registry import split_list
from jaxvae.rundir import RESULTS
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.runtime.files import write_json

__all__ = ["format_results", "is_complete", "read_results", "write_results"]
_log = logging.getLogger("jaxvae")


def write_results(workdir: Path, results: dict[str, Any]) -> None:
    """Writes results.json."""
    write_json(workdir / RESULTS, results)


def read_results(workdir: Path) -> dict[str, Any]:
    """Returns the content of results.json; {} without one, and with a warning if it is damaged."""
    try:
        return RunDirectory(workdir).results or {}
    except UsageError as reason:
        _log.warning("%s Its numbers are not used.", reason)
        return {}


def is_complete(results: dict[str, Any], config: Config, step: int) -> bool:
    """Returns whether these results are of this step and hold the splits, samples and metrics of `config.evaluate`."""
    splits = [results.get(split, {}) for split in config.evaluate.splits]
    scored = all(_has_samples(each, config.evaluate.samples) for each in splits)
    metrics, protocol = split_list(config.evaluate.metrics), results.get("protocol", {})
    return results.get("step") == step and scored and all(f"metric {each}" in protocol for each in metrics)


def _has_samples(numbers: dict[str, Any], samples: int) -> bool:
    """Returns whether a split has a likelihood of that many samples, or is of a model without one."""
    if "elbo" not in numbers:
        return "distortion" in numbers
    return numbers.get("log_likelihood", {}).get("samples", 0) >= samples


def format_results(results: dict[str, Any]) -> list[str]:
    """Returns the numbers as lines for the terminal."""
    lines = []
    splits = {name: each for name, each in results.items() if isinstance(each, dict) and "examples" in each}
    for split, numbers in splits.items():
        lines.append(f"{split}, {numbers['examples']:,} images, step {results['step']:,}, in nats:")
        width = max(16, *(2 + len(name) for name in numbers))
        for name, number in numbers.items():
            if isinstance(number, dict) and isinstance(number["value"], int | float):
                text = f"{number['value']:.3f}" if isinstance(number["value"], float) else f"{number['value']}"
                if "stderr" in number:
                    text += f" +- {number['stderr']:.3f}"
                elif "of" in number:
                    text += f" of {number['of']}"
                lines.append(f"  {name:<{width}}{text}" + (f"  (K={number['samples']})" if "samples" in number else ""))
    for finding in results.get("diagnosis", ()):
        if finding["level"] != "fine":
            remedy = f" Try {finding['remedy']}" if finding["remedy"] else ""
            lines.append(f"{finding['level']}, {finding['name']}: {finding['says']}{remedy}")
    return lines
