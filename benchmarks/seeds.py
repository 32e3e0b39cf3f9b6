"""Eight members in one vmapped program against eight runs one after another, side by side in one run.

    python benchmarks/seeds.py --data_dir FOLDER [--seconds 3] [--rounds 7] [--members 8] [--out FILE.json]

Three sizes: a tiny net on 8x8 digits (mlp(32), batch 32), configs/digits.py, and configs/mnist.py (784-400-20, batch
128). Both sides take the trainer's own steps; the members' steps are added up. They are timed in alternating windows,
so that whatever else the machine does meets both, and the ratio is of neighbouring windows. Images per CPU-second are
given beside, which other programs disturb less but which know nothing of idle cores.
Start-up and compilation, which members share and runs repeat, are timed apart: from the parts to the first steps done.
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

import jax

from jaxvae import vmapped
from jaxvae.config import Config, Data, Model
from jaxvae.ensemble import Seat, start, take_seats
from jaxvae.experiment import make_engine
from jaxvae.members import members_of
from jaxvae.run import first_state

CONFIGS = Path(__file__).parent.parent / "configs"
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data_dir", required=True, help="the folder in which TFDS prepared MNIST as array_record")
parser.add_argument("--seconds", type=float, default=3.0, help="length of a window")
parser.add_argument("--rounds", type=int, default=7, help="windows of each")
parser.add_argument("--members", type=int, default=8)
parser.add_argument("--out", type=Path, help="a JSON file for the numbers")


def named(name: str, data_dir: str) -> Config:
    """The config of that file, its images in `data_dir`."""
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    return dataclasses.replace(config, data=dataclasses.replace(config.data, data_dir=data_dir))


class Side:
    """One contender: `window(seconds)` trains for about so long; (members' steps per second, per CPU-second)."""

    def __init__(self, engine, state, members: int):
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
    """The speeds of both sides on this config, and their ratios window by window."""
    config.train.seeds = members
    with tempfile.TemporaryDirectory() as folder:
        seats = take_seats(members_of(config), Path(folder), None, print)
        alone, together = sides(seats)
    windows = [(alone.window(seconds), together.window(seconds)) for _ in range(rounds + 1)][1:]
    ratios = sorted(b[0] / a[0] for a, b in windows)
    return {
        "batch_size": config.data.batch_size,
        "engines": [alone.engine.name, together.engine.name],
        "steps_per_second": [statistics.median(pair[i][0] for pair in windows) for i in (0, 1)],
        "steps_per_cpu_second": [statistics.median(pair[i][1] for pair in windows) for i in (0, 1)],
        "ratio": {"median": statistics.median(ratios), "least": ratios[0], "most": ratios[-1]},
        "cpu_ratio": statistics.median(b[1] / a[1] for a, b in windows),
        "first_step_seconds": [alone.first, together.first],
    }


def sides(seats: list[Seat]) -> tuple[Side, Side]:
    """(a run alone, all members together), each with its program compiled."""
    first = seats[0].experiment
    for seat in seats:
        seat.workdir.mkdir()
    state = first_state(first.config, first.parts, first.init_key, first.train_key)
    engine = vmapped.make_engine([seat.member for seat in seats], [seat.experiment for seat in seats])
    return Side(make_engine(first)[1], state, 1), Side(engine, start(seats, print), len(seats))


if __name__ == "__main__":
    options = parser.parse_args()
    tiny = Config(data=Data(batch_size=32), model=Model(encoder="mlp(32)", decoder="mlp(32)"))
    sizes = {"tiny": tiny, "digits": named("digits", options.data_dir), "mnist": named("mnist", options.data_dir)}
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f} at the start, jax {jax.__version__}, {jax.default_backend()}")
    found = {}
    for name, chosen in sizes.items():
        load = os.getloadavg()[0]
        found[name] = compare(chosen, options.members, options.seconds, options.rounds) | {"load": load}
        one, ratio = found[name], found[name]["ratio"]
        print(
            f"{name:<7} one after another {one['steps_per_second'][0]:8,.0f} steps/s, "
            f"{options.members} together {one['steps_per_second'][1]:8,.0f}; ratio {ratio['median']:.2f} "
            f"({ratio['least']:.2f} to {ratio['most']:.2f}), per CPU-second {one['cpu_ratio']:.2f}; "
            f"first step {one['first_step_seconds'][0]:.1f} s each and {one['first_step_seconds'][1]:.1f} s; "
            f"load {load:.1f}"
        )
    if options.out is not None:
        options.out.write_text(json.dumps({"cores": cores, "members": options.members, "sizes": found}, indent=1))
