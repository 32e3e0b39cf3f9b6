"""Arguments that several verbs share, and the checks of all their values before any work."""

import argparse
import os
import tempfile
from pathlib import Path

from jaxvae._checks import UsageError, require_positive, require_type, require_whole, short_repr
from jaxvae.config.schema import SPLITS

__all__ = ["add_columns", "add_config", "add_out", "add_picture", "add_run", "add_subject", "check_arguments"]
__all__ += ["parse_path", "require_writable"]

_RANGES = {"n": (1, 100_000), "samples": (1, 10**6), "seed": (0, 2**32 - 1), "size": (1, 2**14), "channels": (1, 3)}
_RANGES |= {"examples": (20, 10**7), "steps": (2, 100), "side": (2, 60), "port": (0, 65535)}
_POSITIVE = ("temperature", "seconds", "reach")
_NAMES = {"run": "RUN", "name": "NAME", "out_folder": "--out"}  # of the arguments that are not written as --NAME


def parse_path(text: str) -> Path:
    """Returns the path; argparse refuses empty text, which would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; leave it out, or name a place")
    return Path(text)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds --config; a verb that has it also accepts --config.FIELD=VALUE."""
    text = "a file whose get_config() returns a Config; override with --config.FIELD=VALUE"
    parser.add_argument("--config", required=True, metavar="FILE", help=text)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds what a verb needs to open a run directory and read its data again."""
    parser.add_argument("run", type=parse_path, help="a run directory")
    parser.add_argument("--trust", action="store_true", help="let the run's config import parts from files")
    text = "where TFDS prepared the data, if not where it was when the run was trained"
    parser.add_argument("--data_dir", help=text)


def add_out(parser: argparse.ArgumentParser, text: str, suffixes: tuple[str, ...] = ()) -> None:
    """Adds --out, a file with one of these suffixes, or with any."""
    parser.add_argument("--out", type=parse_path, help=text)
    parser.set_defaults(suffixes=suffixes)


def add_subject(parser: argparse.ArgumentParser) -> None:
    """Adds what a verb needs to show a run with images of a split."""
    add_run(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, help="whose images (default: test)")


def add_picture(parser: argparse.ArgumentParser, verb: str) -> None:
    """Adds the arguments of a verb that draws one picture of a run's images."""
    add_subject(parser)
    add_out(parser, f"the picture to write (default: RUN/explored/{verb}.png)", (".png",))


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Adds --columns, the user's own attributes."""
    text = "a .csv or .npz of your own attributes: a row for each stored image, or for each of the split shown"
    parser.add_argument("--columns", type=parse_path, help=text)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raises UsageError for the first argument whose value cannot be used."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    for name, value in given.items():
        if isinstance(value, str | Path):
            option = _NAMES.get(name, f"--{name}")
            require_type(option, str(value), str)
            if not str(value):
                raise UsageError(f"{option}=: expected a value, got empty text. Try to leave it out.")
            try:
                if isinstance(value, Path):
                    value.exists()
            except OSError as error:  # a part of it is too long, or a folder of it may not be entered
                raise UsageError(f"{option}={short_repr(str(value))}: {error.strerror}. Try another place.") from error
    for name in given.keys() & _RANGES:
        require_whole(f"--{name}", given[name], *_RANGES[name])
    for name in given.keys() & _POSITIVE:
        require_positive(f"--{name}", given[name])
    for run in (*given.get("runs", ()), *([given["run"]] if "run" in given else ())):
        if not run.is_dir():
            kind = "is a file, but" if run.exists() else "is no run directory: there is no such folder;"
            raise UsageError(f"{run} {kind} a run directory is what `jaxvae train` made, such as runs/digits.")
    for name in given.keys() & {"workdir", "out_folder"}:
        folder = given[name]
        existing = next((each for each in (folder, *folder.parents) if each.exists()), None)
        if existing is not None and not existing.is_dir():
            option = f"{_NAMES.get(name, f'--{name}')}={folder}"
            raise UsageError(f"{option}: expected a folder, but {existing} is a file. Try another place.")
    if "out" in given:
        require_writable(arguments.out, arguments.suffixes)


def require_writable(out: Path, suffixes: tuple[str, ...]) -> None:
    """Raises UsageError unless the file can be written and has one of the suffixes, if any are given."""
    if suffixes and out.suffix not in suffixes:
        raise UsageError(f"--out={out}: expected a {' or '.join(suffixes)} file.")
    if out.is_dir():
        raise UsageError(f"--out={out}: expected a file, but it is a folder. Try a file in it.")
    if not out.parent.is_dir():
        raise UsageError(f"--out={out}: there is no folder {out.parent}. Try to make it first.")
    if out.exists() and not os.access(out, os.W_OK):
        raise UsageError(f"--out={out}: cannot be written (no permission). Try another place.")
    try:
        tempfile.TemporaryFile(dir=out.parent).close()  # permissions do not tell: root has them in /proc
    except OSError as error:
        raise UsageError(f"--out={out}: cannot be written ({error.strerror}). Try another place.") from error
