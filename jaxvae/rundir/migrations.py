"""How a state that an earlier version saved becomes one of this version: a row for every version of the manifest.

`saved(state)` is the shape it was saved in, given today's; `renewed(state)` makes today's state of what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxvae.step import Guard, State

VERSION = 2  # of the manifests written now


class _Migration(NamedTuple):
    saved: Callable[[State], Any]
    renewed: Callable[[Any], State]


def _guard_of_three(state: State) -> State:
    """The guard knew no losses: it had the steps skipped, the streak and the scale alone."""
    return state.replace(guard={name: getattr(state.guard, name) for name in ("skipped", "streak", "scale")})


def _guard_of_seven(state: Any) -> State:
    """What is usual for the losses is learned from here on."""
    return state.replace(guard=Guard(**state.guard))


MIGRATIONS = {1: _Migration(_guard_of_three, _guard_of_seven)}
