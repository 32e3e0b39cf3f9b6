"""metrics.jsonl, the same in every repetition of a run; timing.jsonl and TensorBoard, with clock values."""

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any, Self

from jaxvae._checks import UsageError
from jaxvae.rundir import METRICS, TENSORBOARD, TIMING
from jaxvae.runtime.files import DamagedFile, open_regular, write_atomically

__all__ = ["MetricsLog", "begins_with", "json_line", "keep_lines", "read_lines", "read_log", "read_metrics"]
__all__ += ["truncate_after"]
_log = logging.getLogger("jaxvae")


class MetricsLog:
    """Appends to the logs of a run directory. Opened at a step, it first removes every line after that step.

    `lines` is the fingerprint of metrics.jsonl when that step was saved, if it is known. If the file has another, a
    warning says so, the damaged file is kept beside it, and training goes on with the lines that can be read.
    """

    def __init__(self, workdir: Path, step: int, lines: dict[str, Any] | None = None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        path = workdir / METRICS
        if not begins_with(read_log(path), lines):
            copy = path.with_name(path.name + ".damaged")
            if path.exists() and not copy.exists():
                shutil.copyfile(path, copy)
            where = f"what was found first is {copy}" if copy.exists() else "it is gone"
            text = "%s is damaged: lines of it are lost (%s). Training goes on with those that can be read."
            _log.warning(text, path, where)
        for name in (METRICS, TIMING):
            truncate_after(workdir / name, step)
        self._metrics = path.open("a")
        self._timing = (workdir / TIMING).open("a")
        # not a SummaryWriter, whose thread dies of a full disk, and is then waited for without end
        (workdir / TENSORBOARD).mkdir(exist_ok=True)
        suffix, start = f".{os.getpid()}.{time.monotonic_ns()}", SessionLog(status=SessionLog.START)
        self._tensorboard = EventsWriter(str(workdir / TENSORBOARD / "events"), suffix)
        self._tensorboard.write_event(Event(step=step + 1, session_log=start))  # hides what other files have after step
        content = read_log(path)
        self._size, self._digest = len(content), hashlib.sha256(content)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Writes a line of metrics.jsonl, {"step", "split", name: value}; numbers that are not finite become null."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        text = json_line({"step": step, "split": split, **values})
        self._metrics.write(text)
        self._size += len(text)  # JSON is ASCII: a character is a byte
        self._digest.update(text.encode())
        scalars = [Summary.Value(tag=f"{split}/{name}", simple_value=value) for name, value in values.items()]
        self._tensorboard.write_event(Event(step=step, wall_time=time.time(), summary=Summary(value=scalars)))

    def write_timing(self, step: int, values: dict[str, float]) -> None:
        """Writes a line of timing.jsonl: seconds, steps and images per second."""
        self._timing.write(json_line({"step": step, **values}))
        self._timing.flush()

    def sync(self) -> dict[str, Any]:
        """Brings every line to the disk, before a checkpoint is saved; returns the fingerprint of metrics.jsonl."""
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        self._tensorboard.flush()
        return {"size": self._size, "sha256": self._digest.hexdigest()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.ExitStack() as closing:  # closes each, though the disk of another is full
            for file in (self._tensorboard, self._timing, self._metrics):
                closing.callback(file.close)


def read_log(path: Path) -> bytes:
    """Returns the content of a log, empty without the file; UsageError if it is not a regular file."""
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        return b""
    except DamagedFile as error:
        raise UsageError(f"{path} is damaged ({error}). Remove it, or restore the file.") from error


def begins_with(content: bytes, lines: dict[str, Any] | None) -> bool:
    """Returns whether a log begins with the lines of this fingerprint; True without a fingerprint."""
    return not lines or hashlib.sha256(content[: lines["size"]]).hexdigest() == lines["sha256"]


def json_line(values: dict[str, Any]) -> str:
    """Returns one JSON object and a newline; numbers that are not finite become null."""
    finite = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
    return json.dumps(finite) + "\n"


def read_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Returns the lines of a log that can be read, as bytes and parsed; a line without a step or an end is left out."""
    found = []
    for text in read_log(path).splitlines(keepends=True):
        with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
            line = json.loads(text)
            int(line["step"])
            if text.endswith(b"\n"):
                found.append((text, line))
    return found


def truncate_after(path: Path, step: int) -> None:
    """Removes every line after `step` and damaged ones; the others keep their bytes."""
    keep_lines(path, [text for text, line in read_lines(path) if int(line["step"]) <= step])


def keep_lines(path: Path, lines: list[bytes]) -> None:
    """Removes all other lines of a log; a symbolic link becomes a file, so that nothing is written through it."""
    if path.is_symlink() or read_log(path) != b"".join(lines):
        write_atomically(path, b"".join(lines))


def read_metrics(workdir: Path, last: float = math.inf) -> list[dict[str, Any]]:
    """Returns the lines of metrics.jsonl up to step `last`, null as NaN, without damaged ones."""
    lines = [line for _, line in read_lines(workdir / METRICS) if int(line["step"]) <= last]
    return [{name: math.nan if value is None else value for name, value in line.items()} for line in lines]
