"""The training of a single run, from the claim of its directory to its report."""

import contextlib
import dataclasses
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.config.serialization import differences, save_config
from jaxvae.data.dataset import DataSet
from jaxvae.rundir import CHECKPOINTS, CONFIG, EVENTS, manifest, results
from jaxvae.rundir.lock import lock_run_directory
from jaxvae.rundir.run import Run
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.scores import write_scores
from jaxvae.rundir.state import variables_of
from jaxvae.runtime import environment, multihost
from jaxvae.runtime.console import print_safely
from jaxvae.runtime.signals import Interrupted, Shutdown
from jaxvae.step import State
from jaxvae.training import diagnosis, scoring
from jaxvae.training.engine import Engine
from jaxvae.training.initial_state import load_or_create_state
from jaxvae.training.loop import TrainingRun, take_steps
from jaxvae.training.rollback import roll_back
from jaxvae.training.setup import Experiment, make_engine, set_up
from jaxvae.training.validation import restore_best
from jaxvae.viz import figures, report

__all__ = ["claim", "claim_all", "conclude", "of_arrays", "print_nothing", "take_steps_with_rollback", "train"]
__all__ += ["train_and_evaluate"]


def train(config: Config, workdir: str | Path | None = None, arrays: Any = None) -> Run:
    """Trains in a notebook or a script and returns the run, as `jaxvae.load` does.

    `arrays`: uint8 images [N, H, W, C], (images, labels), or {'train': ..., 'test': ...} of them, instead of data.name.
    Without a workdir a temporary folder is used. ValueError says what is wrong with the config or the arrays.
    """
    workdir = workdir or tempfile.mkdtemp(prefix="jaxvae-")
    return train_and_evaluate(of_arrays(config, arrays), workdir, arrays=arrays, command="jaxvae.train(config)")


def of_arrays(config: Config, arrays: Any) -> Config:
    """Returns the config, without the name of a data set if a program passes arrays."""
    if arrays is None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, name="arrays"))


def print_nothing(text: str) -> None:
    """Prints nothing, for the processes and members that do not print."""


def train_and_evaluate(
    config: Config,
    workdir: str | Path,
    *,
    arrays: Any = None,
    command: str = "",
    say: Callable[[str], None] = print_safely,
    shutdown: Shutdown | None = None,
) -> Run:
    """Trains the config, or continues the run of this directory; scores it on test, draws its figures and reports."""
    workdir, say = Path(workdir), say if multihost.is_first_process() else print_nothing
    shutdown = shutdown or Shutdown()
    with lock_run_directory(workdir, say, shutdown):
        experiment = set_up(config, arrays, say)
        pipeline, engine = make_engine(experiment)
        data, layout, count = experiment.data, experiment.layout, jax.device_count()
        claim_all([(workdir, config, say)], data, engine=engine.name, pipeline=pipeline.name, command=command)
        text = f"{len(data.splits['train']):,} training images, {pipeline.name} pipeline, {engine.name} engine"
        processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        sharded = ", the state cut over them" if layout.fsdp else ""
        devices = f" on {layout.size} of {count} devices{processes}{sharded}" if count > 1 else ""
        say(f"{data.name}: {text}{devices}")
        run = TrainingRun(experiment, workdir)
        with shutdown.deferred():
            state = take_steps_with_rollback(run, engine, shutdown, say)
        return conclude(run, state, say)


def claim_all(places: Sequence[tuple[Path, Config, Callable[[str], None]]], data: DataSet, **names: Any) -> None:
    """Claims each run directory for its config, and records there the environment with these names."""
    for workdir, config, say in places:
        claim(workdir, config, data, say)
    for workdir, config, say in places if multihost.is_first_process() else ():
        for warning in environment.record_environment(workdir, seed=config.train.seed, **names):
            say(warning)


def claim(workdir: Path, config: Config, data: DataSet, say: Callable[[str], None]) -> None:
    """Writes config.json; UsageError if the run there was trained with another config or other data.

    A directory without a checkpoint has nothing to lose: the new config takes it over.
    """
    identity: dict[str, Any] = {"name": data.name, "version": data.version, "shape": list(data.shape)}
    identity["images"] = {name: len(split) for name, split in data.splits.items()}
    if (size := data.condition_size(config.model.condition)) is not None:
        identity["condition_size"] = size
    if data.own:  # a stock set's fingerprint may differ with the version of a library, its pixels do not
        identity["fingerprint"] = data.fingerprint
    folders = workdir / CHECKPOINTS, *workdir.glob(f"*/{CHECKPOINTS}")  # the run's, and its members'
    trained = any(manifest.has_checkpoints(folder) for folder in folders)
    if trained and ((workdir / CONFIG).exists() or manifest.has_checkpoints(workdir / CHECKPOINTS)):
        directory = RunDirectory(workdir)
        old, old_data = directory.config, directory.data
        changed = differences(old, config)
        moved = {name: value for name, value in identity.items() if old_data.get(name) != value}
        changed += [f"{name} of the data: {old_data.get(name)} -> {value}" for name, value in moved.items()]
        if changed:
            lines = "\n  ".join([f"{workdir} holds a run of another config, which differs in", *changed])
            raise UsageError(f"{lines}\nGo on with the old config, or train this one elsewhere with --workdir.")
        if old.train.steps != config.train.steps and config.optimizer.schedule.startswith("cosine"):
            say(f"the cosine is stretched to {config.train.steps:,} steps: the learning rate jumps here.")
    if multihost.is_first_process():
        same = trained
        with contextlib.suppress(OSError, ValueError):
            same = same or not differences(RunDirectory(workdir).config, config)
        if not same:
            (workdir / EVENTS).unlink(missing_ok=True)  # of a run that left nothing else
        save_config(workdir / CONFIG, config, identity | {"fingerprint": data.fingerprint})
    multihost.broadcast_from_first(0)  # the others continue once the folder is there


def take_steps_with_rollback(run: TrainingRun, engine: Engine, shutdown: Shutdown, say: Callable[[str], None]) -> State:
    """Takes the remaining steps of a single run; returns the state to evaluate: the last, or with patience the best.

    When steps are skipped without end it rolls back, and continues as a run that was stopped and started again.
    """
    place, collect = lambda states: engine.place(states[0]), lambda state: [engine.collect(state)]
    of_list = engine._replace(place=place, collect=collect)
    start = partial(load_or_create_state, run.experiment, run.checkpoints, say)
    while True:
        (state,) = take_steps([run], of_list, lambda: [start()], shutdown)
        if run.streak is None:
            break
        if multihost.any_process(shutdown.signum is not None):  # the same command comes to the same rollback
            saved = max(manifest.saved_steps(run.checkpoints), default=0)
            raise Interrupted(shutdown.signum or signal.SIGTERM, saved)
        roll_back(run.experiment, run.workdir, run.streak, state, say)
        run.streak = None
    if skipped := int(state.guard.skipped):
        last = f", the last {streak:,} among them" if (streak := int(state.guard.streak)) else ""
        say(f"{skipped:,} of {int(state.step):,} steps were skipped{last}: a loss or gradient was not finite.")
    return restore_best(run.experiment, run.checkpoints, state) if run.config.train.patience else state


def conclude(run: TrainingRun, state: State, say: Callable[[str], None]) -> Run:
    """Evaluates, draws and reports, unless an earlier session has finished that; returns the run."""
    variables, page = variables_of(state), run.workdir / report.REPORT
    experiment, workdir = run.experiment, run.workdir
    on_first = experiment.layout.to_first_device(variables)
    concluded = Run(run.config, experiment.parts, on_first, int(state.step), workdir)
    finished = results.is_complete(results.read_results(workdir), run.config, concluded.step) and page.exists()
    if multihost.broadcast_from_first(finished):
        say(f"already trained for {concluded.step:,} steps and evaluated; raise train.steps to train longer.")
        for line in results.format_results(results.read_results(workdir)):
            say(line)
    else:
        _evaluate(experiment, concluded, variables, workdir, say)
    say(f"report: {page}")
    return concluded


def _evaluate(experiment: Experiment, run: Run, variables: Any, workdir: Path, say: Callable[[str], None]) -> None:
    """Scores, draws and reports: all processes score, the first draws."""
    config, began = experiment.config, time.perf_counter()
    say(f"evaluating on {', '.join(config.evaluate.splits)}, K={config.evaluate.samples}")
    numbers, values = scoring.score(experiment, variables, run.step)
    diagnosis.diagnose(experiment, variables, numbers, values, workdir)
    if not multihost.is_first_process():
        return
    (workdir / report.REPORT).unlink(missing_ok=True)  # stopped from here on, the report is known to be missing
    write_scores(workdir, run.step, values)
    results.write_results(workdir, numbers)
    for line in results.format_results(numbers):  # first: a figure may fail, or take long
        say(line)
    scored = time.perf_counter()
    figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key, config.evaluate.figures)
    report.write_report(workdir)
    say(f"evaluation {scored - began:.1f} s, figures and report {time.perf_counter() - scored:.1f} s")
