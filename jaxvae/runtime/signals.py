"""SIGINT (Ctrl-C) and SIGTERM: training saves and stops; any other program ends with one message.

No exception is raised where a signal arrives: a callback would lose it, an extension's import crash (jaxlib 0.10).
No Python code of the main thread runs while XLA compiles; therefore a second thread waits for signals too.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

__all__ = ["LONGEST_WAIT", "SIGNALS", "Interrupted", "Shutdown", "exit_on_signal"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LONGEST_WAIT = 8.0  # seconds from a signal until training must have begun to save; saving may take longer
_END = b"\0"  # no signal has this number
_RESUMES = "the same command goes on from there."


class Interrupted(Exception):
    """A signal stopped training; everything is saved."""

    def __init__(self, signum: int, step: int):
        name = signal.Signals(signum).name
        super().__init__(f"{name}: stopped and saved at step {step:,}. The same command goes on from there.")
        self.signum = signum


class Shutdown:
    """A request to stop: the signal that was caught, if any, and whether the program has begun to stop.

    `cleanups` are called if the program exits at once, in reverse order.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.answered = threading.Event()
        self.cleanups: list[Callable[[], None]] = []

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Records the first signal in `signum`, for the caller to stop when it can; a second one acts as before."""

        def record(signum: int, frame: FrameType | None) -> None:
            self.signum = signum
            restore()

        restore = _set_handlers(record)
        try:
            yield
        finally:
            restore()

    def exit(self, signum: int, reason: str) -> NoReturn:
        """Calls the cleanups, prints the reason and ends the program at once."""
        for cleanup in reversed(self.cleanups):
            cleanup()
        show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # which a progress bar hides
        print(f"{show_cursor}{signal.Signals(signum).name}: {reason}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + signum)


@contextlib.contextmanager
def exit_on_signal(*, resumes: bool = True) -> Iterator[Shutdown]:
    """Ends the program on a signal: at once, or LONGEST_WAIT seconds after one that deferred code did not answer.

    `resumes`: whether the same command continues where this one stopped, as training does.
    """
    kept = f"stopped. What was saved before is kept; {_RESUMES}" if resumes else "stopped. Run the command again."
    shutdown = Shutdown()
    if threading.current_thread() is not threading.main_thread():
        yield shutdown
        return
    restore = _set_handlers(lambda signum, frame: shutdown.exit(signum, kept))
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(target=_listen, args=(receiver, shutdown), name="signals", daemon=True)
        thread.start()
        try:
            yield shutdown
        finally:
            restore()
            signal.set_wakeup_fd(before)
            sender.send(_END)
            thread.join()


def _set_handlers(handler: Callable[[int, FrameType | None], None]) -> Callable[[], None]:
    """Sets the handlers of signals not ignored, in the main thread alone; returns what restores the old ones."""
    main = threading.current_thread() is threading.main_thread()
    found = {signum: signal.getsignal(signum) for signum in SIGNALS if main}
    before = {signum: old for signum, old in found.items() if old != signal.SIG_IGN}

    def restore() -> None:
        for signum, old in before.items():
            signal.signal(signum, old)

    for signum in before:
        signal.signal(signum, handler)
    return restore


def _listen(receiver: socket.socket, shutdown: Shutdown) -> None:
    """Ends the program LONGEST_WAIT seconds after a signal that was not answered, and after a second one."""
    count = 0
    while (received := receiver.recv(1)) not in (_END, b""):
        if received[0] not in SIGNALS:
            continue
        count += 1
        receiver.settimeout(LONGEST_WAIT)
        try:
            receiver.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            if count > 1 or not shutdown.answered.is_set():
                waited = f"ended, since no step came to its end within {LONGEST_WAIT:g} s. The last checkpoint is kept"
                shutdown.exit(received[0], f"{waited}; {_RESUMES}")
        receiver.settimeout(None)
