"""How fast a config trains on this device, and how far from the device's limit that is; and `--check`, before training.

Nothing here is timed in a test: machines differ. What is measured is printed with what it was measured on.
"""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.config import Config
from jaxvae.data.pipeline import Resident, Streaming
from jaxvae.engine import Engine
from jaxvae.environment import describe
from jaxvae.experiment import Experiment, make_engine, set_up
from jaxvae.run import abstract_batch, abstract_state, first_state, variables_of

WINDOWS = 9  # timed stretches: their median and spread are reported


def check(config: Config, say: Callable[[str], None] = print) -> None:
    """Builds and compiles everything, prints what it is and what an epoch will take, and trains nothing."""
    experiment = set_up(config, say=say)
    pipeline, engine = make_engine(experiment)
    flops, memory = compiled_cost(experiment)
    measured = timed_steps(experiment, pipeline, engine, seconds=3.0)
    speed = measured["steps_per_second"]["median"]
    shape = " x ".join(map(str, experiment.data.shape))
    say(
        f"data        {experiment.data.name} {experiment.data.version}: "
        + ", ".join(f"{name} {len(split):,}" for name, split in experiment.data.splits.items())
    )
    say(f"images      {shape}, batches of {config.data.batch_size}, {pipeline.steps_per_epoch:,} steps an epoch")
    say(f"shapes      {' -> '.join(f'{name} {list(shape)}' for name, shape in shapes(experiment).items())}")
    for name, part in parameters(experiment).items():
        say(f"parameters  {part:>11,}  {name}")
    say(f"engine      {engine.name} over {pipeline.name} data on {jax.default_backend()}")
    say(f"step        {flops / 1e6:,.1f} MFLOP, {memory / 2**20:,.1f} MiB of arguments, outputs and temporaries")
    say(
        f"time        {pipeline.steps_per_epoch / speed:,.2f} s an epoch, "
        f"{config.train.steps / speed:,.0f} s for {config.train.steps:,} steps, evaluation not counted"
    )
    say("everything builds; nothing was trained or written.")


def benchmark(
    config: Config, *, seconds: float, out: Path | None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measures the config for about so many seconds; prints a table and writes the numbers as JSON."""
    if not seconds > 0:
        raise ValueError(f"--seconds {seconds}: expected a positive number.")
    experiment = set_up(config, say=say)
    pipeline, engine = make_engine(experiment)
    began = time.perf_counter()
    flops, memory = compiled_cost(experiment)
    compiling = time.perf_counter() - began
    measured = timed_steps(experiment, pipeline, engine, seconds)
    used = peak_memory()
    devices = experiment.layout.size
    peak = devices * matmul_peak()
    batch = config.data.batch_size
    achieved = flops * measured["steps_per_second"]["median"]
    numbers = {
        "config": {"data": config.data.name, "model": vars(config.model), "batch_size": batch},
        "step_compile_seconds": compiling,
        **measured,
        "images_per_second": {name: value * batch for name, value in measured["steps_per_second"].items()},
        "flops_per_image": flops / batch,
        "achieved_flops_per_second": achieved,
        "matmul_peak_flops_per_second": peak,
        "share_of_matmul_peak": achieved / peak,
        "step_memory_bytes": memory,
        "peak_memory_bytes": used,
        "environment": describe(
            engine=engine.name,
            pipeline=pipeline.name,
            seed=config.train.seed,
            command="jaxvae benchmark",
        ),
    }
    for line in table(numbers):
        say(line)
    if out is not None:
        out.write_text(json.dumps(numbers, indent=1) + "\n")
    return numbers


def table(numbers: dict[str, Any]) -> list[str]:
    """The numbers as lines."""
    environment, speed = numbers["environment"], numbers["images_per_second"]
    return [
        f"device            {environment['platform']}, {len(environment['devices'])} device(s), "
        f"{environment['threads']} threads, jax {environment['versions']['jax']}",
        f"engine            {environment['engine']}, {environment['pipeline']} data",
        f"compile           {numbers['step_compile_seconds']:.2f} s for one step; "
        f"first {numbers['first_steps']} steps with it {numbers['first_seconds']:.2f} s",
        f"steps/s           {numbers['steps_per_second']['median']:,.1f}",
        f"images/s          {speed['median']:,.0f}  "
        f"(median of {WINDOWS} windows; {speed['least']:,.0f} to {speed['most']:,.0f})",
        f"FLOPs per image   {numbers['flops_per_image'] / 1e6:,.3f} million, of the compiled step",
        f"share of peak     {numbers['share_of_matmul_peak']:.0%} of the "
        f"{numbers['matmul_peak_flops_per_second'] / 1e9:,.0f} GFLOP/s of a float32 matmul here",
        f"peak memory       {numbers['peak_memory_bytes'] / 2**20:,.0f} MiB",
    ]


def timed_steps(
    experiment: Experiment, pipeline: Resident | Streaming, engine: Engine, seconds: float
) -> dict[str, Any]:
    """Steps per second: median, least and most over windows, the first call apart."""
    config, parts = experiment.config, experiment.parts
    state = engine.place(first_state(config, parts, experiment.init_key, experiment.train_key))
    step, first = 0, min(10, pipeline.steps_per_epoch)
    state, step, first_seconds = timed(engine, state, step, first)
    state, step, again = timed(engine, state, step, first)
    count = max(1, round(first * seconds / WINDOWS / max(again, 1e-6)))
    speeds = []
    for _ in range(WINDOWS):
        state, step, taken = timed(engine, state, step, count)
        speeds.append(count / taken)
    spread = {"median": statistics.median(speeds), "least": min(speeds), "most": max(speeds)}
    return {"first_steps": first, "first_seconds": first_seconds, "steps_per_second": spread, "steps_per_window": count}


def timed(engine, state, step: int, count: int) -> tuple[Any, int, float]:
    """(state, step, seconds) after `count` more steps, waited for."""
    began = time.perf_counter()
    state, metrics = engine.advance(state, step, count)
    jax.block_until_ready(metrics)
    return state, step + count, time.perf_counter() - began


def compiled_cost(experiment: Experiment) -> tuple[float, int]:
    """(FLOPs, bytes of arguments, outputs and temporaries) of one compiled train step on one device."""
    config, parts = experiment.config, experiment.parts
    state, batch = abstract_state(config, parts), abstract_batch(config, parts, config.data.batch_size)
    compiled = jax.jit(experiment.parts.train_step, donate_argnums=0).lower(state, batch).compile()
    cost: Any = compiled.cost_analysis() or {}
    memory: Any = compiled.memory_analysis()
    used = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )
    return float(cost.get("flops", float("nan"))), int(used)


def shapes(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """The shapes of a batch on its way through the model: x, features, z, and the mean of p(x|z)."""
    parts, size = experiment.parts, experiment.config.data.batch_size
    state = abstract_state(experiment.config, parts)

    def through(variables, keys, x, condition):
        terms: Any = parts.model.apply(variables, keys, x, condition)
        features = parts.model.apply(variables, x, condition, method=lambda model, *given: model.encoder(*given))
        return x, features, terms.levels[0].z, terms.px.mean()

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (experiment.config.train.samples, size)))
    x = jax.ShapeDtypeStruct((size, *experiment.data.shape), jnp.float32)
    given = parts.condition_size
    condition = None if given is None else jax.ShapeDtypeStruct((size, given), jnp.float32)
    found = jax.eval_shape(through, variables_of(state), keys, x, condition)
    return {name: array.shape for name, array in zip(("x", "features", "z", "p(x|z)"), found, strict=True)}


def parameters(experiment: Experiment) -> dict[str, int]:
    """How many parameters each part of the model has."""
    params = abstract_state(experiment.config, experiment.parts).params["model"]
    return {name: sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(part)) for name, part in params.items()}


def matmul_peak(repeats: int = 8) -> float:
    """The most FLOP/s that a product of two square float32 matrices reached on one device, at JAX's precision."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((size, size))
    product = jax.jit(lambda a, b: a @ b)
    jax.block_until_ready(product(a, a))
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(product(a, a))
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def peak_memory() -> int:
    """The most memory in use so far: the device's own count where it keeps one, else this process's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
