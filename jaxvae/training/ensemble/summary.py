"""summary.json: the numbers of all members of an ensemble, their mean and standard deviation over members."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxvae.rundir import results
from jaxvae.runtime.files import write_json
from jaxvae.training.ensemble.members import EnsembleMember

__all__ = ["SUMMARY", "format_summary", "summarize_members", "write_summary"]

_VERSION = 1
SUMMARY = "summary.json"
_KEEP = ("samples", "of")  # what a number says of its protocol


def summarize_members(workdir: Path, members: Sequence[EnsembleMember], failed: Sequence[str]) -> dict[str, Any]:
    """Returns the content of summary.json, from the members' results.json.

    A group for every swept value, or one; in it, by split and number, `mean`, `std` (n - 1 in the denominator, None of
    one member) and `n` over the members that did not fail.
    """
    found = {each.name: results.read_results(workdir / each.name) for each in members if each.name not in failed}
    values = [dict(value) for value in dict.fromkeys(tuple(each.value.items()) for each in members)]
    groups = [[each.name for each in members if each.value == value and each.name in found] for value in values]
    protocol = next(iter(found.values()), {}).get("protocol", {})
    return {
        "version": _VERSION,
        "step": max((one["step"] for one in found.values()), default=None),
        "members": [
            {"name": each.name, "seed": each.config.train.seed, **each.value, "failed": each.name in failed}
            for each in members
        ],
        "protocol": {name: text for name, text in protocol.items() if name != "seed"},
        "groups": [
            {"value": value, "members": names, **_over_members([found[name] for name in names])}
            for value, names in zip(values, groups, strict=True)
        ],
    }


def _over_members(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns {split: {"examples": ..., number: {"mean", "std", "n"}}} of several results.json."""
    splits = [name for name, numbers in each[0].items() if _is_split(numbers)] if each else []
    return {split: _over_runs([one[split] for one in each if split in one]) for split in splits}


def _is_split(numbers: Any) -> bool:
    return isinstance(numbers, dict) and "examples" in numbers


def _over_runs(numbers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns mean and standard deviation over members of every number of one split."""
    summary: dict[str, Any] = {"examples": numbers[0]["examples"]}
    for name, number in numbers[0].items():
        if not isinstance(number, dict) or not isinstance(number["value"], int | float):
            continue
        values = [float(one[name]["value"]) for one in numbers if name in one]
        summary[name] = {
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values) if len(values) > 1 else None,
            "n": len(values),
            **{key: number[key] for key in _KEEP if key in number},
        }
    return summary


def write_summary(workdir: Path, summary: dict[str, Any]) -> None:
    """Writes summary.json."""
    write_json(workdir / SUMMARY, summary)


def format_summary(summary: dict[str, Any]) -> list[str]:
    """Returns the lines of a table for the screen: a block for every group and split."""
    text = []
    for group in summary["groups"]:
        value = ", ".join(f"{name} {number:g}" for name, number in group["value"].items())
        for split, numbers in group.items():
            if not _is_split(numbers):
                continue
            head = f"{value}; {split}" if value else split
            width = max(16, *(2 + len(name) for name in numbers))
            text.append(f"{head}, mean and standard deviation over {len(group['members'])} members, in nats:")
            for name, number in numbers.items():
                if isinstance(number, dict):
                    spread = "" if number["std"] is None else f" +- {number['std']:.3f}"
                    detail = f"  (K={number['samples']})" if "samples" in number else ""
                    text.append(f"  {name:<{width}}{number['mean']:.3f}{spread}{detail}")
    return text
