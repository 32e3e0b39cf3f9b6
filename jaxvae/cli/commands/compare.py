"""`jaxvae compare`: several runs in one table and one figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from jax import random

from jaxvae._checks import UsageError
from jaxvae.cli.commands.open_run import publish, reopened
from jaxvae.viz.figures.comparison import draw_comparison
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.comparison import MOST
from jaxvae.viz.plots.style import replacing
from jaxvae.viz.report import comparison

_COMPARED = Path("compared")


def compare(runs: Sequence[Path], *, out: Path | None, mixed: bool, data_dir: str | None, trust: bool) -> None:
    """Prints the table and writes it as table.md and table.json, with figure.png, .svg and .npz, into the folder `out`.

    ValueError where the runs' numbers were not measured alike, unless they are to be `mixed`.
    """
    found = comparison.read_runs(runs)
    if len(found) < 2:
        raise UsageError(f"compare takes two runs or more, and {len(found)} was given: name another run directory.")
    if not mixed:
        comparison.require_one_protocol(found)
    table = comparison.compare_runs(found)
    print(comparison.as_text(table))
    folder = out or _COMPARED
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "table.md": comparison.as_markdown(table),
        "table.json": json.dumps(table.as_json(), indent=1, allow_nan=False),
    }
    for name, text in texts.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(folder / name)
    drawn = found[:MOST]
    subjects = {}
    for one in drawn:
        data = reopened(one.run.config, data_dir).data
        subjects[one.name] = Subject(one.run, data, "test", random.key(0))
    figure = folder / "figure.png"
    scores = {one.name: {} if table.differs else one.test for one in drawn}  # no chart of what does not compare
    publish(figure, draw_comparison(figure, subjects, scores))
    if len(found) > MOST:
        print(f"the figure shows the first {MOST} of {len(found)} runs.")
