"""Metrics fetched one line late, when the device is already busy: it never waits for the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jaxvae.config import Train

_Metrics = dict[str, jax.Array]


class DeferredMetrics:
    """Calls `write(step, values, reached)` for every step whose line is due.

    `values` are its metrics on the host, sorted by name; `reached` is the step that the device is surely at by then.
    """

    def __init__(self, train: Train, write: Callable[[int, dict[str, Any], int], None]):
        self.train, self.write = train, write
        self.waiting: tuple[int, _Metrics] | None = None
        self.newest: tuple[int, _Metrics] = (0, {})

    def add(self, step: int, metrics: _Metrics) -> None:
        """Keeps this step's metrics if they are due, and writes those that waited."""
        self.newest = (step, metrics)
        if due(step, self.train.log_every, self.train.steps):
            self.write_waiting()
            self.waiting = (step, metrics)

    def write_all(self) -> None:
        """Waits for the device and writes what is waiting."""
        jax.block_until_ready(self.newest[1])
        self.write_waiting()

    def write_waiting(self) -> None:
        if self.waiting is None:
            return
        (step, metrics), self.waiting = self.waiting, None
        values = dict(sorted(jax.device_get(metrics).items()))
        done, latest = self.newest
        reached = done if all(getattr(value, "is_ready", bool)() for value in latest.values()) else step
        self.write(step, values, reached)


def due(step: int, every: int, total: int) -> bool:
    """Whether what happens every so many steps, and at the last one, happens at this step."""
    return step % every == 0 or step == total
