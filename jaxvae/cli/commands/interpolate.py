"""Walk through the latent space from one image to another."""

import argparse

from jaxvae._checks import UsageError
from jaxvae.cli.arguments import add_picture
from jaxvae.cli.open_run import open_subject, write_picture

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "interpolate")
    parser.add_argument("--images", type=int, nargs="+", metavar="I", help="the images to walk between, two by two")
    parser.add_argument("--steps", type=int, default=11, help="pictures of a walk, both ends included (default 11)")
    parser.add_argument("--path", choices=("line", "great_circle"), default="line")


def run(arguments: argparse.Namespace) -> None:
    subject, images = open_subject(arguments), arguments.images
    from jaxvae.viz.figures.interpolation import compute_interpolation, plot_interpolation

    pairs = None
    if images is not None:
        if len(images) % 2:
            raise UsageError(f"--images={' '.join(map(str, images))}: expected an even number of them, two for a walk.")
        subject.require_positions(images)
        pairs = list(zip(images[::2], images[1::2], strict=True))
    data = compute_interpolation(subject, pairs, steps=arguments.steps, path=arguments.path)
    write_picture(arguments, plot_interpolation, data)
