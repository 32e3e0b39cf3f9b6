"""environment.json: the versions, devices and command of a run, to reproduce it."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import jax

from jaxvae.runtime.files import read_json, write_json

__all__ = ["ENVIRONMENT", "describe_environment", "processor_name", "record_environment"]

_VERSION = 1
ENVIRONMENT = "environment.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy")
_COMPARED = ("versions", "platform", "devices", "threads", "flags", "engine", "pipeline")  # change the last bits


def describe_environment(*, engine: str, pipeline: str, seed: int, command: str) -> dict[str, Any]:
    """Returns versions, commit, devices, threads, flags, engine, pipeline and seed."""
    return {
        "version": _VERSION,
        "command": command,
        "jaxvae": _installed_version("jaxvae"),
        "python": platform.python_version(),
        "versions": {name: _installed_version(name) for name in _PACKAGES},
        "commit": _git_commit(),
        "platform": jax.default_backend(),
        "devices": [f"{device.device_kind} {device.id}" for device in jax.devices()],
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "flags": os.environ.get("XLA_FLAGS", ""),
        "engine": engine,
        "pipeline": pipeline,
        "seed": seed,
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
    }


def record_environment(workdir: Path, **now: Any) -> list[str]:
    """Writes environment.json; returns a warning for every entry that may change results and differs from before."""
    path, described = workdir / ENVIRONMENT, describe_environment(**now)
    try:
        before = read_json(path)
    except (OSError, ValueError):
        before = {}
    write_json(path, described)
    return [
        f"This run goes on with another {name} {before[name]} -> {described[name]}: same keys and data order, but the "
        "last bits of results may differ."
        for name in _COMPARED
        if name in before and before[name] != described[name]
    ]


def _installed_version(package: str) -> str | None:
    """Returns the package's version; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor_name(path: str = "/proc/cpuinfo") -> str:
    """Returns the processor's name from Linux or else from Python; '' if it is not known."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path(path).read_text(errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()


def _git_commit() -> str | None:
    """Returns the git commit of the package's checkout, with '-dirty' if files differ; None without a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # a virtual environment may be inside another checkout
        return git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None
