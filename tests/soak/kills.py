"""Stops real training runs at random moments of every phase, starts them again, and compares with runs never stopped.

    python tests/soak/kills.py --kills 100 [--seed S] [--minutes M] [--variant resident ...] [--signal KILL TERM INT]

Prints how many signals hit each phase of each variant, how many processes ended as promised (exit code, time, words),
and how many runs came to the same bits; exit code 1 where one did not. A run that differs is kept.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stopped_runs import (
    CODES,
    ENDED,
    PHASES,
    Stop,
    Variant,
    break_run,
    differences,
    finish,
    plan,
    spans,
    start,
)

OFTEN = {
    "train.log_every": 10,
    "train.validate_every": 60,
    "train.checkpoint_every": 30,
    "evaluate.samples": 200,
    "evaluate.batch_size": 8,  # many small batches, so that a validation takes long enough to be met
}
TINY = {"model.encoder": "mlp(32)", "model.decoder": "mlp(32)", "train.steps": 600, **OFTEN}
VARIANTS = {
    "resident": Variant(
        "digits",
        TINY
        | {
            "train.engine": "scan",
            "data.pipeline": "resident",
            "objective": "elbo(beta=linear(0.5, 1, steps=400))",
            "optimizer.schedule": "cosine(warmup=50)",
            "optimizer.clip": 100.0,
            "optimizer.ema": 0.99,
        },
    ),
    "patience": Variant(
        "digits",
        TINY
        | {
            "train.engine": "scan",
            "data.pipeline": "resident",
            "train.steps": 20_000,
            "train.patience": 3,
            "optimizer.learning_rate": 0.03,
            "optimizer.schedule": "warmup(30)",
            "optimizer.ema": 0.9,
        },
    ),
    "streaming": Variant("digits", TINY | {"train.engine": "dispatch", "data.pipeline": "streaming"}),
    "codebook": Variant("vq", TINY | {"train.engine": "scan", "data.pipeline": "resident", "evaluate.samples": 1}),
    "together": Variant("digits", TINY | {"train.steps": 300}, processes=2),
}
MOST = 6  # stops of one run


def main() -> int:
    options = arguments()
    draw, began = random.Random(options.seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="jaxvae-kills-"))
    signals = [signal.Signals[f"SIG{name}"] for name in options.signal]
    print(f"seed {options.seed}, {folder}", flush=True)
    whole = {name: unbroken(name, folder) for name in options.variant}
    rows: list[dict[str, Any]] = []
    while stopped(rows) < options.kills and time.monotonic() - began < 60 * options.minutes:
        name = options.variant[len(rows) % len(options.variant)]
        rows.append(one_run(name, folder, len(rows), whole[name], signals, draw))
    print(table(rows, options.variant))
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "runs": rows}, indent=1))
    return int(any(row["lost"] or row["rude"] for row in rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many stops in all")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the moments")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no further run after so long")
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--signal", nargs="+", choices=[s.name[3:] for s in CODES], default=["KILL"])
    parser.add_argument("--json", type=Path, help="a file for every stop of every run")
    return parser.parse_args()


def unbroken(name: str, folder: Path) -> dict[str, list[float]]:
    """Trains the variant without a stop, twice, so that compiling is no part of it; how long each phase took."""
    finish(start(VARIANTS[name], folder / f"{name}-first", folder / "compiled"))
    sessions = start(VARIANTS[name], folder / name, folder / "compiled")
    usual = spans(sessions)
    finish(sessions)
    lost = differences(folder / f"{name}-first", folder / name)
    assert not lost, f"two runs without a stop differ in {lost}"
    took = ", ".join(f"{phase} {len(each)} x {sum(each) / max(1, len(each)):.3f} s" for phase, each in usual.items())
    print(f"{name}, not stopped: {took}", flush=True)
    return usual


def one_run(name: str, folder: Path, number: int, usual: Any, signals: list, draw: random.Random) -> dict[str, Any]:
    """Stops one run several times and compares it with the one that was not."""
    workdir = folder / f"{name}-{number}"
    aims = plan(draw, draw.randint(1, MOST))
    stops: list[Stop] = []
    try:
        stops = break_run(VARIANTS[name], workdir, folder / "compiled", aims, signals, usual, draw)
        lost = differences(workdir, folder / name)
    except (RuntimeError, ValueError, OSError) as error:
        lost = [f"{type(error).__name__}: {error}"]
    rude = [f"{signal.Signals(each.signum).name} in {each.hit}: {each.wrong}" for each in stops if each.wrong]
    hits = " ".join(each.hit for each in stops)
    print(f"{name} {number}: stopped in {hits}: {'; '.join(lost + rude) or 'the same'}", flush=True)
    if not lost:
        shutil.rmtree(workdir)
    return {"variant": name, "stops": [vars(each) for each in stops], "lost": lost, "rude": rude}


def stopped(rows: list[dict[str, Any]]) -> int:
    """How many signals met a process that was not done."""
    return sum(each["hit"] != ENDED for row in rows for each in row["stops"])


def table(rows: list[dict[str, Any]], names: list[str]) -> str:
    """Markdown: the hits by variant and phase, and the runs that ended as if never stopped."""
    lines = [
        f"| variant | {' | '.join(PHASES)} | stops | as promised | runs | same bits | slowest answer |",
        "|---" * 12 + "|",
    ]
    for name in [*names, "all"]:
        chosen = [row for row in rows if name in (row["variant"], "all")]
        hits = Counter(each["hit"] for row in chosen for each in row["stops"])
        slowest = max((each["seconds"] for row in chosen for each in row["stops"]), default=0.0)
        same, rude = sum(not row["lost"] for row in chosen), sum(len(row["rude"]) for row in chosen)
        cells = [name, *(hits[phase] for phase in PHASES), stopped(chosen), stopped(chosen) - rude, len(chosen), same]
        lines.append(f"| {' | '.join(map(str, cells))} | {slowest:.1f} s |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
