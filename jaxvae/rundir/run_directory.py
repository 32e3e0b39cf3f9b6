"""The record files of a run directory, read and checked in one place."""

import dataclasses
import json
import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError, is_instance, short_repr
from jaxvae.config import Config
from jaxvae.config.schema import is_ensemble
from jaxvae.config.serialization import config_from_json
from jaxvae.rundir import CHECKPOINTS, CONFIG, METRICS, RESULTS, TIMING, manifest
from jaxvae.rundir.metrics_log import begins_with, read_log, read_metrics
from jaxvae.runtime.environment import ENVIRONMENT
from jaxvae.runtime.files import DamagedFile, read_json

__all__ = ["RESTORE", "RunDirectory"]
RESTORE = "Restore it, or run the command that trained it again."
_log = logging.getLogger("jaxvae")


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """The record files of a run directory. Each is read and checked once, when it is first used.

    UsageError names what is missing or damaged, and the next step. No code of the directory runs. All text in these
    files is of unknown origin.

        directory = RunDirectory(Path("runs/digits"))
        directory.config.model.latent_dim
        directory.results["test"]["elbo"]["value"]
    """

    workdir: Path

    @property
    def config(self) -> Config:
        """The validated config. If config.json is lost or damaged, the copy in the checkpoints, with a warning."""
        return self._config_and_data[0]

    @property
    def data(self) -> dict[str, Any]:
        """The data entry of config.json: name, version, shape [*X], images of each split, condition_size."""
        return self._config_and_data[1]

    @cached_property
    def config_json(self) -> dict[str, Any]:
        """The content of config.json as it is, without the copy in the checkpoints and without validated fields."""
        return self._read_json(CONFIG)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """The content of environment.json."""
        return self._read_json(ENVIRONMENT)

    @cached_property
    def results(self) -> dict[str, Any] | None:
        """The content of results.json; None before the final evaluation."""
        return self._read_json(RESULTS) if (self.workdir / RESULTS).exists() else None

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, [] without the file. A last line that a crash cut off is left out."""
        return self._read_lines(METRICS)

    @cached_property
    def timing(self) -> list[dict[str, Any]]:
        """The lines of timing.jsonl, as `metrics`."""
        return self._read_lines(TIMING)

    @cached_property
    def members(self) -> list[Path]:
        """The run directories of train.seeds or train.sweep in this one, sorted; [] of a single run."""
        return sorted(path.parent for path in self.workdir.glob(f"*/{CONFIG}")) if is_ensemble(self.config) else []

    @cached_property
    def _config_and_data(self) -> tuple[Config, dict[str, Any]]:
        path, copy = self.workdir / CONFIG, manifest.saved_config(self.workdir / CHECKPOINTS)
        try:
            return config_from_json(self.config_json, str(path))
        except UsageError as error:
            if not copy:
                raise
            reason = str(error) if path.exists() else f"{path} is gone."
        _log.warning("%s The copy in the checkpoints is used.", reason)
        return config_from_json(copy, f"the copy of {path} in its checkpoints")

    def warn_of_mismatch(self, step: int) -> None:
        """Warns if results.json or metrics.jsonl is not of the weights of this step, or cannot be read."""
        folder, path = self.workdir / CHECKPOINTS, self.workdir / METRICS
        try:
            scored, content = (self.results or {}).get("step"), read_log(path)
        except (OSError, UsageError) as error:
            _log.warning("%s", error)
            return
        newest = max(manifest.saved_steps(folder), default=step)
        if scored is not None and scored != step:
            later = is_instance(scored, int) and scored > step
            remedy = "A later checkpoint is missing or damaged. Run the command that trained it again."
            _log.warning(
                "%s: %s is of step %s, the weights are of step %d: its numbers are of other weights. %s",
                self.workdir,
                RESULTS,
                short_repr(scored),
                step,
                remedy if later else f"Score them: jaxvae evaluate {self.workdir}",
            )
        elif newest < (last := max((int(line["step"]) for line in read_metrics(self.workdir)), default=0)):
            text = "%s: %s goes to step %d, the newest checkpoint is of step %d: a later one is missing or not saved."
            _log.warning(text, self.workdir, METRICS, last, newest)
        if not begins_with(content, manifest.metrics_fingerprint(folder, step)):
            _log.warning("%s is damaged or gone: its lines up to step %d are not those that were saved.", path, step)

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.workdir / name
        try:
            return read_json(path)
        except DamagedFile as error:
            raise UsageError(f"{path} is damaged ({error}). {RESTORE}") from error
        except FileNotFoundError:
            reason = f"it has no {name}" if self.workdir.is_dir() else "there is no such folder"
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror}). {RESTORE}") from error
        if self.workdir.is_dir() and name != CONFIG:
            raise UsageError(f"{self.workdir} is not finished: {reason}. Run the command that trained it again.")
        raise UsageError(
            f"{self.workdir} is no run directory: {reason}. Give the path of one, such as runs/digits, or train one: "
            "python train.py --config configs/digits.py"
        )

    def _read_lines(self, name: str) -> list[dict[str, Any]]:
        path = self.workdir / name
        texts = read_log(path).splitlines()
        found = []
        for number, text in enumerate(texts, start=1):
            try:
                line = json.loads(text)
                if not isinstance(line, dict):
                    raise UsageError(f"a {type(line).__name__}, no object")
            except (ValueError, RecursionError) as error:
                if number < len(texts):
                    raise UsageError(f"{path} is damaged: line {number} is no JSON ({error}). {RESTORE}") from error
                continue
            found.append(line)
        return found
