"""The app of the page and its server, on loopback alone: GET returns the page's files, POST responses to requests.

Any page in the same browser can send requests to loopback, and can have its own name point there (DNS rebinding). So
the Host must name this machine, and an Origin, if there is one, must be this very server.
"""

import errno
import logging
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import PurePath

import uvicorn
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
from jaxvae.runtime.signals import Shutdown
from jaxvae.viz.explorer.api import ENDPOINTS, describe_model, respond
from jaxvae.viz.explorer.requests import parse_body
from jaxvae.viz.explorer.session import Session

__all__ = ["listen", "make_app", "serve", "wait_for_interrupt"]

_LOOPBACK = "127.0.0.1"
_GRACE = 1  # seconds in which responses under way may end
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


def _guard(app: ASGIApp) -> ASGIApp:
    """Returns the app that refuses requests of other origins or content types and adds _HEADERS to every response."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = _refuse(Request(scope)) if scope["type"] == "http" else None
        await (refusal or app)(scope, receive, send_with_headers)

    return guarded


def _refuse(request: Request) -> JSONResponse | None:
    headers = request.headers
    if any(origin != f"http://{headers.get('host')}" for origin in headers.getlist("origin")):
        return JSONResponse({"error": "the request comes from another page."}, status_code=403)
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and content_type != "application/json":
        return JSONResponse({"error": "expected a request in application/json."}, status_code=415)
    return None


def make_app(session: Session, name: str) -> Starlette:
    """Returns the app that explores the run called `name`."""

    async def model(request: Request) -> Response:
        return JSONResponse({"run": name, **describe_model(session)})

    run = session.subject.run
    # the longest request is a drawing in base64, or a code in digits, with the strengths of all attributes
    limit = 2**14 + 2 * math.prod(run.shape) + 32 * math.prod(run.latent_shape)
    limit += 200 * len(session.codes.directions if session.codes else ())
    routes = [Route("/api/model", model, methods=["GET"])]
    for each in ENDPOINTS:
        routes.append(Route(f"/api/{each}", partial(_respond, session, each, limit), methods=["POST"]))
    for file in (files("jaxvae.viz.explorer") / "static").iterdir():  # no path is taken from a request
        if media_type := _MEDIA_TYPES.get(PurePath(file.name).suffix):
            path = "/" if file.name == "index.html" else f"/{file.name}"
            routes.append(Route(path, partial(_send_file, file.read_bytes(), media_type), methods=["GET"]))
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", _LOOPBACK, "[::1]"], www_redirect=False)
    app = Starlette(routes=routes, middleware=[Middleware(_guard), hosts])
    app.router.redirect_slashes = False  # no address is made from a request's text
    return app


async def _send_file(content: bytes, media_type: str, request: Request) -> Response:
    return Response(content, media_type=media_type)


async def _respond(session: Session, name: str, limit: int, request: Request) -> Response:
    """Returns the response, computed in a thread; 400 for a mistake in the request, 500 for a bug."""
    try:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:  # the rest is not read
                raise HTTPException(413, f"the request is larger than {limit:,} bytes.")
        return JSONResponse(await run_in_threadpool(respond, session, name, parse_body(bytes(body))))
    except HTTPException as error:
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers={"connection": "close"})
    except (UsageError, ClientDisconnect) as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    except Exception as error:
        _log.exception("the request %s failed", request.url.path)
        return JSONResponse({"error": f"{type(error).__name__}; the terminal says more."}, status_code=500)


def listen(port: int) -> socket.socket:
    """Returns a socket on loopback at this port, or at a free one for 0; raises UsageError if the port is taken."""
    # of the protocol by name: asyncio then sets TCP_NODELAY, and no response waits 40 ms for the client's ACK
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free; one in use is not
    try:
        found.bind((_LOOPBACK, port))
        found.listen()  # now: until then another server may bind the same port, and fails only later
    except OSError as error:
        found.close()
        why = {errno.EADDRINUSE: "another program listens there", errno.EACCES: "it takes a right that you lack"}
        raise UsageError(
            f"--port {port}: {why.get(error.errno or 0, error.strerror)}. Choose another, or leave --port out."
        ) from error
    return found


@contextmanager
def serve(app: ASGIApp, sock: socket.socket) -> Iterator[str]:
    """Serves the app in a thread of its own; yields its address."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,  # uvicorn's own would close the handlers of others
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="server", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield "http://{}:{}/".format(*sock.getsockname())
    finally:
        server.should_exit = True
        thread.join(2 * _GRACE)
        sock.close()


def wait_for_interrupt(shutdown: Shutdown | None = None) -> None:
    """Waits for Ctrl-C or SIGTERM."""
    shutdown = shutdown or Shutdown()
    with shutdown.deferred():
        while shutdown.signum is None:
            time.sleep(0.1)
        shutdown.answered.set()
