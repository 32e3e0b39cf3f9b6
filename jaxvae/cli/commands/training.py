"""The verbs that read a data set or a config: data, train and benchmark."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from jaxvae.cli.arguments import add_config, add_out, parse_path
from jaxvae.cli.open_run import prepare_jax
from jaxvae.config.command_line import config_file, read_config
from jaxvae.config.schema import Data, is_ensemble
from jaxvae.runtime.console import print_safely

__all__ = ["add_benchmark_arguments", "add_data_arguments", "add_train_arguments"]
__all__ += ["run_benchmark", "run_data", "run_train"]


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="'digits', a TFDS name, folder:PATH (images, or a zip), npz:PATH or npy:PATH")
    parser.add_argument("--data_dir", help="the folder in which TFDS prepared it, or in which a relative PATH starts")
    parser.add_argument("--manual_dir", help="files to prepare a stock set from, where it shall not be downloaded")
    parser.add_argument("--size", type=int, help="of a folder's images: their central squares, resized")
    parser.add_argument("--channels", type=int, help="of a folder's images: 1 (grey) or 3 (colour)")


def run_data(arguments: argparse.Namespace) -> None:
    from jaxvae.data.sources import open_data

    section = Data(name=arguments.name, data_dir=arguments.data_dir, validation=0.0, manual_dir=arguments.manual_dir)
    section.size, section.channels = arguments.size, arguments.channels
    data = open_data(section, say=print_safely)
    shape = " x ".join(map(str, data.shape))
    kind = f"{data.spec.kind}s"
    print_safely(f"{data.name} {data.version}: {kind} of {shape}, fingerprint {data.fingerprint[:12]}")
    for name, split in data.splits.items():
        source = "" if name == "train" else f"; {data.source(name)}"
        print_safely(f"  {name}: {len(split):,} {kind}, {_describe_labels(split.label)}{source}")
    if data.class_names:
        print_safely(f"  classes: {', '.join(data.class_names)}")


def _describe_labels(label: Any) -> str:
    if label is None:
        return "no labels"
    if label.ndim == 2:
        return f"vectors of {label.shape[1]} numbers"
    return f"labels {label.min()} to {label.max()}"


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--workdir", type=parse_path, help="the run directory (default: runs/<the config's name>)")
    text = "build and trace everything, print sizes, memory and time per epoch, and stop"
    parser.add_argument("--check", action="store_true", help=text)
    text = "train with other processes, the first of which is there; Slurm, Open MPI, GKE and TPU pods need none"
    parser.add_argument("--coordinator", metavar="HOST:PORT", help=text)
    parser.add_argument("--processes", type=int, metavar="N", help="with --coordinator: how many there are")
    parser.add_argument("--process", type=int, metavar="I", help="with --coordinator: which one this is, from 0 on")


def run_train(arguments: argparse.Namespace) -> None:
    config = read_config(arguments.config, arguments.overrides)
    prepare_jax(config)
    from jaxvae.runtime import multihost

    multihost.join(arguments.coordinator, arguments.processes, arguments.process)
    if arguments.check:
        from jaxvae.training.benchmark import check

        check(config)
        return
    workdir = arguments.workdir or Path("runs") / Path(config_file(arguments.config)).stem
    workdir_option = ["--workdir", str(arguments.workdir)] if arguments.workdir else []
    command = shlex.join(["python", "train.py", "--config", arguments.config, *workdir_option, *arguments.overrides])
    if is_ensemble(config):
        from jaxvae.training.ensemble.train import train_and_evaluate_members

        train_and_evaluate_members(config, workdir, command=command, shutdown=arguments.shutdown)
    else:
        from jaxvae.training.train import train_and_evaluate

        train_and_evaluate(config, workdir, command=command, shutdown=arguments.shutdown)


def add_benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    add_out(parser, "a JSON file for the numbers")


def run_benchmark(arguments: argparse.Namespace) -> None:
    config = read_config(arguments.config, arguments.overrides)
    prepare_jax(config, cache=False)  # a program from the cache would have no compile time
    from jaxvae.training.benchmark import benchmark

    benchmark(config, seconds=arguments.seconds, out=arguments.out)
