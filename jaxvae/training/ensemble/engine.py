"""The engines of an ensemble: one program takes the steps of all members, each on its own state and examples.

The data are on the device once. A member has its own order of examples and its own key and, in a sweep, its own beta or
learning rate. It computes what it computes alone, to the rounding of a batched product.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, random

from jaxvae.config.build import build
from jaxvae.data.pipeline import Resident, epoch_order, take_batch
from jaxvae.rundir.state import abstract_batch, abstract_state
from jaxvae.runtime.sharding import copy_arrays
from jaxvae.step import State
from jaxvae.training.engine import Engine, advance_by_epoch, has_convolutions, repeat_step
from jaxvae.training.ensemble.members import EnsembleMember
from jaxvae.training.setup import Experiment

__all__ = ["MEMBERS_ENGINES", "choose_members_engine", "make_members_engine", "make_members_step"]

_CACHED = 400_000  # parameters of all members up to which a CPU steps through them at once (docs/seeds.md)


def make_members_engine(members: Sequence[EnsembleMember], experiments: Sequence[Experiment]) -> Engine:
    """Returns the engine that trains these members, by config, backend and model."""
    first = experiments[0]
    config, training = first.config, first.data.splits["train"]
    step = make_members_step(members, experiments)
    pipeline = Resident(training, first.data_key, config.data.batch_size)
    state, batch = abstract_state(config, first.parts), abstract_batch(config, first.parts, config.data.batch_size)
    # traced under any engine: a sweep that some part cannot take is refused here
    convolutions = has_convolutions(step, state, batch, jnp.zeros((), jnp.int32))
    numbers = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params))
    name = choose_members_engine(
        config.train.engine,
        convolutions=convolutions,
        parameters=numbers * len(members),
        platform=jax.default_backend(),
    )
    return MEMBERS_ENGINES[name](step, pipeline, [experiment.data_key for experiment in experiments])


def choose_members_engine(name: str, *, convolutions: bool, parameters: int, platform: str) -> str:
    """Returns the engine's name; `parameters` counts those of all members.

    'auto' is one vmapped loop, on a CPU for small networks only. Large ones, and convolutions, were slower there
    at once than in turn (docs/seeds.md).
    """
    if name != "auto":
        return f"vmapped {name}"
    if platform != "cpu":
        return "vmapped scan"
    if convolutions:
        return "dispatch in turn"
    return "vmapped scan" if parameters <= _CACHED else "scan in turn"


def make_members_step(members: Sequence[EnsembleMember], experiments: Sequence[Experiment]) -> Callable:
    """Returns step(state, batch, member) -> (state, metrics): the train step of the member of that number, traced."""
    first, swept = experiments[0], next(iter(members[0].value), None)
    size, examples = first.parts.condition_size, len(first.data.splits["train"])
    rebuild = partial(build, first.config, first.data.shape, condition=size, examples=examples)

    def same(state: State, batch, member: Array):
        return first.parts.train_step(state, batch)

    def of_beta(state: State, batch, member: Array):
        betas = jnp.asarray([each.value["beta"] for each in members], jnp.float32)
        return rebuild(beta=betas[member]).train_step(state, batch)

    def of_learning_rate(state: State, batch, member: Array):
        schedules = [experiment.parts.schedule for experiment in experiments]

        def own(count):
            # all are computed, one is taken: a schedule may be anything, and need not know of traced learning rates
            return jnp.stack([jnp.asarray(schedule(count), jnp.float32) for schedule in schedules])[member]

        return rebuild(schedule=own).train_step(state, batch)

    return {None: same, "beta": of_beta, "learning_rate": of_learning_rate}[swept]


def _vmapped(name: str, drive: Callable, step: Callable, pipeline: Resident, keys: Sequence[Array]) -> Engine:
    """Returns the engine that takes the steps of all members in one vmapped program."""
    run = drive(jax.vmap(_on_own_batch(step, pipeline), in_axes=(0, 0, 0, None, None)))
    numbers = jnp.arange(len(keys))

    def stretch(states: State, permutations, position: int, count: int):
        return run(states, permutations, numbers, pipeline.data, position, count)

    return Engine(name, _by_epoch(stretch, pipeline, keys), _stack_states, _unstack_states)


def _in_turn(name: str, drive: Callable, step: Callable, pipeline: Resident, keys: Sequence[Array]) -> Engine:
    """Returns the engine that takes one member's steps after another's, by one program for all."""
    run, together = drive(_on_own_batch(step, pipeline)), jax.jit(_stack_trees)

    def stretch(states: list[State], permutations, position: int, count: int):
        ends = [
            run(state, permutations[member], member, pipeline.data, position, count)
            for member, state in enumerate(states)
        ]
        return [state for state, _ in ends], together([metrics for _, metrics in ends])

    return Engine(name, _by_epoch(stretch, pipeline, keys), copy_arrays, copy_arrays)


def _scan(one: Callable) -> Callable:
    """Returns run(...) with many steps per dispatch, in one compiled loop."""

    @partial(jax.jit, donate_argnums=0)
    def run(state: State, permutation, member, data, position, count):
        return repeat_step(lambda i, now: one(now, permutation, member, data, position + i), state, count)

    return run


def _dispatch(one: Callable) -> Callable:
    """Returns run(...) with one program per step, dispatched from Python ahead of the device."""
    compiled = jax.jit(one, donate_argnums=0)

    def run(state: State, permutation, member, data, position: int, count: int):
        metrics: dict[str, Array] = {}
        for i in range(count):
            state, metrics = compiled(state, permutation, member, data, position + i)
        return state, metrics

    return run


MEMBERS_ENGINES: dict[str, Callable[..., Engine]] = {
    "vmapped scan": partial(_vmapped, "vmapped scan", _scan),
    "vmapped dispatch": partial(_vmapped, "vmapped dispatch", _dispatch),
    "scan in turn": partial(_in_turn, "scan in turn", _scan),
    "dispatch in turn": partial(_in_turn, "dispatch in turn", _dispatch),
}


def _on_own_batch(step: Callable, pipeline: Resident) -> Callable:
    """Returns the step of one member on the batch that its permutation has at a position."""

    def one(state: State, permutation, member, data, position):
        return step(state, take_batch(data, permutation, position, batch_size=pipeline.batch_size), member)

    return one


def _by_epoch(stretch: Callable, pipeline: Resident, keys: Sequence[Array]) -> Callable:
    """Returns an `advance` that takes the steps epoch by epoch, each with the members' permutations, [members, N]."""
    permutations = lru_cache(maxsize=2)(lambda epoch: jnp.stack([epoch_order(key, epoch, pipeline.n) for key in keys]))

    def on_epoch(states, epoch: int, position: int, count: int):
        return stretch(states, permutations(epoch), position, count)

    return advance_by_epoch(on_epoch, pipeline.steps_per_epoch)


def _stack_trees(trees: list[Any]) -> Any:
    """Returns one tree whose leaves have a leading axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


# the steps only fold their keys, but jax's check of key reuse takes one that was stacked, sliced or mapped over as used
@jax.jit
def _stack_states(states: list[State]) -> State:
    """Returns the members' states as one, whose leaves have a leading axis of members."""
    return _stack_trees([state.replace(key=random.clone(state.key)) for state in states])


@jax.jit
def _unstack_states(states: State) -> list[State]:
    """Returns the members' states, as copies."""
    states = states.replace(key=random.clone(states.key))
    return [jax.tree.map(itemgetter(member), states) for member in range(len(states.step))]
