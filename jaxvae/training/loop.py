"""The story of a run, told once from top to bottom: `train_and_evaluate`."""

from __future__ import annotations

import dataclasses
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.config.serialization import differences, save_config
from jaxvae.data.dataset import DataSet
from jaxvae.data.pipeline import in_order
from jaxvae.rundir import CHECKPOINTS, CONFIG, EVENTS, checkpoint, disk_space, event_log, manifest, results
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.lock import lock_run_directory
from jaxvae.rundir.metrics_log import MetricsLog, NoMetricsLog, read_metrics
from jaxvae.rundir.run import Run
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.state import abstract_state, variables_of
from jaxvae.runtime import environment, multihost
from jaxvae.runtime.console import ProgressBar, format_bound, print_safely
from jaxvae.runtime.files import read_json
from jaxvae.runtime.sharding import DeviceLayout
from jaxvae.runtime.signals import Interrupted, interruptible, noticed
from jaxvae.step import State
from jaxvae.training import diagnosis, scoring
from jaxvae.training.deferred_metrics import DeferredMetrics, due
from jaxvae.training.engine import Engine
from jaxvae.training.initial_state import load_or_create_state
from jaxvae.training.rollback import Stuck, look_for_streak, roll_back
from jaxvae.training.setup import Experiment, make_engine, set_up
from jaxvae.training.snapshots import EARLY_STEPS, save_snapshot
from jaxvae.viz import figures, report

_STRETCH = 100  # the most steps between two looks at whether to stop,
_LOOK_EVERY = 2.0  # and about the most seconds


def train(config: Config, workdir: str | Path | None = None, arrays: Any = None) -> Run:
    """Trains in a notebook or a script and returns the run, as `jaxvae.load` does.

    `arrays`: uint8 images [N, H, W, C], (images, labels), or {'train': ..., 'test': ...} of them, instead of data.name.
    Without a workdir a temporary folder is used. ValueError says what is wrong with the config or the arrays.
    """
    where = workdir or tempfile.mkdtemp(prefix="jaxvae-")
    return train_and_evaluate(of_arrays(config, arrays), where, arrays=arrays, command="jaxvae.train(config)")


def of_arrays(config: Config, arrays: Any) -> Config:
    """The config, which names no data set where a program passes arrays."""
    if arrays is None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, name="arrays"))


def train_and_evaluate(
    config: Config,
    workdir: str | Path,
    *,
    arrays: Any = None,
    command: str = "",
    say: Callable[[str], None] = print_safely,
) -> Run:
    """Trains what the config says, or goes on where this workdir stopped; scores it on test, draws and reports."""
    workdir, say = Path(workdir), say if multihost.is_first_process() else silent
    with lock_run_directory(workdir, say), disk_space.explain_full_disk(workdir):
        experiment = set_up(config, arrays, say)
        pipeline, engine = make_engine(experiment)
        claim(workdir, config, experiment.data, say)
        names = {"engine": engine.name, "pipeline": pipeline.name, "seed": config.train.seed, "command": command}
        for warning in environment.record_environment(workdir, **names) if multihost.is_first_process() else ():
            say(warning)
        images = len(experiment.data.splits["train"])
        say(
            f"{experiment.data.name}: {images:,} training images, {pipeline.name} pipeline, {engine.name} engine"
            + _on_devices(experiment.layout)
        )
        state = take_steps(experiment, engine, workdir, say)
        variables = variables_of(state)
        run = Run(config, experiment.parts, experiment.layout.to_first_device(variables), int(state.step), workdir)
        conclude(experiment, run, variables, workdir, say)
        return run


def _on_devices(layout: DeviceLayout) -> str:
    """On what it runs, in words, where there is more than one device."""
    if jax.device_count() == 1:
        return ""
    processes = f" of {multihost.count()} processes" if multihost.count() > 1 else ""
    cut = ", the state cut over them" if layout.fsdp else ""
    return f" on {layout.size} of {jax.device_count()} devices{processes}{cut}"


def silent(text: str) -> None:
    """Says nothing: of several processes or members one speaks."""


def claim(workdir: Path, config: Config, data: DataSet, say: Callable[[str], None]) -> None:
    """Makes the workdir this run's: writes config.json, or refuses one trained with another config or other data.

    A workdir without a checkpoint has nothing to lose: the new config takes it over.
    """
    identity: dict[str, Any] = {
        "name": data.name,
        "version": data.version,
        "shape": list(data.shape),
        "images": {k: len(v) for k, v in data.splits.items()},
    }
    if (size := data.condition_size(config.model.condition)) is not None:
        identity["condition_size"] = size
    if data.own:  # a stock set's fingerprint may differ with the version of a library, its pixels do not
        identity["fingerprint"] = data.fingerprint
    directory = RunDirectory(workdir)
    known = (workdir / CONFIG).exists() or manifest.has_checkpoints(workdir / CHECKPOINTS)
    if known and _is_trained(workdir):
        old, old_data = directory.config, directory.data
        changed = differences(old, config)
        changed += [
            f"{name} of the data: {old_data.get(name)} -> {value}"
            for name, value in identity.items()
            if old_data.get(name) != value
        ]
        if changed:
            raise UsageError(
                f"{workdir} holds a run of another config, which differs in\n  "
                + "\n  ".join(changed)
                + "\nGo on with the old config, or train this one elsewhere with --workdir."
            )
        if old.train.steps != config.train.steps and config.optimizer.schedule.startswith("cosine"):
            say(f"the cosine is stretched to {config.train.steps:,} steps: the learning rate jumps here.")
    if multihost.is_first_process():
        if not _is_trained(workdir) and not holds(workdir, config):
            (workdir / EVENTS).unlink(missing_ok=True)  # another run's, which left nothing else
        save_config(workdir / CONFIG, config, identity | {"fingerprint": data.fingerprint})
    multihost.broadcast_from_first(0)  # the others go on when the folder is there


def holds(workdir: Path, config: Config) -> bool:
    """Whether a run of this config began here."""
    try:
        return not differences(RunDirectory(workdir).config, config)
    except (OSError, ValueError):
        return False


def _is_trained(workdir: Path) -> bool:
    """Whether the run, or a member of it, has a checkpoint."""
    folders = [workdir / CHECKPOINTS, *workdir.glob(f"*/{CHECKPOINTS}")]
    return any(manifest.has_checkpoints(folder) for folder in folders)


def take_steps(experiment: Experiment, engine: Engine, workdir: Path, say: Callable[[str], None]) -> State:
    """Takes the steps that are left; returns the state whose weights count: the last, or with patience the best.

    Where the numbers go bad it goes back, and on from there as a run does that was stopped and is started again.
    """
    state, folder = None, workdir / CHECKPOINTS
    with interruptible() as caught:
        while state is None:
            try:
                state = session(experiment, engine, workdir, caught, say)
            except Stuck as stuck:
                if multihost.any_process(bool(caught)):  # whoever starts it again comes to the same rollback
                    last = max(manifest.saved_steps(folder), default=0)
                    raise Interrupted(caught[0] if caught else signal.SIGTERM, last) from None
                roll_back(experiment, workdir, stuck, say)
    _say_skipped(state, say)
    return best(experiment, folder, state) if experiment.config.train.patience else state


def _say_skipped(state: State, say: Callable[[str], None]) -> None:
    """Says how many of the run's steps were skipped, if any."""
    skipped, streak = int(state.guard.skipped), int(state.guard.streak)
    if skipped:
        last = f", the last {streak:,} among them" if streak else ""
        say(f"{skipped:,} of {int(state.step):,} steps were skipped{last}: a loss or gradient was not finite.")


def session(
    experiment: Experiment, engine: Engine, workdir: Path, caught: list[int], say: Callable[[str], None]
) -> State:
    """Takes steps from where the run's directory says to the end; Stuck where they are skipped one after the other."""
    config, folder = experiment.config, workdir / CHECKPOINTS
    state = load_or_create_state(experiment, folder, say)
    disk_space.require_disk_space(folder, state)
    step, total, writes = int(state.step), config.train.steps, multihost.is_first_process()
    if writes:
        event_log.truncate_events(workdir, step)
        figures.remove_snapshots_after(workdir, step)
    patience = _Patience(config.train.patience, workdir, step)
    with (
        MetricsLog(workdir, step, manifest.metrics_fingerprint(folder, step)) if writes else NoMetricsLog() as logbook,
        Saver(folder, read_json(workdir / CONFIG)) as saver,
        ProgressBar(total, step, config.data.batch_size, show=writes) as bar,
    ):
        incidents = event_log.IncidentLog(workdir, step, bar.print) if writes else None
        late = DeferredMetrics(config.train, _line_writer(experiment, logbook, bar, incidents))
        if step == 0:
            save_snapshot(experiment, state, workdir, 0)
        state = engine.place(state)
        try:
            while step < total and not patience.spent and not multihost.any_process(bool(caught)):
                target = multihost.broadcast_from_first(next_stop(step, config, bar.speed))
                state, metrics = engine.advance(state, step, target - step)
                step, score, better = target, None, False
                late.add(step, metrics)
                if due(step, config.train.validate_every, total):
                    late.write_all()
                    now = engine.collect(state)
                    score = validate(experiment, now, step, logbook, bar)
                    better = patience.record(score)
                    save_snapshot(experiment, now, workdir, step)
                    bar.restart_clock(step)
                elif step in EARLY_STEPS:
                    save_snapshot(experiment, engine.collect(state), workdir, step)
                if due(step, config.train.checkpoint_every, total) or better:
                    late.write_all()
                    regular = better or step % config.train.checkpoint_every == 0
                    saver.save(step, engine.collect(state), score, lines=logbook.sync(), regular=regular)
                    bar.restart_clock(step)
            if caught:
                noticed.set()
            late.write_all()
        except Stuck as stuck:
            stuck.state = engine.collect(state)
            raise
        state = engine.collect(state)
        saver.save(step, state, lines=logbook.sync())
    if multihost.any_process(bool(caught)):
        raise Interrupted(caught[0] if caught else signal.SIGTERM, step)
    return state


def best(experiment: Experiment, folder: Path, state: State) -> State:
    """The state with the best validation score."""
    abstract = experiment.layout.abstract(abstract_state(experiment.config, experiment.parts))
    multihost.broadcast_from_first(0)  # whose manifests are all there now
    return checkpoint.restore(folder, abstract, prefer=manifest.best_step(folder)) or state


def next_stop(step: int, config: Config, speed: float | None) -> int:
    """The next step at which something is due, or to look whether to stop; `speed` in steps/s, once it is known."""
    stretch = 10 if speed is None else max(1, min(_STRETCH, int(_LOOK_EVERY * speed)))
    every = (config.train.log_every, config.train.validate_every, config.train.checkpoint_every)
    frames = [early for early in EARLY_STEPS if early > step]
    return min([step + stretch, config.train.steps, *frames, *((step // n + 1) * n for n in every)])


def _line_writer(
    experiment: Experiment,
    logbook: MetricsLog | NoMetricsLog,
    bar: ProgressBar,
    incidents: event_log.IncidentLog | None,
) -> Callable[[int, dict[str, Any], int], None]:
    """What writes a step's line, for LateMetrics; it raises Stuck where nothing is finite any more."""

    def write(step: int, values: dict[str, Any], reached: int) -> None:
        numbers = {name: float(value) for name, value in values.items()}
        numbers["learning_rate"] = float(experiment.parts.schedule(step - 1))
        logbook.write(step, "train", numbers)
        logbook.write_timing(step, bar.update(reached, numbers))
        if incidents is not None:
            incidents.record(step, numbers)
        look_for_streak(step, numbers)

    return write


def validate(
    experiment: Experiment, state: State, step: int, logbook: MetricsLog | NoMetricsLog, bar: ProgressBar
) -> float | None:
    """The score on the validation images under the weights that count, logged; None where there are no such images."""
    means = validation(experiment, state)
    if not means:
        return None
    logbook.write(step, "validation", means)
    bar.print(f"step {step:,}  validation: {format_bound(means)}")
    return score_of(means)


def validation(experiment: Experiment, state: State) -> dict[str, float]:
    """The bound and its parts, means over the validation images; {} where there are none."""
    split = experiment.data.splits.get("validation")
    if split is None:
        return {}
    batches = in_order(split, experiment.config.evaluate.batch_size, experiment.layout)
    values = experiment.evaluate(variables_of(state), batches)
    return {
        name: float(values[name].mean(dtype="float64")) for name in ("elbo", "rate", "distortion") if name in values
    }


def score_of(means: dict[str, Any]) -> float | None:
    """What a validation is judged by: the elbo, or where the model has none, minus the sum of rate and distortion.

    None where they are not finite, as metrics.jsonl holds such numbers.
    """
    if "elbo" in means:
        return means["elbo"]
    return None if None in (means["rate"], means["distortion"]) else -(means["rate"] + means["distortion"])


class _Patience:
    """Counts validations without a better score, those of earlier sessions of the run up to `step` included."""

    def __init__(self, most: int | None, workdir: Path, step: int):
        self.most, self.best, self.waited = most, float("-inf"), 0
        for line in read_metrics(workdir, step):
            if line["split"] == "validation":
                self.record(score_of(line))

    def record(self, score: float | None) -> bool:
        """Whether this score is the best so far."""
        if score is None:
            return False
        better = score > self.best
        self.best, self.waited = (score, 0) if better else (self.best, self.waited + 1)
        return better

    @property
    def spent(self) -> bool:
        return self.most is not None and self.waited >= self.most


def conclude(experiment: Experiment, run: Run, variables: Any, workdir: Path, say: Callable[[str], None]) -> None:
    """The final evaluation, the figures and the report; what an earlier session finished is not done again.

    `variables` are the run's as they lie on the devices that trained them.
    """
    page = workdir / report.REPORT
    finished = results.is_complete(results.read_results(workdir), experiment.config, run.step) and page.exists()
    if multihost.broadcast_from_first(finished):
        say(f"already trained for {run.step:,} steps and evaluated; raise train.steps to train longer.")
    else:
        _conclude_anew(experiment, run, variables, workdir, say)
    for line in results.format_results(results.read_results(workdir)):
        say(line)
    say(f"report: {page}")


def _conclude_anew(experiment: Experiment, run: Run, variables: Any, workdir: Path, say: Callable[[str], None]) -> None:
    """Scores, draws and reports: all processes score, the first draws."""
    config, began = experiment.config, time.perf_counter()
    say(f"evaluating on {', '.join(config.evaluate.splits)}, K={config.evaluate.samples}")
    numbers, values = scoring.score(experiment, variables, run.step)
    diagnosis.diagnose(experiment, variables, numbers, values, workdir)
    if not multihost.is_first_process():
        return
    (workdir / report.REPORT).unlink(missing_ok=True)  # whoever is stopped from here on is told that none is there
    results.write_results(workdir, numbers)
    scored = time.perf_counter()
    figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key, config.evaluate.figures)
    report.write_report(workdir)
    say(f"evaluation {scored - began:.1f} s, figures and report {time.perf_counter() - scored:.1f} s")
