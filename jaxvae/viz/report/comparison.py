"""Several finished runs in one table: their test scores side by side, and where their protocols differ."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.config.schema import flatten
from jaxvae.rundir.results import FinishedRun, read_finished_run
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.scores import paired_difference
from jaxvae.viz.report.html import format_number, format_score

__all__ = ["Comparison", "Row", "as_markdown", "as_text", "compare_runs", "escape_markdown", "format_table"]
__all__ += ["read_runs", "require_one_protocol"]

_VERSION = 1
# entries of a protocol: scores are comparable where these are equal
_SHARED = ("data", "split", "binarization", "draws", "units")
_TITLES = {
    "elbo": "ELBO",
    "log_likelihood": "log p(x)",
    "rate": "rate",
    "distortion": "distortion",
    "bits_per_dim": "bits/dim",
    "active_units": "active",
    "told_apart": "told apart",
}
_BEST = {"elbo": max, "log_likelihood": max, "bits_per_dim": min, "distortion": min}  # the others have no better


@dataclasses.dataclass(frozen=True)
class Row:
    """One run: the config fields in which the runs differ, and its scores by quantity, as results.json has them.

    `to_best`: the difference of a score to that of the best run, with the standard error of the paired differences.
    """

    name: str
    config: dict[str, Any]
    test: dict[str, dict[str, Any]]
    to_best: dict[str, dict[str, float]]
    parameters: int
    seconds: float
    skipped_steps: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs, the protocol entries that all share, and where they differ: {entry: {its text: the runs' names}}."""

    protocol: dict[str, str]
    differs: dict[str, dict[str, list[str]]]
    runs: list[Row]

    def as_json(self) -> dict[str, Any]:
        """Returns the content of table.json."""
        return {"version": _VERSION, **dataclasses.asdict(self)}

    def cells(self, escape: Callable[[str], str], mark: Callable[[str], str]) -> list[tuple[str, ...]]:
        """Returns a head and a line for each run, every cell through `escape`, a column's best through `mark` too.

        log p(x) estimated with another number of samples is another column. Where protocols differ, none is the best.
        """
        columns = [["run", *(row.name for row in self.runs)]]
        columns += [[name, *(format_number(row.config[name]) for row in self.runs)] for name in self.runs[0].config]
        columns = [list(map(escape, column)) for column in columns]
        for name, title in _TITLES.items():
            found = [row.test.get(name) for row in self.runs]
            for samples in dict.fromkeys(score.get("samples") for score in found if score is not None):
                scores = [score if score and score.get("samples") == samples else None for score in found]
                values = [score["value"] for score in scores if score]
                best = _BEST[name](values) if name in _BEST and not self.differs and len(set(values)) > 1 else None
                column = [escape(f"{title}, K = {samples:,}" if samples else title)]
                for score in scores:
                    text = format_score(score) if score else "–"
                    if score and isinstance(score.get("of"), int):
                        text = f"{format_number(score['value'])} of {score['of']}"
                    column.append(mark(escape(text)) if score and score["value"] == best else escape(text))
                columns.append(column)
            if any(name in row.to_best for row in self.runs):
                differences = [row.to_best.get(name) for row in self.runs]
                texts = (format_score(each) if each else "–" for each in differences)
                columns.append([escape(f"{title}, to best"), *map(escape, texts)])
        columns.append([escape("parameters"), *(escape(format_number(row.parameters)) for row in self.runs)])
        columns.append([escape("seconds"), *(f"{row.seconds:.0f}" for row in self.runs)])
        return list(zip(*columns, strict=True))

    def notes(self) -> list[str]:
        """Returns what a reader must know of the scores, in sentences."""
        texts = [f"NOT COMPARABLE in {name}: {_list_values(values)}" for name, values in self.differs.items()]
        texts += [f"{name}: {text}" for name, text in self.protocol.items() if name in (*_SHARED, "log_likelihood")]
        texts.append(
            "± is the standard error over images; of a difference to the best run, that of paired differences over "
            "images. All runs were scored on the same images and draws."
        )
        if any("told_apart" in row.test for row in self.runs):
            texts.append(
                "told apart: the accuracy of a nearest-neighbour two-sample test of draws of the prior against codes "
                "of validation images, or of test images where there are none, or in runs of older versions. At 50% "
                "(0.5) samples come from where the codes are, towards 1 they come from holes."
            )
        return texts


def read_runs(workdirs: Sequence[Path]) -> list[FinishedRun]:
    """Returns the finished runs of these directories; of train.seeds and train.sweep, every member."""
    folders = [folder for workdir in workdirs for folder in RunDirectory(workdir).members or [workdir]]
    found = [read_finished_run(folder) for folder in folders]
    names = [run.name for run in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two runs are called {twice[0]}: a table's rows have their runs' names; rename one folder.")
    return found


def require_one_protocol(found: Sequence[FinishedRun]) -> None:
    """Raises UsageError where the runs' scores were measured differently."""
    for name, values in _differences(found).items():
        listed = _list_values(values)
        raise UsageError(
            f"these runs differ in {name}, so that their numbers do not compare. {listed}. Leave out those that do not "
            "belong, score them alike with `jaxvae evaluate`, or say --mixed to have them in one table that says so."
        )


def _list_values(values: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in values.items())


def _differences(found: Sequence[FinishedRun]) -> dict[str, dict[str, list[str]]]:
    """Returns {entry of the protocol: {its text: the runs' names}} of the entries in which the runs differ."""
    entries = {name: [run.protocol.get(name, "not said") for run in found] for name in _SHARED}
    if any(not run.run.parts.bits for run in found):  # densities: nats of two likelihoods are not comparable
        entries["likelihood"] = [run.run.config.model.likelihood for run in found]
    return {
        name: {text: [run.name for run, own in zip(found, texts, strict=True) if own == text] for text in texts}
        for name, texts in entries.items()
        if len(set(texts)) > 1
    }


def compare_runs(found: Sequence[FinishedRun]) -> Comparison:
    """Returns the table of these runs."""
    fields = [flatten(run.run.config) for run in found]
    compared = [name for name, (_, may_change) in fields[0].items() if name == "train.steps" or not may_change]
    varied = [name for name in compared if len({str(each[name][0]) for each in fields}) > 1]
    rows = []
    for run, values, best in zip(found, fields, _to_best(found), strict=True):
        config = {name: values[name][0] for name in varied if name not in ("train.seed", "train.seeds", "train.sweep")}
        rows.append(Row(run.name, config, _scores_of(run), best, run.parameters, round(run.seconds, 1), run.skipped))
    first = found[0].protocol
    shared = {name: text for name, text in first.items() if all(run.protocol.get(name) == text for run in found)}
    return Comparison(shared, _differences(found), rows)


def _to_best(found: Sequence[FinishedRun]) -> list[dict[str, dict[str, float]]]:
    """Returns for each run {score: its difference to the best run's} where all runs have that score of every image."""
    rows: list[dict[str, dict[str, float]]] = [{} for _ in found]
    for name in ("elbo", "log_likelihood"):
        scores = [run.scores.get(name, np.zeros(0)) for run in found]
        kinds = {(len(score), run.test.get(name, {}).get("samples")) for score, run in zip(scores, found, strict=True)}
        if _differences(found) or len(kinds) > 1 or not len(scores[0]):
            continue
        best = max(range(len(found)), key=lambda k: found[k].test[name]["value"])
        for k, row in enumerate(rows):
            if k != best:
                row[name] = paired_difference(scores[k], scores[best])
    return rows


def _scores_of(run: FinishedRun) -> dict[str, dict[str, Any]]:
    """Returns the scores of the test split, with the two-sample test's accuracy."""
    scores = dict(run.test)
    for numbers in (finding["numbers"] for finding in run.diagnosis):
        if "told_apart" in numbers:
            scores["told_apart"] = {"value": numbers["told_apart"], "stderr": numbers.get("told_apart_stderr")}
    return scores


def as_text(comparison: Comparison) -> str:
    """Returns the table for a terminal, in columns, a * after a column's best."""
    lines = comparison.cells(str, "{} *".format)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, "", *comparison.notes()])


def as_markdown(comparison: Comparison) -> str:
    """Returns the table as markdown, a column's best in bold."""
    head, *body = comparison.cells(escape_markdown, "**{}**".format)
    return "\n".join([format_table(head, body), "", *(f"- {escape_markdown(note)}" for note in comparison.notes()), ""])


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of escaped cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(value: Any) -> str:
    """Returns text of unknown origin in one line that markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|<>&~!#])", r"\\\1", " ".join(str(value).split()))
