"""The small programme that environments.py runs in each of them: train, stop, go on, score, sample, load, more models.

    PYTHONPATH=.:tests python tests/soak/programme.py FOLDER [PART ...]

The last line it prints is JSON: {part: {"seconds": ..., "wrong": "" or what went wrong}, "digest": of the metrics}.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

import jax
import numpy as np
import product
from stopped_runs import Variant, break_run, differences, finish, spans, start

import jaxvae
from jaxvae.cli import main
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.evaluate.bounds import make_evaluate
from jaxvae.rundir.state import first_state, variables_of
from tools.parts_page import config_of, refusal

TINY = {"model.encoder": "mlp(16)", "model.decoder": "mlp(16)", "model.latent_dim": 3, "evaluate.samples": 3}
OFTEN = {"train.log_every": 10, "train.validate_every": 60, "train.checkpoint_every": 30, "train.steps": 300}
DIGITS = Variant("digits", TINY | OFTEN | {"objective": "elbo(beta=linear(0.5, 1, steps=200))"})
MODELS = {
    "convolutions": Variant("digits", {"model.encoder": "conv(4, dense=8)", "model.decoder": "conv(4, dense=8)"}),
    "codebook": Variant("vq", {"model.encoder": "mlp(16)", "model.decoder": "mlp(16)"}),
    "flow": Variant("digits", TINY | {"model.posterior": "iaf(steps=1, hidden=8)"}),
}


def goes_on(folder: Path) -> None:
    """Trains, stops another run by SIGTERM, goes on with it; both end with the same bits."""
    compiled = Path(kept) if (kept := os.environ.get("JAX_COMPILATION_CACHE_DIR")) else None
    sessions = start(DIGITS, folder / "run", compiled)
    usual = spans(sessions)
    finish(sessions)
    stops = break_run(DIGITS, folder / "stopped", compiled, ["save"], [signal.SIGTERM], usual, random.Random(0))
    wrong = [stop.wrong for stop in stops if stop.wrong] + differences(folder / "stopped", folder / "run")
    assert stops[0].hit != "ended", "the run was done before it could be stopped"
    assert not wrong, wrong


def verbs(folder: Path) -> None:
    """Every verb that takes a run."""
    run = str(folder / "run")
    call("evaluate", run, "--samples", "4")
    call("sample", run, "--n", "4", "--out", str(folder / "s.png"))
    call("sample", run, "--n", "4", "--out", str(folder / "s.npy"))
    call("reconstruct", run, "--n", "4", "--out", str(folder / "r.png"))
    call("report", run)
    assert np.load(folder / "s.npy").shape == (4, 8, 8, 1)


def library(folder: Path) -> None:
    """The functions of a loaded model, and what their results are made of."""
    vae, key = jaxvae.load(folder / "run"), jax.random.key(0)
    x = vae.prepare(key, np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8, 1))
    z = vae.encode(x).mean()
    found = (
        x,
        z,
        vae.decode(z).mean(),
        vae.log_likelihood(key, x, samples=5),
        vae.sample(key, 2),
        vae.reconstruct(key, x),
    )
    assert all(np.isfinite(each).all() for each in found)
    assert {str(each.dtype) for each in found} == {"float32"}, [str(each.dtype) for each in found]


def models(folder: Path) -> None:
    """A convolutional network, a codebook and a flow, a few steps each."""
    for name, variant in MODELS.items():
        few = {"train.steps": 4, "evaluate.samples": 2}
        call("train", *Variant(variant.config, variant.changed | few).arguments, "--workdir", str(folder / name))


def families(folder: Path) -> None:
    """Three steps and a score of every posterior, prior, likelihood, network, objective, term and preparation."""
    wrong = []
    for number, choice in enumerate(choices()):
        try:
            step_and_score(choice)
        except Exception as error:
            wrong.append(f"{choice}: {type(error).__name__}: {str(error)[:600]}")
        if number % 20 == 19:
            jax.clear_caches()
    assert not wrong, "\n".join(wrong)


def choices() -> list[dict[str, str]]:
    """Every part once, the others chosen to fit it."""
    kinds = (*product.KINDS, *product.AIMS, "prepare")
    every = [{kind: text} for kind in kinds for name in TABLES[kind] for text in product.variants(kind, name)]
    small = [{kind: product.SMALL.get((kind, text), text) for kind, text in choice.items()} for choice in every]
    return [choice for choice in small if refusal(config_of(**choice), shape_of(choice)) is None]


def shape_of(choice: dict[str, str]) -> tuple[int, ...]:
    return product.shape_of({"encoder": "mlp"} | choice)


def step_and_score(choice: dict[str, str]) -> None:
    """Trains a little; the state keeps its dtypes, and what it holds stays finite."""
    config = config_of(**choice)
    parts = build(config, shape_of(choice), condition=product.CLASSES, examples=product.NUMBER)
    batch, keys = product.digits(parts.shape), jax.random.split(jax.random.key(0))
    state = first = jax.jit(partial(first_state, config, parts))(*keys)
    step = jax.jit(parts.train_step)
    for _ in range(3):
        state, metrics = step(state, batch)
    assert int(state.guard.skipped) == 0, f"skipped {metrics}"
    assert jax.tree.map(lambda a: a.dtype, state) == jax.tree.map(lambda a: a.dtype, first)
    wide = {str(leaf.dtype) for leaf in jax.tree.leaves(state)} & {"float64", "int64"}
    assert not wide, f"the state holds {wide}"
    evaluate = make_evaluate(parts.model, parts.prepare, key=keys[0])
    values = evaluate(
        variables_of(state), iter([(batch, product.BATCH)]), samples=3 if config.objective == "elbo" else 0
    )
    assert all(np.isfinite(value).all() for value in values.values()), sorted(values)


PARTS = {
    "go on": goes_on,
    "verbs": verbs,
    "library": library,
    "models": models,
    "families": families,
}


def call(*arguments: str) -> None:
    """One command, in this process; AssertionError where it is not done, or warns of something that is ours."""
    out, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("default")
        code = main(list(arguments))
    assert code == 0, f"{' '.join(arguments)}: exit code {code}: {errors.getvalue()[-2000:]}"
    ours = [str(each.message) for each in told if "jaxvae" in str(each.filename) or "jaxvae" in str(each.message)]
    assert not ours, ours


def run(names: list[str], folder: Path) -> dict[str, object]:
    """What became of each part."""
    results: dict[str, object] = {}
    for name in names:
        began, wrong = time.monotonic(), ""
        try:
            PARTS[name](folder)
        except Exception:
            wrong = traceback.format_exc()[-6000:]
        results[name] = {"seconds": round(time.monotonic() - began, 1), "wrong": wrong}
    metrics = folder / "run" / "metrics.jsonl"
    results["digest"] = hashlib.sha256(metrics.read_bytes()).hexdigest()[:12] if metrics.exists() else ""
    return results


if __name__ == "__main__":
    place = Path(sys.argv[1])
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    print(json.dumps(run(sys.argv[2:] or ["go on", "verbs", "library", "models"], place)))
