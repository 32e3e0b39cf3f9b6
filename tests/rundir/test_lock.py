"""A run directory has one owner at a time, who is named; a dead one's lock is taken over."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from jaxvae.rundir import lock
from jaxvae.rundir.lock import LOCK, lock_run_directory

HOLD = """
import sys, time
from pathlib import Path
from jaxvae.rundir.lock import lock_run_directory
with lock_run_directory(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path / 'run'."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_directory_in_use_is_refused_naming_its_owner_and_a_dead_owners_is_taken_over(holder, tmp_path):
    said, run = [], tmp_path / "run"
    with (
        pytest.raises(ValueError, match=rf"is in use by process {holder.pid} on {platform.node()}"),
        lock_run_directory(run, said.append),
    ):
        pass
    assert (run / LOCK).exists()
    holder.kill()
    holder.wait()
    with lock_run_directory(run, said.append):
        assert json.loads((run / LOCK).read_text())["process"] == os.getpid()
    assert said == [said[0]]
    assert f"took over from process {holder.pid}" in said[0]
    assert not (run / LOCK).exists()


def test_the_lock_is_given_back_and_nothing_is_said(tmp_path):
    said = []
    for _ in range(2):
        with lock_run_directory(tmp_path / "a" / "run", said.append):
            (tmp_path / "a" / "run" / "file").touch()
    assert said == []
    assert [path.name for path in (tmp_path / "a" / "run").iterdir()] == ["file"]


def test_what_is_refused_before_it_began_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), lock_run_directory(tmp_path / "a" / "run", print):
        raise KeyError
    assert not any(tmp_path.iterdir())


def test_an_owner_who_gives_the_lock_back_while_another_waits_for_it_does_not_make_two(tmp_path):
    """Between opening the file and holding it, the owner removes it and a third one makes it anew."""
    run, real, once = tmp_path / "run", lock.try_lock, [True]

    def slowly(descriptor):
        if once.pop() if once else False:
            (run / LOCK).unlink()
            (run / LOCK).touch()
        return real(descriptor)

    with mock.patch.object(lock, "try_lock", slowly), lock_run_directory(run, print):
        assert json.loads((run / LOCK).read_text())["process"] == os.getpid()
        with pytest.raises(ValueError, match=rf"in use by process {os.getpid()}"), lock_run_directory(run, print):
            pass


def test_where_nothing_can_be_written_it_is_refused_in_words(tmp_path):
    (tmp_path / "there").touch()
    refused = pytest.raises(ValueError, match=r"cannot write into .*run \((Read-only|Not a dir).*with --workdir")
    with refused, lock_run_directory(tmp_path / "there" / "run", print):
        pass
    read_only = mock.patch.object(Path, "open", side_effect=OSError(30, "Read-only file system"))
    refused = pytest.raises(ValueError, match=r"cannot write into .*run \((Read-only|Not a dir).*with --workdir")
    with read_only, refused, lock_run_directory(tmp_path / "run", print):
        pass


def test_a_lock_whose_owner_cannot_be_read_is_still_one(tmp_path):
    with lock_run_directory(tmp_path, print):
        (tmp_path / LOCK).write_text("{")
        with pytest.raises(ValueError, match="in use by another process"), lock_run_directory(tmp_path, print):
            pass


def test_a_name_that_the_locale_cannot_spell_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match="PYTHONUTF8=1"), lock_run_directory(tmp_path / "caf\udce9", print):
        pass
    assert not any(tmp_path.iterdir())
