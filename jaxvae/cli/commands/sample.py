"""Draw images from a trained run: a .png of their means, or a .npy of draws x ~ p(x|z)."""

import argparse

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.cli.arguments import add_out, add_run
from jaxvae.cli.open_run import open_run

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=64, help="how many images (default 64)")
    add_out(parser, "the file to write", (".png", ".npy"))
    parser.add_argument("--temperature", type=float, default=1.0, help="times the prior's spread")
    text = "of a model of model.condition='label': the class, or several in turn (default: all in turn)"
    parser.add_argument("--label", type=int, nargs="+", metavar="CLASS", help=text)


def run(arguments: argparse.Namespace) -> None:
    """Writes n images of the model; of the classes in turn, all or those of --label, if it depends on the class."""
    run, out, n = open_run(arguments), arguments.out or arguments.run / "samples.png", arguments.n
    from jax import random

    from jaxvae.viz import figures, plots

    if run.config.model.condition == "vector":
        raise UsageError(
            "this model depends on a vector (model.condition='vector'), which a command line cannot give; "
            "use jaxvae.load(...).sample(key, n, condition=vectors)."
        )
    key, temperature = random.key(arguments.seed), arguments.temperature
    labels = arguments.label or (None if run.parts.condition_size is None else range(run.parts.condition_size))
    classes = None if labels is None else np.resize(np.asarray(labels), n)
    if out.suffix == ".npy":
        np.save(out, np.asarray(run.sample(key, n, temperature=temperature, condition=classes)))
    else:
        _, px = run.generate(random.split(key, n), temperature=temperature, condition=classes)
        plots.save_image(out, plots.mosaic(figures.pictures(px.mean())), cell=min(run.shape[:2]))
    print(out)
