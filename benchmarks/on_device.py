"""All that waits for an accelerator, in one command: is it right there, and how fast is it?

    python benchmarks/on_device.py --out FOLDER [--data_dir FOLDER] [--seconds 20]

Writes FOLDER/on_device.json and prints a line as each part ends:
1. right: 20 steps of SGD on the device against the same steps on the CPU; the same steps twice, bit for bit or not;
2. fast: dispatch and scan, mlp and conv, small and large batches, resident and streaming: images/s and share of peak;
3. scoring: importance samples per second.
Without --data_dir it runs on random images of MNIST's shape; speed does not depend on what is in them.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.benchmark import compiled_cost, matmul_peak, timed_steps
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.environment import describe
from jaxvae.evaluate import make_log_likelihood
from jaxvae.experiment import make_engine, set_up
from jaxvae.run import first_state, variables_of

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--data_dir", help="the folder in which TFDS prepared MNIST as array_record")
parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure each case")
CASES = {
    "mlp-128": dict(encoder="mlp(400)", decoder="mlp(400)", latent_dim=20, batch_size=128),
    "mlp-4096": dict(encoder="mlp(400)", decoder="mlp(400)", latent_dim=20, batch_size=4096),
    "conv-128": dict(encoder="conv(32, 64)", decoder="conv(64, 32)", latent_dim=32, batch_size=128),
    "conv-1024": dict(encoder="conv(32, 64)", decoder="conv(64, 32)", latent_dim=32, batch_size=1024),
}


def experiment_of(case: dict, engine: str, pipeline: str, options, optimizer: str = "adam"):
    """The case set up with this engine and pipeline."""
    model = {name: value for name, value in case.items() if name != "batch_size"}
    config = Config(
        data=Data("mnist", options.data_dir, batch_size=case["batch_size"], validation=0.0, pipeline=pipeline),
        model=Model(**model),
        optimizer=Optimizer(name=optimizer),
        train=Train(engine=engine),
        evaluate=Evaluate(),
    )
    arrays = None
    if options.data_dir is None:
        random = np.random.default_rng(0)
        arrays = {
            split: random.integers(0, 256, (n, 28, 28, 1), np.uint8)
            for split, n in (("train", 60_000), ("test", 10_000))
        }
    return set_up(config, arrays, say=lambda text: None)


def after_steps(experiment, count: int):
    """The parameters after so many steps from the first state."""
    state = first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key)
    _, engine = make_engine(experiment)
    state, _ = engine.advance(engine.place(state), 0, count)
    return jax.tree.map(np.asarray, engine.collect(state).params)


def largest_difference(one, other) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def right(options) -> dict:
    """Differences after 20 SGD steps: device against CPU, dispatch against scan, and twice the same."""
    found = {}
    for name in ("mlp-128", "conv-128"):
        runs = {
            engine: after_steps(experiment_of(CASES[name], engine, "resident", options, "sgd"), 20)
            for engine in ("dispatch", "scan")
        }
        again = after_steps(experiment_of(CASES[name], "dispatch", "resident", options, "sgd"), 20)
        with jax.default_device(jax.devices("cpu")[0]):
            cpu = after_steps(experiment_of(CASES[name], "dispatch", "resident", options, "sgd"), 20)
        found[name] = {
            "device_against_cpu": largest_difference(runs["dispatch"], cpu),
            "scan_against_dispatch": largest_difference(runs["scan"], runs["dispatch"]),
            "twice_the_same": largest_difference(runs["dispatch"], again),
        }
    return found


def fast(options) -> dict:
    """Images per second and share of the measured matmul peak of every case under every engine."""
    peak = matmul_peak()
    found: dict = {"matmul_peak_flops_per_second": peak}
    for name, case in CASES.items():
        for engine, pipeline in (("scan", "resident"), ("dispatch", "resident"), ("dispatch", "streaming")):
            experiment = experiment_of(case, engine, pipeline, options)
            began = time.perf_counter()
            flops, memory = compiled_cost(experiment)
            compiling = time.perf_counter() - began
            speed = timed_steps(experiment, *make_engine(experiment), options.seconds)["steps_per_second"]
            found[f"{name} {engine} {pipeline}"] = {
                "images_per_second": {k: v * case["batch_size"] for k, v in speed.items()},
                "share_of_matmul_peak": flops * speed["median"] / peak,
                "compile_seconds": compiling,
                "step_memory_bytes": memory,
            }
            print(name, engine, pipeline, f"{speed['median'] * case['batch_size']:,.0f} images/s", flush=True)
    return found


def scoring(options) -> dict:
    """Importance samples per second, batch 250, K = 1000."""
    found = {}
    for name in ("mlp-128", "conv-128"):
        experiment = experiment_of(CASES[name], "dispatch", "resident", options)
        state = first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key)
        score = make_log_likelihood(experiment.parts.model)
        x = jnp.zeros((250, *experiment.data.shape))
        arguments = (variables_of(state), jax.random.key(0), x, jnp.arange(250))
        jax.block_until_ready(score(*arguments, samples=1000))
        began = time.perf_counter()
        jax.block_until_ready(score(*arguments, samples=1000))
        found[name] = {"decodes_per_second": 250_000 / (time.perf_counter() - began)}
    return found


def main() -> None:
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    numbers = {"environment": describe(engine="", pipeline="", seed=0, command="benchmarks/on_device.py")}
    for part in (right, fast, scoring):
        try:
            numbers[part.__name__] = part(options)
        except Exception:  # one part that fails must not lose the others' numbers: it is printed and kept as text
            numbers[part.__name__] = {"failed": traceback.format_exc()}
        print(part.__name__, json.dumps(numbers[part.__name__], indent=1), flush=True)
        (options.out / "on_device.json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
