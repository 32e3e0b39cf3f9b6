"""The server: on loopback alone, until Ctrl-C."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from jaxvae._checks import UsageError
from jaxvae.runtime.signals import interruptible, noticed
from jaxvae.viz.explorer.security import App

_LOOPBACK = "127.0.0.1"
_GOODBYE = 1  # seconds that answers under way are given at the end


def listening(port: int) -> socket.socket:
    """A socket on loopback, at this port or, for 0, a free one; ValueError where it cannot be had."""
    # of the protocol by name: asyncio then sends at once, and no answer waits 40 ms for the client to confirm its head
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free; one in use is not
    try:
        found.bind((_LOOPBACK, port))
        found.listen()  # now: until then another server may bind the same port, and is told only later
    except OSError as error:
        found.close()
        why = {errno.EADDRINUSE: "another program listens there", errno.EACCES: "it takes a right that you lack"}
        raise UsageError(
            f"--port {port}: {why.get(error.errno or 0, error.strerror)}. Choose another, or leave --port out."
        ) from error
    return found


@contextmanager
def served(app: App, sock: socket.socket) -> Iterator[str]:
    """Its address, while the app is served in a thread of its own."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,  # its own would close the handlers that others have
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GOODBYE,
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
        thread.join(2 * _GOODBYE)
        sock.close()


def until_interrupted(each: Callable[[], None] = lambda: time.sleep(0.1)) -> None:
    """Waits for Ctrl-C or SIGTERM."""
    with interruptible() as caught:
        while not caught:
            each()
        noticed.set()
