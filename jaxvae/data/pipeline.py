"""Two ways to bring the same examples in the same sequence to the device.

Step t of training sees the examples order(key, epoch, n)[position * B : (position + 1) * B], with
epoch, position = divmod(t, n // B): a function of the step alone, so a run continues exactly wherever it stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax import Array, lax

from jaxvae.data.dataset import Split
from jaxvae.data.order import order
from jaxvae.data.prepare import Examples

AHEAD = 4  # batches gathered ahead of the step, on the host and again on the device


class Resident:
    """The whole split on the device as uint8; batches are gathered there, nothing crosses per step."""

    name = "resident"

    def __init__(self, split: Split, key: Array, batch_size: int):
        self.n, self.key, self.batch_size = len(split), key, batch_size
        self.data = jax.device_put(Examples(*split.take(np.arange(len(split)))))
        self.steps_per_epoch = self.n // batch_size
        self.permutation = lru_cache(maxsize=2)(lambda epoch: order(self.key, on_device(epoch), self.n))

    def batches(self, step: int, place: Callable[[Examples], Any] = lambda batch: batch) -> Iterator[Examples]:
        """The batches from this step on, without end; within an epoch the device counts, and nothing is sent to it."""

        @jax.jit
        def take(data, permutation, position):
            return take_batch(data, permutation, position, batch_size=self.batch_size), position + 1

        while True:
            epoch, first = divmod(step, self.steps_per_epoch)
            permutation, position = self.permutation(epoch), on_device(first)
            for _ in range(first, self.steps_per_epoch):
                batch, position = take(self.data, permutation, position)
                yield place(batch)
            step += self.steps_per_epoch - first


def on_device(number: int) -> Array:
    """The number as an int32 scalar, put onto the device by name: what is passed as an int crosses unseen."""
    return jax.device_put(np.int32(number))


def take_batch(data: Examples, permutation: Array, position: Array | int, *, batch_size: int) -> Examples:
    """Batch number `position` of the epoch with this permutation."""
    chosen = lax.dynamic_slice_in_dim(permutation, position * batch_size, batch_size)
    return jax.tree.map(lambda a: a[chosen], data)


class Streaming:
    """The split stays in its memory-mapped cache; Grain gathers batches ahead and puts them onto the device."""

    name = "streaming"

    def __init__(self, split: Split, key: Array, batch_size: int):
        self.split, self.n, self.key, self.batch_size = split, len(split), key, batch_size
        self.steps_per_epoch = self.n // batch_size
        self.permutation = lru_cache(maxsize=2)(lambda epoch: jax.device_get(order(self.key, on_device(epoch), self.n)))

    def batch(self, step: int) -> Examples:
        """The batch of this step, in the host's memory."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        first = position * self.batch_size
        return Examples(*self.split.take(self.permutation(epoch)[first : first + self.batch_size]))

    def batches(self, step: int, place: Callable[[Examples], Any] = jax.device_put) -> Iterator[Examples]:
        """The batches from this step on, without end, gathered ahead and put onto the device ahead."""
        import grain  # lazily: it takes a second to import, and accelerator images often lack it

        steps = grain.MapDataset.range(step, 2**31 - 1).map(self.batch)
        reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        return put_ahead(iter(steps.to_iter_dataset(reading)), place)


def put_ahead(batches: Iterator[Examples], place: Callable[[Examples], Any]) -> Iterator[Any]:
    """Starts each batch's way to the device while the steps before it still compute."""
    placed: deque[Any] = deque()
    for batch in batches:
        placed.append(place(batch))
        if len(placed) > AHEAD:
            yield placed.popleft()
    yield from placed


def in_order(split: Split, batch_size: int) -> Iterator[tuple[Examples, int]]:
    """The whole split once, for evaluation: batches of one size, the last padded; with each its number of real ones."""
    for first in range(0, len(split), batch_size):
        positions = np.arange(first, first + batch_size)
        yield Examples(*split.take(np.minimum(positions, len(split) - 1))), min(batch_size, len(split) - first)


PIPELINES: dict[str, Callable[..., Resident | Streaming]] = {"resident": Resident, "streaming": Streaming}


def choose_pipeline(name: str, split: Split, *, free_bytes: int | None) -> str:
    """'resident' where the split fits into half of the device's free memory (if unknown, 4 GiB), else 'streaming'."""
    if name != "auto":
        return name
    size = len(split) * int(np.prod(split.image.shape[1:]))
    return "resident" if size < (free_bytes or 2**32) / 2 else "streaming"
