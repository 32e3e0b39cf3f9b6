"""Objectives, their sums and weights.

`init(key, terms) -> (params, memory)` and `apply(params, memory, terms, *, key, step, gather) -> Loss` are pure.
Always: summed over event dimensions, one value per example, averaged over the batch by the step.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import operator
from collections.abc import Callable, Collection, Set
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, random

from jaxvae._checks import FLOAT32_MAX, UsageError, is_instance, require_names, short_repr
from jaxvae.terms import CAPABILITIES, Terms

__all__ = ["Loss", "Needs", "Objective", "Weight", "bound_metrics", "init_stateless", "require_weight"]
__all__ += ["scale_objective", "sum_objectives"]

Weight = float | Callable[[Any], Any]  # a number, or an optax.Schedule: step -> number
_SHARED_METRICS = ("rate", "distortion", "elbo", "commitment")  # equal in all objectives of a sum


class Loss(NamedTuple):
    """`value [B]`, nats, to be minimised; `memory` for the next step; `metrics`: name -> [B] or a scalar."""

    value: Array
    memory: Any
    metrics: dict[str, Array]


_KNOWN: dict[str, Collection[str]] = {  # who provides it -> what an objective may need of it
    "posterior": CAPABILITIES,
    "prior": ("factorises",),
    "model": ("gate", "slope", "norm", "generated", "detached"),
    "data": ("images",),
    "engine": ("batch", "critic"),
}


@dataclasses.dataclass(frozen=True)
class Needs:
    """What an objective needs, by who provides it.

    Args:
        posterior: what it has to offer: names of `jaxvae.terms.CAPABILITIES`.
        prior: 'factorises', to be a product over the coordinates of z.
        model: a 'gate' in the draw of z, the decoder's 'slope' or 'norm' in `extra`, 'generated', p(x|z) at draws of
            the prior, or 'detached', p(x|z) and `generated` without a gradient through z.
        data: 'images' [H, W, C].
        engine: the whole 'batch' at once, an optimizer for a 'critic'.
    """

    posterior: Set[str] = frozenset()
    prior: Set[str] = frozenset()
    model: Set[str] = frozenset()
    data: Set[str] = frozenset()
    engine: Set[str] = frozenset()

    def __post_init__(self) -> None:
        for name, known in _KNOWN.items():
            object.__setattr__(self, name, require_names(f"Needs: {name}", getattr(self, name), known))

    def __or__(self, other: Needs) -> Needs:
        return Needs(*(getattr(self, name) | getattr(other, name) for name in _KNOWN))


class Objective(NamedTuple):
    """A loss; `elbo() + 0.1 * mmd()` is one, too.

    `gather(tree, axis)` concatenates over devices along B; objectives that need the engine's 'batch' call it.
    `draw_weights` maps log importance weights [S, B] to the weights of the draws in the bound, which sum to 1 over S.
    Without it all draws have the same weight.
    """

    init: Callable[..., tuple[Any, Any]]
    apply: Callable[..., Loss]
    needs: Needs = Needs()
    draw_weights: Callable[[Array], Array] | None = None

    def __add__(self, other: Objective) -> Objective:  # type: ignore[override]  # not a tuple's
        return sum_objectives(self, other) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, weight: Weight) -> Objective:  # type: ignore[override]  # not a tuple's
        return scale_objective(weight, self)

    def __rmul__(self, weight: Weight) -> Objective:  # type: ignore[override]  # not a tuple's
        return scale_objective(weight, self)


def sum_objectives(*objectives: Objective) -> Objective:
    """Returns the sum of objectives, each with its own parameters, memory and key; equal metric names are numbered.

    The draws are weighted as in the first objective that weighs them.
    """
    needs = functools.reduce(operator.or_, (each.needs for each in objectives), Needs())
    if "gate" in needs.model and len(objectives) > 1:
        raise UsageError(
            "iwae('dreg') and piwae change the gradient of everything that depends on z, so that no other term can be "
            "added to them; add it to iwae() or iwae('stl')."
        )

    def init(key: Array, terms: Terms) -> tuple[tuple, tuple]:
        states = [each.init(random.fold_in(key, i), terms) for i, each in enumerate(objectives)]
        return tuple(params for params, _ in states), tuple(memory for _, memory in states)

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        losses = [
            each.apply(params[i], memory[i], terms, key=random.fold_in(key, i), step=step, gather=gather)
            for i, each in enumerate(objectives)
        ]
        value = sum((loss.value for loss in losses[1:]), start=losses[0].value)
        return Loss(value, tuple(loss.memory for loss in losses), _merge_metrics([loss.metrics for loss in losses]))

    weighing = [each.draw_weights for each in objectives if each.draw_weights]
    return Objective(init, apply, needs, weighing[0] if weighing else None)


def scale_objective(weight: Weight, objective: Objective) -> Objective:
    """Returns the objective times a weight, a number from 0 on or a schedule; its metrics stay its own.

    A critic's loss is multiplied as well: its optimizer, Adam, does not notice.
    """
    schedule = require_weight("a weight", weight)

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        loss = objective.apply(params, memory, terms, key=key, step=step, gather=gather)
        return loss._replace(value=schedule(step) * loss.value)

    return objective._replace(apply=apply)


def _merge_metrics(metrics: list[dict[str, Array]]) -> dict[str, Array]:
    """Returns all metrics in one dict: a second 'mmd' is 'mmd_2'; shared ones, such as the rate, are kept once."""
    found: dict[str, Array] = {}
    seen: collections.Counter[str] = collections.Counter()
    for name, value in (pair for each in metrics for pair in each.items()):
        seen[name] += 1
        found[name if seen[name] == 1 or name in _SHARED_METRICS else f"{name}_{seen[name]}"] = value
    return found


def bound_metrics(terms: Terms) -> dict[str, Array]:
    """Returns rate, distortion, the elbo if there is one, and the extras: means over samples of each example, [B]."""
    distortion, rate = terms.distortion.mean(0), terms.rate.mean(0)
    metrics = {"rate": rate, "distortion": distortion}
    if terms.bound:
        metrics["elbo"] = -(distortion + rate)
    return {**metrics, **{name: value.mean(0) for name, value in terms.extra.items()}}


def init_stateless(key: Array, terms: Terms) -> tuple[dict, dict]:
    """Returns the state of an objective that has neither parameters nor memory."""
    return {}, {}


def require_weight(name: str, weight: Any) -> Callable[[Array], Array]:
    """Returns the weight as a schedule, step -> float32 scalar.

    Raises UsageError unless it is a number from 0 on, an array (a traced number) or a schedule.
    """
    if not callable(weight) and not isinstance(weight, Array):
        if not is_instance(weight, float):
            raise UsageError(
                f"{name} is a number, or a schedule such as linear(0, 1, steps=5000); got {short_repr(weight)}."
            )
        if not 0 <= weight <= FLOAT32_MAX:
            why = "below, what it weighs would grow without end" if weight < 0 else "float32 does not hold it"
            raise UsageError(f"{name} is a number from 0 on, got {weight!r}: {why}.")
    return lambda step: jnp.asarray(weight(step) if callable(weight) else weight, jnp.float32)
