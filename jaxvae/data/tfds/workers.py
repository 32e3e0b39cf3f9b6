"""Worker processes that decode records, outside the interpreter lock of the program.

They are started and not forked, import neither JAX nor the caller's script, and respond over pipes. Whatever ends the
program, kill -9 too, closes the pipe that a worker reads its requests from, and so ends the worker.
Grain's (0.2.18) were as fast, see benchmarks/streaming.py --grain, but outlive a program that was killed by kill -9,
import the caller's script, take 225 MB each against 80, and start in 6 s against 2.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.spec import DTYPE
from jaxvae.data.tfds.records import decoder

__all__ = ["Workers", "default_count"]

_MAX_COUNT = 8  # workers by default


def default_count() -> int:
    """Returns one less than the cores of this process, at least 1 and at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MAX_COUNT, max(1, cores - 1))


class Workers:
    """`count` processes that decode records of a prepared folder, started at the first request."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count
        self.running: list[_Worker] = []
        self.starting = threading.Lock()
        weakref.finalize(self, _end_workers, self.running)

    def decode(self, split: str, rows: np.ndarray, out: np.ndarray) -> None:
        """Fills out [n, *X] with the images of these rows, an equal piece by each worker; from any thread.

        UsageError as of `read_records`; ChildProcessError if a worker has ended.
        """
        with self.starting:
            if not self.running:
                self.running.extend(_Worker(self.folder) for _ in range(self.count))
            bounds = np.linspace(0, len(rows), self.count + 1).astype(int)
            pieces = [slice(*pair) for pair in itertools.pairwise(bounds)]
            work = [(worker, piece) for worker, piece in zip(self.running, pieces, strict=True) if len(rows[piece])]
        try:
            # every caller takes the workers in the same order, and a worker is free when its response is read
            for worker, piece in work:
                worker.request(split, rows[piece], out.shape[1:])
            failures = [worker.receive(out[piece]) for worker, piece in work]
        except BaseException:
            _end_workers(self.running)  # else the next caller would receive a stale response
            raise
        for failure in failures:
            if failure is not None:
                raise failure


class _Worker:
    """One such process; `free` is released while no response is expected from it."""

    def __init__(self, folder: Path):
        self.free = threading.Semaphore()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jaxvae.data.tfds.workers", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # a Ctrl-C on the terminal is for the program, which may want a last batch
        )

    def request(self, split: str, rows: np.ndarray, shape: tuple[int, ...]) -> None:
        """Sends a request after the response to the one before is read; `receive` must follow."""
        self.free.acquire()
        try:
            self.process.stdin.write(_encode_line((split, rows.tolist(), shape)))  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except (BrokenPipeError, ValueError):  # its end of the pipe is closed, or ours
            self.free.release()
            raise self.exit_error() from None

    def receive(self, out: np.ndarray) -> Exception | None:
        """Fills out with the images of the last request, or returns the error of the worker."""
        try:
            failure = json.loads(self.process.stdout.readline())  # type: ignore[union-attr]
            size = out.nbytes if failure else self.process.stdout.readinto(memoryview(out).cast("B"))  # type: ignore[union-attr]
        except ValueError:  # the line is not whole, or our end of the pipe is closed
            raise self.exit_error() from None
        finally:
            self.free.release()
        if size != out.nbytes:
            raise self.exit_error()
        return (ValueError if failure["expected"] else RuntimeError)(failure["text"]) if failure else None

    def exit_error(self) -> ChildProcessError:
        code = self.process.wait()
        return ChildProcessError(
            f"a process that decodes images ended with exit code {code}"
            f"{', perhaps for want of memory' if code == -signal.SIGKILL else ''}; its messages are above. "
            "The same command goes on from the last checkpoint; data.workers sets their number, 0 decodes without."
        )


def _encode_line(content: Any) -> bytes:
    """Returns a line of JSON, as which requests and responses are sent: reading it cannot run code."""
    return json.dumps(content).encode() + b"\n"


def _end_workers(workers: list[_Worker]) -> None:
    """Ends the processes, in the middle of a response too, and waits for them."""
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a request that it has not read
                pipe.close()  # type: ignore[union-attr]
        worker.free.release()  # a waiting thread then finds that it has ended
    workers.clear()


def _serve(folder: Path) -> None:
    """Responds to requests on stdin with images on stdout, until stdin ends."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # for the program, which saves and then ends
        signal.signal(signum, signal.SIG_IGN)
    requests, responses = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get among the responses
    decode = decoder(folder)
    while True:
        try:
            split, rows, shape = json.loads(requests.readline())
        except ValueError:  # nothing, or a torn line: the program has ended
            return
        images, failure = np.empty((len(rows), *shape), DTYPE), None
        try:
            decode(split, np.asarray(rows), images)
        except Exception as error:  # sent to the program
            expected = isinstance(error, ValueError)
            failure = {"expected": expected, "text": str(error) if expected else traceback.format_exc()}
        try:
            responses.write(_encode_line(failure))
            responses.write(b"" if failure else images)
            responses.flush()
        except BrokenPipeError:
            os._exit(0)  # the program has ended


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
