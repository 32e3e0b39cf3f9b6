"""A disk that is full while a run saves, logs and scores: one message, nothing lost, and the same command goes on."""

import contextlib
import errno
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from unittest import mock

import jax.numpy as jnp
import pytest

from jaxvae.rundir import CHECKPOINTS, manifest
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.lock import explain_full_disk, require_disk_space

ROOT = Path(__file__).parents[2]
TINY = ["--config.model.encoder=mlp(16)", "--config.model.decoder=mlp(16)", "--config.evaluate.samples=2"]
TINY += ["--config.evaluate.figures=few"]
TINY += ["--config.train.log_every=10", "--config.train.checkpoint_every=100", "--config.train.validate_every=1000"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def train(workdir, steps):
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs" / "digits.py")]
    command += ["--workdir", str(workdir), f"--config.train.steps={steps}", *TINY]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition, process):
    deadline = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_disk_that_fills_ends_the_run_in_words_and_keeps_its_last_checkpoint(small_disk):
    run = small_disk / "run"
    process = train(run, 1_000_000)
    wait_for(lambda: manifest.saved_steps(run / CHECKPOINTS), process)
    with (small_disk / "balloon").open("wb", buffering=0) as balloon, contextlib.suppress(OSError):
        while True:
            balloon.write(bytes(4096))
    text, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "error: the disk is full" in text
    assert "Traceback" not in text
    kept = manifest.saved_steps(run / CHECKPOINTS)[-1]
    assert f"The checkpoint of step {kept:,} is kept" in text
    assert manifest.find_damage(run / CHECKPOINTS / str(kept)) is None
    assert not list(run.rglob("*.tmp"))
    assert not (run / "lock").exists()


def test_a_save_that_fails_leaves_the_one_before_it_and_no_half(tmp_path):
    with Saver(tmp_path) as saver:
        saver.save(1, {"w": jnp.ones(3)})
    target = tmp_path / "2"
    full = mock.patch("jaxvae.runtime.files.os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with full, Saver(tmp_path) as saver:
        saver.save(2, {"w": jnp.ones(3)})
        with pytest.raises(OSError, match="No space"):
            saver.wait()
    assert manifest.saved_steps(tmp_path) == [1]
    assert not (target / "manifest.json.tmp").exists()
    assert not target.exists()


def failing(error, cause=None):
    raise error from cause


def test_the_error_of_a_full_disk_is_found_however_deep_and_no_other_is(tmp_path):
    for inner in (OSError(errno.EDQUOT, "x"), RuntimeError("write failed: No space left on device")):
        with (
            pytest.raises(OSError, match=r"disk is full .* Checkpoints saved before are kept"),
            explain_full_disk(tmp_path),
        ):
            failing(RuntimeError("wrapped"), inner)
    with pytest.raises(RuntimeError, match=r"^other$"), explain_full_disk(tmp_path):
        failing(RuntimeError("other"))


def test_a_state_that_does_not_fit_is_refused_before_a_step(tmp_path):
    usage = namedtuple("usage", "total used free")
    with mock.patch.object(shutil, "disk_usage", return_value=usage(0, 0, 1_500_000)):
        require_disk_space(tmp_path, {"w": jnp.ones(100_000)})
        with pytest.raises(ValueError, match=r"takes 1\.8 MB, but the disk of .* has 1\.5 MB"):
            require_disk_space(tmp_path, {"w": jnp.ones(200_000)})
