"""The command line's options, judged before anything is read or computed."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from jaxvae._checks import positive, require, shown, whole
from jaxvae.config.schema import SPLITS

RANGES = {"n": (1, 100_000), "samples": (1, 10**6), "seed": (0, 2**32 - 1), "size": (1, 2**14), "channels": (1, 3)}
RANGES |= {"examples": (20, 10**7), "steps": (2, 100), "side": (2, 60), "port": (0, 65535)}
SUFFIXES = {"sample": (".png", ".npy"), "reconstruct": (".png",)}  # verb -> what its --out may end in
SUFFIXES |= dict.fromkeys(("interpolate", "traverse", "manifold", "attribute", "arithmetic"), (".png",))


def named(text: str) -> Path:
    """A path; argparse refuses an empty one, which would be the folder that one happens to be in."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; leave it out, or name a place")
    return Path(text)


def check_options(options: argparse.Namespace) -> None:
    """ValueError for the first option that cannot be what it is given for."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    for name, value in given.items():
        if isinstance(value, str | Path):
            require_text(name.upper() if name in ("run", "name") else f"--{name}", str(value))
        if isinstance(value, Path):
            require_place(f"--{name}", value)
    for name in given.keys() & RANGES:
        whole(f"--{name}", given[name], *RANGES[name])
    for name in given.keys() & {"temperature", "seconds", "reach"}:
        positive(f"--{name}", given[name])
    for split in given.get("splits", ()):
        if split not in SPLITS:
            raise ValueError(f"--splits {split}: expected one or more of {', '.join(SPLITS)}.")
    if "run" in given:
        require_run(options.run)
    if "workdir" in given:
        require_room("--workdir", options.workdir)
    for run in given.get("runs", ()):
        require_run(run)
    if "out" in given and options.name_of_verb == "compare":
        require_room("--out", options.out)
    elif "out" in given:
        require_out(options.out, SUFFIXES.get(options.name_of_verb, ()))


def require_run(run: Path) -> None:
    """ValueError for what is no folder."""
    if not run.is_dir():
        kind = "is a file, but" if run.exists() else "is no run directory: there is no such folder;"
        raise ValueError(f"{run} {kind} a run directory is what `jaxvae train` made, such as runs/digits.")


def require_text(name: str, text: str) -> None:
    """ValueError for text that is empty, too long, or holds what no file's name can."""
    require(name, text, str)
    if not text:
        raise ValueError(f"{name} is empty; leave it out, or give it a value.")


def require_place(name: str, path: Path) -> None:
    """ValueError for a path that the system does not even look for, as one with too long a name."""
    try:
        path.exists()
    except OSError as error:
        raise ValueError(f"{name} {shown(str(path))}: {error.strerror}; choose another place.") from error


def require_room(name: str, folder: Path) -> None:
    """ValueError where this can be no folder, as it, or one that it would be in, is a file."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    if there is not None and not there.is_dir():
        raise ValueError(f"{name} {folder}: {there} is a file; choose a folder.")


def require_out(out: Path, suffixes: tuple[str, ...]) -> None:
    """ValueError where the file cannot be written, or not as what its name says."""
    if suffixes and out.suffix not in suffixes:
        raise ValueError(f"--out {out}: expected a {' or '.join(suffixes)} file.")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; name a file in it.")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}; make it first.")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise ValueError(f"--out {out} cannot be written: no permission; choose another place.")
