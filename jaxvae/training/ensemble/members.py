"""The members of an ensemble, from train.seeds and train.sweep, and summary.json, their numbers over members."""

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.config.registry import build_part, set_argument
from jaxvae.config.schema import MOST_MEMBERS, check_config
from jaxvae.rundir import results
from jaxvae.training.initial_state import CLOSED_FORM

__all__ = ["SUMMARY", "EnsembleMember", "format_summary", "members_of", "summarize_members"]

_VERSION = 1
SUMMARY = "summary.json"
_ENGINES = ("auto", "dispatch", "scan")  # of train.engine: those that know one device


class EnsembleMember(NamedTuple):
    """A member: its run directory ('beta-0.5-seed-0'), its config, and its value of the sweep, {} or {'beta': 0.5}."""

    name: str
    config: Config
    value: dict[str, float]


def members_of(config: Config) -> list[EnsembleMember]:
    """Returns the members, swept values first, then seeds; UsageError if the config does not allow several."""
    check_config(config)
    seeds = config.train.seeds
    if config.train.seed + seeds > 2**32:
        raise UsageError(f"train.seed={config.train.seed} + train.seeds={seeds}: expected seeds below 2**32.")
    _refuse_unfit(config)
    values: list[dict[str, float]] = [{}]
    if config.train.sweep != "none":
        sweep = build_part("sweep", config.train.sweep)
        values = [{sweep.name: value} for value in sweep.values]
    if len(values) * seeds > MOST_MEMBERS:
        found = f"train.seeds={seeds} for {len(values)} values of train.sweep are {len(values) * seeds:,} members"
        raise UsageError(f"{found}; expected at most {MOST_MEMBERS:,}.")
    members = []
    for value in values:
        objective, optimizer = config.objective, config.optimizer
        if "beta" in value:
            objective = set_argument("objective", objective, "beta", value["beta"])
        if "learning_rate" in value:
            optimizer = dataclasses.replace(optimizer, learning_rate=value["learning_rate"])
        for seed in range(config.train.seed, config.train.seed + seeds):
            name = "-".join([*(f"{name}-{number!r}" for name, number in value.items()), f"seed-{seed}"])
            train = dataclasses.replace(config.train, seeds=1, sweep="none", seed=seed)
            own = dataclasses.replace(config, objective=objective, optimizer=optimizer, train=train)
            members.append(EnsembleMember(name, own, value))
    return members


def _refuse_unfit(config: Config) -> None:
    """Raises UsageError for a choice that several members in one program do not support."""
    train = config.train
    if train.engine not in _ENGINES:
        reason = f"train.engine={train.engine!r} is not for them: choose one of {', '.join(_ENGINES)}"
    elif config.data.pipeline == "streaming":
        reason = "data.pipeline='streaming' cannot feed them, as each gathers its own batches on the device: 'auto'"
    elif train.patience is not None:
        reason = f"train.patience={train.patience} would stop them at different steps: leave it None"
    elif train.init_from == CLOSED_FORM:
        reason = f"train.init_from={CLOSED_FORM!r} is one solution, the same for all: train one member, train.seeds=1"
    elif train.steps == 0:
        reason = "train.steps=0 trains none of them: choose at least 1"
    else:
        return
    both = f"train.seeds={train.seeds} and train.sweep={train.sweep!r} train several members in one program"
    raise UsageError(f"{both}; {reason}.")


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
    summary: dict[str, Any] = {}
    for split in results.splits_of(each[0]) if each else ():
        numbers = [one[split] for one in each if split in one]
        summary[split] = {"examples": numbers[0]["examples"]}
        for name, number in numbers[0].items():
            if not isinstance(number, dict) or not isinstance(number["value"], int | float):
                continue
            values = [float(one[name]["value"]) for one in numbers if name in one]
            std = statistics.stdev(values) if len(values) > 1 else None
            details = {key: number[key] for key in ("samples", "of") if key in number}
            summary[split][name] = {"mean": statistics.fmean(values), "std": std, "n": len(values), **details}
    return summary


def format_summary(summary: dict[str, Any]) -> list[str]:
    """Returns the lines of a table for the screen: a block for every group and split."""
    text = []
    for group in summary["groups"]:
        value = "".join(f"{name} {number:g}; " for name, number in group["value"].items())
        for split, numbers in results.splits_of(group).items():
            count = len(group["members"])
            over = "of one member" if count == 1 else f"mean and standard deviation over {count} members"
            head = f"{value}{split}, {over}"
            text += results.format_split(head, numbers, "mean", "std")
    return text
