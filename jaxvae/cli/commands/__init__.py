"""The verbs of the command line: a table of their names, modules and help.

A module has add_VERB_arguments(parser) and run_VERB(arguments) for each of its verbs. It imports jax, and what imports
it, only inside functions, so that `jaxvae --help` starts without it.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

from jaxvae.cli.commands import attributes, explore, images, latent_space, results, training

__all__ = ["COMMANDS", "Command", "make_parser"]


class Command(NamedTuple):
    """A verb: its help, what adds its arguments to a parser, and what runs it."""

    text: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


_VERBS = (
    ("train", training, "train a VAE, or go on where its run directory stopped"),
    ("evaluate", results, "score a trained run again, with more samples or other splits"),
    ("sample", images, "draw images from a trained run: a .png of their means, or a .npy of draws x ~ p(x|z)"),
    ("reconstruct", images, "write test images beside their reconstructions"),
    ("report", results, "draw a run's figures and write its report.html again"),
    ("data", training, "read a data set into the cache and say what is in it"),
    ("benchmark", training, "measure compile time, speed, share of the device's peak, and memory of a config"),
    ("interpolate", latent_space, "walk through the latent space from one image to another"),
    ("traverse", latent_space, "move one latent dimension after the other, or two at once"),
    ("manifold", latent_space, "decode the plane of two latent dimensions at the prior's quantiles"),
    ("attribute", attributes, "add an attribute to images: a direction of the latent space, and how well it works"),
    ("arithmetic", attributes, "a - b + c of the codes of images, or of the mean codes of attributes"),
    ("animate", latent_space, "the training and the latent space as moving pictures (GIF, or MP4)"),
    ("compare", results, "one table and one figure of several runs"),
    ("explore", explore, "a page on this machine to play with the model"),
)
COMMANDS = {
    verb: Command(text, getattr(module, f"add_{verb}_arguments"), getattr(module, f"run_{verb}"))
    for verb, module, text in _VERBS
}


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of `jaxvae VERB ...`; the verb's name is parsed into `verb`."""
    parser = argparse.ArgumentParser(prog="jaxvae", description="Variational autoencoders in JAX.", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, command in COMMANDS.items():
        sub = verbs.add_parser(verb, help=command.text, description=command.text, allow_abbrev=False)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.add_arguments(sub)
    parser.set_defaults(shutdown=None)  # what a signal sets, where `main` handles signals
    return parser
