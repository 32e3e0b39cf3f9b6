"""Every file of a run truncated, zeroed, flipped and removed, in turn: noticed, named, and lived with."""

import gc
import json
import random
import shutil
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import Config
from jaxvae.config.serialization import save_config
from jaxvae.rundir import CHECKPOINTS, CONFIG, METRICS, checkpoint, manifest, results
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.manifest import MANIFEST
from jaxvae.rundir.metrics_log import MetricsLog, read_metrics
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.runtime.files import DamagedFile, read_json, write_json


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip(path):
    content, place = bytearray(path.read_bytes()), random.Random(path.name).randrange(path.stat().st_size)
    content[place] ^= 1
    path.write_bytes(bytes(content))


def grow(path):
    path.write_bytes(path.read_bytes() + b" \0")


def remove(path):
    path.unlink()


HARMS = (truncate, halve, zero, flip, grow, remove)


def state(step):
    return {"w": jnp.arange(6.0) + step, "deep": {"key": jax.random.key(step), "n": jnp.full((), step)}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run directory with checkpoints of the steps 10 and 20, a config and metrics."""
    workdir = tmp_path_factory.mktemp("saved")
    save_config(workdir / CONFIG, Config(), {"shape": [8, 8, 1]})
    with MetricsLog(workdir, 0) as book, Saver(workdir / CHECKPOINTS, read_json(workdir / CONFIG)) as saver:
        for step in (10, 20):
            book.write(step, "train", {"elbo": -step / 3, "loss": 1.0})
            saver.save(step, state(step), -1.0 / step, lines=book.sync())
    return workdir


@pytest.fixture
def workdir(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def restored(workdir):
    found = checkpoint.restore(workdir / CHECKPOINTS, jax.eval_shape(lambda: state(0)))
    return None if found is None else int(found["deep"]["n"])


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_damaged_file_of_a_checkpoint_is_noticed_named_and_the_one_before_it_used(saved, tmp_path, caplog):
    latest = saved / CHECKPOINTS / "20"
    files = [path.relative_to(saved) for path in latest.rglob("*") if path.is_file()]
    tried = 0
    for number, (file, harm) in enumerate((file, harm) for file in files for harm in HARMS):
        if (saved / file).stat().st_size == 0 and harm in (truncate, halve, zero, flip):
            continue
        run = shutil.copytree(saved, tmp_path / str(number))
        harm(run / file)
        caplog.clear()
        assert restored(run) == 10, (file, harm.__name__)
        assert str(run / CHECKPOINTS / "20") in caplog.text
        unfinished = file.name == MANIFEST and harm is remove
        assert (file.name if file.name != MANIFEST else MANIFEST) in caplog.text
        assert ("was not finished" if unfinished else "is damaged") in caplog.text
        tried += 1
    assert len(files) >= 10
    assert tried >= 6 * len(files) - 4


@pytest.mark.parametrize("harm", HARMS)
def test_where_every_checkpoint_is_damaged_nothing_is_overwritten(workdir, harm, caplog):
    for step in ("10", "20"):
        harm(workdir / CHECKPOINTS / step / MANIFEST)
    before = content(workdir)
    with pytest.raises(ValueError, match=r"All 2 checkpoints .* are damaged; nothing was overwritten"):
        restored(workdir)
    assert content(workdir) == before


def test_a_first_save_that_was_killed_is_no_damage_but_a_lost_manifest_is(workdir):
    shutil.rmtree(workdir / CHECKPOINTS / "20")
    (workdir / CHECKPOINTS / "10" / MANIFEST).unlink()
    assert restored(workdir) is None
    results.write_results(workdir, {"step": 10})  # so it had been sealed
    with pytest.raises(ValueError, match="All 1 checkpoints"):
        restored(workdir)


def test_a_lost_score_is_said_where_the_best_weights_are_asked_for(workdir, caplog):
    flip(workdir / CHECKPOINTS / "20" / MANIFEST)
    folder = workdir / CHECKPOINTS
    found = checkpoint.restore(folder, jax.eval_shape(lambda: state(0)), prefer=manifest.best_step(folder))
    assert int(found["deep"]["n"]) == 10
    assert "may have been the best" in caplog.text


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_config_is_read_from_the_checkpoints(workdir, harm, caplog):
    harm(workdir / CONFIG)
    directory = RunDirectory(workdir)
    assert (directory.config, directory.data) == (Config(), {"shape": [8, 8, 1]})
    assert "The copy in the checkpoints is used" in caplog.text
    shutil.rmtree(workdir / CHECKPOINTS)
    with pytest.raises(ValueError, match=r"config\.json is damaged|is no run directory: it has no"):
        _ = RunDirectory(workdir).config


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_metrics_are_named_kept_and_gone_on_with(workdir, harm, caplog):
    path = workdir / METRICS
    whole = path.read_bytes()
    harm(path)
    found = path.read_bytes() if path.exists() else None
    with MetricsLog(workdir, 20, manifest.metrics_fingerprint(workdir / CHECKPOINTS, 20)) as book:
        book.write(30, "train", {"elbo": -10.0})
    if harm is grow:  # what comes after the saved lines is cut anyhow
        assert path.read_bytes()[: len(whole)] == whole
        assert not caplog.text
        return
    assert f"{path} is damaged" in caplog.text
    kept = workdir / (METRICS + ".damaged")
    assert (kept.read_bytes() if kept.exists() else None) == found
    assert read_metrics(workdir)[-1]["step"] == 30


def test_metrics_that_are_whole_give_no_warning_and_their_fingerprint_goes_on(workdir, caplog):
    lines = manifest.metrics_fingerprint(workdir / CHECKPOINTS, 10)
    with MetricsLog(workdir, 10, lines) as book:
        assert book.sync() == lines
        book.write(20, "train", {"elbo": -20 / 3, "loss": 1.0})
        assert book.sync() == manifest.metrics_fingerprint(workdir / CHECKPOINTS, 20)
    assert not caplog.text


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_results_are_not_believed(tmp_path, harm, caplog):
    results.write_results(tmp_path, {"step": 10, "test": {"elbo": {"value": -99.1, "stderr": 0.1}}})
    harm(tmp_path / "results.json")
    assert results.read_results(tmp_path) == {}
    assert ("is damaged" in caplog.text) == (harm is not remove)


def test_an_edited_number_is_noticed(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, {"step": 10, "elbo": float("nan"), "list": (1, 2), "text": "ü"})
    assert read_json(path) == {"step": 10, "elbo": None, "list": [1, 2], "text": "ü"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"step": 11}))
    with pytest.raises(DamagedFile, match="edit by hand"):
        read_json(path)


@pytest.mark.parametrize("text", ["", "[]", "3", '"a"', "[" * 100_000, "\0", "{", "NaN", "\xff"])
def test_what_is_no_object_is_damaged_and_no_traceback(text, tmp_path):
    (tmp_path / "file.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DamagedFile):
        read_json(tmp_path / "file.json")


def test_a_checkpoint_of_other_bytes_is_replaced_when_its_step_comes_again(workdir):
    flip(max((workdir / CHECKPOINTS / "20").rglob("*"), key=lambda path: path.is_file() * path.stat().st_size))
    with Saver(workdir / CHECKPOINTS) as saver:
        saver.save(20, state(20))
    assert restored(workdir) == 20
    np.testing.assert_array_equal(manifest.saved_steps(workdir / CHECKPOINTS), [10, 20])


def test_a_save_that_times_out_as_when_the_clock_jumps_ahead_is_made_again(workdir):
    """Orbax measures its patience by the clock on the wall."""
    timed_out = mock.Mock(result=mock.Mock(side_effect=TimeoutError("Overall save timeout exceeded.")))
    with (
        mock.patch("orbax.checkpoint.v1.save_async", return_value=timed_out),
        mock.patch.object(checkpoint, "_SETTLE", 0),
        Saver(workdir / CHECKPOINTS) as saver,
    ):
        saver.save(30, state(30))
    assert restored(workdir) == 30


# Orbax leaves coroutines behind where it failed; they are collected within the test
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
def test_a_state_of_another_config_and_files_that_are_not_orbaxs_are_refused_in_words(workdir):
    other = state(0) | {"w": jnp.zeros((2, 3))}
    with pytest.raises(ValueError, match=r"20/state does not hold the state of this config"):
        checkpoint.restore(workdir / CHECKPOINTS, jax.eval_shape(lambda: other))
    latest = workdir / CHECKPOINTS / "20"
    (latest / "state" / "state" / "_METADATA").write_bytes(b"\x80\x04")
    content = read_json(latest / MANIFEST)
    content["files"]["state/state/_METADATA"] = manifest.file_fingerprint(latest / "state" / "state" / "_METADATA")
    write_json(latest / MANIFEST, content)  # as a stranger could
    with pytest.raises(ValueError, match=r"20/state does not hold the state of this config"):
        restored(workdir)
    gc.collect()
