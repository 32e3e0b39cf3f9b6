"""Real train.py processes that are stopped on purpose: where each of them stands, the signal, and what was lost by it.

For tests/test_killed.py, a handful, and tests/soak/kills.py, hundreds.
"""

import dataclasses
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.config.build import build
from jaxvae.rundir import CHECKPOINTS, checkpoint, manifest
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.state import abstract_state
from jaxvae.runtime.multihost import HEARTBEAT_TIMEOUT

ROOT = Path(__file__).resolve().parent.parent
PHASES = ("start", "step", "save", "validation", "evaluation", "report")
LAST = ("evaluation", "report")  # once a run has come here it takes no more steps
ENDED = "ended"  # in place of a phase: the process was done before it could be stopped
LOOK = 0.003  # seconds between two looks at a process
LONGEST = 300.0  # seconds that a process may take for what is left of its run
ANSWER = 10.0  # seconds within which SIGTERM and Ctrl-C end a process
EXPECTED = (  # lines on stderr: of a home that cannot be written, and of a save that was killed
    *(
        "Matplotlib created a temporary cache",
        "mkdir -p failed for path",
        "cannot be written: programs are compiled again",
    ),
    "was not finished: it has no manifest.json",
)
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A config of configs/ and what is changed in it, train.validate_every among that; how many processes train it."""

    config: str
    changed: Mapping[str, object]
    processes: int = 1

    @property
    def arguments(self) -> list[str]:
        overrides = [f"--config.{name}={value}" for name, value in self.changed.items()]
        return ["--config", str(ROOT / "configs" / f"{self.config}.py"), *overrides]


@dataclasses.dataclass(frozen=True)
class Session:
    """One process of a run; what it says goes into two files beside the run directory."""

    process: subprocess.Popen
    variant: Variant
    workdir: Path
    began: int  # nanoseconds of the clock by which files are stamped
    log: Path

    @property
    def out(self) -> str:
        return self.log.with_suffix(".out").read_text(errors="replace")

    @property
    def errors(self) -> str:
        return self.log.with_suffix(".err").read_text(errors="replace")


@dataclasses.dataclass(frozen=True)
class Stop:
    """A signal: the phase it was meant for and the one it hit, how long the process took to end, what was wrong."""

    signum: int
    aimed: str
    hit: str
    seconds: float
    wrong: str = ""


def start(variant: Variant, workdir: Path, compiled: Path | None) -> list[Session]:
    """Starts the run's processes, each in a process group of its own; programs are kept in `compiled`, if given."""
    if variant.processes == 1:
        return [start_one(variant, workdir, compiled, [], 0)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        together = ["--coordinator", f"127.0.0.1:{server.getsockname()[1]}", "--processes", str(variant.processes)]
    numbers = range(variant.processes)
    return [start_one(variant, workdir, compiled, [*together, "--process", str(i)], i) for i in numbers]


def start_one(variant: Variant, workdir: Path, compiled: Path | None, arguments: Sequence[str], number: int) -> Session:
    log = workdir.parent / f"{workdir.name}-said-{number}"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    if compiled is not None:
        cache = {"JAX_COMPILATION_CACHE_DIR": str(compiled), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        environment = environment | cache
    command = [sys.executable, str(ROOT / "train.py"), "--workdir", str(workdir), *variant.arguments, *arguments]
    began = time.time_ns()
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as errors:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=errors, start_new_session=True)
    return Session(process, variant, workdir, began, log)


def finish(sessions: Sequence[Session]) -> None:
    """Waits for the processes to end by themselves; RuntimeError where one fails, or has anything to complain of."""
    for session in sessions:
        code = session.process.wait(LONGEST)
        if code or not all(any(known in line for known in EXPECTED) for line in session.errors.splitlines()):
            raise RuntimeError(f"{session.log} ended with exit code {code}: {session.errors}")


# where a process stands


def phase(session: Session) -> str:
    """One of PHASES, or ENDED, by what the process has said and written so far."""
    said = session.out
    if re.search("^report: ", said, re.M):
        return ENDED
    if re.search("^evaluating on", said, re.M):
        if not is_new(session, session.workdir / "results.json"):
            return "evaluation"
        return ENDED if (session.workdir / "report.html").exists() else "report"
    if not re.search("^step ", said, re.M):
        return "start"
    if is_validating(session):  # the checkpoint before may still be being written then
        return "validation"
    saving = any(is_saving(session, folder) for folder in (session.workdir / CHECKPOINTS).glob("[0-9]*"))
    return "save" if saving else "step"


def is_new(session: Session, path: Path) -> bool:
    """Whether the file was written by this process."""
    return stamp(path) > session.began


def stamp(path: Path) -> int:
    """When the file was written, 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def is_saving(session: Session, folder: Path) -> bool:
    """Whether the process writes this checkpoint, or removes an old one; not where an earlier process was stopped."""
    return is_new(session, folder) and not (folder / manifest.MANIFEST).exists()


def is_validating(session: Session) -> bool:
    """Whether the line of a step to validate at is written, and the pictures that follow the validation are not."""
    timing = session.workdir / "timing.jsonl"
    lines = timing.read_bytes()[-300:].splitlines(keepends=True)
    if not lines or not lines[-1].endswith(b"\n"):
        return False
    step = json.loads(lines[-1])["step"]
    pictures = session.workdir / "samples" / f"{step:09d}.npy"
    return step % int(str(session.variant.changed["train.validate_every"])) == 0 and stamp(pictures) < stamp(timing)


def looks(sessions: Sequence[Session]) -> Iterator[str]:
    """The phase of the first process, which is the one that writes, at every look, until it has ended."""
    while sessions[0].process.poll() is None:
        yield phase(sessions[0])
        time.sleep(LOOK)


def spans(sessions: Sequence[Session]) -> dict[str, list[float]]:
    """How long, in seconds, the run was in each phase, every time that it came there."""
    found: dict[str, list[float]] = {name: [] for name in (*PHASES, ENDED)}
    before, since = "start", time.monotonic()
    for now in looks(sessions):
        if now != before:
            found[before].append(time.monotonic() - since)
            before, since = now, time.monotonic()
    found[before].append(time.monotonic() - since)
    return found


# the signal


def stop(sessions: Sequence[Session], signum: int, aimed: str, turn: int = 1, delay: float = 0.0, to: int = 0) -> Stop:
    """Signals process number `to`, `delay` seconds after the run came to the phase for the `turn`th time."""
    came, before, victim = 0, "", sessions[to]
    for now in looks(sessions):
        came, before = came + (now == aimed != before), now
        if came == turn:
            time.sleep(delay)
            break
    hit, sent = phase(sessions[0]), time.monotonic()
    send(victim, signum)
    codes = [ended(session, sent + HEARTBEAT_TIMEOUT + ANSWER) for session in sessions]
    seconds = time.monotonic() - sent
    if codes[to] == 0:
        return Stop(signum, aimed, ENDED, seconds)
    if hit == ENDED:  # all was written; the interpreter itself was stopped
        return Stop(signum, aimed, hit, seconds)
    wrong = complaint(signum, codes[to], seconds, victim.errors)
    for session, code in zip(sessions, codes, strict=True):
        done = hit == "report" and to > 0 and code == 0  # the first alone draws and writes: it needs nobody any more
        if session is not victim and not done:
            wrong += bystander(signum, code, seconds, session.errors)
    return Stop(signum, aimed, hit, seconds, wrong)


def send(session: Session, signum: int) -> None:
    """SIGTERM to the process, as from a scheduler; the others to its group, as from a terminal."""
    if session.process.poll() is None:
        (os.kill if signum == signal.SIGTERM else os.killpg)(session.process.pid, signum)


def ended(session: Session, deadline: float) -> int:
    """The exit code of the process, which is killed if it does not end in time."""
    try:
        return session.process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        session.process.kill()
        return session.process.wait()


def complaint(signum: int, code: int, seconds: float, errors: str) -> str:
    """What is wrong with how a process ended: exit code, time, or what it said; '' where it ended as promised."""
    wrong = [] if code == CODES[signum] else [f"exit code {code}, expected {CODES[signum]}"]
    if signum != signal.SIGKILL:
        wrong += [f"took {seconds:.1f} s"] * (seconds > ANSWER)
        wrong += ["said no line that it stopped"] * (not re.search("stopped|ended", errors))
        lines = [line for line in errors.splitlines() if not any(known in line for known in EXPECTED)]
        wrong += ["more than one line"] * (len(lines) > 1)
    wrong += ["a traceback"] * ("Traceback" in errors)
    return "; ".join(wrong) + (f": {errors[-1000:]}" if wrong else "")


def bystander(signum: int, code: int, seconds: float, errors: str) -> str:
    """The same of a process of which another was stopped: it stops with that one, or says that it was left alone."""
    if signum != signal.SIGKILL:
        return complaint(signum, code, seconds, errors)
    wrong = [] if code in (1, -signal.SIGABRT) else [f"the other ended with code {code}, expected 1, or JAX's abort"]
    wrong += [f"the other took {seconds:.1f} s"] * (seconds > HEARTBEAT_TIMEOUT + ANSWER / 2)
    reasons = "has ended, so this one cannot go on", "another task died"
    wrong += ["the other did not say why"] * (not any(reason in errors for reason in reasons))
    return "; ".join(wrong) + (f": {errors[-1000:]}" if wrong else "")


def plan(draw: random.Random, count: int) -> list[str]:
    """So many phases to stop a run in, in an order in which all of them may be met."""
    aims = draw.choices(PHASES, k=count)
    return sorted(aims, key=lambda aim: (aim in LAST) or (aim == "start" and draw.random() < 0.3))


def break_run(
    variant: Variant,
    workdir: Path,
    compiled: Path | None,
    aims: Sequence[str],
    signals: Sequence[int],
    usual: Mapping[str, list[float]],
    draw: random.Random,
) -> list[Stop]:
    """Starts the run again and again, stops it in each of these phases, and lets it come to its end.

    `usual`: how long a run is in each phase, for moments anywhere in it.
    """
    stops: list[Stop] = []
    for aimed in aims:
        turn = draw.randint(1, max(1, len(usual[aimed]) // 3))
        delay = draw.uniform(0, 1.1 * statistics.median(usual[aimed] or [0.0]))
        signum, victim = draw.choice(list(signals)), draw.randrange(variant.processes)
        stops.append(stop(start(variant, workdir, compiled), signum, aimed, turn, delay, victim))
        if stops[-1].hit == ENDED:
            return stops
    finish(start(variant, workdir, compiled))
    return stops


# what was lost


def differences(run: Path, whole: Path) -> list[str]:
    """What a stopped run has otherwise than the run that never was, in words; [] where nothing was lost."""
    found = [f"state{name}" for name in unequal(final_state(run), final_state(whole))]
    found += [name for name in ("metrics.jsonl",) if (run / name).read_bytes() != (whole / name).read_bytes()]
    results, expected = (json.loads((path / "results.json").read_text()) for path in (run, whole))
    found += [f"results.json[{name!r}]" for name in ("step", "test") if results[name] != expected[name]]
    for path in (*run.glob("*.jsonl"), *run.glob("*.json")):
        for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            json.loads(line)
    names, others = file_names(run), file_names(whole)
    found += [f"{name} is left over" for name in sorted(names - others)]
    found += [f"{name} is missing" for name in sorted(others - names)]
    found += [
        f"{path} has no manifest" for path in (run / CHECKPOINTS).iterdir() if not (path / "manifest.json").exists()
    ]
    pictures = [name for name in names & others if name.startswith(("samples/", "codes/", "figures/"))]
    found += [name for name in sorted(pictures) if (run / name).read_bytes() != (whole / name).read_bytes()]
    page, other = ((path / "report.html").read_text() for path in (run, whole))
    found += ["report.html"] * (not page.endswith("</html>\n") or page.count("<img") != other.count("<img"))
    return found


def file_names(run: Path) -> set[str]:
    """The files of a run directory, but for those of checkpoints and TensorBoard, whose names differ in every run."""
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith(("checkpoints/", "tensorboard/"))}


def final_state(run: Path) -> dict[str, np.ndarray]:
    """{path: array} of the run's last state, and of the best one that patience goes back to."""
    directory = RunDirectory(run)
    config, data = directory.config, directory.data
    parts = build(config, tuple(data["shape"]), condition=data.get("condition_size"))
    folder, abstract = run / CHECKPOINTS, abstract_state(config, parts)
    states = {"": checkpoint.restore(folder, abstract)}
    if config.train.patience:
        states[", the best"] = checkpoint.restore(folder, abstract, prefer=manifest.best_step(folder))
    return {
        name + jax.tree_util.keystr(path): np.asarray(raw(leaf))
        for name, state in states.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def raw(leaf: jax.Array) -> jax.Array:
    """The numbers of a leaf, also of a key."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def unequal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> list[str]:
    """The names under which two mappings hold other bits."""
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if name not in one or name not in other or bits(one[name]) != bits(other[name])
    ]


def bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()
