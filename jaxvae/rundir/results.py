"""results.json: the run's numbers, each with its standard error and the protocol it was measured by."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.rundir import RESULTS
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.runtime.files import write_json

log = logging.getLogger("jaxvae")


def write_results(workdir: Path, results: dict[str, Any]) -> None:
    """Writes results.json."""
    write_json(workdir / RESULTS, results)


def read_results(workdir: Path) -> dict[str, Any]:
    """Returns the content of results.json; {} without one, and with a warning if it is damaged."""
    try:
        return RunDirectory(workdir).results or {}
    except UsageError as reason:
        log.warning("%s Its numbers are not used.", reason)
        return {}


def is_complete(results: dict[str, Any], config: Config, step: int) -> bool:
    """Whether these results are of this step and hold all that the config's `evaluate` asks for."""
    found = [results.get(split, {}) for split in config.evaluate.splits]
    return results.get("step") == step and all(enough(numbers, config.evaluate.samples) for numbers in found)


def enough(numbers: dict[str, Any], samples: int) -> bool:
    """Whether a split's numbers hold a likelihood of so many samples, or are of a model that has none."""
    if "elbo" not in numbers:
        return "distortion" in numbers
    return numbers.get("log_likelihood", {}).get("samples", 0) >= samples


def format_results(results: dict[str, Any]) -> list[str]:
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
