"""The training and the latent space as moving pictures (GIF, or MP4)."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from jaxvae._checks import UsageError, require_number
from jaxvae.cli.arguments import add_subject, parse_path
from jaxvae.cli.open_run import EXPLORED, open_subject, save_arrays

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    text = "a folder for the films (default: RUN/explored)"
    parser.add_argument("--out", dest="out_folder", type=parse_path, metavar="OUT", help=text)
    parser.add_argument("--format", choices=("gif", "mp4"), default="gif")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each lasts (default 6)")


def run(arguments: argparse.Namespace) -> None:
    """Writes the films of a run: its training, its latent plane during training, and a walk through its latent space.

    Each has its first frame beside it as .png and its arrays as .npz. A film without data is left out, with a message.
    """
    workdir, seconds = arguments.run, arguments.seconds
    require_number("--seconds", seconds, 1, 60)
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
