"""A finished run: its weights and its numbers, validated; a run that is unfinished or damaged is refused."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError, is_instance, short_repr
from jaxvae.config.serialization import config_from_json
from jaxvae.rundir import CONFIG, METRICS, RESULTS, TIMING
from jaxvae.rundir.run import Run, load_run
from jaxvae.rundir.run_directory import RESTORE, RunDirectory

__all__ = ["FinishedRun", "read_finished_run"]
_NUMBERS = ("elbo", "log_likelihood", "rate", "distortion", "active_units", "code_perplexity", "bits_per_dim")


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run with its weights and its validated numbers.

    Args:
        test: the numbers of the test split, {name: {"value", "stderr", "samples" or "of"}}, in nats.
        diagnosis: the findings of results.json, each with its "numbers".
        seconds: of the steps, without validations, checkpoints, the final evaluation and steps lost by a kill.
        skipped: how many steps had no finite loss or gradient.

    `protocol`, `environment` and `diagnosis` hold text of unknown origin.
    """

    name: str
    run: Run
    test: dict[str, dict[str, Any]]
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
        raise UsageError(
            f"{workdir}: a page's files have its runs' names; rename it with letters, digits and - _ . only."
        )
    directory = RunDirectory(workdir)
    config_from_json(directory.config_json, str(workdir / CONFIG))  # the copy in the checkpoints does not do for a page
    run, results = load_run(directory), directory.results
    if results is None:
        raise UsageError(f"{workdir} is not finished: it has no {RESULTS}. Run the command that trained it again.")
    _require_last_step(run, results, workdir)
    parameters, protocol = results.get("parameters", 0), results.get("protocol", {})
    texts = protocol.values() if isinstance(protocol, dict) else [None]
    if not is_instance(parameters, int) or not all(is_instance(text, str) for text in texts):
        raise _damaged(path, "expected its parameters and its protocol")
    found = results.get("diagnosis")
    findings = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return FinishedRun(
        name=name,
        run=run,
        test=_test_numbers(results, path),
        parameters=parameters,
        protocol=protocol,
        environment=directory.environment,
        diagnosis=tuple(each for each in findings if isinstance(each.get("numbers"), dict)),
        seconds=_seconds_of(directory, run.step),
        skipped=_skipped_of(directory),
    )


def _require_last_step(run: Run, results: dict[str, Any], workdir: Path) -> None:
    """UsageError unless the numbers are those of the weights, at the end of training."""
    if results.get("step") != run.step:
        raise UsageError(
            f"{workdir}: its numbers are of step {short_repr(results.get('step'))}, its last intact weights of step "
            f"{run.step:,}. Run the command that trained it again."
        )
    steps = run.config.train.steps
    if run.step != steps and run.config.train.patience is None:
        raise UsageError(
            f"{workdir} is not finished: it has taken {run.step:,} of {steps:,} steps. Train it to its end."
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


def _seconds_of(directory: RunDirectory, step: int) -> float:
    """Returns the seconds of the steps, the compiling of the first included; 0 without steps."""
    if step == 0:
        return 0.0
    last: Any = directory.timing[-1].get("step") if directory.timing else None
    seconds: list[Any] = [line.get("seconds") for line in directory.timing]
    if not is_instance(last, int) or last < step or not all(is_instance(each, float) for each in seconds):
        raise _damaged(directory.workdir / TIMING, f"expected the seconds of all {step:,} steps")
    return float(sum(seconds))


def _skipped_of(directory: RunDirectory) -> int:
    counts = [line.get("skipped", 0) for line in directory.metrics if line.get("split") == "train"]
    if not all(is_instance(count, float) for count in counts):
        raise _damaged(directory.workdir / METRICS, "expected numbers of skipped steps")
    return int(max(counts, default=0))


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path} is damaged: {reason}. {RESTORE}")
