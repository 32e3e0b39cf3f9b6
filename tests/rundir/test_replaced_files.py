"""Files of a run that were deleted, renamed, swapped, or replaced by something else than a regular file."""

import os
import shutil
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

import jaxvae
from jaxvae._checks import UsageError
from jaxvae.cli import main
from jaxvae.rundir import CHECKPOINTS, METRICS, checkpoint, event_log, manifest, results, snapshots
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.lock import LOCK, lock_run_directory
from jaxvae.rundir.manifest import MANIFEST
from jaxvae.rundir.metrics_log import MetricsLog
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.scores import read_scores, write_scores
from jaxvae.rundir.state import abstract_state
from jaxvae.runtime.environment import record_environment
from jaxvae.runtime.files import write_json
from jaxvae.viz.report import write_report

SECONDS = 20  # in which every reader returns; one that waits for a FIFO does not return at all


@pytest.fixture(scope="module")
def two(digits_run, tmp_path_factory):
    """The run of the digits with a second, older checkpoint, and one file of each kind that a run can have."""
    workdir = shutil.copytree(digits_run, tmp_path_factory.mktemp("replaced") / "run")
    run = jaxvae.load(workdir)
    state = checkpoint.restore(workdir / CHECKPOINTS, abstract_state(run.config, run.parts))
    written = manifest.read_manifest(workdir / CHECKPOINTS / "60")
    with Saver(workdir / CHECKPOINTS, written["config"]) as saver:
        saver.save(30, state.replace(step=state.step - 30), lines=_fingerprint(workdir / METRICS, 30), regular=True)
    event_log.append_event(workdir, "spikes", 20, count=1, total=1)
    (workdir / "figures").mkdir(exist_ok=True)
    (workdir / "figures" / "own.png").write_bytes(b"PNG")
    return workdir


def _fingerprint(path: Path, step: int) -> dict:
    from jaxvae.rundir.metrics_log import read_lines

    lines = b"".join(text for text, line in read_lines(path) if line["step"] <= step)
    copy = path.with_name("copy")
    copy.write_bytes(lines)
    found = manifest.file_fingerprint(copy)
    copy.unlink()
    return found


@pytest.fixture
def workdir(two, tmp_path):
    return shutil.copytree(two, tmp_path / "run")


@pytest.fixture
def in_time():
    """Fails a test that waits."""

    def expire(signum, frame):
        raise AssertionError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_an_intact_run_gives_no_warning(workdir, caplog):
    assert jaxvae.load(workdir).step == 60
    assert not caplog.text


def test_a_deleted_newest_checkpoint_is_noticed_by_its_results(workdir, caplog):
    shutil.rmtree(workdir / CHECKPOINTS / "60")
    assert jaxvae.load(workdir).step == 30
    assert "results.json is of step 60, the weights are of step 30" in caplog.text
    assert "A later checkpoint is missing or damaged" in caplog.text


def test_a_deleted_newest_checkpoint_is_noticed_by_its_metrics(workdir, caplog):
    shutil.rmtree(workdir / CHECKPOINTS / "60")
    (workdir / "results.json").unlink()
    assert jaxvae.load(workdir).step == 30
    assert "metrics.jsonl goes to step 60, the newest checkpoint is of step 30" in caplog.text


def test_results_of_a_run_that_was_trained_further_are_noticed(workdir, caplog):
    results.write_results(workdir, RunDirectory(workdir).results | {"step": 30})
    assert jaxvae.load(workdir).step == 60
    assert "results.json is of step 30, the weights are of step 60" in caplog.text
    assert "missing" not in caplog.text


def test_a_renamed_checkpoint_is_damage(workdir, caplog):
    folder = workdir / CHECKPOINTS
    (folder / "30").rename(folder / "200")
    assert manifest.find_damage(folder / "200") == f"{MANIFEST}: it is of step 30, the folder's name is 200"
    assert jaxvae.load(workdir).step == 60
    assert "200 is damaged" in caplog.text


def test_swapped_checkpoints_are_damage(workdir):
    folder = workdir / CHECKPOINTS
    for old, new in (("30", "x"), ("60", "30"), ("x", "60")):
        (folder / old).rename(folder / new)
    with pytest.raises(UsageError, match=r"All 2 checkpoints in .* are damaged; nothing was overwritten"):
        jaxvae.load(workdir)


@pytest.mark.parametrize("harm", ["emptied", "bytes", "gone", "dangling link"])
def test_metrics_that_are_not_those_saved_are_named_when_a_run_is_loaded(harm, workdir, caplog):
    path = workdir / METRICS
    content = path.read_bytes()
    path.unlink()
    if harm == "dangling link":
        path.symlink_to(workdir / "nowhere")
    elif harm != "gone":
        path.write_bytes(b"" if harm == "emptied" else content.replace(b"loss", b"l\xff\xfes"))
    assert jaxvae.load(workdir).step == 60
    assert f"{path} is damaged" in caplog.text
    if harm == "bytes":
        with pytest.raises(UsageError, match=r"metrics\.jsonl is damaged: line 2 is no JSON .*Restore it"):
            _ = RunDirectory(workdir).metrics


def test_damaged_metrics_are_refused_before_a_run_is_scored_again(workdir, capsys):
    before = (workdir / "results.json").read_bytes()
    (workdir / METRICS).write_bytes(b"\xff\n{}\n")
    assert main(["evaluate", str(workdir), "--samples", "2"]) == 2
    assert "metrics.jsonl is damaged: line 1 is no JSON" in capsys.readouterr().err
    assert (workdir / "results.json").read_bytes() == before


def test_a_folder_in_place_of_a_record_is_named(workdir, caplog):
    for name in ("config.json", "environment.json"):
        (workdir / name).unlink()
        (workdir / name).mkdir()
    assert jaxvae.load(workdir).step == 60
    assert "config.json is damaged (it is a folder, not a regular file)" in caplog.text
    with pytest.raises(UsageError, match=r"environment\.json is damaged \(it is a folder, not a regular file\)"):
        _ = RunDirectory(workdir).environment
    with pytest.raises(UsageError, match=r"environment\.json is a folder: expected a file\. Remove it"):
        record_environment(workdir, engine="scan", pipeline="resident", seed=0, command="")


def _use_everything(workdir: Path) -> list[str]:
    """Returns the messages of all that read and write the run's files."""
    directory = RunDirectory(workdir)

    def continue_training():
        event_log.truncate_events(workdir, 60)
        with MetricsLog(workdir, 60, manifest.metrics_fingerprint(workdir / CHECKPOINTS, 60)):
            pass

    def lock():
        with lock_run_directory(workdir, lambda text: None):
            pass

    readers = (
        lambda: jaxvae.load(workdir),
        lambda: results.read_finished_run(workdir),
        lambda: (directory.environment, directory.results, directory.metrics, directory.timing),
        lambda: read_scores(workdir, "test", {}),
        lambda: snapshots.read_frames(workdir),
        lambda: snapshots.read_codes(workdir),
        lambda: write_report(workdir),
        continue_training,
        lock,
        lambda: write_scores(workdir, 60, {}),
        lambda: snapshots.save_codes(workdir, 60, np.zeros((1, 2)), np.zeros(1)),
        lambda: write_json(workdir / "results.json", {}),
    )
    messages = []
    for reader in readers:
        try:
            reader()
        except UsageError as error:
            messages.append(str(error))
    return messages


FILES = ("config.json", "environment.json", "results.json", "metrics.jsonl", "timing.jsonl", "events.jsonl")
FILES += ("scores.npz", LOCK, f"{CHECKPOINTS}/60/{MANIFEST}", "codes/labels.npy", "codes/000000030.npy")
FILES += ("samples/000000030.npy", "figures/own.png", "figures/latent_plane.npz")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.usefixtures("in_time")
def test_a_fifo_in_place_of_a_file_is_refused(name, workdir, caplog):
    (workdir / name).unlink(missing_ok=True)
    os.mkfifo(workdir / name)
    messages = _use_everything(workdir)
    assert "FIFO, not a regular file" in "\n".join([*messages, caplog.text])
    assert name.rpartition("/")[2] in "\n".join([*messages, caplog.text])


@pytest.mark.parametrize("kind", ["device", "socket", "folder", "loop"])
@pytest.mark.parametrize("name", ["results.json", "metrics.jsonl", "scores.npz", LOCK])
@pytest.mark.usefixtures("in_time")
def test_other_kinds_of_files_are_refused(name, kind, workdir, caplog, monkeypatch):
    monkeypatch.chdir(workdir)  # a socket's path is short
    path = Path(name)
    path.unlink(missing_ok=True)
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null" if kind == "device" else path.name)
    text = "\n".join([*_use_everything(workdir), caplog.text])
    assert name in text


@pytest.mark.parametrize(
    "name", ["results.json.tmp", "scores.npz.tmp", ".report.html.tmp", "codes/new.npy", "metrics.jsonl.tmp"]
)
@pytest.mark.usefixtures("in_time")
def test_a_fifo_in_place_of_a_temporary_file_is_replaced(name, workdir):
    (workdir / name).unlink(missing_ok=True)
    os.mkfifo(workdir / name)
    with (workdir / METRICS).open("a") as file:
        file.write("torn")  # so that the log is written again
    assert not _use_everything(workdir)


def test_links_are_read_and_never_written_through(workdir, tmp_path):
    """As of a run whose files are kept in a store: git-annex, DVC, a hub's cache."""
    stored = tmp_path / "stored"
    stored.mkdir()
    for name in ("config.json", "metrics.jsonl", "timing.jsonl", "events.jsonl"):
        (workdir / name).rename(stored / name)
        (workdir / name).symlink_to(stored / name)
    before = {path.name: path.read_bytes() for path in stored.iterdir()}
    assert jaxvae.load(workdir).step == 60
    event_log.truncate_events(workdir, 60)
    event_log.append_event(workdir, "spikes", 70, count=1, total=2)
    with MetricsLog(workdir, 60) as book:
        book.write(70, "train", {"loss": 1.0})
        book.write_timing(70, {"seconds": 1.0})
    (workdir / LOCK).symlink_to(stored / "config.json")
    with pytest.raises(UsageError, match=r"lock is not a lock: it is a symbolic link, not a regular file.* Remove it"):
        _ = lock_run_directory(workdir, lambda text: None).__enter__()
    assert {path.name: path.read_bytes() for path in stored.iterdir()} == before
