"""results.json: the run's numbers, each with its standard error, and the protocol; and finished runs, validated."""

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae._checks import UsageError, is_instance, short_repr
from jaxvae.config import Config
from jaxvae.config.registry import split_list
from jaxvae.config.serialization import config_from_json
from jaxvae.rundir import CONFIG, METRICS, RESULTS, TIMING
from jaxvae.rundir.run import Run, load_run
from jaxvae.rundir.run_directory import RESTORE, RunDirectory
from jaxvae.rundir.scores import read_scores
from jaxvae.runtime.console import format_decimals
from jaxvae.runtime.files import write_json

__all__ = ["EVALUATION_SEED", "FinishedRun", "draws_of", "format_results", "format_split", "is_complete"]
__all__ += ["read_finished_run", "read_results", "splits_of", "write_results"]

_NUMBERS = ("elbo", "log_likelihood", "rate", "distortion", "active_units", "code_perplexity", "bits_per_dim")
_log = logging.getLogger("jaxvae")
EVALUATION_SEED = 0  # whose evaluation key scores the runs of every train.seed


def draws_of(seed: int) -> str:
    """Returns the protocol entry 'draws' of numbers that the evaluation key of this seed gave."""
    return f"binarization and z by the evaluation key of seed {seed} and the index of each image"


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
    least = config.evaluate.samples  # of a model with a bound
    scored = all(
        each.get("log_likelihood", {}).get("samples", 0) >= least if "elbo" in each else "distortion" in each
        for each in splits
    )
    metrics, protocol = split_list(config.evaluate.metrics), results.get("protocol", {})
    return results.get("step") == step and scored and all(f"metric {each}" in protocol for each in metrics)


def splits_of(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the entries of results.json that are the numbers of a split."""
    return {name: each for name, each in results.items() if isinstance(each, dict) and "examples" in each}


def format_results(results: dict[str, Any]) -> list[str]:
    """Returns the numbers as lines for the terminal."""
    lines = []
    for split, numbers in splits_of(results).items():
        head = f"{split}, {numbers['examples']:,} images, step {results['step']:,}"
        lines += format_split(head, numbers, "value", "stderr")
    for finding in results.get("diagnosis", ()):
        if finding["level"] != "fine":
            remedy = f" Try {finding['remedy']}" if finding["remedy"] else ""
            lines.append(f"{finding['level']}, {finding['name']}: {finding['says']}{remedy}")
    return lines


def format_split(head: str, numbers: dict[str, Any], value: str, error: str) -> list[str]:
    """Returns the numbers of a split as lines; each has its value and its error under these keys."""
    lines, width = [f"{head}, in nats, unless named bits:"], max(16, *(2 + len(name) for name in numbers))
    lines = lines if "bits_per_dim" in numbers else [f"{head}, in nats:"]
    for name, number in numbers.items():
        if isinstance(number, dict) and isinstance(number[value], int | float):
            text = format_decimals(number[value], 3) if isinstance(number[value], float) else f"{number[value]}"
            if number.get(error) is not None:
                text += f" +- {format_decimals(number[error], 3)}"
            elif isinstance(number.get("of"), int):
                text += f" of {number['of']}"
            origin = [f"from {number['of']}"] if isinstance(number.get("of"), str) else []
            origin += [f"K={number['samples']}"] if "samples" in number else []
            lines.append(f"  {name:<{width}}{text}" + (f"  ({', '.join(origin)})" if origin else ""))
    return lines


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run with its weights and its validated numbers.

    Args:
        test: the numbers of the test split, {name: {"value", "stderr", "samples" or "of"}}, in nats.
        scores: {name: [N]} of every test image where scores.npz has them, for paired differences.
        diagnosis: the findings of results.json, each with its "numbers".
        seconds: of the steps, without validations, checkpoints, the final evaluation and steps lost by a kill.
        skipped: how many steps had no finite loss or gradient.

    `protocol`, `environment` and `diagnosis` hold text of unknown origin.
    """

    name: str
    run: Run
    test: dict[str, dict[str, Any]]
    scores: dict[str, np.ndarray]
    parameters: int
    protocol: dict[str, str]
    environment: dict[str, Any]
    diagnosis: tuple[dict[str, Any], ...]
    seconds: float
    skipped: int


def read_finished_run(workdir: Path) -> FinishedRun:
    """Reads the finished run of this directory; UsageError says why it cannot be shown. No code of it runs."""
    name, path = workdir.resolve().name, workdir / RESULTS
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise UsageError(f"{workdir}: its name is in a page's files; rename it with letters, digits and - _ . only.")
    directory = RunDirectory(workdir)
    config_from_json(directory.config_json, str(workdir / CONFIG))  # the copy in the checkpoints does not do for a page
    run, results = load_run(directory), directory.results
    if results is None:
        raise UsageError(f"{workdir} is not finished: it has no {RESULTS}. Run the command that trained it again.")
    if results.get("step") != run.step:
        raise UsageError(
            f"{workdir}: its numbers are of step {short_repr(results.get('step'))}, its last intact weights of step "
            f"{run.step:,}. Run the command that trained it again."
        )
    steps = run.config.train.steps
    if run.step != steps and run.config.train.patience is None:
        raise UsageError(f"{workdir} is not finished: it has taken {run.step:,} of {steps:,} steps. Train it on.")
    parameters, protocol = results.get("parameters", 0), results.get("protocol", {})
    texts = protocol.values() if isinstance(protocol, dict) else [None]
    if not is_instance(parameters, int) or not all(is_instance(text, str) for text in texts):
        raise _damaged(path, "expected its parameters and its protocol")
    found = results.get("diagnosis")
    findings = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    test, environment = _test_numbers(results, path), directory.environment
    last: Any = directory.timing[-1].get("step") if directory.timing else None
    seconds: list[Any] = [line.get("seconds") for line in directory.timing if run.step > 0]
    complete = run.step == 0 or (is_instance(last, int) and last >= run.step)
    if not complete or not all(is_instance(each, float) for each in seconds):
        raise _damaged(workdir / TIMING, f"expected the seconds of all {run.step:,} steps")
    counts = [line.get("skipped", 0) for line in directory.metrics if line.get("split") == "train"]
    if not all(is_instance(count, float) for count in counts):
        raise _damaged(workdir / METRICS, "expected numbers of skipped steps")
    return FinishedRun(
        name=name,
        run=run,
        test=test,
        scores=read_scores(workdir, "test", test),
        parameters=parameters,
        protocol={"draws": draws_of(run.config.train.seed)} | protocol,  # of runs before there was the entry
        environment=environment,
        diagnosis=tuple(each for each in findings if isinstance(each.get("numbers"), dict)),
        seconds=float(sum(seconds)),
        skipped=int(max(counts, default=0)),
    )


def _test_numbers(results: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    test = results.get("test")
    if not isinstance(test, dict) or "distortion" not in test:
        raise UsageError(f"{path} has no numbers of the test split. Run: jaxvae evaluate {path.parent} --splits test")
    found = {name: test[name] for name in _NUMBERS if name in test}
    for name, number in found.items():
        fields = number if isinstance(number, dict) else {}
        kinds = {"value": float, "stderr": float | None, "samples": int | None, "of": int | str | None}
        if not all(is_instance(fields.get(field), kind) for field, kind in kinds.items()):
            raise _damaged(path, f"test.{name}={short_repr(number)}: expected a value and its error")
    return found


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path} is damaged: {reason}. {RESTORE}")
