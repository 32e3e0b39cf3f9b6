"""Run directories of earlier versions load, encode, score and go on, with the numbers that they gave then."""

import dataclasses
import json
import shutil
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest
from jax import random
from opened_data import open_named

import jaxvae
from jaxvae.rundir import CHECKPOINTS, results
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.training.train import train_and_evaluate

OLD = sorted(Path(__file__).parents[1].glob("old_runs/*"))


@pytest.fixture(params=OLD, ids=lambda path: path.name)
def old(request, tmp_path):
    """A copy of the run: tests/old_runs/<version of the manifest>_<data or model>."""
    return shutil.copytree(request.param, tmp_path / "run")


def test_both_versions_of_the_manifest_are_kept():
    versions = {
        json.loads(path.read_text())["version"] for old in OLD for path in old.glob("checkpoints/*/manifest.json")
    }
    assert versions == {1, 2}
    assert sum(path.stat().st_size for old in OLD for path in old.rglob("*") if path.is_file()) < 2**20


def test_it_loads_and_gives_the_same_codes_and_likelihoods(old):
    expected = json.loads((old / "expected.json").read_text())
    vae = jaxvae.load(old)
    image, _, index = open_named("digits", None, 0.1).splits["test"].take(np.arange(4))
    x = vae.prepare(random.key(1), image, index)
    found = {"encode": vae.encode(x).mean(), "reconstruct": vae.reconstruct(random.key(2), x)}
    if "log_likelihood" in expected:
        found["log_likelihood"] = vae.log_likelihood(random.key(3), x, samples=10)
    assert (vae.step, int(x.sum())) == (expected["step"], expected["x"])
    assert found.keys() == expected.keys() - {"step", "x", "sample"}
    for name, values in found.items():
        np.testing.assert_allclose(np.ravel(values)[:8], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(vae.sample(random.key(4), 2).sum((1, 2, 3)), expected["sample"], atol=2)


def test_it_goes_on_from_its_step_and_scores_as_it_did(old):
    config = RunDirectory(old).config
    before, lines = results.read_results(old), (old / "metrics.jsonl").read_bytes()
    (old / "results.json").unlink()
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        same = train_and_evaluate(config, old, say=lambda text: None)
        after = results.read_results(old)["test"]
        assert set(after) - set(before["test"]) <= {"bits_per_dim_elbo"}  # keys only grow
        for name, number in ((name, after[name]) for name in before["test"]):
            value = number["value"] if isinstance(number, dict) else number
            was = before["test"][name]["value"] if isinstance(number, dict) else before["test"][name]
            np.testing.assert_allclose(value, was, rtol=1e-4, err_msg=name)
        longer = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=same.step + 5))
        on = train_and_evaluate(longer, old, say=lambda text: None)
    assert on.step == same.step + 5
    assert (old / "metrics.jsonl").read_bytes().startswith(lines)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), on.variables["params"], same.variables["params"])
    assert all(jax.tree.leaves(moved))
    assert (old / CHECKPOINTS / str(on.step) / "manifest.json").exists()
