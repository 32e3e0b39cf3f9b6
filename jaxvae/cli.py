"""The command line: `jaxvae train | evaluate | sample | reconstruct | report | data | benchmark`, and train.py.

Exit codes: 0 done; 2 the caller's mistake, one message with the next move (--debug shows the traceback); 1 the run
itself failed; 130 or 143 stopped by Ctrl-C or SIGTERM with everything saved; 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import select
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxvae.blame import explained
from jaxvae.config import Config, several
from jaxvae.configfile import PREFIX, config_file, read_config
from jaxvae.interrupt import Interrupted, heard_again, stoppable
from jaxvae.options import check_options, named
from jaxvae.terminal import show

NO_READER = 141  # as a process ends that SIGPIPE killed: who read its output is gone
log = logging.getLogger("jaxvae")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
    options, overrides = parser.parse_known_args(argv)
    stray = [text for text in overrides if not text.startswith(PREFIX)]
    if stray or (overrides and not hasattr(options, "config")):
        parser.error(f"unrecognized arguments: {' '.join(stray or overrides)}")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if not options.debug:
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs what it raises besides, with the traceback

    def action() -> None:
        check_options(options)
        options.verb(options, overrides)

    with stoppable():
        code, together = guarded(action, debug=options.debug)
    return code if together else abandon(code)


def abandon(code: int) -> int:
    """Ends a process that ends alone among several at once; in order it would wait for the others to end too."""
    if "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized():
        sys.stderr.flush()
        os._exit(code)
    return code


def train() -> int:
    """train.py: `jaxvae train` with the command line's arguments."""
    return main(["train", *sys.argv[1:]])


def guarded(action: Callable[[], None], *, debug: bool) -> tuple[int, bool]:
    """Runs the action and turns what went wrong into one message; returns (exit code, whether all processes end so)."""
    try:
        action()
        sys.stdout.flush()
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum, True
    except KeyboardInterrupt:  # of somebody's code: a signal raises none here
        print("stopped.", file=sys.stderr)
        return 130, False
    except Exception as error:
        if isinstance(error, BrokenPipeError) and nobody_reads():
            return NO_READER, False
        if debug:
            traceback.print_exc()
        message, code = explained(error)
        show(f"error: {message}", sys.stderr)
        return code, False
    return 0, True


def nobody_reads() -> bool:
    """Whether the reader of this process's output is gone, as in `jaxvae ... | head`; nothing is from then on."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
    return True


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

    def of_run(sub: argparse.ArgumentParser, count: int) -> None:
        sub.add_argument("run", type=named, help="a run directory")
        sub.add_argument("--trust", action="store_true", help="let the run's config import parts from files")
        sub.add_argument(
            "--data_dir", help="where TFDS prepared the data, if not where it was when the run was trained"
        )
        if count:
            sub.add_argument("--seed", type=int, default=0)
            sub.add_argument("--n", type=int, default=count, help=f"how many images (default {count})")
            sub.add_argument("--out", type=named, help="the file to write")

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
    of_run(sub, 0)
    sub.add_argument("--samples", type=int, help="K of the importance-weighted log-likelihood")
    sub.add_argument("--splits", nargs="+", help="train, validation, test")
    sub = verb(
        "sample", sample_verb, "draw images from a trained run: a .png of their means, or a .npy of draws x ~ p(x|z)"
    )
    of_run(sub, 64)
    sub.add_argument("--temperature", type=float, default=1.0, help="times the prior's spread")
    of_run(verb("reconstruct", reconstruct_verb, "write test images beside their reconstructions"), 48)
    of_run(verb("report", report_verb, "draw a run's figures and write its report.html again"), 0)
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
    return parser


def train_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    config = read_config(options.config, overrides)
    prepare_jax(config)
    from jaxvae import cluster
    from jaxvae.watch import hear, watch

    cluster.join(options.coordinator, options.processes, options.process)
    heard_again()
    if options.check:
        from jaxvae.benchmark import check

        return check(config)
    workdir = options.workdir or Path("runs") / Path(config_file(options.config)).stem
    elsewhere = ["--workdir", str(options.workdir)] if options.workdir else []
    command = shlex.join(["python", "train.py", "--config", options.config, *elsewhere, *overrides])
    leave = watch("127.0.0.1" if cluster.on_loopback(options.coordinator) else None)
    try:
        train_as_told(config, workdir, command)
    except Interrupted:
        leave()
        raise
    except (ValueError, RuntimeError) as error:
        hear(error)
        raise
    leave()
    return None


def train_as_told(config: Config, workdir: Path, command: str) -> None:
    """Trains one run, or the members of train.seeds and train.sweep."""
    if several(config):
        from jaxvae.ensemble import train_and_evaluate_members

        train_and_evaluate_members(config, workdir, command=command)
    else:
        from jaxvae.loop import train_and_evaluate

        train_and_evaluate(config, workdir, command=command)


def benchmark_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    config = read_config(options.config, overrides)
    prepare_jax(config, cache=False)  # compile times are measured, so none comes from the cache
    from jaxvae.benchmark import benchmark

    benchmark(config, seconds=options.seconds, out=options.out)


def evaluate_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.verbs import evaluate

    chosen = {"samples": options.samples, "splits": options.splits}
    evaluate(options.run, **chosen, data_dir=options.data_dir, trust=options.trust)


def sample_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.verbs import sample

    sample(options.run, options.n, options.out, seed=options.seed, temperature=options.temperature, trust=options.trust)


def reconstruct_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.verbs import reconstruct

    chosen = {"seed": options.seed, "data_dir": options.data_dir, "trust": options.trust}
    reconstruct(options.run, options.n, options.out, **chosen)


def report_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    prepare_jax()
    from jaxvae.verbs import report

    report(options.run, data_dir=options.data_dir, trust=options.trust)


def data_verb(options: argparse.Namespace, overrides: list[str]) -> None:
    from jaxvae.data.dataset import open_data

    wanted = {"manual_dir": options.manual_dir, "size": options.size, "channels": options.channels}
    data = open_data(options.name, options.data_dir, 0, log=show, checked=math.inf, **wanted)
    shape = " x ".join(map(str, data.shape))
    kind = "images" if len(data.shape) == 3 else "sequences"
    show(f"{data.name} {data.version}: {kind} of {shape}, fingerprint {data.fingerprint[:12]}")
    for name, split in data.splits.items():
        source = "" if name == "train" else f"; {data.source(name)}"
        show(f"  {name}: {len(split):,} {kind}, {describe_labels(split.label)}{source}")
    if data.class_names:
        show(f"  classes: {', '.join(data.class_names)}")


def describe_labels(label: Any) -> str:
    """What the labels of a split are, in words."""
    if label is None:
        return "no labels"
    if label.ndim == 2:
        return f"vectors of {label.shape[1]} numbers"
    return f"labels {label.min()} to {label.max()}"


def prepare_jax(config: Config | None = None, *, cache: bool = True) -> None:
    """Sets what must be set before JAX's backend starts: determinism on a GPU, and the compilation cache."""
    if config is not None and config.train.deterministic:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
    import jax

    from jaxvae.data.store import cache_folder, writable

    if not cache:
        jax.config.update("jax_enable_compilation_cache", False)
    elif os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    elif writable(folder := cache_folder() / "compiled"):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    else:
        log.warning("%s cannot be written: compiling anew. JAXVAE_CACHE names another folder.", folder.parent)


if __name__ == "__main__":
    sys.exit(main())
