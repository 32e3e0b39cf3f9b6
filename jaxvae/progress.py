"""What one sees while it trains: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any


class Progress:
    """`update(step, values)` shows where training is; `say(text)` prints a line without breaking the bar."""

    def __init__(self, total: int, step: int, images_per_step: int):
        self.total, self.images_per_step = total, images_per_step
        self.last = self.earlier = (time.perf_counter(), step)
        self.shown = 0.0
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                BarColumn(24),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TextColumn("ETA"),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns)
            self.bar.start()
            self.task = self.bar.add_task("compiling", total=self.total, completed=self.last[1])
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, values: dict[str, float]) -> dict[str, float]:
        """Shows the speed since the last call and the bound's parts; returns the clock values for timing.jsonl."""
        seconds, steps = self.stretch(step)
        speed = steps / seconds
        text = f"{speed:,.0f} steps/s  {speed * self.images_per_step:,.0f} images/s  {describe(values)}"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, description=text)
        elif self.last[0] - self.shown > 2.0 or step == self.total:
            self.shown = self.last[0]
            remaining = (self.total - step) / max(speed, 1e-9)
            print(f"step {step:,}/{self.total:,}  {text}  ETA {remaining:,.0f} s", flush=True)
        return {"seconds": seconds, "steps_per_second": speed, "images_per_second": speed * self.images_per_step}

    def stretch(self, step: int) -> tuple[float, int]:
        """(seconds, steps) since the last update; since the one before it where the device had run ahead of that."""
        now, (before, first) = time.perf_counter(), self.last
        pace = (before - self.earlier[0]) / max(first - self.earlier[1], 1)
        if now - before < 0.25 * pace * (step - first):
            before, first = self.earlier
        self.earlier, self.last = self.last, (now, step)
        return max(now - before, 1e-9), step - first

    def say(self, text: str) -> None:
        (self.bar.console.print if self.bar is not None else print)(text)

    def rest(self) -> None:
        """Leaves what happened since the last update (a validation, a checkpoint) out of the speed."""
        self.last = self.earlier = (time.perf_counter(), self.last[1])


def describe(values: dict[str, float]) -> str:
    """The bound and its parts, as far as they are known, in nats."""
    return "  ".join(f"{name} {values[name]:.2f}" for name in ("elbo", "rate", "distortion") if name in values)


Say = Callable[[str], None]
