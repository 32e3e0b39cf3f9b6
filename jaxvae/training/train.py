"""The training of a single run, from its first step to its report."""

import dataclasses
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxvae.config import Config
from jaxvae.rundir import disk_space, manifest, results
from jaxvae.rundir.lock import lock_run_directory
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import variables_of
from jaxvae.runtime import environment, multihost
from jaxvae.runtime.console import print_safely
from jaxvae.runtime.sharding import DeviceLayout
from jaxvae.runtime.signals import Interrupted, Shutdown
from jaxvae.step import State
from jaxvae.training import diagnosis, scoring
from jaxvae.training.claim import claim
from jaxvae.training.engine import Engine
from jaxvae.training.initial_state import load_or_create_state
from jaxvae.training.loop import TrainingRun, take_steps
from jaxvae.training.rollback import roll_back
from jaxvae.training.setup import Experiment, make_engine, set_up
from jaxvae.training.validation import restore_best
from jaxvae.viz import figures, report

__all__ = ["conclude", "of_arrays", "print_nothing", "take_steps_with_rollback", "train", "train_and_evaluate"]


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
    """Prints nothing: of several processes or members one prints."""


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
    with lock_run_directory(workdir, say, shutdown), disk_space.explain_full_disk(workdir):
        experiment = set_up(config, arrays, say)
        pipeline, engine = make_engine(experiment)
        claim(workdir, config, experiment.data, say)
        names = {"engine": engine.name, "pipeline": pipeline.name, "seed": config.train.seed, "command": command}
        for warning in environment.record_environment(workdir, **names) if multihost.is_first_process() else ():
            say(warning)
        images = len(experiment.data.splits["train"])
        say(
            f"{experiment.data.name}: {images:,} training images, {pipeline.name} pipeline, {engine.name} engine"
            + _describe_devices(experiment.layout)
        )
        run = TrainingRun(experiment, workdir)
        with shutdown.deferred():
            state = take_steps_with_rollback(run, engine, shutdown, say)
        return conclude(run, state, say)


def _describe_devices(layout: DeviceLayout) -> str:
    """Returns which devices are used, if there is more than one."""
    if jax.device_count() == 1:
        return ""
    processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    sharded = ", the state cut over them" if layout.fsdp else ""
    return f" on {layout.size} of {jax.device_count()} devices{processes}{sharded}"


def take_steps_with_rollback(run: TrainingRun, engine: Engine, shutdown: Shutdown, say: Callable[[str], None]) -> State:
    """Takes the remaining steps of a single run; returns the state to evaluate: the last, or with patience the best.

    When steps are skipped without end it rolls back, and continues as a run that was stopped and started again.
    """
    place, collect = lambda states: engine.place(states[0]), lambda state: [engine.collect(state)]
    of_list = engine._replace(place=place, collect=collect)

    def start() -> list[State]:
        return [load_or_create_state(run.experiment, run.checkpoints, say)]

    while True:
        (state,), stuck = take_steps([run], of_list, start, shutdown)
        if not stuck:
            break
        if multihost.any_process(shutdown.signum is not None):  # the same command comes to the same rollback
            saved = max(manifest.saved_steps(run.checkpoints), default=0)
            raise Interrupted(shutdown.signum or signal.SIGTERM, saved)
        assert run.streak is not None
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
    else:
        _evaluate(experiment, concluded, variables, workdir, say)
    for line in results.format_results(results.read_results(workdir)):
        say(line)
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
    results.write_results(workdir, numbers)
    scored = time.perf_counter()
    figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key, config.evaluate.figures)
    report.write_report(workdir)
    say(f"evaluation {scored - began:.1f} s, figures and report {time.perf_counter() - scored:.1f} s")
