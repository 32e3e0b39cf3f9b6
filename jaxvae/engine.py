"""The one train step, driven by different engines: dispatched, scanned, or under pmap.

An engine changes how fast steps run and never what they compute: randomness and data order come from the step's number
and the example's index alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.data.pipeline import Resident, Streaming, on_device, take_batch
from jaxvae.step import State

SYNC_EVERY = 32  # steps: fake CPU devices that run further ahead can deadlock in their all-reduce (jax 0.10, 0.11)


class Engine(NamedTuple):
    """`advance(state, step, count) -> (state, metrics of the last step)` runs `count` steps and donates the state.

    `place` brings a state to the engine's devices, `collect` takes a copy back that outlives the next step.
    """

    name: str
    advance: Callable[[State, int, int], tuple[State, dict[str, Any]]]
    place: Callable[[State], State]
    collect: Callable[[State], State]


def copied(tree: Any) -> Any:
    """Copies of all arrays: donation deletes what it is given."""
    return jax.tree.map(jnp.copy, tree)


def dispatch(train_step: Callable, pipeline: Resident | Streaming) -> Engine:
    """One program per step, dispatched from Python ahead of the device."""
    compiled = jax.jit(train_step, donate_argnums=0)
    return Engine("dispatch", in_sequence(compiled, pipeline.batches), place=copied, collect=copied)


def scan(train_step: Callable, pipeline: Resident) -> Engine:
    """Many steps per dispatch, in one compiled loop over batches gathered on the device."""

    @partial(jax.jit, donate_argnums=0)
    def run(state: State, data, permutation, position, count):
        def one(i, carry):
            batch = take_batch(data, permutation, position + i, batch_size=pipeline.batch_size)
            return train_step(carry[0], batch)

        batch = jax.eval_shape(partial(take_batch, batch_size=pipeline.batch_size), data, permutation, position)
        _, metrics = jax.eval_shape(train_step, state, batch)
        blank = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
        return lax.fori_loop(0, count, one, (state, blank))

    def advance(state: State, step: int, count: int):
        metrics: dict[str, Any] = {}
        while count > 0:
            epoch, position = divmod(step, pipeline.steps_per_epoch)
            stretch = min(count, pipeline.steps_per_epoch - position)
            state, metrics = run(
                *(state, pipeline.data, pipeline.permutation(epoch)), on_device(position), on_device(stretch)
            )
            step, count = step + stretch, count - stretch
        return state, metrics

    return Engine("scan", advance, place=copied, collect=copied)


def pmap(train_step: Callable, pipeline: Resident | Streaming) -> Engine:
    """Data-parallel over all local devices, the state replicated, gradients averaged."""
    devices = jax.local_device_count()
    # laid out as pmap's own results are: another layout would compile the step a second time, or be refused
    over_devices = NamedSharding(Mesh(np.asarray(jax.local_devices()), ("batch",)), PartitionSpec("batch"))
    compiled = jax.pmap(partial(train_step, axis_name="batch"), axis_name="batch", donate_argnums=0)

    def share(batch):
        return jax.tree.map(lambda a: jax.device_put(a.reshape(devices, -1, *a.shape[1:]), over_devices), batch)

    def place(state: State) -> State:
        return jax.tree.map(lambda a: jax.device_put(jnp.broadcast_to(a, (devices, *a.shape)), over_devices), state)

    def first(tree):
        return jax.tree.map(lambda a: a[0], tree)

    careful = jax.default_backend() == "cpu"
    advance = in_sequence(compiled, partial(pipeline.batches, place=share), sync_every=SYNC_EVERY if careful else 0)

    def advance_and_take_first(state: State, step: int, count: int):
        state, metrics = advance(state, step, count)
        return state, first(metrics)

    def collect(state: State) -> State:
        # the steps only fold the key, but jax's check of key reuse takes all that enters pmap as used
        return copied(first(state.replace(key=random.clone(state.key))))

    return Engine("pmap", advance_and_take_first, place, collect)


def in_sequence(compiled: Callable, batches: Callable, sync_every: int = 0) -> Callable:
    """An `advance` that feeds one batch after another to the compiled step."""
    feed, expected = iter(()), -1

    def advance(state: State, step: int, count: int):
        nonlocal feed, expected
        if step != expected:
            feed = batches(step)
        metrics: dict[str, Any] = {}
        for done in range(1, count + 1):
            state, metrics = compiled(state, next(feed))
            if sync_every and (step + done) % sync_every == 0:
                jax.block_until_ready(metrics)
        expected = step + count
        return state, metrics

    return advance


ENGINES: dict[str, Callable[..., Engine]] = {"dispatch": dispatch, "scan": scan, "pmap": pmap}


def choose_engine(name: str, *, pipeline: str, devices: int, batch_size: int, convolutions: bool, platform: str) -> str:
    """The engine's name; ValueError in words where the one asked for cannot work.

    'auto' is pmap on several devices that divide the batch; else scan over resident data, but not over convolutions
    on a CPU, whose kernels run many times slower inside a compiled loop; else dispatch.
    """
    if name == "pmap" and batch_size % devices:
        raise ValueError(
            f"train.engine='pmap' shares a batch equally over {devices} devices; "
            f"data.batch_size={batch_size} is no multiple "
            f"of that. Choose data.batch_size={batch_size // devices * devices or devices}, or train.engine='dispatch'."
        )
    if name == "scan" and pipeline != "resident":
        raise ValueError(
            "train.engine='scan' gathers its batches on the device: "
            "choose data.pipeline='resident' or train.engine='dispatch'."
        )
    if name != "auto":
        return name
    if devices > 1 and batch_size % devices == 0:
        return "pmap"
    return "scan" if pipeline == "resident" and not (convolutions and platform == "cpu") else "dispatch"


def has_convolutions(function: Callable, *args) -> bool:
    """Whether the function, traced at these arguments, convolves."""
    return "conv_general_dilated" in str(jax.make_jaxpr(function)(*args))
