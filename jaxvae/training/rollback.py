"""Back to where numbers were good: what a run does when its steps are skipped one after the other.

The order is what makes it exact under a kill: first the checkpoints after the target go, then the rollback's event is
on the disk, then the run starts as one that was resumed. Killed before the event, it comes to the same rollback again;
killed after it, it starts at the target with the event's scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvae.rundir import CHECKPOINTS, checkpoint, event_log, manifest
from jaxvae.rundir.state import abstract_state
from jaxvae.runtime import multihost
from jaxvae.step import State
from jaxvae.training.find_nonfinite import Finding, find_first_nonfinite
from jaxvae.training.setup import Experiment

MAX_SKIPPED = 100  # so many steps in a row without a finite loss and gradient, and the run goes back or ends
_NO_WAY = "nothing was learned before that, so smaller updates cannot help"
ADVICE = "Lower optimizer.learning_rate or set optimizer.clip, in another --workdir."


class Stuck(Exception):
    """The steps up to `step` were skipped, `streak` of them in a row; `state` is that of the training when noticed."""

    def __init__(self, step: int, streak: int, scale: float):
        super().__init__(f"{streak} steps up to {step:,} were skipped")
        self.step, self.streak, self.scale = step, streak, scale
        self.state: State | None = None

    @property
    def first(self) -> int:
        """The first step that was skipped."""
        return self.step - self.streak + 1


def look_for_streak(step: int, numbers: dict[str, float]) -> None:
    """Raises Stuck where the line of this step ends a streak that is too long."""
    if numbers["streak"] >= MAX_SKIPPED:
        raise Stuck(step, int(numbers["streak"]), numbers["scale"])


def roll_back(experiment: Experiment, workdir: Path, stuck: Stuck, say: Callable[[str], None]) -> None:
    """Makes the run's directory that of a run which goes on from its last good state with updates half as large.

    FloatingPointError, saying where numbers went bad first, where it went back train.rollbacks times already, and where
    that cannot help: nothing was learned since.
    """
    found, most = describe_streak(experiment, stuck), experiment.config.train.rollbacks
    multihost.broadcast_from_first(0)  # whose last manifest is written now
    target = _way_back(experiment, workdir / CHECKPOINTS, stuck.first)
    times = multihost.broadcast_from_first(len(event_log.read_rollbacks(workdir, math.inf)))
    if target is None or times >= most:
        why = _NO_WAY if target is None else f"it went back {times} times before, and train.rollbacks={most}"
        if multihost.is_first_process():
            event_log.append_event(workdir, "stopped", stuck.step, **found)
        raise FloatingPointError(f"{found['text']}. The run is stopped: {why}. {_advice(found['term'])}")
    scale = stuck.scale / 2
    if multihost.is_first_process():
        checkpoint.remove_after(workdir / CHECKPOINTS, target)
        event_log.append_event(workdir, event_log.ROLLBACK, stuck.step, to=target, scale=scale, **found)
    multihost.broadcast_from_first(0)  # the others start when both are done
    say(f"{found['text']}: going back to step {target:,} with updates scaled by {scale:g}")


def _way_back(experiment: Experiment, folder: Path, first_bad: int) -> int | None:
    """The step to go back to: of the last good checkpoint since which something was learned, 0 where there is none yet.

    None where that would not help: its own weights gave the bad numbers.
    """
    abstract = experiment.layout.abstract(abstract_state(experiment.config, experiment.parts))
    good = [step for step in manifest.rollback_steps(folder) if step < first_bad]
    for step in reversed(good):
        path = folder / str(step)
        if step + 1 == first_bad or multihost.any_process(manifest.find_damage(path) is not None):
            continue
        state = checkpoint.read_state(path / "state", abstract)
        if not multihost.any_process(not checkpoint.all_finite(state)):
            return step
    return 0 if first_bad > 1 and not good else None


def describe_streak(experiment: Experiment, stuck: Stuck) -> dict[str, Any]:
    """What an event says of such a streak: its first step, the first term and layer that were not finite, and words."""
    finding = _first_bad(experiment, stuck)
    text = (
        f"steps {stuck.first:,} to {stuck.step:,} had no finite loss or gradient; "
        f"first bad at step {stuck.first:,}: {finding.words}"
    )
    return {"first_bad_step": stuck.first, "term": finding.term, "layer": finding.layer, "text": text}


def _first_bad(experiment: Experiment, stuck: Stuck) -> Finding:
    """What was first not finite in the first step that was skipped."""
    assert stuck.state is not None
    state = experiment.layout.to_first_device(stuck.state)
    if int(state.guard.streak) - (int(state.step) - stuck.step) != stuck.streak:
        return Finding(None, None, "a good step came after them, so it cannot be replayed any more")
    return find_first_nonfinite(experiment, state.replace(step=state.step * 0 + (stuck.first - 1)))


def _advice(term: str | None) -> str:
    """The next move."""
    return "Look at the images, at data.prepare and data.corrupt." if term in ("x", "target", "condition") else ADVICE
