"""Two pipelines that bring the same examples in the same order to the device.

Step t of training sees the examples epoch_order(key, epoch, n)[position * B : (position + 1) * B], with
epoch, position = divmod(t, n // B): a function of the step alone, so a run continues exactly where it stopped.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import count
from typing import Any

import jax
import numpy as np
from jax import Array, lax, random

from jaxvae._checks import UsageError
from jaxvae.data.dataset import Split
from jaxvae.data.prepare import Examples
from jaxvae.data.tfds.records import Records
from jaxvae.runtime.sharding import DeviceLayout, one_device

__all__ = ["AHEAD", "PIPELINES", "Resident", "Streaming", "choose_pipeline", "epoch_order", "in_order", "read_ahead"]
__all__ += ["take_batch"]

AHEAD = 4  # batches made ready before the step that takes one


@partial(jax.jit, static_argnums=2)
def epoch_order(key: Array, epoch: Array | int, n: int) -> Array:
    """Returns a permutation of 0 .. n-1 for this epoch, int32 [n]: every example once, epochs independent."""
    return random.permutation(random.fold_in(key, epoch), n)


class Resident:
    """The whole split on the device as it is stored; batches are gathered there, nothing crosses per step."""

    name = "resident"

    def __init__(self, split: Split, key: Array, batch_size: int, layout: DeviceLayout | None = None):
        self.n, self.key, self.batch_size = len(split), key, batch_size
        layout = layout or one_device()
        self.data = layout.replicate(Examples(*split.take(np.arange(len(split)))))
        self.steps_per_epoch = self.n // batch_size
        self.number = lambda number: layout.replicate(np.int32(number))
        self.permutation = lru_cache(maxsize=2)(
            lambda epoch: layout.replicate(epoch_order(self.key, jax.device_put(np.int32(epoch)), self.n))
        )

        def take(data, permutation, position):
            return take_batch(data, permutation, position, batch_size=batch_size), position + 1

        self.take = jax.jit(take, out_shardings=(layout.batch, layout.replicated) if layout.is_distributed else None)

    def batches(self, step: int) -> Iterator[Examples]:
        """Yields the batches from this step on, without end; within an epoch nothing is sent to the device."""
        while True:
            epoch, first = divmod(step, self.steps_per_epoch)
            permutation, position = self.permutation(epoch), self.number(first)
            for _ in range(first, self.steps_per_epoch):
                batch, position = self.take(self.data, permutation, position)
                yield batch
            step += self.steps_per_epoch - first


def take_batch(data: Examples, permutation: Array, position: Array | int, *, batch_size: int) -> Examples:
    """Returns batch number `position` of the epoch with this permutation."""
    chosen = lax.dynamic_slice_in_dim(permutation, position * batch_size, batch_size)
    return jax.tree.map(lambda a: a[chosen], data)


class Streaming:
    """The split stays in its memory-mapped cache or its records; batches are read and put onto the device ahead.

    Each of several processes reads the `rows` of every batch that its own devices hold.
    """

    name = "streaming"

    def __init__(self, split: Split, key: Array, batch_size: int, layout: DeviceLayout | None = None):
        self.split, self.n, self.key, self.batch_size = split, len(split), key, batch_size
        self.layout = layout or one_device()
        self.rows = self.layout.rows(batch_size)
        self.steps_per_epoch = self.n // batch_size
        self.permutation = lru_cache(maxsize=3)(lambda epoch: epoch_order(key, jax.device_put(np.int32(epoch)), self.n))

    def batch(self, step: int) -> Examples:
        """Returns this process's rows of the batch of this step, in the host's memory."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        first = position * self.batch_size
        batch = jax.device_get(self.permutation(epoch))[first : first + self.batch_size]
        if 2 * position >= self.steps_per_epoch:
            self.permutation(epoch + 1)  # early: the device sorts it after the steps that it was given
        return Examples(*self.split.take(batch[self.rows]))

    def batches(self, step: int) -> Iterator[Examples]:
        """Yields the batches from this step on, without end, put onto the device while earlier steps compute."""
        device = jax.config.jax_default_device  # type: ignore[attr-defined]  # of this thread: others do not inherit it

        def ready(step: int) -> Any:
            with jax.default_device(device):
                return self.layout.put_rows(self.batch(step))

        # a second thread requests the next batch while the slowest worker is still busy with this one
        threads = 2 if isinstance(self.split.image, Records) else 1
        return read_ahead(ready, count(step), threads)


def read_ahead(read: Callable[[int], Any], numbers: Iterable[int], threads: int = 1) -> Iterator[Any]:
    """Yields read(number) of each number, in order, read by threads while the caller computes."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future] = deque()
    try:
        for number in numbers:
            waiting.append(pool.submit(read, number))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(split: Split, batch_size: int, layout: DeviceLayout | None = None) -> Iterator[tuple[Examples, int]]:
    """Yields the whole split once: batches of one size, the last padded, each with its number of real examples.

    Over several devices batches grow to a multiple of their number, and are sharded by the layout.
    """
    layout = layout or one_device()
    batch_size = -(-batch_size // layout.size) * layout.size
    rows = layout.rows(batch_size)

    def read(first: int) -> Examples:
        positions = np.arange(first, first + batch_size)[rows]
        return Examples(*split.take(np.minimum(positions, len(split) - 1)))

    firsts = range(0, len(split), batch_size)
    for first, batch in zip(firsts, read_ahead(read, firsts), strict=True):
        yield layout.put_rows(batch) if layout.is_distributed else batch, min(batch_size, len(split) - first)


PIPELINES: dict[str, Callable[..., Resident | Streaming]] = {"resident": Resident, "streaming": Streaming}


def choose_pipeline(name: str, split: Split, *, free_bytes: int | None) -> str:
    """Returns 'resident' if the split fits into half of the device's free memory (if unknown, 4 GiB), else 'streaming'.

    Records that are decoded as they are read can only be streamed: UsageError for 'resident'.
    """
    size = len(split) * math.prod(split.image.shape[1:])
    if isinstance(split.image, Records):
        if name == "resident":
            raise UsageError(
                f"data.pipeline='resident' keeps all images decoded on the device; these are {size / 1e9:,.2g} GB, "
                "of a set beyond data.decoded_limit. Choose data.pipeline='streaming' or 'auto', or a larger limit."
            )
        return "streaming"
    if name != "auto":
        return name
    return "resident" if size < (free_bytes or 2**32) / 2 else "streaming"
