"""The training of an ensemble: several members in one program, each in a run directory of its own, and their summary.

A member's directory is that of an ordinary run: it can be loaded, evaluated and trained further alone.
"""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.data.pipeline import choose_pipeline
from jaxvae.rundir import checkpoint, event_log, manifest
from jaxvae.rundir.lock import lock_run_directory
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import abstract_state, make_first_state
from jaxvae.runtime.files import write_json
from jaxvae.runtime.sharding import one_device
from jaxvae.runtime.signals import Shutdown
from jaxvae.step import State
from jaxvae.training import rollback
from jaxvae.training.engine import Engine
from jaxvae.training.ensemble.engine import make_members_engine
from jaxvae.training.ensemble.members import SUMMARY, EnsembleMember, format_summary, members_of, summarize_members
from jaxvae.training.initial_state import copy_weights_from, follow_rollback
from jaxvae.training.loop import TrainingRun, take_steps
from jaxvae.training.rollback import Streak
from jaxvae.training.setup import free_device_memory, require_memory, set_up, set_up_member
from jaxvae.training.train import claim_all, conclude, of_arrays, print_nothing

__all__ = ["common_step", "initial_states", "set_up_runs", "take_all_steps", "train_and_evaluate_members"]
__all__ += ["train_members"]

_log = logging.getLogger("jaxvae")


def train_members(config: Config, workdir: str | Path | None = None, arrays: Any = None) -> list[Run]:
    """Trains the members of train.seeds and train.sweep in a notebook or a script; arguments as of `jaxvae.train`.

    Returns the members' runs, without those whose last steps had no finite loss.
    """
    where, command = workdir or tempfile.mkdtemp(prefix="jaxvae-"), "jaxvae.train_members(config)"
    return train_and_evaluate_members(of_arrays(config, arrays), where, arrays=arrays, command=command)


def train_and_evaluate_members(
    config: Config,
    workdir: str | Path,
    *,
    arrays: Any = None,
    command: str = "",
    say: Callable[[str], None] = print,
    shutdown: Shutdown | None = None,
) -> list[Run]:
    """Trains all members, or continues those of this directory; evaluates and reports each, and writes the summary."""
    workdir, members, shutdown = Path(workdir), members_of(config), shutdown or Shutdown()
    with contextlib.ExitStack() as held:
        for folder in (workdir, *(workdir / member.name for member in members)):
            held.enter_context(lock_run_directory(folder, say, shutdown))
        runs = set_up_runs(members, workdir, arrays, say)
        engine = make_members_engine(members, [run.experiment for run in runs])
        data = runs[0].experiment.data
        places = [(workdir, config, say), *((run.workdir, run.config, print_nothing) for run in runs)]
        name = f"{engine.name} of {len(runs)} members"
        claim_all(places, data, engine=name, pipeline="resident", command=command)
        images, listed = len(data.splits["train"]), ", ".join(run.name for run in runs)
        members_text = f"{len(runs)} member{'s' * (len(runs) > 1)} ({listed})"
        say(f"{data.name}: {images:,} training images, {members_text}, {engine.name} engine")
        states = take_all_steps(runs, engine, shutdown, say)
        concluded, failed = [], []
        for run, state in zip(runs, states, strict=True):
            if int(state.guard.streak) >= rollback.MAX_SKIPPED:
                say(f"{run.name}: its last steps had no finite loss or gradient; it is not scored.")
                failed.append(run.name)
            else:
                concluded.append(conclude(run, state, print_nothing))
                say(f"{run.name}: scored, drawn and reported")
        summary = summarize_members(workdir, members, failed)
        write_json(workdir / SUMMARY, summary)
        for line in format_summary(summary):
            say(line)
        say(f"summary: {workdir / SUMMARY}; a report in each member's directory")
        return concluded


def set_up_runs(
    members: Sequence[EnsembleMember], workdir: Path, arrays: Any, say: Callable[[str], None]
) -> list[TrainingRun]:
    """Returns the members' runs, which share data and compiled functions; UsageError if they cannot."""
    first = set_up(members[0].config, arrays, say, one_device())
    config = first.config
    pipeline = choose_pipeline(config.data.pipeline, first.data.splits["train"], free_bytes=free_device_memory())
    if pipeline != "resident":
        why = f"{first.data.name} does not fit into the memory of the device. Train them one by one: train.seeds=1."
        raise UsageError(f"several members gather their batches on the device, but {why}")
    if jax.process_count() > 1:
        own = "give each process a train.seed of its own, with train.seeds=1."
        raise UsageError(f"several members train in one process, and there are {jax.process_count()}: {own}")
    if jax.local_device_count() > 1:
        say(f"the members train on the first of {jax.local_device_count()} devices.")
    experiments = [first, *(set_up_member(member.config, first) for member in members[1:])]
    return [TrainingRun(one, workdir / each.name, each.name) for each, one in zip(members, experiments, strict=True)]


def take_all_steps(
    runs: Sequence[TrainingRun], engine: Engine, shutdown: Shutdown, say: Callable[[str], None]
) -> list[State]:
    """Takes the remaining steps of all members; returns their last states.

    A member whose steps are skipped one after the other stands still, with the reason in its events, while the others
    continue; FloatingPointError if all stand still.
    """

    def explain(run: TrainingRun, state: State) -> None:
        assert run.streak is not None
        event = rollback.describe_streak(run.experiment, run.streak, state)
        event_log.append_event(run.workdir, "stopped", run.streak.step, **event)
        run.say(f"{event['text']}; it stands still.")

    with shutdown.deferred():
        states = take_steps(runs, engine, partial(initial_states, runs, say), shutdown, explain)
    streaks = [run.streak for run in runs if run.streak is not None]
    if len(streaks) < len(runs):
        return states
    lines = [f"all members stand still up to step {max(streak.step for streak in streaks):,}:"]
    for run, streak in zip(runs, streaks, strict=True):
        texts = [each["text"] for each in event_log.read_events(run.workdir, streak.step) if each["event"] == "stopped"]
        lines.append(f"  {run.name}: {texts[-1] if texts else 'its steps are skipped'}")
    lines.append(f"Training is stopped and the last good checkpoints kept. {rollback.ADVICE}")
    raise FloatingPointError("\n".join(lines))


def initial_states(runs: Sequence[TrainingRun], say: Callable[[str], None]) -> list[State]:
    """Returns the members' states of the last step that all have a checkpoint of, or their first ones."""
    config, parts = runs[0].config, runs[0].experiment.parts
    abstract = abstract_state(config, parts)
    for run in runs:
        run.checkpoints.mkdir(exist_ok=True)
    step = common_step([run.checkpoints for run in runs], config.train.steps)
    if step is None:
        require_memory(runs[0].experiment, abstract, len(runs))
        first = make_first_state(config, parts)
        states = [first(init_key=run.experiment.init_key, train_key=run.experiment.train_key) for run in runs]
        source = config.train.init_from
        return [copy_weights_from(source, state) for state in states] if source else states
    say(f"resuming at step {step:,}")
    for run in runs:
        lines = [line for line in read_metrics(run.workdir, step) if line["split"] == "train"]
        if lines and lines[-1].get("streak", 0) >= rollback.MAX_SKIPPED:  # it stood still before
            run.streak = Streak(step, int(lines[-1]["streak"]), lines[-1]["scale"])
    states = [checkpoint.read_state(run.checkpoints / str(step) / "state", abstract) for run in runs]
    # a member that was trained alone may have been rolled back
    return [follow_rollback(state, run.workdir) for run, state in zip(runs, states, strict=True)]


def common_step(folders: Sequence[Path], total: int) -> int | None:
    """Returns the largest step of which every folder has an intact checkpoint; None if a folder has none yet.

    There is such a step unless files were damaged, or a member was trained further alone; then UsageError.
    """
    found = [manifest.saved_steps(folder) for folder in folders]
    if not all(found):
        return None
    for step in sorted(set(found[0]).intersection(*found), reverse=True):
        damaged = [(folder, reason) for folder in folders if (reason := manifest.find_damage(folder / str(step)))]
        for folder, reason in damaged:
            _log.warning("checkpoint %s is damaged (%s): trying the one before it.", folder / str(step), reason)
        if not damaged and max(map(max, found)) <= max(step, total):
            return step
    names = [folder.parent.name for folder in folders]
    held = "; ".join(f"{name}: {', '.join(map(str, steps))}" for name, steps in zip(names, found, strict=True))
    raise UsageError(
        f"the members cannot go on together: they have no intact checkpoint of one step to go on from ({held}), "
        f"or one of them went beyond train.steps={total:,}. Nothing was overwritten. "
        "Train each on alone, by its own config.json, or train anew in another --workdir."
    )
