"""A page on this machine to play with the model."""

import argparse
import importlib
import webbrowser

from jaxvae._checks import UsageError
from jaxvae.cli.arguments import add_run
from jaxvae.cli.open_run import open_subject
from jaxvae.runtime.console import print_safely

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--port", type=int, default=0, help="on loopback (default: a free one)")
    parser.add_argument("--no_browser", action="store_true", help="print the address, and open nothing")
    parser.set_defaults(seed=0, split=None)


def run(arguments: argparse.Namespace) -> None:
    """Serves the page on loopback until Ctrl-C, and opens it in a browser unless --no_browser is given."""
    for name in ("starlette", "uvicorn"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(f"jaxvae explore needs {error.name}. Try pip install starlette uvicorn.") from error
    from jaxvae.viz.explorer.api import compile_all
    from jaxvae.viz.explorer.server import listen, make_app, serve, wait_for_interrupt
    from jaxvae.viz.explorer.session import open_session

    sock = listen(arguments.port)  # first, so that a port in use is reported before anything is read
    session = open_session(open_subject(arguments))
    print_safely(f"{arguments.run}: {len(session.subject.split):,} {session.subject.name} images; compiling")
    compile_all(session)
    with serve(make_app(session, arguments.run.resolve().name), sock) as address:
        print_safely(f"Explore it at {address} (Ctrl-C ends it)")
        if not arguments.no_browser:
            webbrowser.open(address)
        wait_for_interrupt(arguments.shutdown)
    print_safely("ended.")
