"""A run from its first step to its report, stopped and continued, loaded and used."""

import contextlib
import dataclasses
import itertools
import json
import shutil
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from opened_data import from_arrays, open_named

import jaxvae
from jaxvae.cli import main
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.rundir import CHECKPOINTS, checkpoint, manifest, results, snapshots
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.state import abstract_state
from jaxvae.training.train import train_and_evaluate

STEPS = 60


def tiny(**train) -> Config:
    train = {"steps": STEPS, "engine": "scan", "log_every": 7, "validate_every": 20, "checkpoint_every": 15} | train
    return Config(
        data=Data(batch_size=96, pipeline="resident"),
        model=Model(encoder="mlp(32)", decoder="mlp(32)"),
        objective="elbo(beta=linear(0.5, 1, steps=30))",
        optimizer=Optimizer(schedule="warmup(10)", clip=100.0),
        train=Train(**train),
        evaluate=Evaluate(samples=5),
    )


def quiet(text: str) -> None:
    """Says nothing."""


def go(config, workdir, *, draw=False):
    """Trains and evaluates; without figures and a diagnosis, unless the test is about them: they take longer."""
    with contextlib.ExitStack() as stack:
        for name in () if draw else ("jaxvae.viz.figures.draw_figures", "jaxvae.training.diagnosis.diagnose"):
            stack.enter_context(mock.patch(name))
        return train_and_evaluate(config, workdir, say=quiet)


def final_state(run):
    return checkpoint.restore(run.workdir / CHECKPOINTS, abstract_state(run.config, run.parts))


def assert_same_bits(one, other):
    def raw(leaf):
        return random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    jax.tree.map(lambda a, b: np.testing.assert_array_equal(raw(a), raw(b)), final_state(one), final_state(other))
    assert (one.workdir / "metrics.jsonl").read_bytes() == (other.workdir / "metrics.jsonl").read_bytes()
    assert (
        json.loads((one.workdir / "results.json").read_text())["test"]
        == json.loads((other.workdir / "results.json").read_text())["test"]
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped."""
    return go(tiny(), tmp_path_factory.mktemp("whole") / "run", draw=True)


def test_a_run_directory_holds_all_that_is_promised(whole):
    names = {path.name for path in whole.workdir.iterdir()}
    promised = {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "timing.jsonl",
        "tensorboard",
        "checkpoints",
        "figures",
    }
    assert names >= promised | {"report.html", "results.json", "scores.npz"}
    figures = {path.stem for path in (whole.workdir / "figures").iterdir()}
    assert figures == {
        "reconstructions",
        "samples",
        "curves",
        "kl_per_dimension",
        "latent_plane",
        "manifold",
        "training",
        "temperatures",
        "plane",
        "inpainting",
        "compression",
        "neighbours",
        "sensitivity",
        "denoising",
        "interpolation",
    }


def test_frames_of_training_are_kept_early_and_at_every_validation(whole):
    frames = sorted((whole.workdir / "samples").iterdir())
    assert [int(path.stem) for path in frames] == [0, 1, 2, 4, 8, 16, 20, 32, 40, 60]
    assert all(np.load(path).shape == (16, 8, 8, 1) for path in frames)
    assert not np.array_equal(np.load(frames[0]), np.load(frames[-1]))


def test_with_each_frame_the_means_of_the_same_validation_images_are_kept(whole):
    codes, labels = snapshots.read_codes(whole.workdir)
    assert list(codes) == list(snapshots.read_frames(whole.workdir))
    data = open_named("digits", None, whole.config.data.validation)
    image, label, _ = data.splits["validation"].take(np.arange(len(labels)))
    np.testing.assert_array_equal(labels, label)
    # binarized by a draw of each image's own: within what a draw moves, its mean is there
    means = whole.encode(image / np.float32(255) > 0.5).mean()
    assert np.corrcoef(np.ravel(means), np.ravel(codes[STEPS]))[0, 1] > 0.9
    assert not np.array_equal(codes[0], codes[STEPS])


def test_a_run_is_animated_from_its_directory_alone(whole, tmp_path, capsys):
    assert main(["animate", str(whole.workdir), "--out", str(tmp_path / "films"), "--seconds", "1"]) == 0
    told = [line.removeprefix(f"{tmp_path}/films/") for line in capsys.readouterr().out.splitlines()]
    assert told == [f"{name}.{kind}" for name in ("training", "plane", "walk") for kind in ("gif", "png", "npz")]
    with np.load(tmp_path / "films" / "plane.npz") as arrays:
        np.testing.assert_array_equal(arrays["steps"], [0, 1, 2, 4, 8, 16, 20, 32, 40, 60])
        assert arrays["points"].shape == (10, len(arrays["labels"]), 2)
    assert main(["animate", str(whole.workdir), "--out", str(tmp_path), "--seconds", "0.5"]) == 2
    assert "--seconds=0.5: expected a finite number from 1 to 60" in capsys.readouterr().err


def test_results_carry_protocol_and_standard_errors(whole):
    results = json.loads((whole.workdir / "results.json").read_text())
    test = results["test"]
    assert results["version"] == 1
    assert results["step"] == STEPS
    assert test["examples"] == 360
    assert test["log_likelihood"]["samples"] == 5
    for name in ("elbo", "rate", "distortion", "log_likelihood", "bits_per_dim"):
        assert np.isfinite(test[name]["value"])
        assert test[name]["stderr"] > 0
    assert test["elbo"]["value"] == pytest.approx(-test["rate"]["value"] - test["distortion"]["value"], rel=1e-6)
    assert results["protocol"]["binarization"].startswith("dynamic")


def test_the_loss_falls_and_every_line_of_the_metrics_is_there_once(whole):
    lines = [json.loads(line) for line in (whole.workdir / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    assert [line["step"] for line in train] == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert [line["step"] for line in lines if line["split"] == "validation"] == [20, 40, 60]
    assert train[-1]["distortion"] < train[0]["distortion"] - 5
    assert train[1]["beta"] == pytest.approx(0.5 + 0.5 * 13 / 30)
    assert train[0]["learning_rate"] == pytest.approx(0.6e-3)


def stopped_and_continued(tmp_path, engine, pipeline, first=33):
    """(a run that was never stopped, one that lost its last steps and went on)."""
    config = tiny(engine=engine)
    config.data.pipeline = pipeline
    unbroken = go(config, tmp_path / "unbroken")
    go(dataclasses.replace(config, train=dataclasses.replace(config.train, steps=first)), tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / CHECKPOINTS / str(first))  # as if killed after the last regular checkpoint
    return unbroken, go(config, tmp_path / "broken")


@pytest.mark.parametrize(
    ("engine", "pipeline"),
    [
        ("scan", "resident"),
        ("dispatch", "streaming"),
        # four fake devices failed this once in eleven runs, on a machine under load; what differed was not kept
        pytest.param("pmap", "resident", marks=pytest.mark.soak),
    ],
)
def test_stopped_and_continued_is_never_stopped(engine, pipeline, tmp_path):
    assert_same_bits(*stopped_and_continued(tmp_path, engine, pipeline))


def test_a_clock_that_jumps_changes_nothing(whole, tmp_path):
    """Every look at it is a year before the one before."""
    real, jumps = time.time, itertools.count()
    with mock.patch("time.time", side_effect=lambda: real() - 3e7 * next(jumps)):
        run = go(tiny(), tmp_path / "run")
    assert next(jumps) > 10
    assert_same_bits(run, whole)


@pytest.mark.slow
def test_stopped_and_continued_over_devices_is_never_stopped_to_rounding(tmp_path):
    runs = stopped_and_continued(tmp_path, "sharded", "resident")
    tables = [read_metrics(run.workdir) for run in runs]
    assert [line["step"] for line in tables[0]] == [line["step"] for line in tables[1]]
    for one, other in zip(*tables, strict=True):
        assert one["elbo"] == pytest.approx(other["elbo"], rel=1e-4)


def test_resident_and_streaming_see_the_same_data(tmp_path):
    runs = []
    for pipeline in ("resident", "streaming"):
        config = tiny(engine="dispatch", steps=25)
        config.data.pipeline = pipeline
        runs.append(go(config, tmp_path / pipeline))
    assert_same_bits(*runs)


@pytest.mark.slow
def test_more_samples_of_an_evaluation_are_not_lost_when_the_command_is_run_again(whole, tmp_path):
    shutil.copytree(whole.workdir, tmp_path / "run")
    assert main(["evaluate", str(tmp_path / "run"), "--samples", "9"]) == 0
    go(tiny(), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test"]["log_likelihood"]["samples"] == 9


def test_numbers_of_another_step_are_not_kept(whole, tmp_path):
    shutil.copytree(whole.workdir, tmp_path / "run")
    results.write_results(tmp_path / "run", results.read_results(tmp_path / "run") | {"step": 7})
    assert main(["evaluate", str(tmp_path / "run"), "--samples", "2", "--splits", "validation"]) == 0
    renewed = results.read_results(tmp_path / "run")
    assert renewed["step"] == STEPS
    assert "test" not in renewed


@pytest.mark.slow
def test_several_splits_are_scored_and_the_figures_are_the_tests(tmp_path):
    config = tiny(steps=5)
    config.evaluate = Evaluate(samples=2, splits=("test", "validation"), figures="few")
    run = go(config, tmp_path / "run", draw=True)
    results = json.loads((run.workdir / "results.json").read_text())
    assert (results["test"]["examples"], results["validation"]["examples"]) == (360, 144)
    assert (run.workdir / "figures" / "latent_plane.png").exists()
    assert not (run.workdir / "figures" / "neighbours.png").exists()


def test_figures_of_other_weights_make_room_and_ones_own_stay(whole, tmp_path):
    shutil.copytree(whole.workdir, tmp_path / "run")
    folder = tmp_path / "run" / "figures"
    (folder / "mine.png").write_bytes(b"")
    (tmp_path / "run" / "report.html").unlink()
    config = tiny()
    config.evaluate.figures = "none"
    go(config, tmp_path / "run", draw=True)
    assert [path.name for path in folder.iterdir()] == ["mine.png"]
    assert "samples.png" in [path.name for path in (whole.workdir / "figures").iterdir()]


def test_a_run_stopped_before_its_report_gets_it_by_the_same_command(whole, tmp_path):
    shutil.copytree(whole.workdir, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    go(tiny(), tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()


def test_a_refused_first_try_does_not_keep_the_workdir(tmp_path):
    with pytest.raises(ValueError, match="is no run directory"):
        go(tiny(steps=2, init_from="no/such/run"), tmp_path / "run")
    assert go(tiny(steps=2), tmp_path / "run").step == 2


@pytest.mark.slow
def test_longer_training_goes_on_and_says_that_a_cosine_jumps(tmp_path):
    config, said = tiny(steps=20), []
    config.optimizer.schedule = "cosine()"
    go(config, tmp_path / "run")
    config.train.steps = 30
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        run = train_and_evaluate(config, tmp_path / "run", say=said.append)
    assert run.step == 30
    assert any("the learning rate jumps" in line for line in said)
    lines = [json.loads(line) for line in (run.workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == [7, 14, 20, 21, 28, 30]


def test_a_best_checkpoint_has_a_finite_elbo(tmp_path):
    for step, elbo in ((1, float("nan")), (2, -5.0), (3, None), (4, -6.0)):
        (tmp_path / str(step)).mkdir()
        (tmp_path / str(step) / "manifest.json").write_text(json.dumps({"step": step, "elbo": elbo, "files": {}}))
    assert manifest.best_step(tmp_path) == 2


def test_another_config_is_refused_with_the_difference(whole):
    config = tiny(seed=1)
    with pytest.raises(ValueError, match=r"train\.seed: 0 -> 1"):
        go(config, whole.workdir)


def test_a_finished_run_is_not_trained_or_scored_again(whole):
    before = {path: path.stat().st_mtime_ns for path in (whole.workdir / CHECKPOINTS).iterdir()}
    said = []
    train_and_evaluate(tiny(), whole.workdir, say=said.append)
    assert any("already trained" in line for line in said)
    assert before == {path: path.stat().st_mtime_ns for path in (whole.workdir / CHECKPOINTS).iterdir()}


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "unseal"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(whole, tmp_path, harm, caplog):
    shutil.copytree(whole.workdir, tmp_path / "run")
    steps = manifest.saved_steps(tmp_path / "run" / CHECKPOINTS)
    latest = tmp_path / "run" / CHECKPOINTS / str(steps[-1])
    data = max((latest / "state").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else -1)
    if harm == "flip":
        data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
    elif harm == "truncate":
        data.write_bytes(data.read_bytes()[:-1])
    elif harm == "remove":
        data.unlink()
    else:
        (latest / "manifest.json").unlink()
    continued = go(tiny(), tmp_path / "run")
    assert harm == "unseal" or str(latest) in caplog.text
    assert_same_bits(whole, continued)


def test_when_all_checkpoints_are_damaged_nothing_is_overwritten(whole, tmp_path):
    shutil.copytree(whole.workdir, tmp_path / "run")
    for path in (tmp_path / "run" / CHECKPOINTS).glob("*/state/_CHECKPOINT_METADATA"):
        path.write_text("{}")
    with pytest.raises(ValueError, match="are damaged; nothing was overwritten"):
        go(tiny(steps=STEPS + 10), tmp_path / "run")


def test_patience_stops_early_and_gives_the_best_weights(tmp_path):
    config = tiny(steps=10_000, validate_every=10, checkpoint_every=1000, patience=2)
    config.optimizer.learning_rate = 0.05  # so that it overfits soon
    config.optimizer.ema = 0.0
    run = go(config, tmp_path / "run")
    lines = [json.loads(line) for line in (run.workdir / "metrics.jsonl").read_text().splitlines()]
    validations = {line["step"]: line["elbo"] for line in lines if line["split"] == "validation"}
    best = max(validations, key=validations.get)
    assert run.step == best == max(validations) - 20
    assert jaxvae.load(run.workdir).step == best


@pytest.mark.slow
def test_a_run_that_only_meets_nan_stops_and_says_so(tmp_path):
    config = tiny(steps=2000, validate_every=2000, checkpoint_every=2000, rollbacks=1)
    config.optimizer.learning_rate, config.optimizer.clip, config.optimizer.schedule = 1e30, None, "constant"
    why = r"first bad at step 2: q, in the layer posterior/Dense_0.* went back 1 times.* Lower optimizer\.learning_rate"
    with pytest.raises(FloatingPointError, match=why):
        go(config, tmp_path / "run")


def test_init_from_starts_with_the_other_runs_weights(whole, tmp_path):
    config = tiny(steps=1, init_from=str(whole.workdir))
    config.optimizer.learning_rate = 1e-12
    run = go(config, tmp_path / "run")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), run.variables, whole.variables)
    config.model.encoder = "mlp(16)"
    with pytest.raises(ValueError, match="other names or shapes"):
        go(config, tmp_path / "other")


def test_arrays_of_ones_own_are_trained_on(tmp_path):
    images = random.randint(random.key(0), (200, 5, 7, 3), 0, 256).astype(jnp.uint8)
    config = tiny(steps=5)
    config.data.batch_size, config.evaluate.figures = 20, "few"
    run = jaxvae.train(config, tmp_path / "run", arrays=np.asarray(images))
    assert run.shape == (5, 7, 3)
    assert run.config.data.name == "arrays"
    with pytest.raises(ValueError, match=r"expected uint8 images .* got float32 \[200, 5\]"):
        jaxvae.train(config, tmp_path / "other", arrays=np.zeros((200, 5), np.float32))
    with pytest.raises(ValueError, match="fingerprint of the data"):
        jaxvae.train(config, tmp_path / "run", arrays=255 - np.asarray(images))


def test_splits_of_ones_own_are_kept():
    def images(n, channels=2):
        return np.arange(n * 24 * channels, dtype=np.uint32).astype(np.uint8).reshape(n, 4, 6, channels)

    data = from_arrays({"train": images(30), "validation": images(7), "test": images(5)}, validation=0.1)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 30, "validation": 7, "test": 5}
    assert len(np.unique(np.concatenate([split.index for split in data.splits.values()]))) == 42
    with pytest.raises(ValueError, match="expected 'train', and"):
        from_arrays({"train": images(30), "tset": images(5)}, validation=0.1)
    with pytest.raises(ValueError, match="differ in shape"):
        from_arrays({"train": images(30), "test": images(5, 3)}, validation=0.1)


@pytest.mark.slow
def test_two_channels_and_one_latent_dimension_have_their_report(tmp_path):
    config = tiny(steps=3)
    config.data.batch_size, config.model.latent_dim = 10, 1
    images = np.random.RandomState(0).randint(0, 256, (60, 4, 6, 2)).astype(np.uint8)
    assert (jaxvae.train(config, tmp_path / "run", arrays=images).workdir / "report.html").exists()


# what a user holds


def test_load_gives_the_weights_that_were_scored(whole):
    vae = jaxvae.load(whole.workdir)
    jax.tree.map(np.testing.assert_array_equal, vae.variables, whole.variables)
    assert vae.step == STEPS


def test_the_functions_of_a_loaded_model(whole):
    vae = jaxvae.load(str(whole.workdir))
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8, 1)
    x = vae.prepare(random.key(0), images)
    assert x.shape == (3, 8, 8, 1)
    q = vae.encode(x)
    assert q.mean().shape == q.sample(random.key(1)).shape == (3, 2)
    np.testing.assert_array_equal(q.mean(), vae.encode(x).mean())  # a mean, not a draw
    p = vae.decode(q.mean())
    assert p.mean().shape == (3, 8, 8, 1)
    assert set(np.unique(p.sample(random.key(2)))) <= {0.0, 1.0}
    drawn = vae.sample(random.key(3), 64, temperature=0.5)
    assert drawn.shape == (64, 8, 8, 1)
    assert set(np.unique(drawn)) <= {0.0, 1.0}
    again = vae.reconstruct(random.key(4), x)
    assert again.shape == (3, 8, 8, 1)
    assert (again > 0).all()
    assert (again < 1).all()
    few, many = (vae.log_likelihood(random.key(5), x, samples=k) for k in (1, 200))
    assert few.shape == (3,)
    assert many.mean() > few.mean()
    # N10: one key for a data set in batches, each example's draws by its number
    parts = (x[:2], [0, 1]), (x[2:], [2])
    halves = [vae.log_likelihood(random.key(5), part, samples=5, index=index) for part, index in parts]
    whole_set = vae.log_likelihood(random.key(5), x, samples=5)
    np.testing.assert_allclose(np.concatenate(halves), whole_set, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda vae: vae.prepare(random.key(0), np.zeros((1, 8, 8, 1))), "uint8 images, got float64"),
        (lambda vae: vae.prepare(random.key(0), np.zeros((1, 9, 8, 1), np.uint8)), r"\[1, 9, 8, 1\].*\[B, 8, 8, 1\]"),
        (lambda vae: vae.encode(np.zeros((8, 8, 1))), r"One image is x\[None\]"),
        (lambda vae: vae.encode(np.full((1, 8, 8, 1), 0.5)), "the values 0 and 1 only"),
        (lambda vae: vae.decode(np.zeros((1, 3))), r"expected \[B, 2\]"),
        (
            lambda vae: vae.log_likelihood(random.key(0), np.zeros((1, 8, 8, 1)), samples=0),
            "samples=0: expected a whole number from 1 on",
        ),
    ],
)
def test_wrong_input_is_refused_in_words(whole, call, words):
    with pytest.raises(ValueError, match=words):
        call(jaxvae.load(whole.workdir))


def test_loading_what_is_no_run_says_so(tmp_path):
    with pytest.raises(ValueError, match="is no run directory"):
        jaxvae.load(tmp_path)
