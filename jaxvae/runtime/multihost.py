"""Several processes that train together, on JAX's distributed runtime: joining, agreeing, and which one writes.

The first process writes logs, figures and reports; each writes its shards of checkpoints. When one dies, the others'
collective operations fail, or JAX aborts them after at most HEARTBEAT_TIMEOUT seconds (exit code 134).
"""

import ipaddress
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxvae._checks import UsageError

__all__ = ["HEARTBEAT_TIMEOUT", "any_process", "broadcast_from_first", "detect_launcher", "gather_from_all"]
__all__ += ["is_first_process", "is_loopback", "join"]

HEARTBEAT_TIMEOUT = 10  # seconds without a heartbeat after which JAX ends the other processes
_RANKED = {  # launcher -> its variables with the number of processes, and with that of this one
    "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
}


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes if a launcher or these arguments name any; must come before JAX's first use.

    Args:
        coordinator: 'host:port' of the first process.
        processes: the number of processes, if the launcher does not give it.
        process: the number of this one, from 0 on, likewise.
    """
    launcher = detect_launcher(os.environ)
    if coordinator is None and launcher is None:
        if (processes, process) != (None, None):
            raise UsageError("--processes and --process come with --coordinator HOST:PORT, of the first process.")
        return
    options: dict[str, Any] = {"heartbeat_timeout_seconds": HEARTBEAT_TIMEOUT}
    if coordinator is not None:
        if launcher in _RANKED:
            count, rank = (int(os.environ[name]) for name in _RANKED[launcher])
            processes, process = (count if processes is None else processes), (rank if process is None else process)
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(f"--coordinator {coordinator}: expected HOST:PORT of the first process.")
        if processes is None or process is None or not 0 <= process < processes:
            raise UsageError(
                f"--coordinator {coordinator} with --processes {processes} --process {process}: expected the number of "
                "processes, and for each its own number from 0 on."
            )
        if launcher is None:
            options["cluster_detection_method"] = "deactivate"  # which would ask over a network
        if is_loopback(coordinator):
            options["coordinator_bind_address"] = coordinator  # by default it takes connections from anywhere
        if int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1)) > 1:
            options["local_device_ids"] = [int(os.environ["OMPI_COMM_WORLD_LOCAL_RANK"])]  # a GPU each
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM from runtime/signals.py
    try:
        jax.distributed.initialize(coordinator, processes, process, **options)
    except (RuntimeError, ValueError) as error:
        where = f"at {coordinator}" if coordinator else f"as {launcher} says"
        raise UsageError(
            f"the {processes or 'other'} processes did not find each other {where} ({error}). "
            "See that all were started, and that the first one's host and port can be reached from the others; "
            "where nothing names it, do so with --coordinator HOST:PORT."
        ) from error


def detect_launcher(environment: Mapping[str, str]) -> str | None:
    """Returns the launcher that started this process as one of several, by its environment variables, or None.

    A login or batch shell of Slurm is not such a process: `srun` is what numbers them.
    """
    for launcher, (count, rank) in _RANKED.items():
        size = environment.get(count, "")
        if rank in environment and size.isdigit() and int(size) > 1:
            return launcher
    if "JOB_COMPLETION_INDEX" in environment and "KUBERNETES_SERVICE_HOST" in environment:
        return "Kubernetes"
    if "," in environment.get("TPU_WORKER_HOSTNAMES", "") or "," in environment.get("TPU_PROCESS_ADDRESSES", ""):
        return "Cloud TPU"
    return "Cloud TPU" if "MEGASCALE_COORDINATOR_ADDRESS" in environment else None


def is_loopback(coordinator: str | None) -> bool:
    """Returns whether this 'host:port' is surely on this machine, so that no other needs to reach it.

    A name other than 'localhost' says nothing: some machines call themselves 127.0.1.1 and are reached by others.
    """
    host = (coordinator or "").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_first_process() -> bool:
    """Returns whether this is the process that writes."""
    return jax.process_index() == 0


def broadcast_from_first(number: int) -> int:
    """Returns the first process's number, in all processes."""
    return int(gather_from_all(number)[0])


def any_process(flag: bool) -> bool:
    """Returns whether the flag is set in any process."""
    return bool(gather_from_all(int(flag)).any())


def gather_from_all(number: int) -> np.ndarray:
    """Returns every process's number, in the order of the processes."""
    if jax.process_count() == 1:
        return np.asarray([number])
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(np.asarray([number], np.int32))).ravel()
