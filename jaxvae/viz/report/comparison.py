"""Several runs in one table: their numbers side by side, under the protocol that they share, or the words why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError
from jaxvae.config.schema import flatten, is_ensemble
from jaxvae.rundir.checkpoint import RESULTS
from jaxvae.rundir.finished_run import Finished, content, read
from jaxvae.rundir.run import CONFIG, stored_config
from jaxvae.viz.report.html import measured, number
from jaxvae.viz.report.markdown import plain, table

_VERSION = 1
_SHARED = ("data", "split", "binarization", "units")  # of a protocol: what numbers must have in common to be compared
_HIGHER = {"elbo", "log_likelihood"}  # is better; of the others that are judged, lower
JUDGED = ("elbo", "log_likelihood", "bits_per_dim", "distortion")
_TITLES = {
    "elbo": "ELBO",
    "log_likelihood": "log p(x)",
    "rate": "rate",
    "distortion": "distortion",
    "bits_per_dim": "bits/dim",
    "active_units": "active",
    "told_apart": "told apart",
}


def read_runs(workdirs: Sequence[Path]) -> list[Finished]:
    """The finished runs of these directories, of several members all of them; ValueError says which is none."""
    found = [read(folder) for workdir in workdirs for folder in members(workdir)]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two runs are called {twice[0]}: a table's rows have their runs' names; rename one folder.")
    return found


def members(workdir: Path) -> list[Path]:
    """The run directories of train.seeds or train.sweep in this one; or this one."""
    if (workdir / CONFIG).exists() and is_ensemble(stored_config(workdir)[0]):
        return sorted(path.parent for path in workdir.glob(f"*/{CONFIG}"))
    return [workdir]


def _disagreements(found: Sequence[Finished]) -> dict[str, dict[str, list[str]]]:
    """{what numbers must share: {how it is: the runs' names}}, of all in which these runs differ."""
    answers = {name: [one.protocol.get(name, "not said") for one in found] for name in _SHARED}
    if any(not one.run.parts.bits for one in found):  # densities: nats of one likelihood are none of another
        answers["likelihood"] = [one.run.config.model.likelihood for one in found]
    return {
        name: {text: [one.name for one, mine in zip(found, texts, strict=True) if mine == text] for text in texts}
        for name, texts in answers.items()
        if len(set(texts)) > 1
    }


def require_one_protocol(found: Sequence[Finished]) -> None:
    """Raises ValueError where the runs' numbers were not measured alike."""
    for name, texts in _disagreements(found).items():
        listed = "; ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
        raise UsageError(
            f"these runs differ in {name}, so that their numbers do not compare. {listed}. Leave out those that do not "
            "belong, score them alike with `jaxvae evaluate`, or say --mixed to have them in one table that says so."
        )


def compare_runs(found: Sequence[Finished]) -> dict[str, Any]:
    """The content of a table: each run's numbers of the test split and its own choices, what is shared, what is not."""
    fields = [
        {name: value for name, (value, may_change) in flatten(one.run.config).items() if told(name, may_change)}
        for one in found
    ]
    own = [name for name in fields[0] if len({str(each.get(name)) for each in fields}) > 1]
    runs = [
        {
            "name": one.name,
            "config": {name: each.get(name) for name in own},
            "test": dict(_numbers_of(one)),
            "parameters": one.parameters,
            "seconds": round(one.seconds, 1),
            "skipped_steps": one.skipped,
        }
        for one, each in zip(found, fields, strict=True)
    ]
    protocols = [one.protocol for one in found]
    shared = {name: text for name, text in protocols[0].items() if all(each.get(name) == text for each in protocols)}
    return {"version": _VERSION, "protocol": shared, "differs": _disagreements(found), "runs": runs}


def told(name: str, may_change: bool) -> bool:
    """Whether a field of the config is a choice that a reader of a table looks for."""
    return name == "train.steps" or not (may_change or name in ("train.seed", "train.seeds", "train.sweep"))


def _numbers_of(one: Finished) -> dict[str, dict[str, Any]]:
    """The numbers of the test split, and how far draws of the prior and codes are told apart."""
    results = content(one.run.workdir / RESULTS) if one.run.workdir else {}
    test, numbers = results.get("test", {}), dict(one.test)
    if isinstance(test.get("bits_per_dim"), dict):
        numbers["bits_per_dim"] = test["bits_per_dim"]
    for finding in results.get("diagnosis") or ():
        share = finding.get("numbers", {}) if isinstance(finding, dict) else {}
        if "told_apart" in share:
            numbers["told_apart"] = {"value": share["told_apart"], "stderr": share.get("told_apart_stderr")}
    return numbers


def columns(table: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    """(title, quantity, K) of the columns that any run has; a likelihood of another K is another column."""
    found: dict[tuple[str, int | None], str] = {}
    for name, title in _TITLES.items():
        for run in table["runs"]:
            if name in run["test"]:
                count = run["test"][name].get("samples")
                found[name, count] = f"{title}, K = {count:,}" if count else title
    return [(title, name, count) for (name, count), title in found.items()]


def entry(run: dict[str, Any], name: str, count: int | None) -> dict[str, Any] | None:
    """The run's number of this column, or None."""
    found = run["test"].get(name)
    return found if found is not None and found.get("samples") == count else None


def best(table: dict[str, Any], name: str, count: int | None) -> float | None:
    """The best value of a column, where more than one run has it and one is better; none under differing protocols."""
    values = [each["value"] for run in table["runs"] if (each := entry(run, name, count)) is not None]
    if name not in JUDGED or table["differs"] or len(set(values)) < 2:
        return None
    return max(values) if name in _HIGHER else min(values)


def rows(table: dict[str, Any], bold: Callable[[str], str]) -> list[list[str]]:
    """The table as text: a head, and a row for each run; `bold` marks a column's best."""
    shown, own = columns(table), list(table["runs"][0]["config"])
    lines = [["run", *own, *(title for title, _, _ in shown), "parameters", "seconds"]]
    for run in table["runs"]:
        cells = [run["name"], *(number(value) for value in run["config"].values())]
        for _, name, count in shown:
            each, top = entry(run, name, count), best(table, name, count)
            text = "–" if each is None else written(each)
            cells.append(bold(text) if each is not None and each["value"] == top else text)
        lines.append([*cells, number(run["parameters"]), f"{run['seconds']:.0f}"])
    return lines


def written(each: dict[str, Any]) -> str:
    """A number with its error, or out of how many."""
    return f"{number(each['value'])} of {each['of']}" if isinstance(each.get("of"), int) else measured(each)


def notes(table: dict[str, Any]) -> list[str]:
    """What a reader must know of the numbers, in sentences."""
    said = [
        f"NOT COMPARABLE in {name}: " + "; ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
        for name, texts in table["differs"].items()
    ]
    said += [f"{name}: {text}" for name, text in table["protocol"].items() if name in (*_SHARED, "log_likelihood")]
    said.append("± is the standard error over images; all runs saw the same, so they differ more surely than it says.")
    if any("told_apart" in run["test"] for run in table["runs"]):
        said.append(
            "told apart: how often draws of the prior and codes of images are told apart by their nearest neighbours; "
            "at 50% (0.5) samples come from where the codes are, towards 1 they come from holes."
        )
    return said


def as_text(table: dict[str, Any]) -> str:
    """The table for a terminal, in columns; a * after a column's best."""
    lines = rows(table, lambda text: f"{text} *")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, "", *notes(table)])


def as_markdown(content: dict[str, Any]) -> str:
    """The table as markdown, a column's best in bold."""
    head, *body = ([plain(cell) for cell in line] for line in rows(content, str))
    marked = rows(content, lambda text: f"**{text}**")[1:]
    body = [
        [f"**{cell}**" if other.startswith("**") else cell for cell, other in zip(*lines, strict=True)]
        for lines in zip(body, marked, strict=True)
    ]
    return "\n".join([table(head, body), "", *(f"- {plain(note)}" for note in notes(content)), ""])
