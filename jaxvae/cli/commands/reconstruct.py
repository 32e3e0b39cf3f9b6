"""Write test images beside their reconstructions."""

import argparse

from jaxvae.cli.arguments import add_out, add_run
from jaxvae.cli.open_run import open_run, set_up_run

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=48, help="how many images (default 48)")
    add_out(parser, "the file to write", (".png",))


def run(arguments: argparse.Namespace) -> None:
    """Writes n test images above their reconstructions; if the inputs were corrupted, these are between them."""
    run, out = open_run(arguments), arguments.out or arguments.run / "reconstructions.png"
    from jax import random

    from jaxvae.viz.figures.reconstructions import compute_reconstructions, plot_reconstructions

    splits = set_up_run(run.config, arguments.data_dir).data.splits
    split = splits.get("test") or splits["train"]
    keys = random.split(random.key(arguments.seed))
    plot_reconstructions(out, compute_reconstructions(run, split, arguments.n, keys))
    print(out)
