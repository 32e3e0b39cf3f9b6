"""The story of a run, told once from top to bottom: `train_and_evaluate`."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax import random

from jaxvae import checkpoint, environment, figures, report, results
from jaxvae import config as configs
from jaxvae.checkpoint import Saver
from jaxvae.config import Config
from jaxvae.data.dataset import DataSet
from jaxvae.data.pipeline import in_order
from jaxvae.experiment import Experiment, set_up
from jaxvae.logbook import Logbook, read_metrics
from jaxvae.progress import Progress, describe
from jaxvae.run import CHECKPOINTS, CONFIG, Run, abstract_state, first_state, load, variables_of
from jaxvae.step import State

STRETCH = 100  # the most steps between two looks at whether to stop
MOST_SKIPS = 100  # so many steps in a row without a finite loss and gradient end the run


class Interrupted(Exception):
    """A signal asked training to stop; everything is saved."""

    def __init__(self, signum: int, step: int):
        name = signal.Signals(signum).name
        super().__init__(f"{name}: stopped and saved at step {step:,}. The same command goes on from there.")
        self.signum = signum


def train(config: Config, workdir: str | Path | None = None, arrays: Any = None) -> Run:
    """Trains in a notebook or a script and returns the run, as `jaxvae.load` does.

    `arrays`: uint8 images [N, H, W, C], (images, labels), or {'train': ..., 'test': ...} of them, instead of data.name.
    Without a workdir a temporary folder is used. ValueError says what is wrong with the config or the arrays.
    """
    if arrays is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, name="arrays"))
    return train_and_evaluate(
        config, workdir or tempfile.mkdtemp(prefix="jaxvae-"), arrays=arrays, command="jaxvae.train(config)"
    )


def train_and_evaluate(
    config: Config, workdir: str | Path, *, arrays: Any = None, command: str = "", say: Callable[[str], None] = print
) -> Run:
    """Trains what the config says, or goes on where this workdir stopped; scores it on test, draws and reports."""
    workdir = Path(workdir)
    experiment = set_up(config, arrays, say)
    claim(workdir, config, experiment.data)
    engine, pipeline = experiment.engine.name, experiment.pipeline.name
    for warning in environment.record(
        workdir, engine=engine, pipeline=pipeline, seed=config.train.seed, command=command
    ):
        say(warning)
    say(
        f"{experiment.data.name}: {len(experiment.data.splits['train']):,} training images, "
        f"{pipeline} pipeline, {engine} engine"
    )
    state = take_steps(experiment, workdir, say)
    run = Run(config, experiment.parts, variables_of(state), experiment.data.shape, int(state.step), workdir)
    conclude(experiment, run, workdir, say)
    return run


def claim(workdir: Path, config: Config, data: DataSet) -> None:
    """Makes the workdir this run's: writes config.json, or refuses one trained with another config or other data."""
    identity = {
        "name": data.name,
        "version": data.version,
        "shape": list(data.shape),
        "images": {k: len(v) for k, v in data.splits.items()},
    }
    if (workdir / CONFIG).exists():
        old, old_data = configs.load(workdir / CONFIG)
        differences = configs.differences(old, config)
        differences += [
            f"{name} of the data: {old_data.get(name)} -> {value}"
            for name, value in identity.items()
            if old_data.get(name) != value
        ]
        if differences:
            raise ValueError(
                f"{workdir} holds a run of another config, which differs in\n  "
                + "\n  ".join(differences)
                + "\nGo on with the "
                "old config, or train this one elsewhere with --workdir."
            )
    workdir.mkdir(parents=True, exist_ok=True)
    configs.save(workdir / CONFIG, config, identity | {"fingerprint": data.fingerprint})


def take_steps(experiment: Experiment, workdir: Path, say: Callable[[str], None]) -> State:
    """Takes the steps that are left; returns the state whose weights count: the last, or with patience the best."""
    config, engine, folder = experiment.config, experiment.engine, workdir / CHECKPOINTS
    state = start(experiment, folder, say)
    step, total = int(state.step), config.train.steps
    with (
        Logbook(workdir, step) as logbook,
        Saver(folder) as saver,
        Progress(total, step, config.data.batch_size) as bar,
        interruptible() as caught,
    ):
        late, patience = LateMetrics(experiment, logbook, bar), Patience(config.train.patience, workdir)
        if step == 0:
            keep_frame(experiment, state, workdir, 0)
        state = engine.place(state)
        while step < total and not patience.spent and not caught:
            target = next_stop(step, config)
            state, metrics = engine.advance(state, step, target - step)
            step, elbo, better = target, None, False
            late.add(step, metrics)
            if due(step, config.train.validate_every, total):
                late.write_all()
                elbo = validate(experiment, engine.collect(state), step, logbook, bar)
                better = patience.record(elbo)
                keep_frame(experiment, engine.collect(state), workdir, step)
            if due(step, config.train.checkpoint_every, total) or better:
                late.write_all()
                logbook.sync()
                saver.save(step, engine.collect(state), elbo)
                bar.rest()
        late.write_all()
        logbook.sync()
        state = engine.collect(state)
        saver.save(step, state)
    if caught:
        raise Interrupted(caught[0], step)
    return best(experiment, folder, state) if config.train.patience else state


def start(experiment: Experiment, folder: Path, say: Callable[[str], None]) -> State:
    """The state of the latest intact checkpoint, or a fresh one."""
    config, parts, shape = experiment.config, experiment.parts, experiment.data.shape
    folder.mkdir(exist_ok=True)
    state = checkpoint.restore(folder, abstract_state(config, parts, shape))
    if state is not None:
        say(f"resuming at step {int(state.step):,}")
        return state
    state = first_state(config, parts, shape, experiment.init_key, experiment.train_key)
    return start_from(config.train.init_from, state) if config.train.init_from else state


def start_from(workdir: str, state: State) -> State:
    """The fresh state with another run's weights; ValueError where their shapes differ."""
    given = {"model": load(workdir).variables["params"], "objective": state.params["objective"]}
    if jax.tree.map(lambda a: a.shape, given) != jax.tree.map(lambda a: a.shape, state.params):
        raise ValueError(
            f"train.init_from={workdir!r}: that model's parameters have other names or shapes; "
            "give it the same model.* fields."
        )
    return state.replace(params=given, ema=given and jax.tree.map(lambda a: a + 0, given) if state.ema else {})


def best(experiment: Experiment, folder: Path, state: State) -> State:
    """The state with the best validation elbo."""
    abstract = abstract_state(experiment.config, experiment.parts, experiment.data.shape)
    return checkpoint.restore(folder, abstract, prefer=checkpoint.best_step(folder)) or state


def next_stop(step: int, config: Config) -> int:
    """The next step at which something is due, or to look whether to stop."""
    every = (config.train.log_every, config.train.validate_every, config.train.checkpoint_every)
    return min([step + STRETCH, config.train.steps, *((step // n + 1) * n for n in every)])


def due(step: int, every: int, total: int) -> bool:
    return step % every == 0 or step == total


class LateMetrics:
    """Metrics are fetched one line late, when the device is already busy: it never waits for the host."""

    def __init__(self, experiment: Experiment, logbook: Logbook, bar: Progress):
        self.experiment, self.logbook, self.bar = experiment, logbook, bar
        self.waiting: tuple[int, dict[str, jax.Array]] | None = None

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Keeps this step's metrics if they are due, and writes those that waited."""
        if due(step, self.experiment.config.train.log_every, self.experiment.config.train.steps):
            self.write_all()
            self.waiting = (step, metrics)

    def write_all(self) -> None:
        """Waits for the device and writes what is waiting."""
        if self.waiting is None:
            return
        (step, metrics), self.waiting = self.waiting, None
        values = {name: float(value) for name, value in sorted(jax.device_get(metrics).items())}
        values["learning_rate"] = float(self.experiment.parts.schedule(step - 1))
        self.logbook.write(step, "train", values)
        self.logbook.write_timing(step, self.bar.update(step, values))
        if values["streak"] >= MOST_SKIPS:
            raise FloatingPointError(
                f"the last {values['streak']:.0f} steps up to {step:,} had no finite loss or gradient: "
                "they were skipped, the run is stopped and its last good checkpoint kept. "
                "Lower optimizer.learning_rate or set optimizer.clip."
            )


def validate(experiment: Experiment, state: State, step: int, logbook: Logbook, bar: Progress) -> float | None:
    """The bound on the validation images under the weights that count, logged; None where there are no such images."""
    split = experiment.data.splits.get("validation")
    if split is None:
        return None
    values = experiment.evaluate(variables_of(state), in_order(split, experiment.config.evaluate.batch_size))
    means = {name: float(values[name].mean(dtype="float64")) for name in ("elbo", "rate", "distortion")}
    logbook.write(step, "validation", means)
    bar.say(f"step {step:,}  validation: {describe(means)}")
    bar.rest()
    return means["elbo"]


def keep_frame(experiment: Experiment, state: State, workdir: Path, step: int) -> None:
    """Keeps samples of the same z at this step: what the model dreams while it learns."""
    _, px = experiment.generate(variables_of(state), random.split(random.clone(experiment.figure_key), 16))
    figures.save_frame(workdir, step, figures.pictures(px.mean()))


class Patience:
    """Counts validations without a better elbo, those of earlier sessions of the run included."""

    def __init__(self, most: int | None, workdir: Path):
        self.most, self.best, self.waited = most, float("-inf"), 0
        for line in read_metrics(workdir):
            if line["split"] == "validation":
                self.record(line["elbo"])

    def record(self, elbo: float | None) -> bool:
        """Whether this elbo is the best so far."""
        if elbo is None:
            return False
        better = elbo > self.best
        self.best, self.waited = (elbo, 0) if better else (self.best, self.waited + 1)
        return better

    @property
    def spent(self) -> bool:
        return self.most is not None and self.waited >= self.most


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that the first SIGINT or SIGTERM is appended to; a second one acts as ever."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def catch(signum: int, frame: object) -> None:
        caught.append(signum)
        for one, handler in before.items():
            signal.signal(one, handler)

    for signum in before:
        signal.signal(signum, catch)
    try:
        yield caught
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def conclude(experiment: Experiment, run: Run, workdir: Path, say: Callable[[str], None]) -> None:
    """The final evaluation, the figures and the report; what an earlier session finished is not done again."""
    if results.covers(results.read(workdir), experiment.config, run.step):
        say(f"already trained for {run.step:,} steps and evaluated; raise train.steps to train longer.")
    else:
        conclude_anew(experiment, run, workdir, say)
    for line in results.lines(results.read(workdir)):
        say(line)
    say(f"report: {workdir / 'report.html'}")


def conclude_anew(experiment: Experiment, run: Run, workdir: Path, say: Callable[[str], None]) -> None:
    """Scores, draws and reports."""
    config, began = experiment.config, time.perf_counter()
    say(f"evaluating on {', '.join(config.evaluate.splits)}, K={config.evaluate.samples}")
    numbers, values = results.score(
        config, experiment.parts, experiment.data, experiment.evaluate, run.variables, run.step
    )
    results.write(workdir, numbers)
    scored = time.perf_counter()
    figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key)
    report.write_report(workdir)
    say(f"evaluation {scored - began:.1f} s, figures and report {time.perf_counter() - scored:.1f} s")
