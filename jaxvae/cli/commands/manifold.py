"""Decode the plane of two latent dimensions at the prior's quantiles."""

import argparse

from jaxvae.cli.arguments import add_picture
from jaxvae.cli.open_run import open_subject, require_dimensions, write_picture

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "manifold")
    parser.add_argument("--dimensions", type=int, nargs=2, metavar="D", help="default: the two that say most (KL)")
    parser.add_argument("--side", type=int, default=20, help="pictures along each side (default 20)")


def run(arguments: argparse.Namespace) -> None:
    subject = open_subject(arguments)
    from jaxvae.viz.figures.interpolation import compute_manifold, plot_traversal_plane

    data = compute_manifold(subject, require_dimensions(subject, arguments.dimensions), side=arguments.side)
    write_picture(arguments, plot_traversal_plane, data)
