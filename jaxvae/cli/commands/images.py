"""The verbs that draw images of a run: sample and reconstruct."""

import argparse

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.cli.arguments import add_out, add_run
from jaxvae.cli.open_run import open_run, set_up_run

__all__ = ["add_reconstruct_arguments", "add_sample_arguments", "run_reconstruct", "run_sample"]


def _add_images(parser: argparse.ArgumentParser, n: int, suffixes: tuple[str, ...]) -> None:
    add_run(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=n, help=f"how many images (default {n})")
    add_out(parser, "the file to write", suffixes)


def add_sample_arguments(parser: argparse.ArgumentParser) -> None:
    _add_images(parser, 64, (".png", ".npy"))
    parser.add_argument("--temperature", type=float, default=1.0, help="times the prior's spread")


def run_sample(arguments: argparse.Namespace) -> None:
    """Writes n images of the model, of the classes in turn if it is given the class."""
    run, out, n = open_run(arguments), arguments.out or arguments.run / "samples.png", arguments.n
    from jax import random

    from jaxvae.viz import figures, plots

    if run.config.model.condition == "vector":
        raise UsageError(
            "this model depends on a vector (model.condition='vector'), which a command line cannot give; "
            "use jaxvae.load(...).sample(key, n, condition=vectors)."
        )
    key, temperature = random.key(arguments.seed), arguments.temperature
    classes = None if run.parts.condition_size is None else np.arange(n) % run.parts.condition_size
    if out.suffix == ".npy":
        np.save(out, np.asarray(run.sample(key, n, temperature=temperature, condition=classes)))
    else:
        _, px = run.generate(random.split(key, n), temperature=temperature, condition=classes)
        plots.save_image(out, plots.mosaic(figures.pictures(px.mean())), cell=min(run.shape[:2]))
    print(out)


def add_reconstruct_arguments(parser: argparse.ArgumentParser) -> None:
    _add_images(parser, 48, (".png",))


def run_reconstruct(arguments: argparse.Namespace) -> None:
    """Writes n test images above their reconstructions; if the inputs were corrupted, these are between them."""
    run, out = open_run(arguments), arguments.out or arguments.run / "reconstructions.png"
    from jax import random

    from jaxvae.viz.figures.reconstructions import compute_reconstructions, plot_reconstructions

    splits = set_up_run(run.config, arguments.data_dir).data.splits
    split = splits.get("test") or splits["train"]
    keys = random.split(random.key(arguments.seed))
    plot_reconstructions(out, compute_reconstructions(run, split, arguments.n, keys))
    print(out)
