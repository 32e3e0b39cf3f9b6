"""Thousands of odd configs: each is accepted, and then traces and trains, or is refused in words.

python tests/soak/configs.py --verdicts 5000 --trained 300 --seed 0 --minutes 15 --record counts.jsonl

Goes on where the record ends: a line a piece of 50 verdicts, with every failure's piece, seed and config.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import hypothesis
import jax
import odd_configs

PIECE, PATIENCE = 50, 180  # verdicts a piece; seconds after which one hangs
MOST_TRAINED = 2_000_000  # parameters: a larger model is traced alone


def piece(number, seed, traced, trained):
    """Counts, failures and the slowest case (CPU-seconds, config) of one piece; so many of the accepted are trained."""
    counts, failures, slow = collections.Counter(), [], []

    @hypothesis.seed(seed * 1_000_000 + number)
    @hypothesis.settings(
        max_examples=PIECE,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(odd_configs.configs())
    def judge(case):
        if counts["verdicts"] == PIECE:  # hypothesis may draw a few more than it was told
            return
        counts["verdicts"] += 1
        signal.alarm(PATIENCE)
        began = time.process_time()
        try:
            ended = counts["trained"] + counts["stopped"] + counts["refused late"]
            counts.update(outcomes(case, may_trace=counts["traced"] < traced, may_train=ended < trained))
        except Exception as error:
            counts["FAILED"] += 1
            text = "".join(traceback.format_exception(error))
            failures.append({"piece": number, "seed": seed, "case": written(case), "error": text[-3000:]})
        finally:
            signal.alarm(0)
            slow.append((round(time.process_time() - began, 1), written(case)))

    judge()
    jax.clear_caches()
    return counts, failures, max(slow)


def outcomes(case, *, may_trace, may_train):
    """What became of one config, as names to be counted."""
    config, shape, condition = case
    accepted, _ = odd_configs.verdict(*case)
    if accepted is None:
        return ["refused"]
    if not may_trace:
        return ["accepted"]
    odd_configs.trace(*accepted)
    state = odd_configs.abstract_state(*accepted)
    if not may_train or sum(leaf.size for leaf in jax.tree.leaves(state.params)) > MOST_TRAINED:
        return ["accepted", "traced"]
    few = odd_configs.changed(config, "train.steps", min(config.train.steps, 5))
    few = odd_configs.changed(few, "evaluate.samples", min(config.evaluate.samples, 3))
    few = odd_configs.changed(few, "train.samples", min(config.train.samples, 3))
    few = odd_configs.changed(few, "train.seeds", min(config.train.seeds, 2))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return ["accepted", "traced", odd_configs.train(few, shape, Path(folder) / "run", condition)]


def written(case):
    """The case as it would be typed, its beginning."""
    sys.set_int_max_str_digits(0)
    try:
        return repr(case)[:3000]
    finally:
        sys.set_int_max_str_digits(4300)


def hang(*_):
    raise TimeoutError(f"no answer within {PATIENCE} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verdicts", type=int, default=5000)
    parser.add_argument("--traced", type=int, help="of the accepted; default: all")
    parser.add_argument("--trained", type=int, default=300, help="of the traced")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--record", type=Path, default=Path(tempfile.gettempdir()) / "jaxvae-odd-configs.jsonl")
    options = parser.parse_args()
    jax.config.update("jax_traceback_filtering", "off")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    odd_configs.without_pictures(setattr)
    signal.signal(signal.SIGALRM, hang)
    done = [json.loads(line) for line in options.record.read_text().splitlines()] if options.record.exists() else []
    began, pieces = time.monotonic(), -(-options.verdicts // PIECE)
    for number in range(len(done), pieces):
        if time.monotonic() - began > 60 * options.minutes:
            break
        traced = PIECE if options.traced is None else -(-options.traced // pieces)
        counts, failures, slowest = piece(number, options.seed, traced, -(-options.trained // pieces))
        done.append({"piece": number, "seed": options.seed, "counts": counts, "slowest": slowest, "failures": failures})
        with options.record.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
        print(f"piece {number}: {dict(counts)}, {time.monotonic() - began:.0f} s, slowest {slowest[0]} s", flush=True)
        for failure in failures:
            print(f"FAILED {failure['case']}\n{failure['error']}", flush=True)
    total = sum((collections.Counter(one["counts"]) for one in done), collections.Counter())
    print(f"{len(done)} of {pieces} pieces, in all: {dict(total)}")
    sys.exit(bool(total["FAILED"]))


if __name__ == "__main__":
    main()
