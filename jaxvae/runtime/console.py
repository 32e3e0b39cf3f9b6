"""Text on a terminal: names from files cannot move the cursor; and a progress bar."""

import sys
import time
from typing import Any, Self, TextIO

__all__ = ["ProgressBar", "escape_unprintable", "format_bound", "format_decimals", "print_safely"]
_SCIENTIFIC = 1e6
_PRINT_EVERY = 2.0  # seconds, where there is no bar


def print_safely(text: object, file: TextIO | None = None) -> None:
    """Prints a text; control and invisible characters, and those that the terminal cannot encode, are escaped."""
    file = file or sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(escape_unprintable(str(text)).encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)


def escape_unprintable(text: str) -> str:
    """Returns the text with all but printable characters, spaces and newlines escaped."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class ProgressBar:
    """Prints the step and the speed of training: as a bar on a terminal, else a line every two seconds.

    With show=False nothing is printed: of several processes only the first prints.
    """

    def __init__(self, total: int, step: int, images_per_step: int, *, show: bool = True):
        self.total, self.images_per_step, self.show = total, images_per_step, show
        self.speed: float | None = None  # steps/s
        self.bar: Any = None
        self._last = (time.perf_counter(), step)
        self._held = (0.0, 0)  # seconds and steps before a rest, for the next line
        self._printed = 0.0

    def __enter__(self) -> Self:
        if self.show and sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            texts = (TextColumn("{task.description}"), TextColumn("ETA"))
            self.bar = Progress(BarColumn(24), MofNCompleteColumn(), *texts, TimeRemainingColumn())
            self.bar.start()
            self._task = self.bar.add_task("compiling", total=self.total, completed=self._last[1])
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, values: dict[str, float], at: float | None = None) -> dict[str, float]:
        """Prints the speed since the last call and the bound's terms; returns the entries of timing.jsonl.

        `at` is the clock's time when the device had completed `step`; None: now.
        """
        now = time.perf_counter()
        self.rest(step, at)
        (seconds, steps), self._held = self._held, (0.0, 0)
        self.speed = speed = steps / max(seconds, 1e-9)
        text = f"{speed:,.0f} steps/s  {speed * self.images_per_step:,.0f} images/s  {format_bound(values)}"
        if self.bar is not None:
            self.bar.update(self._task, completed=step, description=text)
        elif self.show and (now - self._printed > _PRINT_EVERY or step == self.total):
            self._printed = now
            remaining = (self.total - step) / max(speed, 1e-9)
            print(f"step {step:,}/{self.total:,}  {text}  ETA {remaining:,.0f} s", flush=True)
        return {"seconds": seconds, "steps_per_second": speed, "images_per_second": speed * self.images_per_step}

    def print(self, text: str) -> None:
        """Prints a line above the bar."""
        if self.bar is not None:
            self.bar.console.print(escape_unprintable(text), markup=False, highlight=False)
        elif self.show:
            print_safely(text)

    def rest(self, step: int, at: float | None = None) -> None:
        """Counts the steps up to this one, completed `at` this time, in the next line."""
        now, (before, first) = time.perf_counter() if at is None else at, self._last
        self._last, (seconds, steps) = (now, step), self._held
        self._held = seconds + max(now - before, 0.0), steps + step - first

    def restart_clock(self, step: int) -> None:
        """Measures the speed from this step on, without the validation or checkpoint before it."""
        self._last = (time.perf_counter(), step)


def format_bound(values: dict[str, float]) -> str:
    """Returns the bound and its terms, in nats, without those that are not known."""
    names = ("elbo", "rate", "distortion")
    return "  ".join(f"{name} {format_decimals(values[name], 2)}" for name in names if name in values)


def format_decimals(value: float, decimals: int) -> str:
    """Returns a number with these decimals, or from a million on in scientific form."""
    return f"{value:.{decimals}f}" if abs(value) < _SCIENTIFIC else f"{value:.4g}"
