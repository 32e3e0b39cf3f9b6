"""Runs one small programme in many environments: Python versions, newest and oldest libraries, and hostile settings.

    python tests/soak/environments.py [--python PATH ...] [--folder FOLDER] [--only WORD ...] [--json FILE]

Makes a virtual environment for every interpreter twice, of constraints.txt and of every lower bound of pyproject.toml,
and keeps them. Then goes through the settings with the newest libraries of the middle interpreter. Prints a table;
exit code 1 where something went wrong.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("python3.11", "python3.12", "python3.13")
AGES = ("newest", "oldest")
TESTS = ("test_step", "objective/test_objective", "test_terms", "rundir/test_metrics_log")
BRIEF, WHOLE = ("go on", "verbs", "library"), ("go on", "verbs", "library", "models")
CACHES = ("XDG_CACHE_HOME", "JAXVAE_CACHE", "JAX_COMPILATION_CACHE_DIR", "MPLCONFIGDIR", "TFDS_DATA_DIR")
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'
LONGEST = 1800.0  # seconds for the programme
LONG_PATH = "/".join(["a folder of a long name, " + "0123456789" * 16] * 5)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Environment variables (None: removed), what stands before the command, where it works, and what is run.

    `same`: whether its metrics have the bits of the plain setting.
    """

    changed: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    before: Sequence[str] = ()
    place: str = "run"
    parts: Sequence[str] = BRIEF
    same: bool = True


def settings(folder: Path) -> dict[str, Setting]:
    """All of them; `folder` holds what they need."""
    home, here, empty = (folder / name for name in ("home", "here", "empty"))
    for path in (home, here):
        path.mkdir(exist_ok=True)
    offline, nowhere = ("unshare", "-rn"), dict.fromkeys(CACHES)
    devices = "--xla_force_host_platform_device_count="
    return {
        "no network": Setting(before=offline),
        "no network, empty caches": Setting({name: str(empty / name) for name in CACHES}, offline),
        "home is read-only": Setting(nowhere | {"HOME": str(home)}, read_only(home)),
        "home does not exist": Setting(nowhere | {"HOME": "/proc/nowhere"}),
        "2 devices": Setting({"XLA_FLAGS": devices + "2"}, same=False),
        "8 devices": Setting({"XLA_FLAGS": devices + "8"}, same=False),
        "JAX_ENABLE_X64=1": Setting({"JAX_ENABLE_X64": "1"}, parts=(*WHOLE, "families"), same=False),
        "JAX_DEBUG_NANS=True": Setting({"JAX_DEBUG_NANS": "True"}, parts=(*WHOLE, "families")),
        "the current folder is read-only": Setting(before=read_only(here)),
        "no TERM, one column": Setting({"TERM": None, "COLUMNS": "1", "LINES": "1"}),
        "ASCII only (LC_ALL=C, PYTHONUTF8=0)": Setting(
            {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        ),
        "spaces and letters of many scripts in the path": Setting(place="a rün of — 数字 'quoted'"),
        "a path of 1,000 characters": Setting(place=LONG_PATH),
        "PYTHONOPTIMIZE=2": Setting({"PYTHONOPTIMIZE": "2"}),
        "PYTHONHASHSEED=1": Setting({"PYTHONHASHSEED": "1"}),
        "PYTHONHASHSEED=2": Setting({"PYTHONHASHSEED": "2"}),
    }


def read_only(folder: Path) -> tuple[str, ...]:
    """What runs a command inside a folder that cannot be written, not even by root."""
    return ("unshare", "-rm", "sh", "-c", READ_ONLY, "sh", str(folder))


def main() -> int:
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows, found = [], pythons(options.python)
    plain: dict[str, Any] = {}
    for python, age in ((python, age) for python in found for age in AGES):
        row = in_environment(options.folder, python, age, Setting(parts=WHOLE), "plain", options.only)
        rows += [row] * bool(row)
        if age == "newest" and row:
            plain[python] = row["digest"]
    middle = found[len(found) // 2]
    for name, setting in settings(options.folder).items():
        row = in_environment(options.folder, middle, "newest", setting, name, options.only)
        if row and setting.same and row["digest"] not in ("", plain.get(middle, row["digest"])):
            row["wrong"].append("other bits than in the plain setting")
        rows += [row] * bool(row)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return int(any(row["wrong"] for row in rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=list(PYTHONS), help="interpreters, by name or path")
    where = Path(tempfile.gettempdir()) / "jaxvae-environments"
    parser.add_argument("--folder", type=Path, default=where, help="keeps the virtual environments")
    parser.add_argument("--only", nargs="+", help="words that a row's name must contain one of")
    parser.add_argument("--json", type=Path, help="a file for the rows")
    return parser.parse_args()


def pythons(names: Sequence[str]) -> list[str]:
    """The interpreters that there are."""
    found = [path for name in names if (path := shutil.which(name))]
    if not found:
        raise SystemExit(f"none of {', '.join(names)} is on the PATH; name interpreters with --python.")
    return found


def version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def make(folder: Path, python: str, age: str) -> Path:
    """The interpreter of a virtual environment of these libraries, made unless it is there."""
    inside, version = folder / f"{version_of(python)}-{age}", version_of(python)
    if not (inside / "complete").exists():
        subprocess.run([python, "-m", "venv", "--clear", str(inside)], check=True)
        wanted = [*map(str, required(version)), "-c", str(ROOT / "constraints.txt")]
        wanted = wanted if age == "newest" else [lowest(each) for each in required(version)]
        pip = [str(inside / "bin" / "python"), "-m", "pip", "install", "-q", "--prefer-binary"]
        subprocess.run([*pip, *wanted], check=True)
        (inside / "complete").touch()
    return inside / "bin" / "python"


def required(version: str) -> list[Requirement]:
    """What pyproject.toml asks for, tests included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["test"]])
    return [each for each in every if each.marker is None or each.marker.evaluate({"python_version": version})]


def lowest(requirement: Requirement) -> str:
    """name==its lower bound, which must be the only thing asked of it."""
    (bound,) = requirement.specifier
    assert bound.operator == ">=", requirement
    return f"{requirement.name}=={bound.version}"


def in_environment(
    folder: Path, python: str, age: str, setting: Setting, name: str, only: Sequence[str] | None
) -> dict[str, Any] | None:
    """The programme in one environment and setting, and a few test files in the plain one; None if not asked for."""
    title = f"{version_of(python)} {age}: {name}"
    if only and not any(word in title for word in only):
        return None
    began, inside = time.monotonic(), make(folder, python, age)
    environment = environment_for(folder / f"compiled-{version_of(python)}-{age}", setting)
    results = run_programme(
        inside, folder / "work" / f"{version_of(python)}-{age}" / setting.place, setting, environment
    )
    wrong = [f"{part}: {said['wrong']}" for part, said in results.items() if part != "digest" and said["wrong"]]
    if name == "plain":
        wrong += failures(inside, environment, folder / f"compiled-{version_of(python)}-{age}-tests")
    seconds = time.monotonic() - began
    print(f"{title}: {'; '.join(wrong) or 'works'} ({seconds:.0f} s)", flush=True)
    row = {"environment": title, "wrong": wrong, "seconds": round(seconds), "digest": results.get("digest", "")}
    return row | {"parts": list(setting.parts), "versions": versions(inside)}


def environment_for(compiled: Path, setting: Setting) -> dict[str, str]:
    """The environment variables of a setting."""
    own = {"JAX_COMPILATION_CACHE_DIR": str(compiled), "JAX_PLATFORMS": "cpu"}
    own |= {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    changed: dict[str, str | None] = {**os.environ, **own, **setting.changed}
    return {name: value for name, value in changed.items() if value is not None}


def run_programme(python: Path, place: Path, setting: Setting, environment: dict[str, str]) -> dict[str, Any]:
    """What the programme says of its parts."""
    command = [*setting.before, str(python), str(ROOT / "tests" / "soak" / "programme.py"), str(place), *setting.parts]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=LONGEST, cwd=tempfile.gettempdir())
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = done.stderr.decode(errors="replace")[-3000:]
        return {"all of it": {"wrong": f"exit code {done.returncode}: {said}"}}


def failures(python: Path, environment: dict[str, str], compiled: Path) -> list[str]:
    """The tests that fail, a few files of them."""
    files = [str(ROOT / "tests" / f"{name}.py") for name in TESTS]
    command = [str(python), "-m", "pytest", "-q", "-W", "default", *files]
    done = subprocess.run(
        command, env=environment | {"JAXVAE_TEST_COMPILED": str(compiled)}, capture_output=True, text=True, cwd=ROOT
    )
    return [f"tests: {done.stdout[-3000:]}"] if done.returncode else []


def versions(python: Path) -> str:
    """Of the libraries that matter most."""
    code = "from importlib.metadata import version as v; print(*(n + ' ' + v(n) for n in ('jax', 'flax', 'numpy')))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = ["| environment | versions | ran | result | seconds |", "|---|---|---|---|---|"]
    for row in rows:
        result = "works" if not row["wrong"] else " ".join(row["wrong"][0].split())[-200:]
        cells = (row["environment"], row["versions"], ", ".join(row["parts"]), result, row["seconds"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
