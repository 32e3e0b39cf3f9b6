"""The app of the page: GET returns the files of the page, POST the responses of its requests.

Any page in the same browser can send requests to loopback, and can have its own name point there (DNS rebinding). So
the Host must name this machine, and an Origin, if there is one, must be this very server.
"""

import logging
import math
from collections.abc import Iterator
from functools import partial
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jaxvae._checks import UsageError
from jaxvae.viz.explorer.api import ENDPOINTS, describe_model, respond
from jaxvae.viz.explorer.requests import parse_body
from jaxvae.viz.explorer.session import Session

__all__ = ["make_app"]

_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
_log = logging.getLogger("jaxvae")


class _RequestGuard:
    """Refuses requests of other origins and of other content types; adds _HEADERS to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = _refuse(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send_with_headers)


def _refuse(request: Request) -> JSONResponse | None:
    headers = request.headers
    if any(origin != f"http://{headers.get('host')}" for origin in headers.getlist("origin")):
        return JSONResponse({"error": "the request comes from another page."}, status_code=403)
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and content_type != "application/json":
        return JSONResponse({"error": "expected a request in application/json."}, status_code=415)
    return None


_GUARD = [
    Middleware(_RequestGuard),
    Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]"], www_redirect=False),
]


def make_app(session: Session, name: str) -> Starlette:
    """Returns the app that explores the run called `name`."""

    async def model(request: Request) -> Response:
        return JSONResponse({"run": name, **describe_model(session)})

    run = session.subject.run
    # the longest request is a drawing in base64, or a code in digits, with the strengths of all attributes
    limit = 2**14 + 2 * math.prod(run.shape) + 32 * math.prod(run.latent_shape)
    limit += 200 * len(session.codes.directions if session.codes else ())
    routes = [
        *_static_routes(),
        Route("/api/model", model, methods=["GET"]),
        *(Route(f"/api/{each}", partial(_respond, session, each, limit), methods=["POST"]) for each in ENDPOINTS),
    ]
    app = Starlette(routes=routes, middleware=_GUARD)
    app.router.redirect_slashes = False  # no address is made from a request's text
    return app


def _static_routes() -> Iterator[Route]:
    """Yields a route for each file of static/; no path is taken from a request."""
    for file in (files("jaxvae.viz.explorer") / "static").iterdir():
        media_type = _MEDIA_TYPES.get(file.name[file.name.rfind(".") :])
        if media_type is not None:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            yield Route(path, partial(_send_file, file.read_bytes(), media_type), methods=["GET"])


async def _send_file(content: bytes, media_type: str, request: Request) -> Response:
    return Response(content, media_type=media_type)


async def _respond(session: Session, name: str, limit: int, request: Request) -> Response:
    """Returns the response, computed in a thread; 400 for a mistake in the request, 500 for a bug."""
    try:
        fields = parse_body(await _read_body(request, limit))
        return JSONResponse(await run_in_threadpool(respond, session, name, fields))
    except HTTPException as error:
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers={"connection": "close"})
    except (UsageError, ClientDisconnect) as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    except Exception as error:
        _log.exception("the request %s failed", request.url.path)
        return JSONResponse({"error": f"{type(error).__name__}; the terminal says more."}, status_code=500)


async def _read_body(request: Request, limit: int) -> bytes:
    """Returns the body; stops reading at the first byte too many."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the request is larger than {limit:,} bytes.")
    return bytes(body)
