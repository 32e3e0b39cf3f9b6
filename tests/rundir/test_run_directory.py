"""The record files of a run directory: read once, and refused in one sentence where they are missing or damaged."""

import json
import shutil
from pathlib import Path

import pytest

import jaxvae
from jaxvae.rundir.results import read_finished_run
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.runtime.files import DamagedFile, read_json, write_json

OLD = Path(__file__).parents[1] / "old_runs" / "manifest_2_digits"


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in OLD.glob("*.json*"):
        shutil.copy(path, folder)
    return folder


def test_the_records_of_a_run_are_read(workdir):
    directory = RunDirectory(workdir)
    assert directory.config.model.latent_dim == directory.config_json["config"]["model"]["latent_dim"]
    assert directory.data["shape"] == [8, 8, 1]
    assert directory.results["step"] == directory.metrics[-1]["step"] == directory.timing[-1]["step"] == 60
    assert directory.environment["versions"]["jax"]
    assert directory.members == []


def test_a_record_is_read_once(workdir):
    directory = RunDirectory(workdir)
    before = directory.results
    (workdir / "results.json").unlink()
    assert directory.results is before
    assert RunDirectory(workdir).results is None


def test_members_of_a_sweep_are_listed(workdir):
    content = json.loads((workdir / "config.json").read_text())
    content.pop("sha256", None)
    content["config"]["train"]["seeds"] = 2
    for name in ("seed-1", "seed-0"):
        (workdir / name).mkdir()
        shutil.copy(workdir / "config.json", workdir / name)
    (workdir / "config.json").write_text(json.dumps(content))
    assert RunDirectory(workdir).members == [workdir / "seed-0", workdir / "seed-1"]


def test_a_folder_that_does_not_exist_is_named_so_with_the_next_move(tmp_path):
    words = r"nowhere is no run directory: there is no such folder\. Give the path of one.* or train one: python train"
    with pytest.raises(ValueError, match=words):
        jaxvae.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"is no run directory: it has no config\.json\. Give the path of one"):
        jaxvae.load(tmp_path)


@pytest.mark.parametrize("name", ["config_json", "config", "environment", "results"])
def test_a_damaged_record_is_named_with_the_next_move(name, workdir):
    path = workdir / f"{name.removesuffix('_json')}.json"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged \(it is not JSON.* Restore it, or run") as caught:
        getattr(RunDirectory(workdir), name)
    assert isinstance(caught.value.__cause__, DamagedFile)


def test_a_torn_last_line_is_left_out_and_another_one_refused(workdir):
    path = workdir / "metrics.jsonl"
    whole = RunDirectory(workdir).metrics
    path.write_bytes(path.read_bytes()[:-5])
    assert RunDirectory(workdir).metrics == whole[:-1]
    path.write_bytes(b"\xff\n" + path.read_bytes())
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged: line 1 is no JSON"):
        _ = RunDirectory(workdir).metrics
    path.unlink()
    assert RunDirectory(workdir).metrics == []


def test_a_finished_run_has_the_scores_and_findings_of_its_results(workdir):
    shutil.copytree(OLD / "checkpoints", workdir / "checkpoints")
    content, path = read_json(workdir / "results.json"), workdir / "results.json"
    findings = [{"name": "holes", "numbers": {"told_apart": 0.7}}, {"name": "no numbers"}, "no finding"]
    write_json(path, content | {"diagnosis": findings})
    run = read_finished_run(workdir)
    assert run.diagnosis == (findings[0],)
    assert run.test["bits_per_dim"] == content["test"]["bits_per_dim"]
    assert (run.run.step, run.parameters) == (60, content["parameters"])
    content["test"]["bits_per_dim"]["value"] = "0.9"
    write_json(path, content)
    with pytest.raises(ValueError, match=r"results\.json is damaged: test\.bits_per_dim="):
        read_finished_run(workdir)
