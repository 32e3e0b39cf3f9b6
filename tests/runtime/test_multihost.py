"""Several processes that train together: who they are, what they write, and what happens when one of them dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from jaxvae.config.command_line import read_config
from jaxvae.rundir import CHECKPOINTS, manifest
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.runtime import multihost
from jaxvae.training.train import train_and_evaluate

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "configs" / "digits.py")
# SGD: the updates are the gradients, and no moment makes small differences large
TINY = {
    "model.encoder": "mlp(16)",
    "model.decoder": "mlp(16)",
    "optimizer.name": "sgd",
    "optimizer.learning_rate": "0.01",
    "train.log_every": "1",
    "train.validate_every": "10",
    "train.checkpoint_every": "10",
    "evaluate.samples": "2",
    "evaluate.figures": "few",
}


def overrides(**changed):
    return [f"--config.{name}={value}" for name, value in (TINY | changed).items()]


def start(workdir, count=2, **changed):
    """`count` processes with two devices each, on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    flags = os.environ["XLA_FLAGS"].split()
    flags = [flag for flag in flags if "device_count" not in flag] + ["--xla_force_host_platform_device_count=2"]
    environment = os.environ | {"XLA_FLAGS": " ".join(flags), "JAX_COMPILATION_CACHE_DIR": str(workdir) + "-compiled"}
    command = [sys.executable, str(ROOT / "train.py"), "--config", DIGITS, "--workdir", str(workdir)]
    command += [*overrides(**changed), "--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
    return [
        subprocess.Popen(
            [*command, "--process", str(number)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(count)
    ]


def alone(workdir, **changed):
    """The same in this process, on one device."""
    config = read_config(DIGITS, overrides(**changed))
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        return train_and_evaluate(config, workdir, say=lambda text: None)


def outputs(processes, seconds=200):
    return [process.communicate(timeout=seconds)[0] for process in processes]


def assert_same_metrics(one, other, last):
    one, other = read_metrics(one, last), read_metrics(other, last)
    assert [(line["step"], line["split"]) for line in one] == [(line["step"], line["split"]) for line in other]
    assert len(one) > last
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"split"}:
            np.testing.assert_allclose(a[name], b[name], rtol=2e-5, atol=1e-6, err_msg=f"{name} at step {a['step']}")


def assert_on_loopback(processes):
    """That nobody from outside can connect to them: of what listens, as the system lists it, all is on loopback."""
    own, found = set(), []
    for process in processes:
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            own.add(os.readlink(link) if link.is_symlink() else "")
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in own:
                found.append(local.split(":")[0])
    assert found
    assert all(address.endswith(("0100007F", "0" * 24 + "01000000")) for address in found), found


def assert_ended_alone(process, text):
    """By the error of a collective operation, in one sentence, or aborted by JAX, where the operation waits instead."""
    assert process.returncode in (1, -signal.SIGABRT)
    assert ("another process of this run has ended" if process.returncode == 1 else "another task died") in text


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Fifty steps of one process on one device."""
    return alone(tmp_path_factory.mktemp("alone") / "run", **{"train.steps": 50, "train.engine": "dispatch"}).workdir


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_that_dies_ends_the_other(expected, tmp_path):
    """2 processes x 2 devices: the same metrics; one is killed, the other ends soon; one process goes on."""
    run = tmp_path / "run"
    processes = start(run, **{"train.steps": 1_000_000})
    try:
        deadline = time.monotonic() + 200
        while len(manifest.saved_steps(run / CHECKPOINTS)) < 2:
            assert all(process.poll() is None for process in processes), outputs(processes, 30)
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert_on_loopback(processes)
        processes[1].kill()
        killed = time.monotonic()
        text, _ = outputs(processes, 60)
        assert time.monotonic() - killed < multihost.HEARTBEAT_TIMEOUT + 5
        assert_ended_alone(processes[0], text)
        assert "on 4 of 4 devices of 2 processes" in text
    finally:
        for process in processes:
            process.kill()
    step = manifest.saved_steps(run / CHECKPOINTS)[0]
    for later in manifest.saved_steps(run / CHECKPOINTS)[1:]:
        (run / CHECKPOINTS / str(later) / manifest.MANIFEST).unlink()
    assert step in (10, 20, 30, 40)
    alone(run, **{"train.steps": 50, "train.engine": "dispatch"})
    assert_same_metrics(run, expected, 50)


@pytest.mark.slow
def test_the_others_end_soon_after_the_first_process_and_after_one_that_hangs(tmp_path):
    """The first one runs JAX's coordination service, and no connection of one that hangs is closed: JAX ends them."""
    for number, stop in enumerate((signal.SIGKILL, signal.SIGSTOP)):
        processes = start(tmp_path / str(number), **{"train.steps": 1_000_000})
        try:
            while not manifest.saved_steps(tmp_path / str(number) / CHECKPOINTS):
                assert all(process.poll() is None for process in processes), outputs(processes, 30)
                time.sleep(0.1)
            processes[number].send_signal(stop)
            text, _ = processes[1 - number].communicate(timeout=multihost.HEARTBEAT_TIMEOUT + 10)
            assert_ended_alone(processes[1 - number], text)
        finally:
            for process in processes:
                process.kill()
                process.wait()
                process.stdout.close()


@pytest.mark.soak
def test_two_processes_come_to_an_end_and_write_once(expected, tmp_path):
    """Also with the state cut over them: evaluation, figures and report of one process; the other says nothing."""
    for changed in ({}, {"train.fsdp": "True", "model.encoder": "mlp(128)"}):
        run = tmp_path / str(len(changed))
        processes = start(run, **{"train.steps": 50} | changed)
        said = outputs(processes)
        assert [process.returncode for process in processes] == [0, 0], said
        assert "report:" in said[0]
        assert not [line for line in said[1].splitlines() if "[Gloo]" not in line]
        assert (run / "report.html").exists()
        if not changed:
            assert_same_metrics(run, expected, 50)
        whole = {"train.steps": 60, "train.engine": "dispatch", "train.fsdp": "False"}
        alone(run, **changed | whole)  # one process, one device: what lay cut over four is whole again
        assert read_metrics(run)[-1]["step"] == 60


@pytest.mark.soak
def test_a_signal_to_one_process_stops_all_of_them_saved(expected, tmp_path):
    run = tmp_path / "run"
    processes = start(run, **{"train.steps": 1_000_000})
    while not manifest.saved_steps(run / CHECKPOINTS):
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    said = outputs(processes)
    assert [process.returncode for process in processes] == [128 + signal.SIGTERM] * 2, said
    assert all("stopped and saved at step" in text for text in said)
    assert_same_metrics(run, expected, min(50, manifest.saved_steps(run / CHECKPOINTS)[-1]))


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8"}, None),  # the batch script itself, or a login shell of salloc
        ({"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}, "Slurm"),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "Open MPI"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}, "Kubernetes"),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "0"}, "Cloud TPU"),
        ({"MEGASCALE_COORDINATOR_ADDRESS": "a:1"}, "Cloud TPU"),
    ],
)
def test_a_launcher_is_known_by_what_it_says_to_each_process(environment, found):
    assert multihost.detect_launcher(environment) == found


def joined_with(environment, *arguments):
    """What jax.distributed.initialize is called with."""
    with mock.patch.dict(os.environ, environment), mock.patch("jax.distributed.initialize") as initialize:
        multihost.join(*arguments)
    return initialize.call_args


def test_processes_join_as_the_launcher_or_the_arguments_say():
    assert joined_with({}) is None
    slurm = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}
    assert joined_with(slurm).args == (None, None, None)
    assert joined_with(slurm, "node0:1234").args == ("node0:1234", 8, 3)
    assert "cluster_detection_method" not in joined_with(slurm, "node0:1234").kwargs
    mpi = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}
    local = {"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
    assert joined_with(mpi | local, "node0:1234").args == ("node0:1234", 4, 3)
    assert joined_with(mpi | local, "node0:1234").kwargs["local_device_ids"] == [1]
    assert "coordinator_bind_address" not in joined_with({}, "node0:1234", 4, 0).kwargs
    by_hand = joined_with({}, "node0:1234", 4, 2)
    assert by_hand.kwargs["heartbeat_timeout_seconds"] == multihost.HEARTBEAT_TIMEOUT
    assert by_hand.args == ("node0:1234", 4, 2)
    assert by_hand.kwargs["cluster_detection_method"] == "deactivate"


@pytest.mark.parametrize(
    ("coordinator", "own"),
    [
        ("localhost:1234", True),
        ("127.0.0.1:1234", True),
        ("127.3.4.5:1", True),
        ("[::1]:1234", True),
        ("node0:1234", False),
        ("10.0.0.7:1234", False),
        ("127.0.0.1.example.org:1", False),
        ("localhost.example.org:1", False),
        (None, False),
    ],
)
def test_what_runs_on_one_machine_takes_connections_from_no_other(coordinator, own):
    assert multihost.is_loopback(coordinator) is own
    if coordinator is not None:
        bound = joined_with({}, coordinator, 2, 0).kwargs.get("coordinator_bind_address")
        assert bound == (coordinator if own else None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, 2, 0), "--processes and --process come with --coordinator HOST:PORT"),
        (("node0", 2, 0), "--coordinator node0: expected HOST:PORT"),
        (("node0:1234", None, 0), "expected the number of processes, and for each its own number"),
        (("node0:1234", 2, 2), "--processes 2 --process 2: expected the number"),
    ],
)
def test_arguments_that_name_no_process_are_refused_in_words(arguments, words):
    with pytest.raises(ValueError, match=words):
        joined_with({}, *arguments)


def test_processes_that_do_not_find_each_other_say_so():
    unreachable = mock.patch("jax.distributed.initialize", side_effect=RuntimeError("timed out"))
    with unreachable, pytest.raises(ValueError, match=r"the 2 processes did not find each other at a:1 .*timed out"):
        multihost.join("a:1", 2, 0)


def test_one_process_alone_needs_no_others():
    assert multihost.is_first_process()
    assert multihost.broadcast_from_first(7) == 7
    assert not multihost.any_process(False)


def test_processes_that_see_different_disks_are_told_so(tmp_path):
    from jaxvae.training.initial_state import require_same_step

    require_same_step(5, tmp_path)
    with (
        mock.patch("jaxvae.runtime.multihost.gather_from_all", return_value=np.asarray([20, -1])),
        pytest.raises(ValueError, match=r"step 20, none\. They must see one file system"),
    ):
        require_same_step(20, tmp_path)
