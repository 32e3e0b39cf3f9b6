"""Who may ask: a browser on this machine, on the page itself. All else is turned away before it is read.

Anybody's page in the same browser can send requests to loopback, and can have its own name point there (DNS
rebinding): so the Host must be this machine's name, and an Origin, where there is one, this very server.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_NAMES = ("127.0.0.1", "localhost")  # that a Host may have, with any port: one may be forwarded here by ssh
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


def guarded(app: App, most: int) -> App:
    """The app for those who may ask, with bodies of at most `most` bytes; every answer has HEADERS."""

    async def ask(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return

        async def answer(message: _Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        if (refusal := refused(scope)) is not None:
            return await refuse(answer, *refusal)
        body = await bounded(receive, _declared(scope), most)
        if body is None:
            return await refuse(answer, 413, f"the question is larger than {most:,} bytes.")
        return await app(scope, once(body), answer)

    return ask


def refused(scope: _Message) -> tuple[int, str] | None:
    """(the status, why) of a request that is not for us; None for one that is."""
    hosts, origins = _headers_of(scope, b"host"), _headers_of(scope, b"origin")
    if len(hosts) != 1 or _name_of(hosts[0]) not in _NAMES:
        return 421, f"the Host is not this machine's: expected {' or '.join(_NAMES)}."
    if any(origin != f"http://{hosts[0]}" for origin in origins):
        return 403, "the question comes from another page."
    kinds = [kind.partition(";")[0].strip().lower() for kind in _headers_of(scope, b"content-type")]
    if scope["method"] == "POST" and kinds != ["application/json"]:
        return 415, "expected a question in application/json."
    return None


def _headers_of(scope: _Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _name_of(host: str) -> str:
    """The name in a Host header, without its port; '' where that is no port."""
    name, colon, port = host.partition(":")
    return name.lower() if not colon or (port.isascii() and port.isdigit()) else ""


def _declared(scope: _Message) -> int:
    """How many bytes the body has, as its header says; 0 where it does not."""
    sizes = _headers_of(scope, b"content-length")
    return int(sizes[0]) if sizes and sizes[0].isascii() and sizes[0].isdigit() and len(sizes[0]) < 20 else 0


async def bounded(receive: _Receive, size: int, most: int) -> bytes | None:
    """The body; None where it is longer than `most`, or says so: then it is not read."""
    body = bytearray()
    more = size <= most
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return None
        more = message.get("more_body", False)
    return bytes(body) if size <= most else None


def once(body: bytes) -> _Receive:
    """What hands out a body that has been read."""

    async def receive() -> _Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def refuse(send: _Send, status: int, why: str) -> None:
    """Answers in words."""
    content = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": content})
