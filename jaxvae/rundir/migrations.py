"""Migrations of states that an earlier version saved: a row for every version of the manifest.

`saved(state)` returns the shapes that were saved, given today's. `renewed(state)` makes today's state of what was read.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxvae.step import Guard, State

__all__ = ["MIGRATIONS", "VERSION"]
VERSION = 2  # of the manifests written now


class _Migration(NamedTuple):
    saved: Callable[[State], Any]
    renewed: Callable[[Any], State]


def _with_short_guard(state: State) -> State:
    """Returns the shapes of version 1, whose guard had no statistics of the losses."""
    return state.replace(guard={name: getattr(state.guard, name) for name in ("skipped", "streak", "scale")})


def _with_full_guard(state: Any) -> State:
    """Returns the state with new statistics of the losses, which start empty."""
    return state.replace(guard=Guard(**state.guard))


MIGRATIONS = {1: _Migration(_with_short_guard, _with_full_guard)}
