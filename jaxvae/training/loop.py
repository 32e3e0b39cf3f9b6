"""The training loop, over a list of runs that train together; for a single run the list has length one."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxvae.config import Config
from jaxvae.rundir import CHECKPOINTS, event_log, manifest
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.lock import require_disk_space
from jaxvae.rundir.metrics_log import MetricsLog
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.snapshots import remove_snapshots_after
from jaxvae.runtime import multihost
from jaxvae.runtime.console import ProgressBar, format_bound
from jaxvae.runtime.signals import Interrupted, Shutdown
from jaxvae.step import State
from jaxvae.training import rollback
from jaxvae.training.engine import Engine
from jaxvae.training.rollback import Streak
from jaxvae.training.setup import Experiment
from jaxvae.training.validation import EARLY_STEPS, EarlyStopping, save_snapshot, score_of, validate

__all__ = ["TrainingRun", "next_stop", "take_steps"]

_MOST_STEPS = 100  # between two checks whether to stop,
_MOST_SECONDS = 2.0  # about, likewise


@dataclasses.dataclass
class TrainingRun:
    """One of the runs that train together: a single run, or a member of an ensemble with its name.

    `streak` is set while its steps are skipped one after the other. The other fields are set while it is open;
    `logbook` and `incidents` by the first process alone.
    """

    experiment: Experiment
    workdir: Path
    name: str = ""
    streak: Streak | None = None
    saver: Saver = dataclasses.field(init=False)
    early_stopping: EarlyStopping = dataclasses.field(init=False)
    say: Callable[[str], None] = dataclasses.field(init=False)
    logbook: MetricsLog | None = None
    incidents: event_log.IncidentLog | None = None

    @property
    def config(self) -> Config:
        return self.experiment.config

    @property
    def checkpoints(self) -> Path:
        return self.workdir / CHECKPOINTS

    def open(self, state: State, opened: contextlib.ExitStack, say: Callable[[str], None]) -> None:
        """Opens what the run writes to, cut back to the step of the state."""
        step = int(state.step)
        require_disk_space(self.checkpoints, state)
        self.say = lambda text: say(f"{self.name}: {text}" if self.name else text)
        self.early_stopping = EarlyStopping(self.config.train.patience, self.workdir, step)
        if multihost.is_first_process():
            event_log.truncate_events(self.workdir, step)
            remove_snapshots_after(self.workdir, step)
            lines = manifest.metrics_fingerprint(self.checkpoints, step)
            self.logbook = opened.enter_context(MetricsLog(self.workdir, step, lines))
            self.incidents = event_log.IncidentLog(self.workdir, step, self.say)
        self.saver = opened.enter_context(Saver(self.checkpoints, RunDirectory(self.workdir).config_json))

    def write_line(self, step: int, numbers: dict[str, float], clock: dict[str, float]) -> None:
        """Writes the metrics of a step, and its events, except those of a run that is in a streak."""
        if self.logbook is None or self.incidents is None:
            return
        numbers["learning_rate"] = float(self.experiment.parts.schedule(step - 1))
        self.logbook.write(step, "train", numbers)
        self.logbook.write_timing(step, clock)
        if self.streak is None:
            self.incidents.record(step, numbers)
        self.incidents.before = numbers


def take_steps(
    runs: Sequence[TrainingRun],
    engine: Engine,
    start: Callable[[], list[State]],
    shutdown: Shutdown,
    on_streak: Callable[[TrainingRun, State], None] = lambda run, state: None,
) -> list[State]:
    """Takes the remaining steps of all runs together and returns their last states.

    It ends early if no run can continue, as all are in a streak of skipped steps. If a signal stops it, Interrupted is
    raised when everything is saved.

    Args:
        runs: which write to directories of their own; data, batch size and intervals are those of the first.
        engine: takes lists of the runs' states.
        start: returns the states to start from, all of the same step.
        shutdown: holds the signal to stop, if one comes.
        on_streak: is called with every run that gets into a streak of skipped steps, and its newest state.
    """
    states = start()
    train, step = runs[0].config.train, int(states[0].step)
    images = len(runs) * runs[0].config.data.batch_size
    bar = ProgressBar(train.steps, step, images, show=multihost.is_first_process())
    with contextlib.ExitStack() as opened:
        for run, state in zip(runs, states, strict=True):
            run.open(state, opened, bar.print)
        opened.enter_context(bar)
        session = _Session(runs, engine, states, bar, on_streak, opened)
        del states, state  # training needs their memory
        while not session.stuck and session.step < train.steps and not session.stops_early:
            if multihost.any_process(shutdown.signum is not None):
                break
            session.advance()
        if shutdown.signum is not None:
            shutdown.answered.set()
        session.finish()
    if not session.stuck and multihost.any_process(shutdown.signum is not None):
        raise Interrupted(shutdown.signum or signal.SIGTERM, session.step)
    return session.states()


class _Action(NamedTuple):
    """What is done after each step that a number of `every` divides, after the steps `at`, and after the last."""

    do: Callable[[], None]
    every: tuple[int, ...]
    at: tuple[int, ...] = ()


def next_stop(step: int, total: int, actions: Sequence[_Action], speed: float | None) -> int:
    """Returns the next step after which an action is due, or a check whether to stop; `speed` in steps/s, if known."""
    stretch = 10 if speed is None else max(1, min(_MOST_STEPS, int(_MOST_SECONDS * speed)))
    due = [(step // n + 1) * n for action in actions for n in action.every]
    due += [early for action in actions for early in action.at if early > step]
    return min([step + stretch, total, *due])


class _Session:
    """The state of the loop: the step, the runs' states on the devices, and what is done at which steps.

    Metrics are fetched one line late, when the device is busy with the next steps, so that it never waits for the host.
    """

    def __init__(
        self,
        runs: Sequence[TrainingRun],
        engine: Engine,
        states: list[State],
        bar: ProgressBar,
        on_streak: Callable[[TrainingRun, State], None],
        opened: contextlib.ExitStack,
    ):
        train = runs[0].config.train
        self.runs, self.engine, self.bar, self.on_streak = runs, engine, bar, on_streak
        self.step, self.total, self.saved = int(states[0].step), train.steps, -1
        self.scores: list[float | None] = [None] * len(runs)
        self._waiting: tuple[int, dict[str, jax.Array], Future[float]] | None = None
        self._clock = opened.enter_context(ThreadPoolExecutor(1))
        self._newest: tuple[int, dict[str, jax.Array]] = (0, {})
        self.actions = [
            _Action(self._log, (train.log_every,)),
            _Action(self._flush, (train.validate_every, train.checkpoint_every)),
            _Action(self._save_snapshots, (train.validate_every,), EARLY_STEPS),
            _Action(self._validate, (train.validate_every,)),
            _Action(self._save, (train.checkpoint_every,)),
        ]
        self._collected: list[State] | None = states
        if self.step == 0:
            self._save_snapshots()
        self._placed = engine.place(states)

    @property
    def stuck(self) -> bool:
        return all(run.streak is not None for run in self.runs)

    @property
    def stops_early(self) -> bool:
        return all(run.early_stopping.stops for run in self.runs)

    def states(self) -> list[State]:
        """Returns copies of the runs' states, which outlive the next step."""
        if self._collected is None:
            self._collected = self.engine.collect(self._placed)
        return self._collected

    def advance(self) -> None:
        """Takes the steps up to the next stop and does what is due there, unless no run can continue."""
        stop = multihost.broadcast_from_first(next_stop(self.step, self.total, self.actions, self.bar.speed))
        self._collected, self.scores = None, [None] * len(self.runs)
        self._placed, metrics = self.engine.advance(self._placed, self.step, stop - self.step)
        self.step, self._newest = stop, (stop, metrics)
        for do, every, at in self.actions:
            if not self.stuck and (stop in at or stop == self.total or any(stop % n == 0 for n in every)):
                do()

    def finish(self) -> None:
        """Writes what is waiting and saves, unless no run can continue."""
        if not self.stuck:
            self._flush()
        if not self.stuck:
            self.scores = [None] * len(self.runs)
            self._save()

    def _log(self) -> None:
        """Writes the lines that waited, and keeps the newest metrics for the next ones."""
        self._write_lines()
        self._waiting = (*self._newest, self._clock.submit(_time_when_ready, self._newest[1]))

    def _flush(self) -> None:
        """Waits for the device and writes the lines that waited."""
        jax.block_until_ready(self._newest[1])
        self._write_lines()
        self.bar.rest(self.step)

    def _write_lines(self) -> None:
        """Writes the runs' lines that waited, if any, and finds the runs in a streak."""
        if self._waiting is None:
            return
        (step, metrics, ready), self._waiting = self._waiting, None
        values = sorted(jax.device_get(metrics).items())  # each a scalar or [runs]
        each = [{name: float(np.ravel(value)[i]) for name, value in values} for i in range(len(self.runs))]
        clock = self.bar.update(step, _mean_over_runs(each), ready.result())
        clock["images_per_second"] /= len(each)
        for run, numbers in zip(self.runs, each, strict=True):
            run.write_line(step, numbers, clock)
        for place, (run, numbers) in enumerate(zip(self.runs, each, strict=True)):
            if numbers["streak"] < rollback.MAX_SKIPPED:
                run.streak = None
            elif run.streak is None:
                run.streak = Streak(step, int(numbers["streak"]), numbers["scale"])
                self.on_streak(run, self.states()[place])

    def _save_snapshots(self) -> None:
        for run, state in zip(self.runs, self.states(), strict=True):
            save_snapshot(run.experiment, state, run.workdir, self.step)

    def _validate(self) -> None:
        """Scores the runs on the validation images, writes and shows that; saves a single run that is better."""
        each = [validate(run.experiment, state) for run, state in zip(self.runs, self.states(), strict=True)]
        if each[0]:
            for run, means in zip(self.runs, each, strict=True):
                if run.logbook is not None:
                    run.logbook.write(self.step, "validation", means)
            several = ", mean over members" if len(self.runs) > 1 else ""
            self.bar.print(f"step {self.step:,}  validation{several}: {format_bound(_mean_over_runs(each))}")
        self.scores = [score_of(means) for means in each]
        better = [run.early_stopping.record(score) for run, score in zip(self.runs, self.scores, strict=True)]
        self.bar.restart_clock(self.step)
        if better == [True]:  # several runs are saved together, at the same steps in every repetition
            self._save(regular=True)

    def _save(self, *, regular: bool = False) -> None:
        """Saves all runs, after their lines are on the disk and their checkpoints before are complete."""
        if self.saved == self.step:
            return
        lines = [run.logbook.sync() if run.logbook else None for run in self.runs]
        for run in self.runs:
            run.saver.wait()
        regular = regular or self.step % self.runs[0].config.train.checkpoint_every == 0
        for run, state, score, written in zip(self.runs, self.states(), self.scores, lines, strict=True):
            run.saver.save(self.step, state, score, lines=written, regular=regular)
        self.saved = self.step
        self.bar.restart_clock(self.step)


def _time_when_ready(metrics: dict[str, jax.Array]) -> float:
    """Returns the clock's time when the device has computed the metrics."""
    jax.block_until_ready(metrics)
    return time.perf_counter()


def _mean_over_runs(each: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([values[name] for values in each])) for name in each[0]}
