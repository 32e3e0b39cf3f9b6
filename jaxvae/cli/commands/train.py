"""Train a VAE, or go on where its run directory stopped."""

import argparse
import shlex
from pathlib import Path

from jaxvae.cli.arguments import add_config, parse_path
from jaxvae.cli.open_run import prepare_jax
from jaxvae.config.command_line import config_file, read_config
from jaxvae.config.schema import is_ensemble

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--workdir", type=parse_path, help="the run directory (default: runs/<the config's name>)")
    text = "build and trace everything, print sizes, memory and time per epoch, and stop"
    parser.add_argument("--check", action="store_true", help=text)
    text = "train with other processes, the first of which is there; Slurm, Open MPI, GKE and TPU pods need none"
    parser.add_argument("--coordinator", metavar="HOST:PORT", help=text)
    parser.add_argument("--processes", type=int, metavar="N", help="with --coordinator: how many there are")
    parser.add_argument("--process", type=int, metavar="I", help="with --coordinator: which one this is, from 0 on")


def run(arguments: argparse.Namespace) -> None:
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
