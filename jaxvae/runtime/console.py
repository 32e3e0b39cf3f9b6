"""Text on a terminal: names out of files come there as text, and move no cursor."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO


def print_safely(text: object, file: TextIO | None = None) -> None:
    """Prints a text; control and invisible characters, and what the terminal cannot encode, are written out."""
    file = file or sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(escape_unprintable(str(text)).encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)


def escape_unprintable(text: str) -> str:
    """The text with all but printable characters, spaces and newlines written out."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


# MERGED


class ProgressBar:
    """`update(step, values)` shows where training is; `say(text)` prints a line without breaking the bar.

    With show=False nothing is printed: of several processes one speaks.
    """

    def __init__(self, total: int, step: int, images_per_step: int, *, show: bool = True):
        self.total, self.images_per_step, self.show = total, images_per_step, show
        self.last = (time.perf_counter(), step)
        self.shown = 0.0
        self.speed: float | None = None  # steps/s
        self.bar: Any = None

    def __enter__(self) -> ProgressBar:
        if self.show and sys.stdout.isatty():
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
        """Shows the speed since the last call and the bound's parts; returns the clock values for timing.jsonl.

        `step` is the one that the device has surely reached.
        """
        now, (before, first) = time.perf_counter(), self.last
        self.last = (now, step)
        seconds = max(now - before, 1e-9)
        self.speed = speed = (step - first) / seconds
        text = f"{speed:,.0f} steps/s  {speed * self.images_per_step:,.0f} images/s  {format_bound(values)}"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, description=text)
        elif self.show and (now - self.shown > 2.0 or step == self.total):
            self.shown = now
            remaining = (self.total - step) / max(speed, 1e-9)
            print(f"step {step:,}/{self.total:,}  {text}  ETA {remaining:,.0f} s", flush=True)
        return {"seconds": seconds, "steps_per_second": speed, "images_per_second": speed * self.images_per_step}

    def print(self, text: str) -> None:
        if self.show:
            if self.bar is None:
                print_safely(text)
            else:
                self.bar.console.print(escape_unprintable(text), markup=False, highlight=False)

    def restart_clock(self, step: int) -> None:
        """Counts anew from this step on: what went before it (a validation, a checkpoint) is no part of the speed."""
        self.last = (time.perf_counter(), step)


def format_bound(values: dict[str, float]) -> str:
    """The bound and its parts, as far as they are known, in nats."""
    return "  ".join(f"{name} {values[name]:.2f}" for name in ("elbo", "rate", "distortion") if name in values)
