"""Noticing that another process of this run has died: its connection closes, and the others end with a message.

JAX's own heartbeats notice it too, but half a minute later; they are what is left where a machine vanished without
closing anything. Until then the others wait inside a collective operation that will never end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable

import jax
import numpy as np

GRACE = 3.0  # seconds: where all fail for the same reason, each has the time to say why
BYE = b"."
WORD = 32  # letters of the word by which the processes know each other
NOWHERE = "nowhere:0"
_LONGEST = 96  # bytes of an address and the word as text
_PATIENCE = 10.0  # seconds for all to connect


def watch(address: str | None = None) -> Callable[[], None]:
    """Watches the other processes from now on; returns the function to call before ending in order.

    The first process holds a connection to every other one, which it takes at this address of its machine alone, by
    default that of its name. Where none can be made, JAX's heartbeats alone watch.
    """
    if jax.process_count() == 1:
        return lambda: None
    listener = listening(address or _own_address()) if jax.process_index() == 0 else None
    invitation = "{}:{}".format(*listener.getsockname()) if listener else NOWHERE
    place, word = _exchanged(f"{invitation} {secrets.token_hex(WORD // 2)}").split()
    known = word.encode()
    connections = accepted(listener, jax.process_count(), known) if listener else connected(place, known)
    for peer, connection in connections.items():
        threading.Thread(target=wait_for, args=(connection, peer), name=f"watch {peer}", daemon=True).start()

    def leave() -> None:
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.sendall(BYE)

    return leave


def hear(error: Exception) -> None:
    """Before an error is told: where it may be that of a collective operation which another process left, waits.

    `wait_for` then says which one it was, and ends this process; what the operation says is of no use to anybody.
    """
    failed = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
    if jax.process_count() > 1 and failed:
        time.sleep(2 * GRACE)


def listening(address: str) -> socket.socket | None:
    """A socket that takes connections to this address and no other; None where the machine does not have it."""
    try:
        return socket.create_server((address, 0), backlog=jax.process_count())
    except OSError:
        return None


def _exchanged(text: str) -> str:
    """The first process's text, in all."""
    from jax.experimental import multihost_utils

    padded = np.frombuffer(text.encode().ljust(_LONGEST), np.uint8)
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded))).decode().strip()


def _own_address() -> str:
    """This machine's address, as its name resolves."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def accepted(listener: socket.socket, processes: int, word: bytes) -> dict[int, socket.socket]:
    """The connections of the other processes, by their numbers; of those that come within a few seconds.

    Whoever does not know the word that the processes exchanged is turned away: a stranger who came and went would end
    the run.
    """
    connections: dict[int, socket.socket] = {}
    listener.settimeout(_PATIENCE)
    with contextlib.suppress(TimeoutError):
        while len(connections) < processes - 1:
            connection, _ = listener.accept()
            number = _number_said(connection, word)
            if number is not None and 0 < number < processes:
                connections[number] = connection
            else:
                connection.close()
    listener.close()
    return connections


def _number_said(connection: socket.socket, word: bytes) -> int | None:
    """The number that a process says of itself after the word; None of a stranger."""
    connection.settimeout(_PATIENCE / 10)
    with contextlib.suppress(OSError):
        said = connection.recv(len(word) + 4, socket.MSG_WAITALL)
        connection.settimeout(None)
        if len(said) == len(word) + 4 and secrets.compare_digest(said[:-4], word):
            return int.from_bytes(said[-4:], "big")
    return None


def connected(address: str, word: bytes) -> dict[int, socket.socket]:
    """The connection to the first process; none where it cannot be reached."""
    if address == NOWHERE:
        return {}
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        connection = socket.create_connection((host, int(port)), timeout=_PATIENCE)
        connection.sendall(word + jax.process_index().to_bytes(4, "big"))
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
    if peer:  # where the first has gone, with JAX's own service in it, JAX is about to abort this process
        time.sleep(GRACE)
    print(
        f"error: process {peer} of this run has ended, so this one cannot go on. Its own output, or the launcher's, "
        "says why. Start all of them again with the same command: they go on from the last checkpoint.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # the main thread waits inside a collective operation and hears nothing else
