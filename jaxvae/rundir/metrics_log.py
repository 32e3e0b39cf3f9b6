"""What a run writes down: metrics.jsonl, the same in every repetition; timing.jsonl and TensorBoard, clock values."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

from jaxvae.rundir import METRICS, TENSORBOARD, TIMING
from jaxvae.runtime.files import write_atomically

log = logging.getLogger("jaxvae")


class MetricsLog:
    """Appends to the run directory's logs; opened at a step, it first cuts every line after that step.

    `lines`: the fingerprint of metrics.jsonl when that step was saved, where it is known. Where the file has another,
    a warning says so, the damaged file is kept beside it, and what can be read goes on.
    """

    def __init__(self, workdir: Path, step: int, lines: dict[str, Any] | None = None):
        _look_for_damage(workdir / METRICS, lines)
        for name in (METRICS, TIMING):
            truncate_after(workdir / name, step)
        self.metrics = (workdir / METRICS).open("a")
        self.timing = (workdir / TIMING).open("a")
        self.events = _Events(workdir / TENSORBOARD, step)
        content = (workdir / METRICS).read_bytes()
        self.size, self.digest = len(content), hashlib.sha256(content)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """One line of metrics.jsonl: {"step": ..., "split": ..., name: value}; what is not finite becomes null."""
        text = json_line({"step": step, "split": split, **values})
        self.metrics.write(text)
        self.size += len(text)  # JSON is ASCII: a letter is a byte
        self.digest.update(text.encode())
        self.events.write(step, {f"{split}/{name}": value for name, value in values.items()})

    def write_timing(self, step: int, values: dict[str, float]) -> None:
        """One line of timing.jsonl, in seconds and images per second."""
        self.timing.write(json_line({"step": step, **values}))
        self.timing.flush()

    def sync(self) -> dict[str, Any]:
        """Brings every line to the disk: called before a checkpoint claims that its step is done.

        Returns the fingerprint of metrics.jsonl, {"size": bytes, "sha256": hex}.
        """
        self.metrics.flush()
        os.fsync(self.metrics.fileno())
        self.events.flush()
        return {"size": self.size, "sha256": self.digest.hexdigest()}

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.ExitStack() as closing:  # each, though another's disk is full
            for file in (self.events, self.timing, self.metrics):
                closing.callback(file.close)


class _Events:
    """A file of TensorBoard events; what earlier ones hold after `step` is hidden.

    Written in the caller's thread: tensorboardX's SummaryWriter has one of its own, which dies of a full disk and is
    then waited for without end.
    """

    def __init__(self, folder: Path, step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder.mkdir(exist_ok=True)
        self.file = EventsWriter(str(folder / "events"), f".{os.getpid()}.{time.monotonic_ns()}")
        self.file.write_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, values: dict[str, float]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self.file.write_event(Event(step=step, wall_time=time.time(), summary=summary))

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class NoMetricsLog:
    """A logbook's silence, for the processes that do not write."""

    def write(self, step: int, split: str, values: dict[str, float]) -> None: ...

    def write_timing(self, step: int, values: dict[str, float]) -> None: ...

    def sync(self) -> dict[str, Any]:
        return {}

    def __enter__(self) -> NoMetricsLog:
        return self

    def __exit__(self, *exception: object) -> None: ...


def json_line(values: dict[str, Any]) -> str:
    """One JSON object and a newline."""
    finite = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
    return json.dumps(finite) + "\n"


def _look_for_damage(path: Path, lines: dict[str, Any] | None) -> None:
    """Warns where the file does not begin with the lines that were saved, and keeps it as it is beside what goes on."""
    if not lines:
        return
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content[: lines["size"]]).hexdigest() == lines["sha256"]:
        return
    kept = path.with_name(path.name + ".damaged")
    if path.exists() and not kept.exists():
        shutil.copyfile(path, kept)
    where = f"what was found first is {kept}" if kept.exists() else "it is gone"
    log.warning("%s is damaged: lines of it are lost (%s). Training goes on with those that can be read.", path, where)


def truncate_after(path: Path, step: int) -> None:
    """Drops every line after `step`, and a torn last one; the lines before keep their bytes."""
    if not path.exists():
        return
    content = path.read_bytes()
    kept = b"".join(text for text in content.splitlines(keepends=True) if line_step(text) <= step)
    if kept == content:
        return
    write_atomically(path, kept)


def line_step(text: bytes) -> float:
    """The step of a line; infinity where the line is not whole."""
    try:
        return int(json.loads(text)["step"]) if text.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def read_metrics(workdir: Path, last: float = math.inf) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl up to step `last`, null as NaN; a torn one is left out."""
    path = workdir / METRICS
    lines = [text for text in path.read_bytes().splitlines(keepends=True)] if path.exists() else []
    whole = [json.loads(text) for text in lines if line_step(text) < math.inf]
    return [
        {name: math.nan if value is None else value for name, value in values.items()}
        for values in whole
        if values["step"] <= last
    ]
