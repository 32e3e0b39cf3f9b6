"""Correctness and speed on an accelerator, in one command of at most ten minutes.

    python benchmarks/on_device.py --out FOLDER [--data_dir FOLDER] [--minutes 10] [--quick]

Writes FOLDER/on_device.json after every part, and prints each row as it is measured. The parts share the time that is
left; one that fails, or finds its time used up, says so in its place. --quick rehearses with tiny sizes, on a CPU too.
Without --data_dir it runs on random images of MNIST's shape (speed does not depend on what is in them), and leaves out
`second`. The same models in PyTorch (benchmarks/torch_models.py) take part where torch is installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # child processes and PyTorch want memory, too
sys.path.insert(0, str(Path(__file__).parent))

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from jaxvae import latent
from jaxvae.config import Config, Data, Model, Optimizer, Train
from jaxvae.data.pipeline import in_order
from jaxvae.evaluate.bounds import make_log_likelihood
from jaxvae.rundir.state import first_state, variables_of
from jaxvae.runtime.environment import describe_environment
from jaxvae.training import roofline
from jaxvae.training.benchmark import compile_cost, peak_memory
from jaxvae.training.engine import ENGINES
from jaxvae.training.setup import make_engine, set_up

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--data_dir", help="the folder in which TFDS prepared MNIST as array_record")
parser.add_argument("--minutes", type=float, default=10.0, help="how long all parts may take together")
parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run to its end?")
parser.add_argument("--only", nargs="+", help="names of parts")
parser.add_argument("--fingerprint", action="store_true", help=argparse.SUPPRESS)  # of a child: print and stop

NETS: dict[str, dict[str, Any]] = {
    "mlp": dict(encoder="mlp(400)", decoder="mlp(400)", latent_dim=20),
    "conv": dict(encoder="conv(32, 64)", decoder="conv(64, 32)", latent_dim=32),
    "resnet": dict(encoder="resnet(128, 256)", decoder="resnet(256, 128)", latent_dim=32),
}
SMALL: dict[str, dict[str, Any]] = {
    "mlp": dict(encoder="mlp(16)", decoder="mlp(16)", latent_dim=4),
    "conv": dict(encoder="conv(4, 8, dense=8)", decoder="conv(8, 4, dense=8)", latent_dim=4),
    "resnet": dict(encoder="resnet(8, dense=8)", decoder="resnet(8, dense=8)", latent_dim=4),
}
HAS_PRECISION = any(part.name == "precision" for part in dataclasses.fields(Model))
NO_PRECISION = "skipped: this jaxvae has no model.precision"


def out_of_time(signum: int, frame: Any) -> None:
    raise TimeoutError("this part's time was used up")


class Session:
    """The options, the clock that all parts share, and the results so far."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.found = options, {}
        self.ends = time.perf_counter() + 60 * options.minutes
        self.part_ends = self.ends
        self.nets = SMALL if options.quick else NETS
        self.window = 0.05 if options.quick else 4.0  # seconds of each thing that is timed

    def row(self, rows: dict, name: str, measure: Callable[[], Any]) -> None:
        """Measures into rows[name] and prints it; a failure or a lack of time is recorded there as text."""
        if time.perf_counter() > self.part_ends:
            rows[name] = "skipped: this part's time was used up"
        else:
            try:
                signal.alarm(max(1, round(self.part_ends - time.perf_counter()) + 1))
                rows[name] = measure()
            except Exception as error:  # one row that fails must not lose the others
                rows[name] = {"failed": f"{type(error).__name__}: {str(error)[:500]}"}
            finally:
                signal.alarm(0)
        print(f"  {name}: {json.dumps(rows[name])}", flush=True)

    def experiment(self, net: str, batch: int, engine: str = "dispatch", optimizer: str = "adam", **more: Any) -> Any:
        """Returns the net set up at this batch size; `more` is pipeline and precision."""
        model = dict(self.nets[net]) | ({"precision": more["precision"]} if "precision" in more else {})
        data = Data("mnist", self.options.data_dir, batch_size=batch, validation=0.0)
        data.pipeline = more.get("pipeline", "resident")
        config = Config(data, Model(**model), optimizer=Optimizer(name=optimizer), train=Train(engine=engine))
        return set_up(config, self.arrays(), say=lambda text: None)

    def arrays(self) -> dict[str, np.ndarray] | None:
        if self.options.data_dir is not None:
            return None
        draw, sizes = np.random.default_rng(0), (256, 64) if self.options.quick else (60_000, 10_000)
        return {
            name: draw.integers(0, 256, (n, 28, 28, 1), np.uint8)
            for name, n in zip(("train", "test"), sizes, strict=True)
        }

    def sizes(self, *batches: int) -> tuple[int, ...]:
        return (16, 32) if self.options.quick else batches

    def steps(self, experiment: Any) -> tuple[roofline.TimedFunction, Any]:
        """Returns (a function that takes steps with the experiment's engine, the engine's name)."""
        config, parts = experiment.config, experiment.parts
        _, engine = make_engine(experiment)
        keys = random.clone(experiment.init_key), random.clone(experiment.train_key)
        return roofline.make_train_steps(engine, first_state(config, parts, *keys)), engine.name


def peaks(session: Session) -> dict:
    """Measures the rate of a square matrix product in float32, TF32 and bfloat16, FLOP/s, on random numbers."""
    size, rows = 256 if session.options.quick else 8192, {}
    for name, precision, dtype in (
        ("float32", "float32", jnp.float32),
        ("tf32", "tensorfloat32", jnp.float32),
        ("bfloat16", "default", jnp.bfloat16),
    ):
        a = random.normal(random.key(0), (size, size)).astype(dtype)
        product = jax.jit(lambda a, precision=precision: jax.lax.dot(a, a, precision=precision))
        run = {name: roofline.repeat(lambda product=product, a=a: product(a))}
        session.row(rows, name, lambda run=run, n=name: 2 * size**3 / min(timed(session, run)[n].windows))
    return rows


def timed(session: Session, runs: dict[str, roofline.TimedFunction]) -> dict[str, roofline.Timing]:
    return roofline.time_interleaved(runs, session.window * len(runs), windows=3 if session.options.quick else 7)


def right(session: Session) -> dict:
    """Measures the largest difference of parameters after 20 steps of SGD, each engine against the CPU."""
    rows: dict = {}
    for net in ("mlp", "conv"):
        with jax.default_device(jax.devices("cpu")[0]), jax.default_matmul_precision("highest"):
            expected = after(session, net, "dispatch")
        for precision in ("highest", "default"):
            for engine in ENGINES:
                with jax.default_matmul_precision(None if precision == "default" else precision):
                    name = f"{net} {engine}, {precision} precision, against the CPU"
                    session.row(rows, name, lambda n=net, e=engine, x=expected: largest(after(session, n, e), x))
        session.row(rows, f"{net} twice the same", partial(twice, session, net))
    return rows


def twice(session: Session, net: str) -> float:
    """Returns the largest difference between two runs of the same 20 steps: 0 if kernels are deterministic."""
    return largest(after(session, net, "dispatch"), after(session, net, "dispatch"))


def after(session: Session, net: str, engine: str, **more: Any) -> Any:
    """Returns the parameters after 20 steps of SGD from the first state."""
    experiment = session.experiment(net, session.sizes(128)[0], engine, "sgd", **more)
    _, made = make_engine(experiment)
    state = made.place(first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key))
    for step in range(20):
        state, metrics = made.advance(state, step, 1)
        jax.block_until_ready(metrics)
    return jax.tree.map(np.asarray, made.collect(state).params)


def largest(one: Any, other: Any) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def deterministic(session: Session) -> dict:
    """Returns whether two processes with the settings of train.deterministic give equal bits."""
    flags = os.environ.get("XLA_FLAGS", "")
    if jax.default_backend() == "gpu":
        flags += " --xla_gpu_deterministic_ops=true"
    command = [sys.executable, __file__, "--fingerprint", *sys.argv[1:]]
    found = []
    for _ in range(2):
        left = max(1.0, session.part_ends - time.perf_counter())
        done = subprocess.run(
            command, env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True, timeout=left
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        found.append(done.stdout.split()[-1])
    return {"equal": found[0] == found[1], "sha256": found}


def fingerprint(session: Session) -> str:
    leaves = [leaf for net in ("mlp", "conv") for leaf in jax.tree.leaves(after(session, net, "dispatch"))]
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()


def fast(session: Session) -> dict:
    """Measures images/s, shares of the step's products and of the matmul peak, and memory, for nets and engines."""
    rows: dict = {}
    cases = [(net, batch, "scan", {}) for net in ("mlp", "conv") for batch in session.sizes(128, 1024, 8192)]
    cases += [("resnet", session.sizes(512)[0], "dispatch", {})]
    if HAS_PRECISION:
        bfloat16 = {"precision": "bfloat16"}
        cases += [(net, session.sizes(1024)[0], "scan", bfloat16) for net in ("mlp", "conv")]
        cases += [("resnet", session.sizes(512)[0], "dispatch", bfloat16)]
    else:
        rows["bfloat16"] = NO_PRECISION
    first = session.sizes(128)[0]
    cases += [(net, first, engine, {}) for net in ("mlp", "conv") for engine in ENGINES if engine != "scan"]
    cases += [(net, first, "dispatch", {"pipeline": "streaming"}) for net in ("mlp", "conv")]
    for net, batch, engine, more in cases:
        name = " ".join([net, str(batch), engine, *more.values()])
        session.row(rows, name, lambda case=(net, batch, engine), more=more: speed(session, *case, more))
    return rows


def speed(session: Session, net: str, batch: int, engine: str, more: dict) -> dict:
    experiment = session.experiment(net, batch, engine, **more)
    steps, _ = session.steps(experiment)
    flops, memory = compile_cost(experiment)
    products, limit_flops = roofline.make_step_products(experiment)
    took = timed(session, {"step": steps, "products": products})
    windows = [batch / seconds for seconds in took["step"].windows]
    peak = session.found.get("peaks", {}).get("bfloat16" if more.get("precision") else "tf32")
    return {
        "images_per_second": round(batch / took["step"].seconds),
        "least": round(min(windows)),
        "most": round(max(windows)),
        "share_of_products": round(took["products"].seconds / took["step"].seconds, 3),
        "share_of_peak": round(limit_flops / took["step"].seconds / peak, 4) if isinstance(peak, float) else None,
        "mflops_per_image": round(flops / batch / 1e6, 3),
        "step_memory_mib": round(memory / 2**20, 1),
        "peak_memory_mib": round(peak_memory() / 2**20),
    }


def torch(session: Session) -> dict:
    """Measures images/s of the same models in PyTorch, eager, compiled, and with CUDA graphs, in turns with ours."""
    if importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed here"}
    import torch_models

    rows: dict = {}
    for net, batches in (("mlp", (128, 1024)), ("conv", (128, 1024)), ("resnet", (512,))):
        for batch in session.sizes(*batches)[: 1 if session.options.quick else None]:
            session.row(rows, f"{net} {batch}", lambda n=net, b=batch: against(session, torch_models, n, b))
    return rows


def against(session: Session, torch_models: Any, net: str, batch: int) -> dict:
    """Returns images/s of each library and mode, windows in turns; a failure is recorded as text."""
    ours = session.experiment(net, batch)
    images = ours.data.splits["train"].image
    engine = "dispatch" if net != "mlp" and jax.default_backend() == "cpu" else "scan"
    runs, missing = {"jaxvae": session.steps(session.experiment(net, batch, engine))[0]}, {}
    for mode in torch_models.MODES:
        try:
            run = torch_models.trainer(net, session.options.quick, images, batch, mode)
            run(3)
            runs[f"torch {mode}"] = run
        except Exception as error:
            missing[f"torch {mode}"] = f"failed: {type(error).__name__}: {str(error)[:200]}"
    return {name: round(batch / took.seconds) for name, took in timed(session, runs).items()} | missing


def inference(session: Session) -> dict:
    """Measures images/s of encode and sample, importance samples/s of log_likelihood with K = 1000 (in --quick 10)."""
    rows: dict = {}
    for net in ("mlp", "conv"):
        for name, (count, call) in entries(session, net).items():
            session.row(rows, f"{net} {name}", lambda n=name, c=count, f=call: round(c / seconds_of(session, n, f)))
    return rows


def seconds_of(session: Session, name: str, call: Callable[[], Any]) -> float:
    return timed(session, {name: roofline.repeat(call)})[name].seconds


def entries(session: Session, net: str) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Returns {name: (images or samples of one call, the call)} with the net's first weights."""
    batch, samples = (16, 10) if session.options.quick else (1000, 1000)
    experiment = session.experiment(net, 16)
    model = experiment.parts.model
    state = first_state(experiment.config, experiment.parts, experiment.init_key, experiment.train_key)
    variables, x = variables_of(state), jnp.zeros((batch, *experiment.data.shape))
    encode, score = jax.jit(partial(latent.encode, model)), make_log_likelihood(model)
    sample = jax.jit(partial(latent.sample, model), static_argnums=2)
    few, key = x[: batch // 4], random.key(0)
    return {
        "encode": (batch, lambda: encode(variables, x, None)),
        "sample": (batch, lambda: sample(variables, random.clone(key), batch, None, temperature=1.0)),
        "log_likelihood": (
            len(few) * samples,
            lambda: score(variables, random.clone(key), few, jnp.arange(len(few)), None, samples=samples),
        ),
    }


def second(session: Session) -> dict:
    """Measures seconds of the compiled training of configs/mnist_second.py, and its -ELBO over all test images."""
    if session.options.data_dir is None:
        return {"skipped": "needs --data_dir: real MNIST"}
    sys.path.insert(0, str(Path(__file__).parent.parent / "configs"))
    import mnist_second

    config = mnist_second.get_config()
    config.data.data_dir, config.train.engine = session.options.data_dir, "scan"
    steps = 2 if session.options.quick else config.train.steps
    experiment = set_up(config, say=lambda text: None)
    _, engine = make_engine(experiment)
    seconds = []
    for _ in range(1 if session.options.quick else 3):  # the first compiles
        keys = random.clone(experiment.init_key), random.clone(experiment.train_key)
        state = jax.block_until_ready(engine.place(first_state(config, experiment.parts, *keys)))
        began = time.perf_counter()
        state, metrics = engine.advance(state, 0, steps)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - began)
    values = experiment.evaluate(variables_of(engine.collect(state)), in_order(experiment.data.splits["test"], 250))
    return {"steps": steps, "seconds": seconds, "minus_elbo": -float(values["elbo"].mean(dtype="float64"))}


# name, and the share of the time that is left when its turn comes
PARTS = (
    (peaks, 0.1),
    (right, 0.2),
    (deterministic, 0.15),
    (second, 0.15),
    (fast, 0.5),
    (torch, 0.8),
    (inference, 1.0),
)


def main() -> None:
    options = parser.parse_args()
    session = Session(options)
    signal.signal(signal.SIGALRM, out_of_time)
    if options.fingerprint:
        print(fingerprint(session))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    session.found["environment"] = describe_environment(engine="", pipeline="", seed=0, command=" ".join(sys.argv))
    for part, share in PARTS:
        if options.only and part.__name__ not in options.only:
            continue
        began = time.perf_counter()
        session.part_ends = began + share * (session.ends - began)
        print(f"{part.__name__}: {part.__doc__}", flush=True)
        try:
            session.found[part.__name__] = part(session)
        except Exception:  # nor one part the other parts
            session.found[part.__name__] = {"failed": traceback.format_exc()}
            print(session.found[part.__name__]["failed"], flush=True)
        print(f"{part.__name__}: {time.perf_counter() - began:.0f} s", flush=True)
        (options.out / "on_device.json").write_text(json.dumps(session.found, indent=1) + "\n")


if __name__ == "__main__":
    main()
