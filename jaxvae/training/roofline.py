"""What bounds a train step: its matrix products and convolutions alone, a square product, and the step without parts.

All are timed in turns, window by window, so that other load of the machine affects all of them.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax import random

from jaxvae.data.pipeline import Resident, Streaming
from jaxvae.rundir.state import abstract_batch, abstract_state, first_state
from jaxvae.step import make_train_step
from jaxvae.training.engine import ENGINES, Engine
from jaxvae.training.setup import Experiment

__all__ = ["TimedFunction", "Timing", "make_square_product", "make_step_products", "make_train_steps"]
__all__ += ["make_varied_steps", "repeat", "time_interleaved"]

_PRODUCTS = ("dot_general", "conv_general_dilated")
_AT_ONCE = 0.02  # seconds that a call should take at least: below, the clock and the call count
TimedFunction = Callable[[int], None]  # takes so many steps, and waits for them


class Timing(NamedTuple):
    """Medians over windows: seconds and CPU-seconds (of all threads) a step; and the seconds of every window."""

    seconds: float
    cpu_seconds: float
    windows: tuple[float, ...]


def time_interleaved(runs: dict[str, TimedFunction], seconds: float, windows: int) -> dict[str, Timing]:
    """Times each in so many windows, in turns, for about so many seconds together."""
    counts = {}
    for name, run in runs.items():
        run(1)  # compiles
        began = time.perf_counter()
        run(2)
        each = max((time.perf_counter() - began) / 2, 1e-6)
        counts[name] = max(1, math.ceil(_AT_ONCE / each), round(seconds / len(runs) / windows / each))
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(windows):
        for name, run in runs.items():
            began, used = time.perf_counter(), time.process_time()
            run(counts[name])
            wall[name].append((time.perf_counter() - began) / counts[name])
            cpu[name].append((time.process_time() - used) / counts[name])
    return {
        name: Timing(statistics.median(wall[name]), statistics.median(cpu[name]), tuple(wall[name])) for name in runs
    }


def make_train_steps(engine: Engine, state: Any) -> TimedFunction:
    """Takes steps with the engine, one window after where the last one ended."""
    state, done = engine.place(state), 0

    def run(count: int) -> None:
        nonlocal state, done
        state, metrics = engine.advance(state, done, count)
        jax.block_until_ready(metrics)
        done += count

    return run


def make_varied_steps(
    experiment: Experiment, pipeline: Resident | Streaming, engine: str, *, ema: float, **replaced: Any
) -> TimedFunction:
    """Returns steps with this average and with these parts replaced, by an engine of that name."""
    optimizer, train = dataclasses.replace(experiment.config.optimizer, ema=ema), experiment.config.train
    config, parts = dataclasses.replace(experiment.config, optimizer=optimizer), experiment.parts
    parts = dataclasses.replace(parts, **replaced)
    chosen = parts.model, parts.objective, parts.optimizer, parts.prepare_training
    step = make_train_step(*chosen, samples=train.samples, ema=ema, accumulate=train.accumulate)
    state = first_state(config, parts, random.clone(experiment.init_key), random.clone(experiment.train_key))
    return make_train_steps(ENGINES[engine](step, pipeline, experiment.layout), state)


def make_step_products(experiment: Experiment) -> tuple[TimedFunction, float]:
    """The step's own matrix products and convolutions, alone in one program of random arrays; and their FLOPs."""
    config, parts = experiment.config, experiment.parts
    state, batch = abstract_state(config, parts), abstract_batch(config, parts, config.data.batch_size)
    found = list(_products_in(jax.make_jaxpr(parts.train_step)(state, batch).jaxpr))
    keys = random.split(random.key(0), max(1, len(found)))

    operands = [
        [random.normal(k, of.aval.shape, of.aval.dtype) for k, of in zip(random.split(key), each.invars, strict=True)]
        for key, each in zip(keys, found, strict=False)
    ]

    @jax.jit
    def program(operands):
        return [each.primitive.bind(*two, **each.params) for each, two in zip(found, operands, strict=True)]

    flops = float((program.lower(operands).compile().cost_analysis() or {}).get("flops", math.nan))
    return repeat(lambda: program(operands)), flops


def _products_in(jaxpr: Any) -> Iterator[Any]:
    """Every equation of a jaxpr, and of those inside it, that multiplies matrices or convolves; of a loop one turn."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in _PRODUCTS:
            yield equation
        for inner in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns")):
            if hasattr(inner, "eqns"):
                yield from _products_in(inner)


def make_square_product() -> tuple[TimedFunction, float]:
    """A product of two square float32 matrices of random numbers, at JAX's default precision; and its FLOPs."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    a, product = random.normal(random.key(0), (size, size)), jax.jit(lambda a, b: a @ b)
    return repeat(lambda: product(a, a)), 2.0 * size**3


def repeat(call: Callable[[], Any]) -> TimedFunction:
    """Calls so often, and waits for the last."""

    def run(count: int) -> None:
        for _ in range(count):
            out = call()
        jax.block_until_ready(out)

    return run
