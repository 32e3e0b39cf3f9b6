"""Processes that decode records, so that decoding runs beside the program and not within its one interpreter lock.

They are started afresh and not forked, import neither JAX nor the caller's script, and answer over pipes: whatever
ends the program, be it kill -9, closes the pipe that a worker reads its questions from, and so ends the worker.
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

from jaxvae.data.tfds.records import decoder

MOST = 8  # workers by default


def default_count() -> int:
    """One less than this process's cores, which compute: at least 1, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST, max(1, cores - 1))


class Workers:
    """`count` processes that decode records of a prepared folder, started when the first are asked for."""

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count
        self.running: list[Worker] = []
        self.starting = threading.Lock()
        weakref.finalize(self, end, self.running)

    def decode(self, split: str, rows: np.ndarray, out: np.ndarray) -> None:
        """Fills out, uint8 [n, *X], with the images of these rows, an equal piece by each worker; any thread may call.

        ValueError as of `records.read`; ChildProcessError where a worker has ended.
        """
        with self.starting:
            if not self.running:
                self.running.extend(Worker(self.folder) for _ in range(self.count))
            bounds = np.linspace(0, len(rows), self.count + 1).astype(int)
            pieces = [slice(*pair) for pair in itertools.pairwise(bounds)]
            work = [(worker, piece) for worker, piece in zip(self.running, pieces, strict=True) if len(rows[piece])]
        try:
            # every caller takes the workers in the same order, and a worker is free when its own answer is read
            for worker, piece in work:
                worker.ask(split, rows[piece], out.shape[1:])
            failures = [worker.answer(out[piece]) for worker, piece in work]
        except BaseException:
            end(self.running)  # an answer that nobody read would be taken for the next one
            raise
        for failure in failures:
            if failure is not None:
                raise failure


class Worker:
    """One such process; `free` while nobody waits for its answer."""

    def __init__(self, folder: Path):
        self.free = threading.Semaphore()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jaxvae.data.tfds.workers", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # a Ctrl-C on the terminal is for the program, which may want a last batch
        )

    def ask(self, split: str, rows: np.ndarray, shape: tuple[int, ...]) -> None:
        """Sends a question, once the one before is answered; `answer` must follow."""
        self.free.acquire()
        try:
            self.process.stdin.write(line((split, rows.tolist(), shape)))  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except (BrokenPipeError, ValueError):  # its end of the pipe is closed, or ours
            self.free.release()
            raise self.ended() from None

    def answer(self, out: np.ndarray) -> Exception | None:
        """Fills out with the images last asked for, or returns what went wrong."""
        try:
            failure = json.loads(self.process.stdout.readline())  # type: ignore[union-attr]
            size = out.nbytes if failure else self.process.stdout.readinto(memoryview(out).cast("B"))  # type: ignore[union-attr]
        except ValueError:  # the line is not whole, or our end of the pipe is closed
            raise self.ended() from None
        finally:
            self.free.release()
        if size != out.nbytes:
            raise self.ended()
        return (ValueError if failure["expected"] else RuntimeError)(failure["text"]) if failure else None

    def ended(self) -> ChildProcessError:
        code = self.process.wait()
        return ChildProcessError(
            f"a process that decodes images ended with exit code {code}"
            f"{', perhaps for want of memory' if code == -signal.SIGKILL else ''}; what it said stands above. "
            "The same command goes on from the last checkpoint; data.workers sets their number, 0 decodes without."
        )


def line(content: Any) -> bytes:
    """Questions and answers are lines of JSON, an answer's images its bytes: nothing that could run when it is read."""
    return json.dumps(content).encode() + b"\n"


def end(workers: list[Worker]) -> None:
    """Ends the processes, in the middle of an answer too, and waits for them."""
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a question that it has not read
                pipe.close()  # type: ignore[union-attr]
        worker.free.release()  # whoever waits for it learns that it has ended
    workers.clear()


def _serve(folder: Path) -> None:
    """Answers questions on stdin with images on stdout, until stdin ends."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # sent to a whole job, they ask the program to save, which then ends
        signal.signal(signum, signal.SIG_IGN)
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get among the answers
    decode = decoder(folder)
    while True:
        try:
            split, rows, shape = json.loads(questions.readline())
        except ValueError:  # nothing, or a torn line: nobody is left to ask
            return
        images, failure = np.empty((len(rows), *shape), np.uint8), None
        try:
            decode(split, np.asarray(rows), images)
        except Exception as error:  # all are told to whoever asked
            expected = isinstance(error, ValueError)
            failure = {"expected": expected, "text": str(error) if expected else traceback.format_exc()}
        try:
            answers.write(line(failure))
            answers.write(b"" if failure else images)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)  # nobody is left to read it


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
