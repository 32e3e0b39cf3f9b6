"""Ctrl-C and SIGTERM: training notices, saves and stops; anywhere else the program ends in words; and soon.

No line of Python runs while a program compiles or a device is waited for. So the command line has a second thread
listening for signals: it ends the program where the first one does not come to answer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LATEST = 8.0  # seconds from a signal to the moment at which training begins to save; saving takes what it takes
END = b"\0"  # no signal has this number
noticed = threading.Event()  # set once the signal has been answered: what follows is an orderly end


class Interrupted(Exception):
    """A signal asked training to stop; everything is saved."""

    def __init__(self, signum: int, step: int):
        name = signal.Signals(signum).name
        super().__init__(f"{name}: stopped and saved at step {step:,}. The same command goes on from there.")
        self.signum = signum


class Stopped(KeyboardInterrupt):
    """A signal arrived where nothing is to be saved: before the first step, while scoring, while drawing."""

    def __init__(self, signum: int):
        name = signal.Signals(signum).name
        super().__init__(f"{name}: stopped. What was saved before is kept; the same command goes on from there.")
        self.signum = signum


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """A list that the first SIGINT or SIGTERM is appended to; a second one acts as ever."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def catch(signum: int, frame: FrameType | None) -> None:
        caught.append(signum)
        restore()

    restore = handled_by(catch)
    try:
        yield caught
    finally:
        restore()


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within it a signal raises Stopped, and ends the program if nobody has `noticed` it after LATEST seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    restore, silence = handled_by(stop), listened()
    try:
        yield
    finally:
        restore()
        silence()


def handled_by(handler: Callable[[int, FrameType | None], None]) -> Callable[[], None]:
    """Sets the handler of both signals; returns what restores those that were there."""
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}

    def restore() -> None:
        for signum, old in before.items():
            signal.signal(signum, old)

    for signum in before:
        signal.signal(signum, handler)
    return restore


def heard_again() -> None:
    """Sets the handlers again, where a library took a signal for itself, as JAX does when it joins processes."""
    if threading.current_thread() is threading.main_thread():
        handled = {signum: signal.getsignal(signum) for signum in SIGNALS}
        for signum, handler in handled.items():
            signal.signal(signum, handler)


def listened() -> Callable[[], None]:
    """Starts the thread that hears signals while the main one is busy; returns what ends it."""
    hears, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=listen, args=(hears,), name="signals", daemon=True)
    thread.start()

    def silence() -> None:
        signal.set_wakeup_fd(before)
        told.send(END)
        thread.join()
        hears.close()
        told.close()

    return silence


def listen(hears: socket.socket) -> None:
    """Waits for signals; ends the program LATEST seconds after one that nobody noticed."""
    while (heard := hears.recv(1)) not in (END, b""):
        if heard[0] not in SIGNALS:
            continue
        noticed.clear()
        hears.settimeout(LATEST)
        try:
            if hears.recv(1, socket.MSG_PEEK) in (END, b""):
                return
        except TimeoutError:
            if not noticed.is_set():
                end(heard[0])
        hears.settimeout(None)


def end(signum: int) -> None:
    """Ends the program at once."""
    name = signal.Signals(signum).name
    print(
        f"{name}: ended, since no step came to its end within {LATEST:.0f} s. "
        "The last checkpoint is kept; the same command goes on from there.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(128 + signum)
