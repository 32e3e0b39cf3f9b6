"""Which devices hold what: a batch cut along its examples, the state whole on every device, or cut as well.

A layout is a row of devices. With one device nothing is placed anywhere; with several, jit is told by these shardings
where arrays live and finds the communication itself. The devices may belong to several processes: then every process
brings only the rows of a batch that its own devices hold.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "batch"  # the one axis of the mesh: examples are spread over it, and what fully sharded data parallel cuts
LEAST_CUT = 2**12  # elements: smaller arrays are not worth the gathering, and stay whole


@dataclasses.dataclass(frozen=True)
class DeviceLayout:
    """`devices` in a row; with `fsdp` parameters, their average and the optimizer's state are cut over them."""

    devices: tuple[jax.Device, ...]
    fsdp: bool = False

    @property
    def size(self) -> int:
        return len(self.devices)

    @property
    def is_distributed(self) -> bool:
        """Whether there is more than one device."""
        return self.size > 1

    @cached_property
    def mesh(self) -> Mesh:
        return Mesh(np.asarray(self.devices), (AXIS,), axis_types=(AxisType.Auto,))

    @property
    def batch(self) -> NamedSharding:
        """Of arrays [B, ...]: every device holds its share of the examples."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def whole(self) -> NamedSharding:
        """Of arrays that every device holds."""
        return NamedSharding(self.mesh, PartitionSpec())

    def of_state(self, state: Any) -> Any:
        """The sharding of every leaf of a state (of arrays or their shapes)."""
        return jax.tree.map(self._of_leaf if self.fsdp else lambda leaf: self.whole, state)

    def _of_leaf(self, leaf: Any) -> NamedSharding:
        """Cut along the longest axis that the devices divide, if the array is large enough."""
        axes = [axis for axis, length in enumerate(leaf.shape) if length % self.size == 0]
        if not axes or leaf.size < LEAST_CUT or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return self.whole
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        cut = (AXIS if axis == longest else None for axis in range(leaf.ndim))
        return NamedSharding(self.mesh, PartitionSpec(*cut))

    def rows(self, batch_size: int) -> slice:
        """The rows of a batch of so many examples that this process's devices hold."""
        if not self.is_distributed:
            return slice(0, batch_size)
        each = batch_size // self.size
        mine = [place for place, device in enumerate(self.devices) if device.process_index == jax.process_index()]
        assert mine == list(range(mine[0], mine[-1] + 1))  # as jax.devices() orders them
        return slice(mine[0] * each, (mine[-1] + 1) * each)

    def put_rows(self, rows: Any) -> Any:
        """Puts this process's rows of a batch, arrays of the host, onto its devices: the batch [B, ...] over all."""
        if not self.is_distributed:
            return jax.device_put(rows)
        return jax.tree.map(partial(jax.make_array_from_process_local_data, self.batch), rows)

    def put_whole(self, tree: Any) -> Any:
        """Puts arrays that every process has, equal in all, whole onto every device."""
        return jax.tree.map(lambda a: _put(a, self.whole), tree) if self.is_distributed else jax.device_put(tree)

    def put_state(self, state: Any) -> Any:
        """A copy of a state where this layout has it: the original is nobody's to donate."""
        if not self.is_distributed:
            return copy_arrays(state)
        return copy_arrays(jax.tree.map(_put, state, self.of_state(state)))

    def abstract(self, state: Any) -> Any:
        """The state's shapes and dtypes with their places, to load it from a checkpoint to where it belongs."""
        if not self.is_distributed:
            return state

        def at(leaf: Any, where: NamedSharding) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

        return jax.tree.map(at, state, self.of_state(state))

    def fetch(self, array: jax.Array) -> np.ndarray:
        """An array's values on the host, in every process."""
        if jax.process_count() > 1 and not array.is_fully_replicated:
            array = self._gathered(array)
        return np.asarray(array)

    def to_first_device(self, tree: Any) -> Any:
        """Arrays whole on this process's first device, to work with alone."""
        if not self.is_distributed:
            return tree
        return jax.tree.map(lambda a: a.addressable_data(0), self._gathered(tree))

    def _gathered(self, tree: Any) -> Any:
        """Copies of arrays, whole on every device; compiled once for arrays of the same shapes and places."""
        return jax.jit(_copies, out_shardings=self.whole)(tree)


def _put(array: Any, where: NamedSharding) -> jax.Array:
    """The array at those places, without a copy where it is there already; its own, equal, in every process."""
    if isinstance(array, jax.Array) and array.sharding.is_equivalent_to(where, array.ndim):
        return array
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        bits = _put(random.key_data(array), NamedSharding(where.mesh, PartitionSpec()))
        return random.wrap_key_data(bits, impl=random.key_impl(array))
    values = np.asarray(jax.device_get(array))
    places = where.addressable_devices_indices_map(values.shape).items()
    parts = [jax.device_put(values[index], device) for device, index in places]
    return jax.make_array_from_single_device_arrays(values.shape, where, parts)


def _copies(tree: Any) -> Any:
    """Copies of all arrays: donation deletes what it is given."""
    return jax.tree.map(jnp.copy, tree)


copy_arrays = jax.jit(_copies)


def one_device() -> DeviceLayout:
    """This process's first device alone."""
    return DeviceLayout(tuple(jax.local_devices()[:1]))


def all_devices(*, fsdp: bool = False) -> DeviceLayout:
    """All devices of all processes, in jax's order."""
    return DeviceLayout(tuple(jax.devices()), fsdp)
