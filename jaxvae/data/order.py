"""The one order of the examples, which every pipeline follows."""

from __future__ import annotations

from functools import partial

import jax
from jax import Array, random


@partial(jax.jit, static_argnums=2)
def order(key: Array, epoch: Array | int, n: int) -> Array:
    """A permutation of 0 .. n-1 for this epoch, int32 [n]: every example once, epochs independent."""
    return random.permutation(random.fold_in(key, epoch), n)
