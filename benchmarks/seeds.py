"""Eight members in one vmapped program against eight runs one after another, side by side in one run.

    python benchmarks/seeds.py --data_dir FOLDER [--seconds 3] [--rounds 7] [--members 8] [--out FILE.json]

Three sizes: a tiny net on 8x8 digits (mlp(32), batch 32), configs/digits.py, and configs/mnist.py (784-400-20, batch
128). Both sides take the trainer's own steps; the members' steps are added up. They are timed in alternating windows,
so that whatever else the machine does meets both, and the ratio is of neighbouring windows. Steps per CPU-second are
given beside, which other programs disturb less but which know nothing of idle cores. The same of members in turn, which
is what a CPU is given for larger nets. The first step, compiled, is timed apart: runs repeat it, members share it.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from jaxvae.config import Config, Data, Model
from jaxvae.rundir.state import first_state
from jaxvae.training.ensemble import engine as members_engine
from jaxvae.training.ensemble.members import EnsembleMember, members_of
from jaxvae.training.ensemble.train import initial_states, set_up_runs
from jaxvae.training.loop import TrainingRun
from jaxvae.training.setup import make_engine

CONFIGS = Path(__file__).parent.parent / "configs"
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data_dir", required=True, help="the folder in which TFDS prepared MNIST as array_record")
parser.add_argument("--seconds", type=float, default=3.0, help="length of a window")
parser.add_argument("--rounds", type=int, default=7, help="windows of each")
parser.add_argument("--members", type=int, default=8)
parser.add_argument("--out", type=Path, help="a JSON file for the numbers")


def load_config(name: str, data_dir: str) -> Config:
    """Returns the config of configs/NAME.py, with its images in `data_dir`."""
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    return dataclasses.replace(config, data=dataclasses.replace(config.data, data_dir=data_dir))


class Side:
    """An engine and its state; `window` trains for some seconds."""

    def __init__(self, engine: Any, state: Any, members: int):
        self.engine, self.members, self.step = engine, members, 0
        self.state, self.count = engine.place(state), 1
        began = time.perf_counter()
        self.take(1)
        self.first = time.perf_counter() - began

    def take(self, count: int) -> None:
        self.state, metrics = self.engine.advance(self.state, self.step, count)
        jax.block_until_ready(metrics)
        self.step += count

    def window(self, seconds: float) -> tuple[float, float]:
        """Trains for about `seconds`; returns the members' steps per second and per CPU-second."""
        began, used, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            stretch = time.perf_counter()
            self.take(self.count)
            done += self.count
            taken = time.perf_counter() - stretch
            self.count = max(1, round(self.count * min(4.0, seconds / 8 / taken)))
        steps = done * self.members
        return steps / (time.perf_counter() - began), steps / (time.process_time() - used)


def compare(config: Config, members: int, seconds: float, rounds: int) -> dict:
    """Returns the speed of each side on this config, and its ratio to a run alone, window by window."""
    config.train.seeds = members
    with tempfile.TemporaryDirectory() as folder:
        all_members = members_of(config)
        contenders = sides(all_members, set_up_runs(all_members, Path(folder), None, print))
    windows = [[side.window(seconds) for side in contenders] for _ in range(rounds + 1)][1:]
    return {
        side.engine.name: {
            "steps_per_second": statistics.median(window[i][0] for window in windows),
            "steps_per_cpu_second": statistics.median(window[i][1] for window in windows),
            "ratio": spread([window[i][0] / window[0][0] for window in windows]),
            "cpu_ratio": spread([window[i][1] / window[0][1] for window in windows]),
            "first_step_seconds": side.first,
        }
        for i, side in enumerate(contenders)
    }


def spread(values: list[float]) -> dict[str, float]:
    """Returns the median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def sides(members: list[EnsembleMember], runs: list[TrainingRun]) -> list[Side]:
    """Returns a run alone, all members in one vmapped program, and all in turn, each with its program compiled."""
    first, experiments = runs[0].experiment, [run.experiment for run in runs]
    for run in runs:
        run.workdir.mkdir()
    step = members_engine.make_members_step(members, experiments)
    pipeline, alone = make_engine(first)
    state = first_state(first.config, first.parts, first.init_key, first.train_key)
    states = initial_states(runs, print)
    engines = [
        members_engine.MEMBERS_ENGINES[name](step, pipeline, [each.data_key for each in experiments])
        for name in ("vmapped scan", "scan in turn")
    ]
    return [Side(alone, state, 1), *(Side(engine, states, len(runs)) for engine in engines)]


if __name__ == "__main__":
    options = parser.parse_args()
    tiny = Config(data=Data(batch_size=32), model=Model(encoder="mlp(32)", decoder="mlp(32)"))
    sizes = {
        "tiny": tiny,
        "digits": load_config("digits", options.data_dir),
        "mnist": load_config("mnist", options.data_dir),
    }
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f} at the start, jax {jax.__version__}, {jax.default_backend()}")
    found = {}
    for name, chosen in sizes.items():
        load = os.getloadavg()[0]
        sides_found = compare(chosen, options.members, options.seconds, options.rounds)
        found[name] = {"load": load, "sides": sides_found}
        print(f"{name}, batch {chosen.data.batch_size}, {options.members} members, load {load:.1f}")
        for side, numbers in sides_found.items():
            ratio, cpu = numbers["ratio"], numbers["cpu_ratio"]
            print(
                f"  {side:<14}{numbers['steps_per_second']:8,.0f} steps/s  {ratio['median']:.2f} times a run alone "
                f"({ratio['least']:.2f} to {ratio['most']:.2f}); per CPU-second {cpu['median']:.2f} "
                f"({cpu['least']:.2f} to {cpu['most']:.2f}); first step {numbers['first_step_seconds']:.1f} s"
            )
    if options.out is not None:
        options.out.write_text(json.dumps({"cores": cores, "members": options.members, "sizes": found}, indent=1))
