"""Ctrl-C and SIGTERM: training notices, saves and stops."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class Interrupted(Exception):
    """A signal asked training to stop; everything is saved."""

    def __init__(self, signum: int, step: int):
        name = signal.Signals(signum).name
        super().__init__(f"{name}: stopped and saved at step {step:,}. The same command goes on from there.")
        self.signum = signum


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that the first SIGINT or SIGTERM is appended to; a second one acts as ever."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def catch(signum: int, frame: object) -> None:
        caught.append(signum)
        restore()

    for signum in before:
        signal.signal(signum, catch)
    try:
        yield caught
    finally:
        restore()
