"""Diagnoses of runs: made ill on purpose, healthy, of several devices, and of results that have none."""

import dataclasses
import json
from unittest import mock

import jax
import numpy as np
import pytest
from opened_data import open_named

from jaxvae.cli import main
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.rundir import results
from jaxvae.rundir.state import first_state, variables_of
from jaxvae.runtime.sharding import all_devices, one_device
from jaxvae.training import diagnosis, scoring
from jaxvae.training.setup import set_up
from jaxvae.training.train import train_and_evaluate
from jaxvae.viz import report


def config(steps, objective="elbo", **model):
    model = Model(**({"encoder": "mlp(64)", "decoder": "mlp(64)"} | model))
    optimizer = Optimizer(learning_rate=3e-3, ema=0.9)
    train = Train(steps=steps, engine="scan", log_every=25, validate_every=1000, checkpoint_every=1000)
    data = Data(batch_size=96, validation=0, pipeline="resident")
    return Config(data, model, objective, optimizer, train, Evaluate(samples=1))


def diagnosed(workdir, config, arrays=None):
    """({name: finding} of a run trained in that folder, the lines that it said)."""
    said = []
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        train_and_evaluate(config, workdir, arrays=arrays, say=said.append)
    return {each["name"]: each for each in results.read_results(workdir)["diagnosis"]}, said


def levels(found):
    return {name: each["level"] for name, each in found.items()}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy") / "run"
    return folder, *diagnosed(folder, config(300))


def test_a_healthy_run_has_no_illness_and_says_nothing(healthy):
    folder, found, said = healthy
    assert levels(found) == dict.fromkeys(("collapse", "beta", "holes", "overfitting"), "fine")
    assert not any("illness" in line or "note" in line for line in said)
    numbers, rate = found["holes"]["numbers"], results.read_results(folder)["test"]["rate"]
    assert (numbers["examples"], found["overfitting"]["numbers"]["train_examples"]) == (360, 1437)
    assert numbers["information"] + numbers["divergence"] == pytest.approx(numbers["rate"], rel=1e-9)
    assert numbers["rate"] == pytest.approx(rate["value"], abs=0.3)  # of one draw each, where that is exact
    assert "N images, at most 2,000" in results.read_results(folder)["protocol"]["diagnosis"]


def test_results_without_a_diagnosis_are_reported_and_evaluated_as_ever(healthy, capsys):
    folder, found, _ = healthy
    assert "What they say" in report.write_report(folder).read_text(encoding="utf-8")
    old = {name: value for name, value in results.read_results(folder).items() if name != "diagnosis"}
    metrics = (folder / "metrics.jsonl").read_bytes()
    results.write_results(folder, old)
    assert "What they say" not in report.write_report(folder).read_text(encoding="utf-8")
    (folder / "metrics.jsonl").unlink()
    assert main(["evaluate", str(folder), "--samples", "1"]) == 0
    again = {each["name"]: each for each in results.read_results(folder)["diagnosis"]}
    assert again == {name: each for name, each in found.items() if name != "beta"}
    assert "elbo" in capsys.readouterr().out
    (folder / "metrics.jsonl").write_bytes(metrics)


def test_a_collapsed_run_says_so(tmp_path):
    found, said = diagnosed(tmp_path / "run", config(75, "elbo(beta=100.0)"))
    assert levels(found)["collapse"] == "illness"
    assert levels(found)["beta"] == "note"
    lines = [line for line in said if line.startswith("illness, collapse: The posterior has collapsed")]
    assert len(lines) == 1
    assert lines[0].endswith("Try --config.objective='elbo(beta=1.0)'")


def test_a_warm_up_that_never_ends_and_a_small_set_learned_by_heart(tmp_path):
    train, test = (open_named("digits", None, 0).splits[name].image for name in ("train", "test"))
    arrays = {"train": np.asarray(train[:96]), "test": np.asarray(test[:300])}
    wanted = config(300, "elbo(beta=linear(0, 1, steps=400))", latent_dim=8)
    wanted.data.prepare = "static"
    found, _ = diagnosed(tmp_path / "run", wanted, arrays)
    assert levels(found)["beta"] == levels(found)["overfitting"] == "illness"
    assert found["beta"]["numbers"]["beta"] == pytest.approx(299 / 400)
    assert found["beta"]["remedy"] == "--config.objective='elbo(beta=linear(0, 1, steps=150))'"
    gap = found["overfitting"]["numbers"]
    assert (gap["train_examples"], gap["examples"]) == (96, 300)
    assert gap["value"] > 0.1 * abs(gap["score"])
    assert found["overfitting"]["remedy"] == "--config.train.patience=5 --config.data.validation=0.1"


def test_all_devices_measure_what_one_does():
    wanted = dataclasses.replace(config(1), evaluate=Evaluate(batch_size=100))
    found = []
    for layout in (one_device(), all_devices(fsdp=True)):
        experiment = set_up(wanted, layout=layout)
        variables = variables_of(first_state(wanted, experiment.parts, jax.random.key(0), jax.random.key(1)))
        variables = layout.put_state(variables)
        _, values = scoring.score(dataclasses.replace(experiment, config=wanted), variables, 0)
        found.append(diagnosis.measure_run(experiment, variables, "test", values["test"]))
    one, several = found
    assert jax.device_count() == 8
    assert one.keys() == several.keys() == {"split", "meeting", "gap", "untrained"}
    for name in ("meeting", "gap", "untrained"):
        assert one[name] == pytest.approx(several[name], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_one_draw_implies_no_sigma_for_an_objective_that_weighs_several(objective):
    """A sigma fitted to weighted draws is smaller than the error of one draw: 0.077 and 0.114 after iwae, K = 10."""
    wanted = config(1, objective, likelihood="gaussian('optimal')")
    wanted = dataclasses.replace(
        wanted,
        data=dataclasses.replace(wanted.data, prepare="dequantize"),
        train=dataclasses.replace(wanted.train, samples=3),
    )
    experiment = set_up(wanted)
    variables = variables_of(first_state(wanted, experiment.parts, jax.random.key(0), jax.random.key(1)))
    _, values = scoring.score(experiment, variables, 0)
    found = diagnosis.measure_run(experiment, variables, "test", values["test"])
    assert ("sigma" in found) == (objective == "elbo")


def test_scores_that_are_not_finite_are_the_only_finding(healthy):
    folder, _, _ = healthy
    experiment = set_up(config(1))
    numbers = {"step": 1, "protocol": {}, "test": {}}
    diagnosis.diagnose(
        experiment, {}, numbers, {"test": {"rate": np.zeros(2), "distortion": np.array([1, np.nan])}}, folder
    )
    (found,) = json.loads(json.dumps(numbers["diagnosis"], allow_nan=False))
    assert (found["name"], found["level"], found["numbers"]) == ("divergence", "illness", {"split": "test"})


def test_it_reads_validation_images_if_there_are_any(tmp_path):
    """Options are chosen by it, so that test images would be selected on."""
    wanted = config(1)
    wanted.data.validation = 0.1
    experiment = set_up(wanted)
    variables = variables_of(first_state(wanted, experiment.parts, jax.random.key(0), jax.random.key(1)))
    numbers, values = scoring.score(experiment, variables, 0)
    diagnosis.diagnose(experiment, variables, numbers, values, tmp_path)
    found = {each["name"]: each["numbers"] for each in numbers["diagnosis"]}
    assert (found["holes"]["examples"], found["overfitting"]["examples"]) == (144, 144)
    assert {each["split"] for each in found.values()} == {"validation"}
    assert "on the validation split" in numbers["protocol"]["diagnosis"]
    assert list(results.splits_of(numbers)) == ["test"]


def test_a_run_that_diverged_says_so_first(tmp_path):
    wanted = config(50)
    wanted.optimizer.learning_rate = 3.0
    found, said = diagnosed(tmp_path / "run", wanted)
    assert next(iter(found)) == "divergence"
    assert found["divergence"]["remedy"] == "--config.optimizer.learning_rate=0.001"
    assert 64 * np.log(2) < found["divergence"]["numbers"]["untrained"] < 60
    assert all(each["remedy"] is None for name, each in found.items() if name != "divergence")
    assert next(line for line in said if line.startswith("illness")).startswith("illness, divergence: Training div")
