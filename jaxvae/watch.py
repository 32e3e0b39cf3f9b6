"""Noticing that another process of this run has died: its connection closes, and the others end with a message.

JAX's own heartbeats notice it too, but half a minute later; they are what is left where a machine vanished without
closing anything. Until then the others wait inside a collective operation that will never end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import jax
import numpy as np

GRACE = 3.0  # seconds: where all fail for the same reason, each has the time to say why
BYE = b"."
LONGEST = 64  # bytes of an address as text


def watch() -> Callable[[], None]:
    """Watches the other processes from now on; returns the function to call before ending in order.

    The first process holds a connection to every other one. Where none can be made, JAX's heartbeats alone watch.
    """
    if jax.process_count() == 1:
        return lambda: None
    first = jax.process_index() == 0
    listener = socket.create_server(("", 0), backlog=jax.process_count()) if first else None
    address = exchanged(f"{own_address()}:{listener.getsockname()[1]}" if listener else "")
    connections = accepted(listener, jax.process_count() - 1) if listener else connected(address)
    for peer, connection in connections.items():
        threading.Thread(target=wait_for, args=(connection, peer), name=f"watch {peer}", daemon=True).start()

    def leave() -> None:
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.sendall(BYE)

    return leave


def exchanged(text: str) -> str:
    """The first process's text, in all."""
    from jax.experimental import multihost_utils

    padded = np.frombuffer(text.encode().ljust(LONGEST), np.uint8)
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded))).decode().strip()


def own_address() -> str:
    """This machine's address, as its name resolves."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def accepted(listener: socket.socket, count: int) -> dict[int, socket.socket]:
    """The connections of the other processes, by their numbers; of those that come within a few seconds."""
    connections: dict[int, socket.socket] = {}
    listener.settimeout(10.0)
    with contextlib.suppress(OSError):
        while len(connections) < count:
            connection, _ = listener.accept()
            connection.settimeout(10.0)
            connections[int.from_bytes(connection.recv(4), "big")] = connection
            connection.settimeout(None)
    listener.close()
    return connections


def connected(address: str) -> dict[int, socket.socket]:
    """The connection to the first process; none where it cannot be reached."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        connection = socket.create_connection((host, int(port)), timeout=10.0)
        connection.sendall(jax.process_index().to_bytes(4, "big"))
        connection.settimeout(None)
        return {0: connection}
    return {}


def wait_for(connection: socket.socket, peer: int) -> None:
    """Ends this process when the other one's connection closes without a farewell."""
    try:
        ended_in_order = connection.recv(1) == BYE
    except OSError:
        ended_in_order = False
    if ended_in_order:
        return
    time.sleep(GRACE)
    print(
        f"error: process {peer} of this run has ended, so this one cannot go on. Its own output, or the launcher's, "
        "says why. Start all of them again with the same command: they go on from the last checkpoint.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # the main thread waits inside a collective operation and hears nothing else
