"""How fast a config trains on this device, and how far from the device's limit that is; and `--check`, before training.

Nothing here is timed in a test: machines differ. What is measured is printed with what it was measured on.
"""

import dataclasses
import json
import math
import os
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import random

from jaxvae.config import Config
from jaxvae.data.dataset import draw_rows
from jaxvae.data.pipeline import in_order
from jaxvae.data.spec import to_unit
from jaxvae.rundir.state import abstract_batch, abstract_state, first_state, variables_of
from jaxvae.runtime.environment import describe_environment
from jaxvae.training import roofline
from jaxvae.training.setup import Experiment, make_engine, require_memory, set_up
from jaxvae.viz.figures.images import conditions

__all__ = ["benchmark", "check", "compile_cost", "peak_memory"]

_WINDOWS = 9  # timed stretches: their median and spread are reported
_TRIED = 8  # images that a check scores and draws


def check(config: Config, say: Callable[[str], None] = print) -> None:
    """Builds, compiles and tries everything, prints what it is and what an epoch will take, and trains nothing."""
    experiment = set_up(config, say=say)
    pipeline, engine = make_engine(experiment)
    flops, memory = compile_cost(experiment)
    first = first_state(config, experiment.parts, experiment.init_key, experiment.train_key)
    run = roofline.make_train_steps(engine, first)
    speed = 1 / roofline.time_interleaved({"step": run}, seconds=3.0, windows=_WINDOWS)["step"].seconds
    shape = " x ".join(map(str, experiment.data.shape))
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in experiment.data.splits.items())
    say(f"data        {experiment.data.name} {experiment.data.version}: {sizes}")
    say(f"images      {shape}, batches of {config.data.batch_size}, {pipeline.steps_per_epoch:,} steps an epoch")
    say(f"shapes      {' -> '.join(f'{name} {list(shape)}' for name, shape in _trace_shapes(experiment).items())}")
    for name, part in {**first.params["model"], "objective": first.params["objective"]}.items():
        count = sum(leaf.size for leaf in jax.tree.leaves(part))
        if count or name != "objective":  # which has parameters where it trains a critic
            say(f"parameters  {count:>11,}  {name}")
    say(f"engine      {engine.name} over {pipeline.name} data on {jax.default_backend()}")
    say(f"step        {flops / 1e6:,.1f} MFLOP, {memory / 2**20:,.1f} MiB of arguments, outputs and temporaries")
    say(
        f"time        {pipeline.steps_per_epoch / speed:,.2f} s an epoch, "
        f"{config.train.steps / speed:,.0f} s for {config.train.steps:,} steps, evaluation not counted"
    )
    _try_evaluation(experiment, first)
    say("everything builds, scores, draws and reconstructs; nothing was trained or written.")


def _try_evaluation(experiment: Experiment, state: Any) -> None:
    """Scores a few images, samples, and takes the mean, as the end of a training does: what fails there fails here."""
    config, parts, data = experiment.config, experiment.parts, experiment.data
    split = draw_rows(data.splits["train"], min(_TRIED, len(data.splits["train"])), seed=0)[0]
    variables, (key, model_key) = variables_of(state), random.split(random.key(0))
    batches = partial(in_order, split, min(config.evaluate.batch_size, len(split)), experiment.layout)
    for score in (experiment.evaluate, experiment.evaluate_corrupted):
        if score is not None:
            score(variables, batches(), samples=2)
    if experiment.metrics:
        experiment.measure(variables, batches())
    labels = conditions(parts, data, len(split))
    keys = random.split(model_key, len(split))
    _, px = experiment.generate(experiment.layout.to_first_device(variables), keys, parts.prepare.conditions(labels))
    jax.block_until_ready((px.mean(), px.sample(key)))


def benchmark(
    config: Config, *, seconds: float, out: Path | None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measures the config for about `seconds`; prints a table and writes the numbers as JSON."""
    experiment = set_up(config, say=say)
    pipeline, engine = make_engine(experiment)
    names, began = {"engine": engine.name, "pipeline": pipeline.name}, time.perf_counter()
    flops, memory = compile_cost(experiment)
    compiling, load = time.perf_counter() - began, os.getloadavg()[0]
    products, limit_flops = roofline.make_step_products(experiment)
    square, square_flops = roofline.make_square_product()
    first = first_state(config, experiment.parts, *map(random.clone, (experiment.init_key, experiment.train_key)))
    vary, ema = partial(roofline.make_varied_steps, experiment, pipeline, engine.name), config.optimizer.ema
    as_stored = dataclasses.replace(experiment.parts.prepare, image=lambda keys, image, index: to_unit(image))
    runs = {
        "step": roofline.make_train_steps(engine, first),
        "products": products,
        "square": square,
        "without prepare": vary(ema=ema, prepare=as_stored, corrupted=None),
        "without update": vary(ema=0.0, optimizer=optax.set_to_zero()),
    }
    timings = roofline.time_interleaved(runs, seconds, _WINDOWS)
    devices = experiment.layout.size
    step, limit = timings["step"], timings["products"]
    batch, peak = config.data.batch_size, devices * square_flops / timings["square"].seconds
    numbers = {
        "config": {"data": config.data.name, "model": vars(config.model), "batch_size": batch},
        "step_compile_seconds": compiling,
        "windows": _WINDOWS,
        "steps_per_second": _summarize_speed(step, 1),
        "images_per_second": _summarize_speed(step, batch),
        "images_per_cpu_second": batch / step.cpu_seconds,
        "flops_per_image": flops / batch,
        "products_flops_per_image": limit_flops / batch,
        "matmul_peak_flops_per_second": peak,
        "share_of_matmul_peak": limit_flops / step.seconds / peak,
        "share_of_products": limit.seconds / devices / step.seconds,
        "share_of_products_cpu": limit.cpu_seconds / step.cpu_seconds,
        "step_seconds": _breakdown({name: timing.seconds for name, timing in timings.items()}),
        "step_cpu_seconds": _breakdown({name: timing.cpu_seconds for name, timing in timings.items()}),
        "step_memory_bytes": memory,
        "peak_memory_bytes": peak_memory(),
        "load_average": [load, os.getloadavg()[0]],
        "environment": describe_environment(**names, seed=config.train.seed, command="jaxvae benchmark"),
    }
    for line in _format_table(numbers):
        say(line)
    if out is not None:
        out.write_text(json.dumps(numbers, indent=1) + "\n")
    return numbers


def _breakdown(seconds: dict[str, float]) -> dict[str, float]:
    """Where a step's time goes, by what it takes without one part or another; below 0: within the noise."""
    step, products = seconds["step"], seconds["products"]
    prepare, update = (step - seconds[f"without {part}"] for part in ("prepare", "update"))
    rest = step - products - prepare - update
    return {"step": step, "products": products, "prepare": prepare, "update": update, "rest": rest}


def _summarize_speed(timing: roofline.Timing, times: float) -> dict[str, float]:
    """Median, least and most of so many a step, per second, over the windows."""
    speeds = [times / seconds for seconds in timing.windows]
    return {"median": statistics.median(speeds), "least": min(speeds), "most": max(speeds)}


def _format_table(numbers: dict[str, Any]) -> list[str]:
    """The numbers as lines."""
    environment, speed, parts = numbers["environment"], numbers["images_per_second"], numbers["step_seconds"]
    named = {
        "products": "matrix products and convolutions alone",
        "update": "optimizer, average and guard",
        "prepare": "binarize, or what else data.prepare and data.corrupt do",
        "rest": "activations, likelihood, noise, norm of the gradient, gathering the batch, dispatch",
    }
    shares = [f"  {parts[k] * 1e3:8.3f} ms     {parts[k] / parts['step']:4.0%}  {text}" for k, text in named.items()]
    return [
        f"device            {environment['platform']}, {len(environment['devices'])} device(s), "
        f"{environment['threads']} threads, jax {environment['versions']['jax']}, "
        "load average {:.1f} to {:.1f}".format(*numbers["load_average"]),
        f"engine            {environment['engine']}, {environment['pipeline']} data",
        f"compile           {numbers['step_compile_seconds']:.2f} s for one step",
        f"steps/s           {numbers['steps_per_second']['median']:,.1f}",
        f"images/s          {speed['median']:,.0f}  "
        f"(median of {_WINDOWS} windows; {speed['least']:,.0f} to {speed['most']:,.0f}), "
        f"{numbers['images_per_cpu_second']:,.0f} per CPU-second",
        f"FLOPs per image   {numbers['flops_per_image'] / 1e6:,.3f} million, of the compiled step; "
        f"{numbers['products_flops_per_image'] / 1e6:,.3f} in products",
        f"share of limit    {numbers['share_of_products']:.0%} of the step's own products alone "
        f"({numbers['share_of_products_cpu']:.0%} in CPU-seconds)",
        f"share of peak     {numbers['share_of_matmul_peak']:.0%} of the "
        f"{numbers['matmul_peak_flops_per_second'] / 1e9:,.0f} GFLOP/s of a square float32 product here",
        *shares,
        f"peak memory       {numbers['peak_memory_bytes'] / 2**20:,.0f} MiB",
    ]


def compile_cost(experiment: Experiment) -> tuple[float, int]:
    """(FLOPs, bytes of arguments, outputs and temporaries) of one compiled train step on one device."""
    config, parts = experiment.config, experiment.parts
    state, batch = abstract_state(config, parts), abstract_batch(config, parts, config.data.batch_size)
    require_memory(experiment, state)
    compiled = jax.jit(experiment.parts.train_step, donate_argnums=0).lower(state, batch).compile()
    cost: Any = compiled.cost_analysis() or {}
    memory: Any = compiled.memory_analysis()
    used = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return float(cost.get("flops", math.nan)), int(used - memory.alias_size_in_bytes)


def _trace_shapes(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """The shapes of a batch on its way through the model: x, features, z, and the mean of p(x|z)."""
    parts, size = experiment.parts, experiment.config.data.batch_size

    def through(variables, keys, x, condition):
        terms: Any = parts.model.apply(variables, keys, x, condition)
        features = parts.model.apply(variables, x, condition, method=lambda model, *given: model.encoder(*given))
        return x, features, terms.levels[0].z, terms.px.mean()

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (experiment.config.train.samples, size)))
    x = jax.ShapeDtypeStruct((size, *experiment.data.shape), jnp.float32)
    given = parts.condition_size
    condition = None if given is None else jax.ShapeDtypeStruct((size, given), jnp.float32)
    found = jax.eval_shape(through, variables_of(abstract_state(experiment.config, parts)), keys, x, condition)
    return {name: array.shape for name, array in zip(("x", "features", "z", "p(x|z)"), found, strict=True)}


def peak_memory() -> int:
    """The most memory in use so far: the device's own count where it keeps one, else this process's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
