"""Several processes that train together, on JAX's own distributed runtime: joining, agreeing, and who writes.

Every process runs the same program on its own devices and its own rows of every batch. The first one alone writes logs,
figures and reports; checkpoints are written by all, each its part.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxvae._checks import UsageError

HEARTBEAT_TIMEOUT = 30  # seconds of silence after which a process is taken for dead, and the others are ended


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes, where a launcher or these arguments say that there are any; before JAX's first use.

    `coordinator` is 'host:port' of the first process. ValueError for arguments that are no such thing, and where the
    others are not found.
    """
    found = detect_launcher(os.environ)
    if coordinator is None and found is None:
        if (processes, process) != (None, None):
            raise UsageError("--processes and --process come with --coordinator HOST:PORT, of the first process.")
        return
    if coordinator is not None:
        count, place = _ranks_of_launcher(found, os.environ)
        processes, process = (count if processes is None else processes), (place if process is None else process)
        _check_address(coordinator, processes, process)
    known: dict[str, Any] = {"heartbeat_timeout_seconds": HEARTBEAT_TIMEOUT}
    if coordinator is not None and found is None:
        known["cluster_detection_method"] = "deactivate"  # nothing to detect, and nobody to be asked over a network
    if coordinator is not None and is_loopback(coordinator):
        known["coordinator_bind_address"] = coordinator  # by default it takes connections from anywhere
    if coordinator is not None and int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1)) > 1:
        known["local_device_ids"] = [int(os.environ["OMPI_COMM_WORLD_LOCAL_RANK"])]  # a GPU each, as jax does by itself
    try:
        jax.distributed.initialize(coordinator, processes, process, **known)
    except (RuntimeError, ValueError) as error:
        where = f"at {coordinator}" if coordinator else f"as {found} says"
        raise UsageError(
            f"the {processes or 'other'} processes did not find each other {where} ({error}). "
            "See that all were started, and that the first one's host and port can be reached from the others; "
            "where nothing names it, do so with --coordinator HOST:PORT."
        ) from error


def detect_launcher(environment: Mapping[str, str]) -> str | None:
    """The launcher that started this process as one of several, by its environment variables; None without one.

    A login or batch shell of Slurm is not such a process: `srun` is what numbers them.
    """

    def number(name: str) -> int:
        value = environment.get(name, "")
        return int(value) if value.isdigit() else 0

    if "SLURM_PROCID" in environment and number("SLURM_STEP_NUM_TASKS") > 1:
        return "Slurm"
    if "OMPI_COMM_WORLD_RANK" in environment and number("OMPI_COMM_WORLD_SIZE") > 1:
        return "Open MPI"
    if "JOB_COMPLETION_INDEX" in environment and "KUBERNETES_SERVICE_HOST" in environment:
        return "Kubernetes"
    if "," in environment.get("TPU_WORKER_HOSTNAMES", "") or "," in environment.get("TPU_PROCESS_ADDRESSES", ""):
        return "Cloud TPU"
    return "Cloud TPU" if "MEGASCALE_COORDINATOR_ADDRESS" in environment else None


def _ranks_of_launcher(found: str | None, environment: Mapping[str, str]) -> tuple[int | None, int | None]:
    """(how many processes, which one this is) where the launcher's own variables say so."""
    names = {
        "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
        "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    }.get(found or "")
    return (int(environment[names[0]]), int(environment[names[1]])) if names else (None, None)


def _check_address(coordinator: str, processes: int | None, process: int | None) -> None:
    """Raises ValueError for an address or a number that cannot be one."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--coordinator {coordinator}: expected HOST:PORT of the first process, such as node0:12345.")
    if processes is None or process is None or not 0 <= process < processes:
        raise UsageError(
            f"--coordinator {coordinator} with --processes {processes} --process {process}: give how many processes "
            "there are, and to each its own number from 0 on."
        )


def is_loopback(coordinator: str | None) -> bool:
    """Whether this 'host:port' is known to be this machine's own, so that nobody else need reach it.

    A name other than 'localhost' says nothing: some machines call themselves 127.0.1.1 and are reached by others.
    """
    host = (coordinator or "").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def count() -> int:
    """How many processes train together."""
    return jax.process_count()


def is_first_process() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def broadcast_from_first(number: int) -> int:
    """The first process's number, in all."""
    return int(gather_from_all(number)[0])


def any_process(flag: bool) -> bool:
    """Whether it is so in any process."""
    return bool(gather_from_all(int(flag)).any())


def gather_from_all(number: int) -> np.ndarray:
    """Every process's number, in their order."""
    if count() == 1:
        return np.asarray([number])
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(np.asarray([number], np.int32))).ravel()
