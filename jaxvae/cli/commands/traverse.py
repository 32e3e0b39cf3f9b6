"""Move one latent dimension after the other, or two at once."""

import argparse

from jaxvae.cli.arguments import add_picture
from jaxvae.cli.open_run import open_subject, require_dimensions, write_picture

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "traverse")
    parser.add_argument("--image", type=int, metavar="I", help="the image to start from (default: the prior's middle)")
    parser.add_argument("--dimensions", type=int, nargs="+", metavar="D", help="default: those that say most (KL)")
    parser.add_argument("--together", action="store_true", help="two dimensions, as a plane")
    parser.add_argument("--steps", type=int, default=11, help="pictures along a dimension (default 11)")
    parser.add_argument("--reach", type=float, default=2.5, help="how far, in the prior's deviations (default 2.5)")


def run(arguments: argparse.Namespace) -> None:
    subject, image = open_subject(arguments), arguments.image
    from jaxvae.viz.figures import interpolation

    dimensions = require_dimensions(subject, arguments.dimensions)
    if image is not None:
        subject.require_positions([image])
    options = {"image": image, "steps": arguments.steps, "reach": arguments.reach}
    if arguments.together:
        plane = interpolation.compute_traversal_plane(subject, dimensions, **options)
        write_picture(arguments, interpolation.plot_traversal_plane, plane)
    else:
        traversal = interpolation.compute_traversal(subject, dimensions, **options)
        write_picture(arguments, interpolation.plot_traversal, traversal)
