"""The page and its answers behind routes: GET gives what the page is made of, POST answers its questions."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jaxvae.viz.explorer import requests as fields
from jaxvae.viz.explorer.api import ANSWERS, describe
from jaxvae.viz.explorer.payloads import Answer, Fields
from jaxvae.viz.explorer.security import App, guarded
from jaxvae.viz.explorer.session import Known

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HOME = "index.html"
log = logging.getLogger("jaxvae")


def make_app(known: Known, name: str) -> App:
    """The ASGI app that explores what is known of the run called `name`."""
    routes = [Route(f"/{'' if each == HOME else each}", page, methods=["GET"]) for each, page in pages().items()]
    routes.append(Route("/api/model", partial(described, known, name), methods=["GET"]))
    routes += [
        Route(f"/api/{question}", partial(answered, known, answer), methods=["POST"])
        for question, answer in ANSWERS.items()
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # no address is made of what a request says
    return guarded(app, _longest(known))


def _longest(known: Known) -> int:
    """The bytes of the longest question: a drawing in base64, or a code in digits, and some words."""
    run = known.subject.run
    return 2**14 + 2 * math.prod(run.shape) + 32 * math.prod(run.latent_shape) + 200 * len(ANSWERS)


def pages() -> dict[str, Callable]:
    """{file name: what answers with it}, of the files of explorer/static: no path is taken from a request."""
    folder = files("jaxvae.viz.explorer") / "static"
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.name[each.name.rfind(".") :] in _KINDS}
    return {name: partial(static, content, _KINDS[name[name.rfind(".") :]]) for name, content in found.items()}


async def static(content: bytes, kind: str, request: Request) -> Response:
    return Response(content, media_type=kind)


async def described(known: Known, name: str, request: Request) -> Response:
    return JSONResponse({"run": name, **describe(known)})


async def answered(known: Known, answer: Callable[[Known, Fields], Answer], request: Request) -> Response:
    """The answer, worked out in a thread; 400 and why where the question is none, 500 where the fault is ours."""
    body = await request.body()
    try:
        return JSONResponse(await run_in_threadpool(lambda: answer(known, fields.read(body))))
    except ValueError as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    except Exception as error:
        log.exception("%s could not be answered", request.url.path)
        return JSONResponse({"error": f"{type(error).__name__}; the terminal says more."}, status_code=500)
