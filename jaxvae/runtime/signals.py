"""Ctrl-C and SIGTERM: training notices, saves and stops; anywhere else the program ends in words; and soon.

Nothing is raised where a signal happens to arrive: inside a callback it would be lost, inside an extension's import it
crashes the process (jaxlib 0.10; both seen). A run can be killed anywhere, so outside training it simply ends. And no
line of Python runs while a program compiles: a second thread listens, and ends what does not come to answer.
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
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LATEST = 8.0  # seconds from a signal to the moment at which training begins to save; saving takes what it takes
_END = b"\0"  # no signal has this number
_GOES_ON = "the same command goes on from there."
noticed = threading.Event()  # set once the signal has been answered: what follows is an orderly end
farewells: list[Callable[[], None]] = []  # what is still to be done when the program ends at once


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

    def catch(signum: int, frame: FrameType | None) -> None:
        caught.append(signum)
        restore()

    restore = _handled_by(catch)
    try:
        yield caught
    finally:
        restore()


@contextlib.contextmanager
def exit_on_signal(*, goes_on: bool = True) -> Iterator[None]:
    """Within it a signal ends the program: at once, or, where training could not notice it, after LATEST seconds.

    `goes_on`: whether the same command would go on where this one stopped, as training does.
    """
    kept = (
        f"stopped. What was saved before is kept; {_GOES_ON}" if goes_on else "stopped; the same command begins anew."
    )
    noticed.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        end(signum, kept)

    restore, silence = _handled_by(stop), _listened()
    try:
        yield
    finally:
        restore()
        silence()


def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Callable[[], None]:
    """Sets the handler of both signals, unless the program was told to ignore them; returns what restores the old."""
    before = {signum: old for signum in SIGNALS if (old := signal.getsignal(signum)) != signal.SIG_IGN}

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


def _listened() -> Callable[[], None]:
    """Starts the thread that hears signals while the main one is busy; returns what ends it."""
    hears, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=(hears,), name="signals", daemon=True)
    thread.start()

    def silence() -> None:
        signal.set_wakeup_fd(before)
        told.send(_END)
        thread.join()
        hears.close()
        told.close()

    return silence


def _listen(hears: socket.socket) -> None:
    """Waits for signals; ends the program LATEST seconds after one that nobody noticed, and after a second one."""
    count = 0
    while (heard := hears.recv(1)) not in (_END, b""):
        if heard[0] not in SIGNALS:
            continue
        count += 1
        hears.settimeout(LATEST)
        try:
            hears.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            if count > 1 or not noticed.is_set():
                end(
                    heard[0],
                    f"ended, since no step came to its end within {LATEST:g} s. The last checkpoint is kept; {_GOES_ON}",
                )
        hears.settimeout(None)


def end(signum: int, how: str) -> NoReturn:
    """Ends the program at once, saying how, after the farewells."""
    for farewell in reversed(farewells):
        farewell()
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # which a progress bar hides
    print(f"{show_cursor}{signal.Signals(signum).name}: {how}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + signum)
