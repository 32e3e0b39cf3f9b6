"""events.jsonl: skipped steps, spikes and rollbacks, one object a line, the same in every repetition of a run.

    {"event": "skipped", "step": 1300, "count": 100, "total": 100}      steps skipped since the line before
    {"event": "spikes", "step": 1300, "count": 2, "total": 5}           losses far above the usual
    {"event": "rollback", "step": 1300, "to": 1000, "scale": 0.5, ...}  at 1300 back to 1000, with smaller updates
    {"event": "stopped", "step": 1300, ...}                             a rollback could not help

A rollback's line is on the disk before the state that it leads to is used. A run killed before that comes to the same
rollback again; one killed after it starts where the rollback led.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvae.rundir import EVENTS
from jaxvae.rundir.metrics_log import json_line, keep_lines, read_lines, read_metrics

__all__ = ["ROLLBACK", "IncidentLog", "append_event", "read_events", "read_rollbacks", "rollback_scale"]
__all__ += ["truncate_events"]

ROLLBACK = "rollback"
_COUNTED = {
    "skipped": "steps skipped so far, whose loss or gradient was not finite",
    "spikes": "losses so far that stood out above the usual",
}


def append_event(workdir: Path, event: str, step: int, **about: Any) -> None:
    """Appends a line, durably."""
    with (workdir / EVENTS).open("a") as file:
        file.write(json_line({"event": event, "step": step, **about}))
        file.flush()
        os.fsync(file.fileno())


def read_events(workdir: Path, step: float) -> list[dict[str, Any]]:
    """Returns the events of a run that goes on from this step."""
    return [event for _, event in _read_kept(workdir, step)]


def truncate_events(workdir: Path, step: int) -> None:
    """Removes the events after this step, which will come again, and a torn last line."""
    keep_lines(workdir / EVENTS, [text for text, _ in _read_kept(workdir, step)])


def _read_kept(workdir: Path, step: float) -> list[tuple[bytes, dict[str, Any]]]:
    """Returns the events up to this step, and all rollbacks until the last one that led to it or before it."""
    lines = read_lines(workdir / EVENTS)
    led_here = [place for place, (_, event) in enumerate(lines) if event.get("to", math.inf) <= step]
    last = max(led_here, default=-1)
    return [
        (text, event)
        for place, (text, event) in enumerate(lines)
        if (place <= last if event["event"] == ROLLBACK else event["step"] <= step)
    ]


def read_rollbacks(workdir: Path, step: float) -> list[dict[str, Any]]:
    """Returns the rollbacks of a run that goes on from this step, in their order."""
    return [event for event in read_events(workdir, step) if event["event"] == ROLLBACK]


def rollback_scale(workdir: Path, step: int) -> float | None:
    """Returns the scale of updates if the last rollback led to this step; None if the state's own scale counts."""
    found = read_rollbacks(workdir, step)
    return found[-1]["scale"] if found and found[-1]["to"] == step else None


class IncidentLog:
    """Appends an event for the steps skipped, and the spikes of the loss, since the line before.

    It prints the first one, and another whenever their number has doubled. `before` holds the numbers of that line.
    """

    def __init__(self, workdir: Path, step: int, say: Callable[[str], None]):
        lines = [line for line in read_metrics(workdir, step) if line["split"] == "train"]
        self.workdir, self.say, self.before = workdir, say, lines[-1] if lines else {}

    def record(self, step: int, numbers: dict[str, float]) -> None:
        """Compares the metrics of this step with those before."""
        for name, meaning in _COUNTED.items():
            before, now = int(self.before.get(name, 0)), int(numbers[name])
            if now > before:
                append_event(self.workdir, name, step, count=now - before, total=now)
            if now.bit_length() > before.bit_length():
                self.say(f"step {step:,}  {meaning}: {now:,}")
