"""The members of an ensemble, from train.seeds and train.sweep; each has the config of an ordinary run."""

import dataclasses
from typing import Any, NamedTuple

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.config.compatibility import check_config
from jaxvae.config.registry import build_part, set_argument
from jaxvae.config.schema import MOST_MEMBERS
from jaxvae.training.initial_state import CLOSED_FORM

__all__ = ["EnsembleMember", "members_of"]

_ENGINES = ("auto", "dispatch", "scan")  # of train.engine: those that know one device


class EnsembleMember(NamedTuple):
    """A member: the name of its run directory, its config, and its value of the sweep: {} or {'beta': 0.5}."""

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
        raise UsageError(
            f"train.seeds={seeds} for each of {len(values)} values of train.sweep are {len(values) * seeds:,} members; "
            f"expected at most {MOST_MEMBERS:,}."
        )
    return [
        EnsembleMember(_name_of(value, seed), _member_config(config, value, seed), value)
        for value in values
        for seed in range(config.train.seed, config.train.seed + seeds)
    ]


def _name_of(value: dict[str, float], seed: int) -> str:
    """Returns 'seed-0', or 'beta-0.5-seed-0'."""
    return "-".join([*(f"{name}-{number!r}" for name, number in value.items()), f"seed-{seed}"])


def _member_config(config: Config, value: dict[str, float], seed: int) -> Config:
    """Returns the config that trains this member alone."""
    train = dataclasses.replace(config.train, seeds=1, sweep="none", seed=seed)
    objective, optimizer = config.objective, config.optimizer
    if "beta" in value:
        objective = set_argument("objective", objective, "beta", value["beta"])
    if "learning_rate" in value:
        optimizer = dataclasses.replace(optimizer, learning_rate=value["learning_rate"])
    return dataclasses.replace(config, objective=objective, optimizer=optimizer, train=train)


def _refuse_unfit(config: Config) -> None:
    """Raises UsageError for a choice that several members in one program do not support."""
    train = config.train
    both = f"train.seeds={train.seeds} and train.sweep={train.sweep!r} train several members in one program"

    def refuse(field: str, value: Any, why: str) -> None:
        raise UsageError(f"{both}; {field}={value!r} {why}.")

    if train.engine not in _ENGINES:
        refuse("train.engine", train.engine, f"is not for them: choose one of {', '.join(_ENGINES)}")
    if config.data.pipeline == "streaming":
        refuse("data.pipeline", "streaming", "cannot feed them, as each gathers its own batches on the device: 'auto'")
    if train.patience is not None:
        refuse("train.patience", train.patience, "would stop them at different steps: leave it None")
    if train.init_from == CLOSED_FORM:
        refuse("train.init_from", train.init_from, "is one solution, the same for all: train one member, train.seeds=1")
    if train.steps == 0:
        refuse("train.steps", 0, "trains none of them: choose at least 1")
