"""The engines of several members: every step of all of them in one program, each with its own state and examples.

The data are on the device once; a member gathers its batches by its own order, draws by its own key and, in a sweep,
has its own beta or learning rate: what it computes is what it computes alone, to the rounding of a batched product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae.build import build
from jaxvae.data.order import order
from jaxvae.data.pipeline import Resident, take_batch
from jaxvae.engine import copied, has_convolutions
from jaxvae.experiment import Experiment
from jaxvae.members import Member
from jaxvae.run import abstract_batch, abstract_state
from jaxvae.step import State


class Engine(NamedTuple):
    """As engine.Engine, of several members: `advance`'s metrics are [members] each.

    `place` takes a list of the members' states, `collect` returns copies as one.
    """

    name: str
    advance: Callable[[Any, int, int], tuple[Any, dict[str, Array]]]
    place: Callable[[list[State]], Any]
    collect: Callable[[Any], list[State]]


def make_engine(members: Sequence[Member], experiments: Sequence[Experiment]) -> Engine:
    """The engine that trains these members, by config, backend and model."""
    first = experiments[0]
    config, training = first.config, first.data.splits["train"]
    step = make_step(members, experiments)
    pipeline = Resident(training, first.data_key, config.data.batch_size)
    batch = abstract_batch(config, first.parts, config.data.batch_size)
    # traced under any engine: a sweep that some part cannot take is refused here
    convolutions = has_convolutions(step, abstract_state(config, first.parts), batch, jnp.zeros((), jnp.int32))
    name = config.train.engine
    if name == "auto":
        name = "in turn" if convolutions and jax.default_backend() == "cpu" else "scan"
    return ENGINES[name](step, pipeline, [experiment.data_key for experiment in experiments])


def make_step(members: Sequence[Member], experiments: Sequence[Experiment]) -> Callable:
    """Returns step(state, batch, member) -> (state, metrics): the train step of the member of that number, traced."""
    first, swept = experiments[0], next(iter(members[0].value), None)
    rebuild = partial(build, first.config, first.data.shape, condition=first.parts.condition_size)

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


def scan(step: Callable, pipeline: Resident, keys: Sequence[Array]) -> Engine:
    """Many steps of all members per dispatch, in one compiled loop."""
    every = all_members(step, pipeline)

    @partial(jax.jit, donate_argnums=0)
    def run(states: State, permutations, data, position, count):
        _, metrics = jax.eval_shape(every, states, permutations, data, position)
        blank = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
        return lax.fori_loop(0, count, lambda i, now: every(now[0], permutations, data, position + i), (states, blank))

    def stretch(states, permutations, position: int, count: int):
        return run(states, permutations, pipeline.data, position, count)

    return Engine("vmapped scan", by_epoch(stretch, pipeline, keys), place=place, collect=collect)


def dispatch(step: Callable, pipeline: Resident, keys: Sequence[Array]) -> Engine:
    """One program per step of all members, dispatched from Python ahead of the device."""
    every = jax.jit(all_members(step, pipeline), donate_argnums=0)

    def stretch(states, permutations, position: int, count: int):
        metrics: dict[str, Array] = {}
        for i in range(count):
            states, metrics = every(states, permutations, pipeline.data, position + i)
        return states, metrics

    return Engine("vmapped dispatch", by_epoch(stretch, pipeline, keys), place=place, collect=collect)


def in_turn(step: Callable, pipeline: Resident, keys: Sequence[Array]) -> Engine:
    """One member's step after another's, by one program: for convolutions on a CPU, which vmap makes many times slower.

    Under vmap each member's kernels make a group of one big convolution, and a CPU has no fast one of these.
    """
    one, together = jax.jit(on_own_batch(step, pipeline), donate_argnums=0), jax.jit(stacked)

    def stretch(states: list[State], permutations, position: int, count: int):
        states, rows = list(states), list(permutations)
        metrics: list[dict[str, Array]] = [{}] * len(states)
        for i in range(count):
            for member, row in enumerate(rows):
                states[member], metrics[member] = one(states[member], row, member, pipeline.data, position + i)
        return states, together(metrics)

    return Engine("in turn", by_epoch(stretch, pipeline, keys), place=copied, collect=copied)


ENGINES: dict[str, Callable[..., Engine]] = {"scan": scan, "dispatch": dispatch, "in turn": in_turn}


def on_own_batch(step: Callable, pipeline: Resident) -> Callable:
    """The step of one member on the batch that its permutation has at a position."""

    def one(state: State, permutation, member, data, position):
        return step(state, take_batch(data, permutation, position, batch_size=pipeline.batch_size), member)

    return one


def all_members(step: Callable, pipeline: Resident) -> Callable:
    """The step of all members at once: states and permutations lead with the axis of members."""
    every = jax.vmap(on_own_batch(step, pipeline), in_axes=(0, 0, 0, None, None))

    def taken(states: State, permutations, data, position):
        return every(states, permutations, jnp.arange(len(permutations)), data, position)

    return taken


def by_epoch(stretch: Callable, pipeline: Resident, keys: Sequence[Array]) -> Callable:
    """An `advance` that takes the steps epoch by epoch, each with every member's permutation, [members, N]."""
    permutations = lru_cache(maxsize=2)(lambda epoch: jnp.stack([order(key, epoch, pipeline.n) for key in keys]))

    def advance(states, step: int, count: int):
        metrics: dict[str, Any] = {}
        while count > 0:
            epoch, position = divmod(step, pipeline.steps_per_epoch)
            taken = min(count, pipeline.steps_per_epoch - position)
            states, metrics = stretch(states, permutations(epoch), position, taken)
            step, count = step + taken, count - taken
        return states, metrics

    return advance


def stacked(trees: list[Any]) -> Any:
    """One tree whose leaves lead with the axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


# the steps only fold their keys, but jax's check of key reuse takes one that was stacked, sliced or mapped over as used
@jax.jit
def place(states: list[State]) -> State:
    """The members' states as one, whose leaves lead with the axis of members."""
    return stacked([state.replace(key=random.clone(state.key)) for state in states])


@jax.jit
def collect(states: State) -> list[State]:
    """Such a state taken apart again, into copies."""
    states = states.replace(key=random.clone(states.key))
    return [jax.tree.map(itemgetter(member), states) for member in range(len(states.step))]
