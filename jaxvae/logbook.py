"""What a run writes down: metrics.jsonl, the same in every repetition; timing.jsonl and TensorBoard, clock values."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

METRICS, TIMING, EVENTS = "metrics.jsonl", "timing.jsonl", "tensorboard"


class Logbook:
    """Appends to the run directory's logs; opened at a step, it first cuts every line after that step."""

    def __init__(self, workdir: Path, step: int):
        from tensorboardX import SummaryWriter

        for name in (METRICS, TIMING):
            cut_after(workdir / name, step)
        self.metrics = (workdir / METRICS).open("a")
        self.timing = (workdir / TIMING).open("a")
        self.events = SummaryWriter(str(workdir / EVENTS), purge_step=step + 1)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """One line of metrics.jsonl: {"step": ..., "split": ..., name: value}; what is not finite becomes null."""
        self.metrics.write(line({"step": step, "split": split, **values}))
        for name, value in values.items():
            self.events.add_scalar(f"{split}/{name}", value, step)

    def write_timing(self, step: int, values: dict[str, float]) -> None:
        """One line of timing.jsonl, in seconds and images per second."""
        self.timing.write(line({"step": step, **values}))
        self.timing.flush()

    def sync(self) -> None:
        """Brings every line to the disk: called before a checkpoint claims that its step is done."""
        self.metrics.flush()
        os.fsync(self.metrics.fileno())
        self.events.flush()

    def __enter__(self) -> Logbook:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sync()
        self.metrics.close()
        self.timing.close()
        self.events.close()


class NoLogbook:
    """A logbook's silence, for the processes that do not write."""

    def write(self, step: int, split: str, values: dict[str, float]) -> None: ...

    def write_timing(self, step: int, values: dict[str, float]) -> None: ...

    def sync(self) -> None: ...

    def __enter__(self) -> NoLogbook:
        return self

    def __exit__(self, *exception: object) -> None: ...


def line(values: dict[str, Any]) -> str:
    """One JSON object and a newline."""
    finite = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
    return json.dumps(finite) + "\n"


def cut_after(path: Path, step: int) -> None:
    """Drops every line after `step`, and a torn last one; the lines before keep their bytes."""
    if not path.exists():
        return
    kept = [text for text in path.read_bytes().splitlines(keepends=True) if step_of(text) <= step]
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(b"".join(kept))
    temporary.replace(path)


def step_of(text: bytes) -> float:
    """The step of a line; infinity where the line is not whole."""
    try:
        return int(json.loads(text)["step"]) if text.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def read_metrics(workdir: Path, last: float = math.inf) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl up to step `last`, null as NaN; a torn one is left out."""
    path = workdir / METRICS
    lines = [text for text in path.read_bytes().splitlines(keepends=True)] if path.exists() else []
    whole = [json.loads(text) for text in lines if step_of(text) < math.inf]
    return [
        {name: math.nan if value is None else value for name, value in values.items()}
        for values in whole
        if values["step"] <= last
    ]
