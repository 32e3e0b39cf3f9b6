"""`jaxvae explore`: a page on this machine to play with a trained model."""

from __future__ import annotations

import importlib
import webbrowser
from pathlib import Path

from jaxvae._checks import UsageError
from jaxvae.cli.commands.open_run import opened
from jaxvae.runtime.console import show
from jaxvae.viz.explorer.api import warm
from jaxvae.viz.explorer.session import know

_EXTRA = ("starlette", "uvicorn")


def explore(run: Path, *, trust: bool = False, data_dir: str | None = None, port: int = 0, no_browser: bool = False):
    """Serves the page on loopback until Ctrl-C, and opens it in a browser unless `no_browser`."""
    _require_extra()
    from jaxvae.viz.explorer.routes import make_app
    from jaxvae.viz.explorer.server import listening, served, until_interrupted

    sock = listening(port)  # first of all: what cannot be had is said before anything is read
    known = know(opened(run, data_dir=data_dir, trust=trust))
    show(f"{run}: {len(known.subject.split):,} {known.subject.name} images; compiling")
    warm(known)
    with served(make_app(known, run.resolve().name), sock) as address:
        show(f"Explore it at {address} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(address)
        until_interrupted()
    show("ended.")


def _require_extra() -> None:
    """ValueError where the page's libraries are not installed."""
    for name in _EXTRA:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(f"jaxvae explore needs {error.name}: pip install 'jaxvae[explore]'") from error
