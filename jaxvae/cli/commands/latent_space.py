"""The verbs that walk through the latent space: interpolate, traverse, manifold and animate."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from jaxvae._checks import UsageError
from jaxvae.cli.arguments import add_picture, add_subject, parse_path
from jaxvae.cli.open_run import EXPLORED, open_subject, require_dimensions, require_images, save_arrays, write_picture

__all__ = ["add_animate_arguments", "add_interpolate_arguments", "add_manifold_arguments", "add_traverse_arguments"]
__all__ += ["run_animate", "run_interpolate", "run_manifold", "run_traverse"]


def add_interpolate_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "interpolate")
    parser.add_argument("--images", type=int, nargs="+", metavar="I", help="the images to walk between, two by two")
    parser.add_argument("--steps", type=int, default=11, help="pictures of a walk, both ends included (default 11)")
    parser.add_argument("--path", choices=("line", "great_circle"), default="line")


def run_interpolate(arguments: argparse.Namespace) -> None:
    subject, images = open_subject(arguments), arguments.images
    from jaxvae.viz.figures.interpolation import compute_interpolation, plot_interpolation

    pairs = None
    if images is not None:
        if len(images) % 2:
            raise UsageError(f"--images={' '.join(map(str, images))}: expected an even number of them, two for a walk.")
        require_images(subject, images)
        pairs = list(zip(images[::2], images[1::2], strict=True))
    data = compute_interpolation(subject, pairs, steps=arguments.steps, path=arguments.path)
    write_picture(arguments, plot_interpolation, data)


def add_traverse_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "traverse")
    parser.add_argument("--image", type=int, metavar="I", help="the image to start from (default: the prior's middle)")
    parser.add_argument("--dimensions", type=int, nargs="+", metavar="D", help="default: those that say most (KL)")
    parser.add_argument("--together", action="store_true", help="two dimensions, as a plane")
    parser.add_argument("--steps", type=int, default=11, help="pictures along a dimension (default 11)")
    parser.add_argument("--reach", type=float, default=2.5, help="how far, in the prior's deviations (default 2.5)")


def run_traverse(arguments: argparse.Namespace) -> None:
    subject, image = open_subject(arguments), arguments.image
    from jaxvae.viz.figures import interpolation

    dimensions = require_dimensions(subject, arguments.dimensions)
    if image is not None:
        require_images(subject, [image])
    options = {"image": image, "steps": arguments.steps, "reach": arguments.reach}
    if arguments.together:
        plane = interpolation.compute_traversal_plane(subject, dimensions, **options)
        write_picture(arguments, interpolation.plot_traversal_plane, plane)
    else:
        traversal = interpolation.compute_traversal(subject, dimensions, **options)
        write_picture(arguments, interpolation.plot_traversal, traversal)


def add_manifold_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "manifold")
    parser.add_argument("--dimensions", type=int, nargs=2, metavar="D", help="default: the two that say most (KL)")
    parser.add_argument("--side", type=int, default=20, help="pictures along each side (default 20)")


def run_manifold(arguments: argparse.Namespace) -> None:
    subject = open_subject(arguments)
    from jaxvae.viz.figures.interpolation import compute_manifold, plot_traversal_plane

    data = compute_manifold(subject, require_dimensions(subject, arguments.dimensions), side=arguments.side)
    write_picture(arguments, plot_traversal_plane, data)


def add_animate_arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    text = "a folder for the films (default: RUN/explored)"
    parser.add_argument("--out", dest="out_folder", type=parse_path, metavar="OUT", help=text)
    parser.add_argument("--format", choices=("gif", "mp4"), default="gif")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each lasts (default 6)")


def run_animate(arguments: argparse.Namespace) -> None:
    """Writes the films of a run: its training, its latent plane during training, and a walk through its latent space.

    Each has its first frame beside it as .png and its arrays as .npz. A film that the run has no data for is left out,
    with a message.
    """
    workdir, seconds = arguments.run, arguments.seconds
    if not 1 <= seconds <= 60:
        raise UsageError(f"--seconds={seconds:g}: expected 1 to 60 for the length of a film.")
    from jaxvae.viz import plots
    from jaxvae.viz.figures import animation

    if arguments.format == "mp4":
        plots.require_mp4()
    subject, folder = open_subject(arguments), arguments.out_folder or workdir / EXPLORED
    folder.mkdir(parents=True, exist_ok=True)
    compute_plane = partial(animation.compute_unfolding, workdir, circles=animation.has_bound(subject))
    films: dict[str, tuple[Callable[[], Any], Callable[..., None]]] = {
        "training": (partial(animation.compute_training, workdir, least=2), animation.plot_training_film),
        "plane": (compute_plane, animation.plot_unfolding_film),
        "walk": (partial(animation.compute_path, subject, seconds=seconds), animation.plot_path_film),
    }
    for name, (compute, plot) in films.items():
        path = folder / f"{name}.{arguments.format}"
        try:
            if (data := compute()) is None:
                print(f"no {path.name}: fewer than two snapshots of its training were kept in {workdir}.")
                continue
            plot(path, data, seconds=seconds, still=path.with_suffix(".png"))
        except UsageError as reason:
            print(f"no {path.name}: {reason}")
            continue
        save_arrays(path, data)
