"""The story of several members: trained in one program, each in a run directory of its own; and their summary.

A member's directory is that of an ordinary run: it loads, is evaluated and goes on alone. What all have in common, the
mean and standard deviation over members, stands in the parent's summary.json.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.data.pipeline import choose_pipeline
from jaxvae.rundir import CHECKPOINTS, CONFIG, checkpoint, disk_space, event_log, manifest
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.lock import lock_run_directory
from jaxvae.rundir.metrics_log import MetricsLog
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import abstract_state, make_first_state, variables_of
from jaxvae.runtime import environment
from jaxvae.runtime.console import ProgressBar, format_bound
from jaxvae.runtime.files import read_json
from jaxvae.runtime.sharding import one_device
from jaxvae.runtime.signals import Interrupted, interruptible, noticed
from jaxvae.step import State
from jaxvae.training import rollback
from jaxvae.training.deferred_metrics import DeferredMetrics, due
from jaxvae.training.ensemble import summary
from jaxvae.training.ensemble.engine import Engine, make_members_engine
from jaxvae.training.ensemble.members import EnsembleMember, members_of
from jaxvae.training.initial_state import copy_weights_from, set_update_scale
from jaxvae.training.loop import claim, conclude, next_stop, of_arrays, score_of, silent, validation
from jaxvae.training.rollback import Stuck
from jaxvae.training.setup import Experiment, free_device_memory, require_memory, set_up, set_up_member
from jaxvae.training.snapshots import EARLY_STEPS, save_snapshot

log = logging.getLogger("jaxvae")


class Seat(NamedTuple):
    """A member with its experiment and its run directory."""

    member: EnsembleMember
    experiment: Experiment
    workdir: Path

    @property
    def checkpoints(self) -> Path:
        return self.workdir / CHECKPOINTS

    def lines(self, step: int) -> dict[str, Any] | None:
        """The fingerprint of the member's metrics.jsonl when this step was saved."""
        return manifest.metrics_fingerprint(self.checkpoints, step)


def train_members(config: Config, workdir: str | Path | None = None, arrays: Any = None) -> list[Run]:
    """Trains the members of train.seeds and train.sweep in a notebook or a script; arguments as of `jaxvae.train`.

    Returns the members' runs, without those that met no finite loss any more.
    """
    where, command = workdir or tempfile.mkdtemp(prefix="jaxvae-"), "jaxvae.train_members(config)"
    return train_and_evaluate_members(of_arrays(config, arrays), where, arrays=arrays, command=command)


def train_and_evaluate_members(
    config: Config, workdir: str | Path, *, arrays: Any = None, command: str = "", say: Callable[[str], None] = print
) -> list[Run]:
    """Trains all members, or goes on where this workdir stopped; scores, draws and reports each; sums them up."""
    workdir, members = Path(workdir), members_of(config)
    with contextlib.ExitStack() as held:
        for folder in (workdir, *(workdir / member.name for member in members)):
            held.enter_context(lock_run_directory(folder, say))
        held.enter_context(disk_space.explain_full_disk(workdir))
        seats = take_seats(members, workdir, arrays, say)
        engine = make_members_engine([seat.member for seat in seats], [seat.experiment for seat in seats])
        data = seats[0].experiment.data
        claim(workdir, config, data, say)
        for seat in seats:
            claim(seat.workdir, seat.member.config, data, silent)
        _record_environments(seats, workdir, engine, command, say)
        images, names = len(data.splits["train"]), ", ".join(seat.member.name for seat in seats)
        say(f"{data.name}: {images:,} training images, {len(seats)} members ({names}), {engine.name} engine")
        states = take_steps(seats, engine, say)
        return _conclude_members(seats, states, workdir, say)


def take_seats(members: Sequence[EnsembleMember], workdir: Path, arrays: Any, say: Callable[[str], None]) -> list[Seat]:
    """The members with their experiments, which share data and compiled functions; ValueError where they cannot."""
    first = set_up(members[0].config, arrays, say, one_device())
    config = first.config
    pipeline = choose_pipeline(config.data.pipeline, first.data.splits["train"], free_bytes=free_device_memory())
    if pipeline != "resident":
        raise UsageError(
            f"several members gather their batches on the device, but {first.data.name} does not fit into its memory. "
            "Train them one by one: train.seeds=1."
        )
    if jax.process_count() > 1:
        raise UsageError(
            f"several members train in one process, and there are {jax.process_count()}: "
            "give each process a train.seed of its own, with train.seeds=1."
        )
    if jax.local_device_count() > 1:
        say(f"the members train on the first of {jax.local_device_count()} devices.")
    experiments = [first, *(set_up_member(member.config, first) for member in members[1:])]
    return [Seat(each, one, workdir / each.name) for each, one in zip(members, experiments, strict=True)]


def _record_environments(
    seats: Sequence[Seat], workdir: Path, engine: Engine, command: str, say: Callable[[str], None]
) -> None:
    """Writes environment.json of all members and of the parent; says once what has changed."""
    name = f"{engine.name} of {len(seats)} members"
    for folder, seed in [(workdir, seats[0].member.config.train.seed)] + [
        (seat.workdir, seat.member.config.train.seed) for seat in seats
    ]:
        changed = environment.record_environment(folder, engine=name, pipeline="resident", seed=seed, command=command)
        for warning in changed if folder == workdir else []:
            say(warning)


def take_steps(seats: Sequence[Seat], engine: Engine, say: Callable[[str], None]) -> list[State]:
    """Takes the steps that are left, of all members together; returns their last states."""
    config = seats[0].member.config
    states = start(seats, say)
    step, total = int(states[0].step), config.train.steps
    with contextlib.ExitStack() as opened:
        for seat in seats:
            event_log.truncate_events(seat.workdir, step)
        logbooks = [opened.enter_context(MetricsLog(seat.workdir, step, seat.lines(step))) for seat in seats]
        savers = [opened.enter_context(Saver(seat.checkpoints, read_json(seat.workdir / CONFIG))) for seat in seats]
        bar = opened.enter_context(ProgressBar(total, step, len(seats) * config.data.batch_size))
        caught = opened.enter_context(interruptible())
        if step == 0:
            keep_frames(seats, states, 0)
        now = engine.place(states)
        late = DeferredMetrics(config.train, _LinesOfMembers(seats, logbooks, bar, step, lambda: engine.collect(now)))
        while step < total and not caught:
            target = next_stop(step, config, bar.speed)
            now, metrics = engine.advance(now, step, target - step)
            step = target
            late.add(step, metrics)
            validating, saving = (
                due(step, every, total) for every in (config.train.validate_every, config.train.checkpoint_every)
            )
            if not (validating or saving or step in EARLY_STEPS):
                continue
            states = engine.collect(now)
            if validating or step in EARLY_STEPS:
                keep_frames(seats, states, step)
            late.write_all()
            scores = validate(seats, states, step, logbooks, bar) if validating else [None] * len(seats)
            if saving:
                save(seats, step, states, scores, logbooks, savers)
            bar.restart_clock(step)
        if caught:
            noticed.set()
        late.write_all()
        states = engine.collect(now)
        save(seats, step, states, [None] * len(seats), logbooks, savers)
    if caught:
        raise Interrupted(caught[0], step)
    return states


def start(seats: Sequence[Seat], say: Callable[[str], None]) -> list[State]:
    """The members' states at the largest step that all of them have sealed, or their first ones."""
    config, parts = seats[0].member.config, seats[0].experiment.parts
    for seat in seats:
        seat.checkpoints.mkdir(exist_ok=True)
    step = common_step([seat.checkpoints for seat in seats], config.train.steps)
    if step is not None:
        say(f"resuming at step {step:,}")
        abstract = abstract_state(config, parts)
        states = [checkpoint.read_state(seat.checkpoints / str(step) / "state", abstract) for seat in seats]
        scales = [
            event_log.rollback_scale(seat.workdir, step) for seat in seats
        ]  # of a member that went on alone for a while
        return [set_update_scale(state, scale) for state, scale in zip(states, scales, strict=True)]
    require_memory(seats[0].experiment, abstract_state(config, parts), len(seats))
    first = make_first_state(config, parts)
    keys = [(seat.experiment.init_key, seat.experiment.train_key) for seat in seats]
    states = [first(init_key=init, train_key=train) for init, train in keys]
    source = config.train.init_from
    return [copy_weights_from(source, state) for state in states] if source else states


def common_step(folders: Sequence[Path], total: int) -> int | None:
    """The largest step of which every folder has an intact checkpoint; None where a folder has none yet.

    All save at the same steps, and none begins to before all have sealed the one before: such a step is there unless
    files were damaged, or a member was trained on alone. ValueError says so.
    """
    found = [manifest.saved_steps(folder) for folder in folders]
    if not all(found):
        return None
    for step in sorted(set(found[0]).intersection(*found), reverse=True):
        damaged = [(folder, reason) for folder in folders if (reason := manifest.find_damage(folder / str(step)))]
        for folder, reason in damaged:
            log.warning("checkpoint %s is damaged (%s): trying the one before it.", folder / str(step), reason)
        if not damaged and max(map(max, found)) <= max(step, total):
            return step
    names = [folder.parent.name for folder in folders]
    held = "; ".join(f"{name}: {', '.join(map(str, steps))}" for name, steps in zip(names, found, strict=True))
    raise UsageError(
        f"the members cannot go on together: they have no intact checkpoint of one step to go on from ({held}), "
        f"or one of them went beyond train.steps={total:,}. Nothing was overwritten. "
        "Train each on alone, by its own config.json, or train anew in another --workdir."
    )


def keep_frames(seats: Sequence[Seat], states: Sequence[State], step: int) -> None:
    for seat, state in zip(seats, states, strict=True):
        save_snapshot(seat.experiment, state, seat.workdir, step)


def validate(
    seats: Sequence[Seat], states: Sequence[State], step: int, logbooks: Sequence[MetricsLog], bar: ProgressBar
) -> list[float | None]:
    """The members' scores on the validation images, each logged; their means are shown."""
    each = [validation(seat.experiment, state) for seat, state in zip(seats, states, strict=True)]
    if not each[0]:
        return [None] * len(seats)
    for logbook, means in zip(logbooks, each, strict=True):
        logbook.write(step, "validation", means)
    bar.print(f"step {step:,}  validation, mean over members: {format_bound(mean(each))}")
    return [score_of(means) for means in each]


def mean(each: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over members of every value."""
    return {name: float(np.mean([values[name] for values in each])) for name in each[0]}


def save(
    seats: Sequence[Seat],
    step: int,
    states: Sequence[State],
    scores: Sequence[float | None],
    logbooks: Sequence[MetricsLog],
    savers: Sequence[Saver],
) -> None:
    """Saves all members, after their lines are on the disk and what they saved before is sealed."""
    lines = [logbook.sync() for logbook in logbooks]
    for saver in savers:
        saver.wait()
    regular = step % seats[0].member.config.train.checkpoint_every == 0
    for saver, state, score, written in zip(savers, states, scores, lines, strict=True):
        saver.save(step, state, score, lines=written, regular=regular)


class _LinesOfMembers:
    """What writes a step's lines, one to each member's logbook, for LateMetrics, whose values are [members] each.

    `states()` gives copies of the members' states as they are when it is called.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        logbooks: Sequence[MetricsLog],
        bar: ProgressBar,
        step: int,
        states: Callable[[], list[State]],
    ):
        self.seats, self.logbooks, self.bar, self.states = seats, logbooks, bar, states
        self.incidents = [event_log.IncidentLog(seat.workdir, step, partial(self.say_of, seat)) for seat in seats]
        self.stuck = {
            seat.member.name: _stuck_before(seat, step)
            for seat, its in zip(seats, self.incidents, strict=True)
            if its.before.get("streak", 0) >= rollback.MAX_SKIPPED
        }

    def say_of(self, seat: Seat, text: str) -> None:
        self.bar.print(f"{seat.member.name}: {text}")

    def __call__(self, step: int, values: dict[str, Any], reached: int) -> None:
        each = [{name: float(of_all[i]) for name, of_all in values.items()} for i in range(len(self.seats))]
        clock = self.bar.update(reached, mean(each))
        clock["images_per_second"] /= len(each)  # a member's own share
        for seat, logbook, its, numbers in zip(self.seats, self.logbooks, self.incidents, each, strict=True):
            numbers["learning_rate"] = float(seat.experiment.parts.schedule(step - 1))
            logbook.write(step, "train", numbers)
            logbook.write_timing(step, clock)
            if seat.member.name in self.stuck:
                its.before = numbers
            else:
                its.record(step, numbers)
        self.look_for_stuck(step, each)

    def look_for_stuck(self, step: int, each: Sequence[dict[str, float]]) -> None:
        """Says which member's steps are all skipped by now, and why; FloatingPointError once that is every member."""
        now = {}
        for place, (seat, values) in enumerate(zip(self.seats, each, strict=True)):
            name = seat.member.name
            if values["streak"] >= rollback.MAX_SKIPPED:
                now[name] = self.stuck.get(name) or self.diagnosed(place, step, values)
        self.stuck = now
        if len(now) == len(self.seats):
            found = "\n  ".join(f"{name}: {text}" for name, text in now.items())
            raise FloatingPointError(
                f"all members stand still up to step {step:,}:\n  {found}\nTraining is stopped and the last good "
                f"checkpoints kept. {rollback.ADVICE}"
            )

    def diagnosed(self, place: int, step: int, values: dict[str, float]) -> str:
        """Why this member stands still, in words, which its events keep."""
        seat, stuck = self.seats[place], Stuck(step, int(values["streak"]), values["scale"])
        stuck.state = self.states()[place]
        about = rollback.describe_streak(seat.experiment, stuck)
        event_log.append_event(seat.workdir, "stopped", step, **about)
        self.say_of(seat, f"{about['text']}; it stands still.")
        return about["text"]


def _stuck_before(seat: Seat, step: int) -> str:
    """Why a member stands still that did so before this step."""
    texts = [event["text"] for event in event_log.read_events(seat.workdir, step) if event["event"] == "stopped"]
    return texts[-1] if texts else "its steps are skipped"


def _conclude_members(
    seats: Sequence[Seat], states: Sequence[State], workdir: Path, say: Callable[[str], None]
) -> list[Run]:
    """Scores, draws and reports every member that did not fail; writes and says what they have in common."""
    runs, failed = [], []
    for seat, state in zip(seats, states, strict=True):
        if int(state.guard.streak) >= rollback.MAX_SKIPPED:
            say(f"{seat.member.name}: its last steps had no finite loss or gradient; it is not scored.")
            failed.append(seat.member.name)
            continue
        experiment = seat.experiment
        run = Run(seat.member.config, experiment.parts, variables_of(state), int(state.step), seat.workdir)
        conclude(experiment, run, run.variables, seat.workdir, silent)
        say(f"{seat.member.name}: scored, drawn and reported")
        runs.append(run)
    found = summary.summarize(workdir, [seat.member for seat in seats], failed)
    summary.write(workdir, found)
    for line in summary.lines(found):
        say(line)
    say(f"summary: {workdir / summary.SUMMARY}; a report in each member's directory")
    return runs
