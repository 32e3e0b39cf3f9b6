"""Metrics fetched one line late, when the device is busy with the next steps: it never waits for the host."""

from collections.abc import Callable
from typing import Any

import jax

__all__ = ["DeferredMetrics"]


class DeferredMetrics:
    """Calls `write(step, values, reached)` for every step that was added with `log`, when a later one is added.

    `values` are the step's metrics on the host, sorted by name; `reached` is a step that the device has surely done.
    """

    def __init__(self, write: Callable[[int, dict[str, Any], int], None]):
        self._write = write
        self._waiting: tuple[int, dict[str, jax.Array]] | None = None
        self._newest: tuple[int, dict[str, jax.Array]] = (0, {})

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Remembers the newest metrics, by which the device's progress is seen."""
        self._newest = (step, metrics)

    def log(self) -> None:
        """Keeps the newest metrics to be written, and writes those that waited."""
        newest = self._newest
        self._write_waiting()
        self._waiting = newest

    def flush(self) -> None:
        """Waits for the device and writes what is waiting."""
        jax.block_until_ready(self._newest[1])
        self._write_waiting()

    def _write_waiting(self) -> None:
        if self._waiting is None:
            return
        (step, metrics), self._waiting = self._waiting, None
        values = dict(sorted(jax.device_get(metrics).items()))
        done, latest = self._newest
        reached = done if all(getattr(value, "is_ready", bool)() for value in latest.values()) else step
        self._write(step, values, reached)
