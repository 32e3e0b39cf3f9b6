"""The server of the page, on loopback alone, until Ctrl-C."""

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from jaxvae._checks import UsageError
from jaxvae.runtime.signals import Shutdown

__all__ = ["listen", "serve", "wait_for_interrupt"]

_LOOPBACK = "127.0.0.1"
_GRACE = 1  # seconds in which responses under way may end


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
