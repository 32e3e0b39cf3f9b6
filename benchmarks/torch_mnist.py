"""jaxvae's `mnist` against the same model in preloaded, fused, eager PyTorch, side by side in one run.

    pip install torch==2.13.0     # the CPU build
    python benchmarks/torch_mnist.py --data_dir FOLDER [--seconds 4] [--rounds 5] [--threads 2]

784-400-20-400-784, batch 128, Adam 1e-3, images in memory, binarized anew at every step on both sides. The two are
timed in alternating windows, so that whatever else the machine does meets both; the ratio is of neighbouring windows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data_dir", required=True, help="the folder in which TFDS prepared MNIST as array_record")
parser.add_argument("--seconds", type=float, default=4.0, help="length of a window")
parser.add_argument("--rounds", type=int, default=5, help="windows of each")
parser.add_argument("--threads", type=int, default=2)
BATCH = 128


def torch_trainer(images: Any, threads: int) -> Callable[[int], None]:
    """Returns a function that takes `count` steps in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    data = torch.tensor(images.reshape(len(images), -1)).float() / 255
    encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 40))
    decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)
    order = torch.randperm(len(data))
    position = 0

    def run(count: int) -> None:
        nonlocal order, position
        for _ in range(count):
            if position + BATCH > len(data):
                order, position = torch.randperm(len(data)), 0
            x = torch.bernoulli(data[order[position : position + BATCH]])
            position += BATCH
            mean, log_variance = encoder(x).chunk(2, dim=-1)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            distortion = functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
            rate = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
            optimizer.zero_grad(set_to_none=True)
            ((distortion + rate) / BATCH).backward()
            optimizer.step()

    return run


def jaxvae_trainer(data_dir: str) -> tuple[Callable[[int], None], Any]:
    """Returns a function that takes `count` steps of the model of configs/mnist.py, and its experiment."""
    import jax

    from jaxvae.config import Config, Data, Model
    from jaxvae.rundir.state import first_state
    from jaxvae.training.setup import make_engine, set_up

    config = Config(
        data=Data(name="mnist", data_dir=data_dir, batch_size=BATCH, validation=0.0),
        model=Model(latent_dim=20, encoder="mlp(400)", decoder="mlp(400)"),
    )
    experiment = set_up(config)
    _, engine = make_engine(experiment)
    state = engine.place(first_state(config, experiment.parts, experiment.init_key, experiment.train_key))
    step = 0

    def run(count: int) -> None:
        nonlocal state, step
        state, metrics = engine.advance(state, step, count)
        jax.block_until_ready(metrics)
        step += count

    return run, experiment


def images_per_second(run: Callable[[int], None], seconds: float, count: int) -> float:
    """Returns the speed over about `seconds`, in stretches of `count` steps."""
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        run(count)
        steps += count
    return steps * BATCH / (time.perf_counter() - began)


def main() -> None:
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    ours, experiment = jaxvae_trainer(options.data_dir)
    theirs = torch_trainer(experiment.data.splits["train"].image, options.threads)
    speeds: dict[str, list[float]] = {"torch": [], "jaxvae": []}
    for run in (theirs, ours):
        run(200)  # compile and warm up
    for _ in range(options.rounds):
        speeds["torch"].append(images_per_second(theirs, options.seconds, 50))
        speeds["jaxvae"].append(images_per_second(ours, options.seconds, 50))
    for name, windows in speeds.items():
        print(f"{name:<8}{statistics.median(windows):>10,.0f} images/s  ({min(windows):,.0f} to {max(windows):,.0f})")
    ratios = [a / b for a, b in zip(speeds["jaxvae"], speeds["torch"], strict=True)]
    print(f"ratio   {statistics.median(ratios):>10.2f}  (window by window {min(ratios):.2f} to {max(ratios):.2f})")
    print(f"load {os.getloadavg()[0]:.2f}, {len(os.sched_getaffinity(0))} cores, {options.threads} torch threads")


if __name__ == "__main__":
    main()
