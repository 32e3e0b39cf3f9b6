"""Measure compile time, speed, share of the device's peak, and memory of a config."""

import argparse

from jaxvae.cli.arguments import add_config, add_out
from jaxvae.cli.open_run import prepare_jax
from jaxvae.config.command_line import read_config

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    add_out(parser, "a JSON file for the numbers")


def run(arguments: argparse.Namespace) -> None:
    config = read_config(arguments.config, arguments.overrides)
    prepare_jax(config, cache=False)  # a program from the cache would have no compile time
    from jaxvae.training.benchmark import benchmark

    benchmark(config, seconds=arguments.seconds, out=arguments.out)
