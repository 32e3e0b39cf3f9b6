"""The engines that take train steps: dispatched or scanned, on one device or distributed over many.

An engine changes how fast steps run, never what they compute: randomness and data order depend on the step's number and
the example's index alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from jax.sharding import NamedSharding, PartitionSpec

from jaxvae._checks import UsageError
from jaxvae.data.pipeline import Resident, Streaming, take_batch
from jaxvae.runtime.sharding import AXIS, DeviceLayout, copy_arrays
from jaxvae.step import State

__all__ = ["ENGINES", "ONE_DEVICE", "SYNC_EVERY", "Engine", "advance_by_epoch", "choose_engine", "dispatch"]
__all__ += ["has_convolutions", "pmap", "repeat_step", "scan", "shard_map", "sharded", "sharded_scan"]

SYNC_EVERY = 32  # steps: fake CPU devices that run further ahead can deadlock in their all-reduce (jax 0.10, 0.11)


class Engine(NamedTuple):
    """Takes train steps: `advance(state, step, count) -> (state, metrics of the last step)`, which donates the state.

    `place` moves a state to the engine's devices; `collect` returns a copy that outlives the next step. An engine of
    several runs places and collects lists of states, and its metrics are [runs] each.
    """

    name: str
    advance: Callable[[Any, int, int], tuple[Any, dict[str, Any]]]
    place: Callable[[Any], Any]
    collect: Callable[[Any], Any]


def dispatch(train_step: Callable, pipeline: Resident | Streaming, layout: DeviceLayout) -> Engine:
    """One device, one program per step, dispatched from Python ahead of the device."""
    compiled = jax.jit(train_step, donate_argnums=0)
    return Engine("dispatch", _advance_by_step(compiled, pipeline.batches), place=copy_arrays, collect=copy_arrays)


def scan(train_step: Callable, pipeline: Resident, layout: DeviceLayout) -> Engine:
    """One device, many steps per dispatch, in one compiled loop over batches gathered on the device."""
    run = jax.jit(_make_scan(train_step, pipeline), donate_argnums=0)
    return Engine("scan", _scan_epochs(run, pipeline), place=copy_arrays, collect=copy_arrays)


def sharded(train_step: Callable, pipeline: Resident | Streaming, layout: DeviceLayout) -> Engine:
    """One program per step over all devices, by jit: the state whole on each or cut (train.fsdp), the batch cut."""

    def over(state: State) -> Callable:
        where = layout.state_shardings(state)
        return jax.jit(
            train_step, donate_argnums=0, in_shardings=(where, layout.batch), out_shardings=(where, layout.replicated)
        )

    advance = _advance_by_step(_compile_on_first_state(over), pipeline.batches, distributed=True)
    return Engine("sharded", advance, place=layout.put_state, collect=copy_arrays)


def sharded_scan(train_step: Callable, pipeline: Resident, layout: DeviceLayout) -> Engine:
    """Many steps per dispatch over all devices: `scan`, with places as in `sharded`."""

    def over(state: State) -> Callable:
        where = layout.state_shardings(state)
        run = _make_scan(train_step, pipeline, lambda batch: lax.with_sharding_constraint(batch, layout.batch))
        return jax.jit(run, donate_argnums=0, out_shardings=(where, layout.replicated))

    advance = _scan_epochs(_compile_on_first_state(over), pipeline)
    return Engine("sharded_scan", advance, place=layout.put_state, collect=copy_arrays)


def shard_map(train_step: Callable, pipeline: Resident | Streaming, layout: DeviceLayout) -> Engine:
    """Data-parallel over all devices, each running the step on its own rows, the state whole on each."""
    spread, whole = PartitionSpec(AXIS), PartitionSpec()
    on_each = jax.shard_map(
        partial(train_step, axis_name=AXIS), mesh=layout.mesh, in_specs=(whole, spread), out_specs=(whole, whole)
    )
    advance = _advance_by_step(jax.jit(on_each, donate_argnums=0), pipeline.batches, distributed=True)
    return Engine("shard_map", advance, place=layout.put_state, collect=copy_arrays)


def pmap(train_step: Callable, pipeline: Resident | Streaming, layout: DeviceLayout) -> Engine:
    """As `shard_map`, over the devices of one process, by jax.pmap: kept for users who ask for it by name."""
    # laid out as pmap's own results are: another layout would compile the step a second time, or be refused
    over_devices = NamedSharding(layout.mesh, PartitionSpec(AXIS))
    compiled = jax.pmap(
        partial(train_step, axis_name=AXIS), axis_name=AXIS, donate_argnums=0, devices=list(layout.devices)
    )

    @partial(jax.jit, out_shardings=over_devices)
    def share(batch):
        return jax.tree.map(lambda a: a.reshape(layout.size, -1, *a.shape[1:]), batch)

    @partial(jax.jit, out_shardings=over_devices)
    def on_every_device(state: State) -> State:
        return jax.tree.map(lambda a: jnp.broadcast_to(a, (layout.size, *a.shape)), state)

    @partial(jax.jit, out_shardings=layout.replicated)
    def first(tree):
        return jax.tree.map(lambda a: a[0], tree)

    steps = _advance_by_step(compiled, lambda step: map(share, pipeline.batches(step)), distributed=True)

    def advance(state: State, step: int, count: int):
        state, metrics = steps(state, step, count)
        return state, first(metrics)

    def collect(state: State) -> State:
        # the steps only fold the key, but jax's check of key reuse takes all that enters pmap as used
        return first(state.replace(key=random.clone(state.key)))

    return Engine("pmap", advance, lambda state: on_every_device(layout.put_state(state)), collect)


def _make_scan(train_step: Callable, pipeline: Resident, cut: Callable = lambda batch: batch) -> Callable:
    """Returns run(state, data, permutation, position, count) -> (state, metrics), a compiled loop of `count` steps."""

    def run(state: State, data, permutation, position, count):
        def one(i, state: State):
            return train_step(state, cut(take_batch(data, permutation, position + i, batch_size=pipeline.batch_size)))

        return repeat_step(one, state, count)

    return run


def repeat_step(one: Callable, state: State, count: Array | int) -> tuple:
    """Returns (state, metrics) after the steps one(i, state), i below `count`, in one compiled loop."""
    _, metrics = jax.eval_shape(one, 0, state)
    blank = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
    return lax.fori_loop(0, count, lambda i, now: one(i, now[0]), (state, blank))


def _scan_epochs(run: Callable, pipeline: Resident) -> Callable:
    """Returns an `advance` that calls the compiled loop once for every epoch that it enters."""

    def stretch(state: State, epoch: int, position: int, count: int):
        numbers = pipeline.number(position), pipeline.number(count)
        return run(state, pipeline.data, pipeline.permutation(epoch), *numbers)

    return advance_by_epoch(stretch, pipeline.steps_per_epoch)


def advance_by_epoch(stretch: Callable, steps_per_epoch: int) -> Callable:
    """Returns an `advance` that calls stretch(state, epoch, position, count) once for every epoch that it enters."""

    def advance(state: Any, step: int, count: int):
        metrics: dict[str, Any] = {}
        while count > 0:
            epoch, position = divmod(step, steps_per_epoch)
            taken = min(count, steps_per_epoch - position)
            state, metrics = stretch(state, epoch, position, taken)
            step, count = step + taken, count - taken
        return state, metrics

    return advance


def _advance_by_step(compiled: Callable, batches: Callable, *, distributed: bool = False) -> Callable:
    """Returns an `advance` that feeds one batch after another to the compiled step."""
    feed, expected, waits = iter(()), -1, distributed and jax.default_backend() == "cpu"

    def advance(state: State, step: int, count: int):
        nonlocal feed, expected
        if step != expected:
            feed = batches(step)
        metrics: dict[str, Any] = {}
        for done in range(1, count + 1):
            state, metrics = compiled(state, next(feed))
            if waits and (step + done) % SYNC_EVERY == 0:
                jax.block_until_ready(metrics)
        expected = step + count
        return state, metrics

    return advance


def _compile_on_first_state(make: Callable[[State], Callable]) -> Callable:
    """Returns the function make(state), which is made from the first state that it is called with."""
    made: list[Callable] = []

    def call(state: State, *args):
        made[:] = made or [make(state)]
        return made[0](state, *args)

    return call


ENGINES: dict[str, Callable[..., Engine]] = {
    factory.__name__: factory for factory in (dispatch, scan, sharded, sharded_scan, shard_map, pmap)
}
ONE_DEVICE = ("dispatch", "scan")
_SCANNED = ("scan", "sharded_scan")
_REPLICATED = ("shard_map", "pmap")  # data-parallel alone: they hold the whole state on every device


def choose_engine(
    name: str,
    *,
    pipeline: str,
    devices: int,
    batch_size: int,
    convolutions: bool,
    platform: str,
    accumulate: int = 1,
    fsdp: bool = False,
    processes: int = 1,
) -> str:
    """Returns the engine's name; UsageError if the named one cannot work.

    'auto' takes all devices where they divide the batch, and each part of it, else one. Over resident data it scans;
    never over convolutions on a CPU, whose kernels run many times slower inside a compiled loop, nor over a CPU's fake
    devices.
    """
    shares = devices * accumulate  # into which a batch is cut
    reason, whole = "", batch_size // shares * shares or shares
    spread = name not in ONE_DEVICE and (name != "auto" or processes > 1 or fsdp)
    if spread and batch_size % shares:
        parts = f", and each share over train.accumulate={shares // devices} parts" if shares > devices else ""
        others = "" if processes > 1 else ", or train.engine='dispatch', which takes one device"
        reason = f"shares a batch equally over {devices} devices{parts}; data.batch_size={batch_size} is no multiple "
        reason += f"of that. Choose data.batch_size={whole}{others}"
    elif name in _SCANNED and pipeline != "resident":
        reason = "gathers its batches on the device: choose data.pipeline='resident' or train.engine='auto'"
    elif processes > 1 and name in (*ONE_DEVICE, "pmap"):
        choice = "Choose train.engine='auto', 'sharded' or 'shard_map'"
        reason = f"uses the devices of one process; these are {processes}. {choice}"
    elif fsdp and name in (*ONE_DEVICE, *_REPLICATED):
        reason = "holds the state whole on each device. Choose train.engine='auto' or 'sharded', or train.fsdp=False"
    if reason:
        raise UsageError(f"train.engine={name!r} {reason}.")
    if name != "auto":
        return name
    if devices > 1 and batch_size % shares == 0:
        return "sharded_scan" if pipeline == "resident" and platform != "cpu" else "sharded"
    return "scan" if pipeline == "resident" and not (convolutions and platform == "cpu") else "dispatch"


def has_convolutions(function: Callable, *args) -> bool:
    """Returns whether the function, traced at these arguments, convolves."""
    return "conv_general_dilated" in str(jax.make_jaxpr(function)(*args))
