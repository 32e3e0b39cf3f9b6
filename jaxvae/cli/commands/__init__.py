"""The verbs of the command line: each is a module of this folder with add_arguments(parser) and run(arguments).

A module's docstring is the verb's help. For a fast start, the modules import jax only inside functions.
"""

import argparse
from importlib import import_module

__all__ = ["COMMANDS", "make_parser"]

_VERBS = ["train", "evaluate", "sample", "reconstruct", "report", "data", "benchmark", "interpolate", "traverse"]
_VERBS += ["manifold", "attribute", "arithmetic", "animate", "compare", "explore"]
COMMANDS = {verb: import_module(f"{__name__}.{verb}") for verb in _VERBS}


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of `jaxvae VERB ...`; the verb's name is parsed into `verb`."""
    parser = argparse.ArgumentParser(prog="jaxvae", description="Variational autoencoders in JAX.", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, command in COMMANDS.items():
        text = (command.__doc__ or "").removesuffix(".")
        text = text[:1].lower() + text[1:]
        sub = verbs.add_parser(verb, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.add_arguments(sub)
    parser.set_defaults(shutdown=None)  # what a signal sets, where `main` handles signals
    return parser
