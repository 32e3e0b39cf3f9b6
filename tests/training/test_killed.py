"""A run that is killed where it hurts ends with the bits of one that never was; hundreds: tests/soak/kills.py."""

import os
import random
import signal
from pathlib import Path

import jax
import pytest
from stopped_runs import LAST, Variant, break_run, differences, finish, spans, start

# every schedule that a state could forget
SCHEDULED = Variant(
    "digits",
    {
        "model.latent_dim": 3,
        "model.encoder": "mlp(16)",
        "model.decoder": "mlp(16)",
        "objective": "elbo(beta=linear(0.5, 1, steps=200))",
        "optimizer.schedule": "cosine(warmup=50)",
        "optimizer.ema": 0.99,
        "train.engine": "scan",
        "train.steps": 300,
        "train.log_every": 10,
        "train.validate_every": 60,
        "train.checkpoint_every": 30,
        "evaluate.batch_size": 8,
        "evaluate.samples": 3,
        "evaluate.figures": "few",
    },
)


@pytest.mark.slow
def test_killed_in_three_phases_it_ends_as_if_never_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")  # one device, and the compiler that users have
    seed = int.from_bytes(os.urandom(2), "big")
    compiled, draw = Path(jax.config.jax_compilation_cache_dir), random.Random(seed)
    sessions = start(SCHEDULED, tmp_path / "whole", compiled)
    usual = spans(sessions)
    finish(sessions)
    usual["start"] = [1.0]  # what imports alone take: the first run compiled, the next ones find that in the cache
    aims = ("start", draw.choice(("step", "save", "validation")), draw.choice(LAST))
    stops = break_run(SCHEDULED, tmp_path / "run", compiled, aims, [signal.SIGKILL], usual, draw)
    assert not [stop for stop in stops if stop.wrong], f"moments from seed {seed}"
    assert stops[0].hit == "start"
    assert len(stops) > 1
    assert not differences(tmp_path / "run", tmp_path / "whole"), f"moments from seed {seed}: {stops}"
