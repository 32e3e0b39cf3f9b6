"""The claim of a run directory: config.json is written, or a run of another config or other data is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.config.serialization import differences, save_config
from jaxvae.data.dataset import DataSet
from jaxvae.rundir import CHECKPOINTS, CONFIG, EVENTS, manifest
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.runtime import multihost

__all__ = ["claim"]


def claim(workdir: Path, config: Config, data: DataSet, say: Callable[[str], None]) -> None:
    """Writes config.json; UsageError if the run there was trained with another config or other data.

    A directory without a checkpoint has nothing to lose: the new config takes it over.
    """
    identity = _identity_of(data, config)
    folders = workdir / CHECKPOINTS, *workdir.glob(f"*/{CHECKPOINTS}")  # the run's, and its members'
    trained = any(manifest.has_checkpoints(folder) for folder in folders)
    if trained and ((workdir / CONFIG).exists() or manifest.has_checkpoints(workdir / CHECKPOINTS)):
        directory = RunDirectory(workdir)
        old, old_data = directory.config, directory.data
        changed = differences(old, config)
        moved = {name: value for name, value in identity.items() if old_data.get(name) != value}
        changed += [f"{name} of the data: {old_data.get(name)} -> {value}" for name, value in moved.items()]
        if changed:
            raise UsageError(
                f"{workdir} holds a run of another config, which differs in\n  "
                + "\n  ".join(changed)
                + "\nGo on with the old config, or train this one elsewhere with --workdir."
            )
        if old.train.steps != config.train.steps and config.optimizer.schedule.startswith("cosine"):
            say(f"the cosine is stretched to {config.train.steps:,} steps: the learning rate jumps here.")
    if multihost.is_first_process():
        if not trained and not _began_with(config, workdir):
            (workdir / EVENTS).unlink(missing_ok=True)  # of a run that left nothing else
        save_config(workdir / CONFIG, config, identity | {"fingerprint": data.fingerprint})
    multihost.broadcast_from_first(0)  # the others continue once the folder is there


def _identity_of(data: DataSet, config: Config) -> dict[str, Any]:
    """Returns the properties of the data that must not change during a run."""
    identity: dict[str, Any] = {
        "name": data.name,
        "version": data.version,
        "shape": list(data.shape),
        "images": {name: len(split) for name, split in data.splits.items()},
    }
    if (size := data.condition_size(config.model.condition)) is not None:
        identity["condition_size"] = size
    if data.own:  # a stock set's fingerprint may differ with the version of a library, its pixels do not
        identity["fingerprint"] = data.fingerprint
    return identity


def _began_with(config: Config, workdir: Path) -> bool:
    """Returns whether the directory's config.json is that of this config."""
    try:
        return not differences(RunDirectory(workdir).config, config)
    except (OSError, ValueError):
        return False
