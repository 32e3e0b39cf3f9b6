"""The command line's options, judged before anything is read or computed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from jaxvae._checks import UsageError, require_positive, require_type, require_whole, short_repr
from jaxvae.cli.commands import (
    LOOKING,
    benchmark_verb,
    data_verb,
    evaluate_verb,
    exploring_verb,
    looking_verb,
    reconstruct_verb,
    report_verb,
    sample_verb,
    train_verb,
)
from jaxvae.config.ranges import SPLITS

_RANGES = {"n": (1, 100_000), "samples": (1, 10**6), "seed": (0, 2**32 - 1), "size": (1, 2**14), "channels": (1, 3)}
_RANGES |= {"examples": (20, 10**7), "steps": (2, 100), "side": (2, 60), "port": (0, 65535)}
_SUFFIXES = {"sample": (".png", ".npy"), "reconstruct": (".png",)}  # verb -> what its --out may end in
_SUFFIXES |= dict.fromkeys(("interpolate", "traverse", "manifold", "attribute", "arithmetic"), (".png",))


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
            _require_text(name.upper() if name in ("run", "name") else f"--{name}", str(value))
        if isinstance(value, Path):
            _require_place(f"--{name}", value)
    for name in given.keys() & _RANGES:
        require_whole(f"--{name}", given[name], *_RANGES[name])
    for name in given.keys() & {"temperature", "seconds", "reach"}:
        require_positive(f"--{name}", given[name])
    for split in given.get("splits", ()):
        if split not in SPLITS:
            raise UsageError(f"--splits {split}: expected one or more of {', '.join(SPLITS)}.")
    if "run" in given:
        _require_run(options.run)
    if "workdir" in given:
        _require_room("--workdir", options.workdir)
    for run in given.get("runs", ()):
        _require_run(run)
    if "out" in given and options.name_of_verb == "compare":
        _require_room("--out", options.out)
    elif "out" in given:
        require_out(options.out, _SUFFIXES.get(options.name_of_verb, ()))


def _require_run(run: Path) -> None:
    """ValueError for what is no folder."""
    if not run.is_dir():
        kind = "is a file, but" if run.exists() else "is no run directory: there is no such folder;"
        raise UsageError(f"{run} {kind} a run directory is what `jaxvae train` made, such as runs/digits.")


def _require_text(name: str, text: str) -> None:
    """ValueError for text that is empty, too long, or holds what no file's name can."""
    require_type(name, text, str)
    if not text:
        raise UsageError(f"{name} is empty; leave it out, or give it a value.")


def _require_place(name: str, path: Path) -> None:
    """ValueError for a path that the system does not even look for, as one with too long a name."""
    try:
        path.exists()
    except OSError as error:
        raise UsageError(f"{name} {short_repr(str(path))}: {error.strerror}; choose another place.") from error


def _require_room(name: str, folder: Path) -> None:
    """ValueError where this can be no folder, as it, or one that it would be in, is a file."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    if there is not None and not there.is_dir():
        raise UsageError(f"{name} {folder}: {there} is a file; choose a folder.")


def require_out(out: Path, suffixes: tuple[str, ...]) -> None:
    """ValueError where the file cannot be written, or not as what its name says."""
    if suffixes and out.suffix not in suffixes:
        raise UsageError(f"--out {out}: expected a {' or '.join(suffixes)} file.")
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file in it.")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it first.")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise UsageError(f"--out {out} cannot be written: no permission; choose another place.")


# MERGED

_FILMS = "a folder for the films (default: RUN/explored)"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jaxvae", description="Variational autoencoders in JAX.", allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, action: Callable, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(verb=action, name_of_verb=name)
        return sub

    def of_config(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--config",
            required=True,
            metavar="FILE",
            help="a file whose get_config() returns a Config; override with --config.FIELD=VALUE",
        )

    sub = verb("train", train_verb, "train a VAE, or go on where its run directory stopped")
    of_config(sub)
    sub.add_argument("--workdir", type=named, help="the run directory (default: runs/<the config's name>)")
    sub.add_argument(
        "--check",
        action="store_true",
        help="build and trace everything, print sizes, memory and time per epoch, and stop",
    )
    sub.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="train with other processes, the first of which is there; Slurm, Open MPI, GKE and TPU pods need none",
    )
    sub.add_argument("--processes", type=int, metavar="N", help="with --coordinator: how many there are")
    sub.add_argument("--process", type=int, metavar="I", help="with --coordinator: which one this is, from 0 on")
    sub = verb("evaluate", evaluate_verb, "score a trained run again, with more samples or other splits")
    _of_run(sub, 0)
    sub.add_argument("--samples", type=int, help="K of the importance-weighted log-likelihood")
    sub.add_argument("--splits", nargs="+", help="train, validation, test")
    sub = verb(
        "sample", sample_verb, "draw images from a trained run: a .png of their means, or a .npy of draws x ~ p(x|z)"
    )
    _of_run(sub, 64)
    sub.add_argument("--temperature", type=float, default=1.0, help="times the prior's spread")
    _of_run(verb("reconstruct", reconstruct_verb, "write test images beside their reconstructions"), 48)
    _of_run(verb("report", report_verb, "draw a run's figures and write its report.html again"), 0)
    sub = verb("data", data_verb, "read a data set into the cache and say what is in it")
    sub.add_argument("name", help="'digits', a TFDS name, folder:PATH (images, or a zip), npz:PATH or npy:PATH")
    sub.add_argument("--data_dir", help="the folder in which TFDS prepared it, or in which a relative PATH starts")
    sub.add_argument("--manual_dir", help="files to prepare a stock set from, where it shall not be downloaded")
    sub.add_argument("--size", type=int, help="of a folder's images: their central squares, resized")
    sub.add_argument("--channels", type=int, help="of a folder's images: 1 (grey) or 3 (colour)")
    sub = verb(
        "benchmark", benchmark_verb, "measure compile time, speed, share of the device's peak, and memory of a config"
    )
    of_config(sub)
    sub.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    sub.add_argument("--out", type=named, help="a JSON file for the numbers")
    _add_exploring(verb)
    return parser


def _of_run(sub: argparse.ArgumentParser, count: int) -> None:
    sub.add_argument("run", type=named, help="a run directory")
    sub.add_argument("--trust", action="store_true", help="let the run's config import parts from files")
    sub.add_argument("--data_dir", help="where TFDS prepared the data, if not where it was when the run was trained")
    if count:
        sub.add_argument("--seed", type=int, default=0)
        sub.add_argument("--n", type=int, default=count, help=f"how many images (default {count})")
        sub.add_argument("--out", type=named, help="the file to write")


_ATTRIBUTES = (
    "slant, thickness, loops, brightness, contrast; of colour images warmth, colourfulness, brightness, contrast; "
    "label=3; or a column of --columns (default: the first of these that there is)"
)
_OWN_COLUMNS = "a .csv or .npz of your own attributes: a row for each stored image, or for each of the split shown"


def _add_exploring(verb: Callable[[str, Callable, str], argparse.ArgumentParser]) -> None:
    """The verbs that look into a run's latent space; each writes a picture (.png, .svg) and its arrays (.npz)."""

    def looking(name: str, text: str, *, images: bool = True, out: str = "") -> argparse.ArgumentParser:
        sub = verb(name, looking_verb if name in LOOKING else exploring_verb, text)
        _of_run(sub, 0)
        if images:
            sub.add_argument("--seed", type=int, default=0)
            sub.add_argument("--split", choices=SPLITS, help="whose images (default: test)")
            what = f"the picture to write (default: RUN/explored/{name}.png)"
            sub.add_argument("--out", type=named, help=out or what)
        return sub

    sub = looking("interpolate", "walk through the latent space from one image to another")
    sub.add_argument("--images", type=int, nargs="+", metavar="I", help="the images to walk between, two by two")
    sub.add_argument("--steps", type=int, default=11, help="pictures of a walk, both ends included (default 11)")
    sub.add_argument("--path", choices=("line", "great_circle"), default="line")
    sub = looking("traverse", "move one latent dimension after the other, or two at once")
    sub.add_argument("--image", type=int, metavar="I", help="the image to start from (default: the prior's middle)")
    sub.add_argument("--dimensions", type=int, nargs="+", metavar="D", help="default: those that say most (KL)")
    sub.add_argument("--together", action="store_true", help="two dimensions, as a plane")
    sub.add_argument("--steps", type=int, default=11, help="pictures along a dimension (default 11)")
    sub.add_argument("--reach", type=float, default=2.5, help="how far, in the prior's deviations (default 2.5)")
    sub = looking("manifold", "decode the plane of two latent dimensions at the prior's quantiles")
    sub.add_argument("--dimensions", type=int, nargs=2, metavar="D", help="default: the two that say most (KL)")
    sub.add_argument("--side", type=int, default=20, help="pictures along each side (default 20)")
    sub = looking("attribute", "add an attribute to images: a direction of the latent space, and how well it works")
    sub.add_argument("--attribute", help=_ATTRIBUTES)
    sub.add_argument("--columns", type=named, help=_OWN_COLUMNS)
    sub.add_argument("--method", choices=("means", "probe"), default="means", help="how the direction is found")
    sub.add_argument("--strengths", type=float, nargs="+", help="times the direction (default -2 to 2)")
    sub.add_argument("--keep", nargs="+", default=[], metavar="NAME", help="attributes that shall not change")
    sub.add_argument("--images", type=int, nargs="+", metavar="I", help="which to show (default: --n without it)")
    sub.add_argument("--n", type=int, default=8, help="how many images (default 8)")
    examples = "the direction is found on so many training images at most (default 10000)"
    sub.add_argument("--examples", type=int, default=10_000, help=examples)
    sub = looking("arithmetic", "a - b + c of the codes of images, or of the mean codes of attributes")
    for name in ("a", "b", "c"):
        sub.add_argument(f"--{name}", help="an image's number, or attributes: label=3,not:slant (default: of the data)")
    sub.add_argument("--columns", type=named, help=_OWN_COLUMNS)
    examples = "mean codes are of so many training images at most (default 10000)"
    sub.add_argument("--examples", type=int, default=10_000, help=examples)
    sub = looking("animate", "the training and the latent space as moving pictures (GIF, or MP4)", out=_FILMS)
    sub.add_argument("--format", choices=("gif", "mp4"), default="gif")
    sub.add_argument("--seconds", type=float, default=6.0, help="how long each lasts (default 6)")
    sub = verb("compare", exploring_verb, "one table and one figure of several runs")
    sub.add_argument("runs", type=named, nargs="+", metavar="RUN", help="run directories")
    sub.add_argument("--trust", action="store_true", help="let the runs' configs import parts from files")
    sub.add_argument("--data_dir", help="where TFDS prepared the data, if not where it was when they were trained")
    sub.add_argument("--out", type=named, help="a folder for the table and the figure (default: compared)")
    sub.add_argument("--mixed", action="store_true", help="compare runs of different data or protocols all the same")
    sub = looking("explore", "a page on this machine to play with the model", images=False)
    sub.add_argument("--port", type=int, default=0, help="on loopback (default: a free one)")
    sub.add_argument("--no_browser", action="store_true", help="print the address, and open nothing")
