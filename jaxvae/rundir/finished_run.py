"""A finished run as its directory tells it: what is missing, unfinished or damaged is refused in words that name it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError, is_instance, short_repr
from jaxvae.config.serialization import load_config
from jaxvae.rundir.checkpoint import RESULTS
from jaxvae.rundir.metrics_log import METRICS, TIMING
from jaxvae.rundir.run import CONFIG, Run, load
from jaxvae.runtime.environment import ENVIRONMENT
from jaxvae.runtime.files import DamagedFile, read_json

_NUMBERS = ("elbo", "log_likelihood", "rate", "distortion", "active_units", "code_perplexity")
_AGAIN = "Restore it, or train the run again."


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run with its weights; `test`: the numbers of its test split; `seconds` that its steps took, and the `skipped`.

    `protocol` and `environment` are text of unknown origin.
    """

    name: str
    run: Run
    test: dict[str, dict[str, Any]]
    parameters: int
    protocol: dict[str, str]
    environment: dict[str, Any]
    seconds: float
    skipped: int


def read(workdir: Path) -> Finished:
    """The run of this directory; ValueError says why it is none that can be shown. No code of it runs."""
    name = workdir.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise UsageError(
            f"{workdir}: a page's files have its runs' names; rename it with letters, digits and - _ . only."
        )
    if not (workdir / CONFIG).exists():
        raise UsageError(f"{workdir} is no run directory: it has no {CONFIG}. Name what `jaxvae train` made.")
    load_config(workdir / CONFIG)  # `load` would make do with the copy in the checkpoints
    run, results = load(workdir), content(workdir / RESULTS)
    _require_last_step(run, results, workdir)
    parameters, protocol = results.get("parameters", 0), results.get("protocol", {})
    if (
        not is_instance(parameters, int)
        or not isinstance(protocol, dict)
        or not all(is_instance(t, str) for t in protocol.values())
    ):
        raise UsageError(f"{workdir / RESULTS} is damaged: expected its parameters and its protocol. {_AGAIN}")
    return Finished(
        *(name, run, _test_numbers(results, workdir / RESULTS), parameters, protocol, content(workdir / ENVIRONMENT)),
        seconds=_seconds_of(workdir, run.step),
        skipped=_skipped_of(workdir),
    )


def content(path: Path) -> dict[str, Any]:
    """The content of one of the run's JSON files; ValueError where it is not there or not what was written."""
    try:
        return read_json(path)
    except FileNotFoundError:
        raise UsageError(
            f"{path.parent} is not finished: it has no {path.name}. Go on with it by the command that trained it."
        ) from None
    except DamagedFile as reason:
        raise UsageError(f"{path} is damaged ({reason}). {_AGAIN}") from reason


def _require_last_step(run: Run, results: dict[str, Any], workdir: Path) -> None:
    """ValueError unless the numbers are of the weights that are there, and those of the training's end."""
    if results.get("step") != run.step:
        raise UsageError(
            f"{workdir}: its numbers are of step {short_repr(results.get('step'))}, its last intact weights of step "
            f"{run.step:,}. Go on with it by the command that trained it."
        )
    steps = run.config.train.steps
    if run.step != steps and run.config.train.patience is None:
        raise UsageError(
            f"{workdir} is not finished: it has taken {run.step:,} of {steps:,} steps. Train it to its end."
        )


def _test_numbers(results: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """The numbers of the test split that a page shows."""
    test = results.get("test")
    if not isinstance(test, dict) or "distortion" not in test:
        raise UsageError(f"{path} has no numbers of the test split. Run: jaxvae evaluate {path.parent} --splits test")
    found = {name: test[name] for name in _NUMBERS if name in test}
    for name, number in found.items():
        fields = number if isinstance(number, dict) else {}
        whole = all(is_instance(fields.get(field), int | None) for field in ("samples", "of"))
        if (
            not whole
            or not is_instance(fields.get("value"), float)
            or not is_instance(fields.get("stderr"), float | None)
        ):
            raise UsageError(
                f"{path} is damaged: test.{name}={short_repr(number)}: expected a value and its error. {_AGAIN}"
            )
    return found


def _seconds_of(workdir: Path, step: int) -> float:
    """Seconds that the steps took, the compiling of the first among them, by timing.jsonl; 0 without steps.

    Validations, checkpoints and the scoring at the end are not counted, nor what was done in vain before a kill.
    """
    if step == 0:
        return 0.0
    timed = list(_lines_of(workdir / TIMING))
    if not timed or timed[-1]["step"] < step or not all(is_instance(line.get("seconds"), float) for line in timed):
        raise UsageError(f"{workdir / TIMING} is damaged: expected the seconds of all {step:,} steps. {_AGAIN}")
    return float(sum(line["seconds"] for line in timed))


def _skipped_of(workdir: Path) -> int:
    """How many steps were skipped, because a loss or gradient was not finite."""
    counts = [line.get("skipped", 0) for line in _lines_of(workdir / METRICS) if line.get("split") == "train"]
    if not all(is_instance(count, float) for count in counts):
        raise UsageError(f"{workdir / METRICS} is damaged: expected numbers of skipped steps. {_AGAIN}")
    return int(max(counts, default=0))


def _lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of one of the run's logs."""
    for number, text in enumerate(path.read_bytes().splitlines() if path.exists() else (), start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path} is damaged: line {number} is no JSON ({error}). {_AGAIN}") from error
        if not isinstance(line, dict) or not is_instance(line.get("step"), int):
            raise UsageError(f"{path} is damaged: line {number} is of no step. {_AGAIN}")
        yield line
