"""Rollback to a good checkpoint, after many steps in a row had no finite loss or gradient.

The order makes it exact under a kill: the checkpoints after the target are removed, then the rollback's event is
written to the disk, then the run is resumed. Killed before the event, it repeats the same rollback; killed after it, it
starts at the target with the event's scale.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.rundir import CHECKPOINTS, checkpoint, event_log, manifest
from jaxvae.rundir.state import abstract_state
from jaxvae.runtime import multihost
from jaxvae.step import State
from jaxvae.training.find_nonfinite import NonfiniteFinding, find_first_nonfinite
from jaxvae.training.setup import Experiment

__all__ = ["ADVICE", "MAX_SKIPPED", "Streak", "describe_streak", "roll_back"]

MAX_SKIPPED = 100  # steps skipped in a row, after which a run rolls back or ends
_CANNOT_HELP = "nothing was learned before that, so smaller updates cannot help"
ADVICE = "Lower optimizer.learning_rate or set optimizer.clip, in another --workdir."


class Streak(NamedTuple):
    """Steps that were skipped one after the other, `length` of them up to `step`; `scale` multiplied their updates."""

    step: int
    length: int
    scale: float

    @property
    def first(self) -> int:
        """The first step that was skipped."""
        return self.step - self.length + 1


def roll_back(experiment: Experiment, workdir: Path, streak: Streak, state: State, say: Callable[[str], None]) -> None:
    """Turns the directory into that of a run that resumes at its last good checkpoint with updates half as large.

    FloatingPointError, which names what was not finite first, if the run rolled back train.rollbacks times before, or
    if nothing was learned since the checkpoint. `state` is the newest one when the streak was noticed.
    """
    found, most = describe_streak(experiment, streak, state), experiment.config.train.rollbacks
    multihost.broadcast_from_first(0)  # its last manifest is written now
    target = _rollback_target(experiment, workdir / CHECKPOINTS, streak.first)
    times = multihost.broadcast_from_first(len(event_log.read_rollbacks(workdir, math.inf)))
    if target is None or times >= most:
        why = _CANNOT_HELP if target is None else f"it went back {times} times before, and train.rollbacks={most}"
        if multihost.is_first_process():
            event_log.append_event(workdir, "stopped", streak.step, **found)
        of_data = found["term"] in ("x", "target", "condition")
        advice = "Look at the images, at data.prepare and data.corrupt." if of_data else ADVICE
        raise FloatingPointError(f"{found['text']}. The run is stopped: {why}. {advice}")
    scale = streak.scale / 2
    if multihost.is_first_process():
        checkpoint.remove_after(workdir / CHECKPOINTS, target)
        event_log.append_event(workdir, event_log.ROLLBACK, streak.step, to=target, scale=scale, **found)
    multihost.broadcast_from_first(0)  # the others start when both are done
    say(f"{found['text']}: going back to step {target:,} with updates scaled by {scale:g}")


def _rollback_target(experiment: Experiment, folder: Path, first_bad: int) -> int | None:
    """Returns the step of the last good checkpoint, 0 if there is none yet, None if going back cannot help."""
    abstract = experiment.layout.abstract(abstract_state(experiment.config, experiment.parts))
    good = [step for step in manifest.rollback_steps(folder) if step < first_bad]
    for step in reversed(good):
        path = folder / str(step)
        # the checkpoint's own weights gave the bad numbers if the step after it is bad
        if step + 1 == first_bad or multihost.any_process(manifest.find_damage(path) is not None):
            continue
        state = checkpoint.read_state(path / "state", abstract)
        if not multihost.any_process(not checkpoint.all_finite(state)):
            return step
    return 0 if first_bad > 1 and not good else None


def describe_streak(experiment: Experiment, streak: Streak, state: State) -> dict[str, Any]:
    """Returns the streak's event: its first step, what was not finite first and in which layer, and a text."""
    state = experiment.layout.to_first_device(state)
    if int(state.guard.streak) - (int(state.step) - streak.step) == streak.length:
        finding = find_first_nonfinite(experiment, state.replace(step=state.step * 0 + (streak.first - 1)))
    else:
        finding = NonfiniteFinding(None, None, "a good step came after them, so it cannot be replayed any more")
    text = (
        f"steps {streak.first:,} to {streak.step:,} had no finite loss or gradient; "
        f"first bad at step {streak.first:,}: {finding.words}"
    )
    return {"first_bad_step": streak.first, "term": finding.term, "layer": finding.layer, "text": text}
