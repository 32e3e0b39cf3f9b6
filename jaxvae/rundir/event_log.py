"""events.jsonl: what happened to a run besides its steps, one object a line, the same in every repetition.

    {"event": "skipped", "step": 1300, "count": 100, "total": 100}      steps skipped since the line before
    {"event": "spikes", "step": 1300, "count": 2, "total": 5}           losses far above the usual
    {"event": "rollback", "step": 1300, "to": 1000, "scale": 0.5, ...}  noticed at 1300: back to 1000, smaller updates
    {"event": "stopped", "step": 1300, ...}                             where going back could not help

A rollback is part of what a run goes on from, so its line is on the disk before the state that it leads to is used: a
run killed before it replays to the same one, and one killed after it starts where it led.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvae.rundir import EVENTS
from jaxvae.rundir.metrics_log import json_line, line_step, read_metrics
from jaxvae.runtime.files import write_atomically

ROLLBACK = "rollback"
_WHAT = {
    "skipped": "steps skipped so far, whose loss or gradient was not finite",
    "spikes": "losses so far that stood out above the usual",
}


def append_event(workdir: Path, event: str, step: int, **about: Any) -> None:
    """Adds a line, durably."""
    with (workdir / EVENTS).open("a") as file:
        file.write(json_line({"event": event, "step": step, **about}))
        file.flush()
        os.fsync(file.fileno())


def read_events(workdir: Path, step: float) -> list[dict[str, Any]]:
    """The events that belong to a run which goes on from this step."""
    return [json.loads(text) for text in _kept_lines(workdir, step)]


def truncate_events(workdir: Path, step: int) -> None:
    """Drops the other events, which will come again, and a torn last line."""
    path, content = workdir / EVENTS, b"".join(_kept_lines(workdir, step))
    if not path.exists() or path.read_bytes() == content:
        return
    write_atomically(path, content)


def _kept_lines(workdir: Path, step: float) -> list[bytes]:
    """The lines of a run that goes on from this step: of what was met up to it, and of rollbacks to it or before it.

    Rollbacks that came before one of those stay as well, wherever they led: they are part of how the run got here.
    """
    path = workdir / EVENTS
    texts = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    events = [(text, json.loads(text)) for text in texts if line_step(text) < float("inf")]
    led_here = [place for place, (_, event) in enumerate(events) if event.get("to", float("inf")) <= step]
    last = max(led_here, default=-1)
    return [
        text
        for place, (text, event) in enumerate(events)
        if (place <= last if event["event"] == ROLLBACK else event["step"] <= step)
    ]


def read_rollbacks(workdir: Path, step: float) -> list[dict[str, Any]]:
    """Those of a run which goes on from this step, in their order."""
    return [event for event in read_events(workdir, step) if event["event"] == ROLLBACK]


def rollback_scale(workdir: Path, step: int) -> float | None:
    """The scale of updates from this step on, where the last rollback led to it; None where the state's own counts."""
    found = read_rollbacks(workdir, step)
    return found[-1]["scale"] if found and found[-1]["to"] == step else None


class IncidentLog:
    """Notes what a run's lines tell: steps skipped, and spikes of the loss, since the line before.

    Each is an event; it is said the first time and whenever their number has doubled, so that nobody drowns in it.
    """

    def __init__(self, workdir: Path, step: int, say: Callable[[str], None]):
        lines = [each for each in read_metrics(workdir, step) if each["split"] == "train"]
        self.workdir, self.say, self.before = workdir, say, lines[-1] if lines else {}

    def record(self, step: int, numbers: dict[str, float]) -> None:
        """Looks at the line of this step."""
        for name, what in _WHAT.items():
            before, now = int(self.before.get(name, 0)), int(numbers[name])
            if now > before:
                append_event(self.workdir, name, step, count=now - before, total=now)
            if now.bit_length() > before.bit_length():
                self.say(f"step {step:,}  {what}: {now:,}")
        self.before = numbers
