"""The guard of the app: only the page itself, in a browser on this machine, may send requests.

Any page in the same browser can send requests to loopback, and can have its own name point there (DNS rebinding). So
the Host must name this machine, and an Origin, if there is one, must be this very server.
"""

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["GUARD"]

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


GUARD = [
    Middleware(_RequestGuard),
    Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]"], www_redirect=False),
]
