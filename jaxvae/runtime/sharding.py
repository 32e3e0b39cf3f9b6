"""Shardings over devices: a batch along its examples; the state replicated, or fully sharded (FSDP).

With one device nothing is placed. With several, jit takes these shardings and inserts the communication. The devices
may belong to several processes; then every process puts only its own rows of a batch.
"""

import dataclasses
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = ["AXIS", "MIN_SHARDED_SIZE", "DeviceLayout", "all_devices", "copy_arrays", "one_device"]
AXIS = "batch"  # the one axis of the mesh, for examples and for the fully sharded state
MIN_SHARDED_SIZE = 2**12  # elements; smaller arrays are not worth the communication


@dataclasses.dataclass(frozen=True)
class DeviceLayout:
    """A row of devices; with `fsdp` the parameters, their average and the optimizer's state are sharded over them."""

    devices: tuple[jax.Device, ...]
    fsdp: bool = False

    @property
    def size(self) -> int:
        return len(self.devices)

    @property
    def is_distributed(self) -> bool:
        """Returns whether there is more than one device."""
        return self.size > 1

    @cached_property
    def mesh(self) -> Mesh:
        return Mesh(np.asarray(self.devices), (AXIS,), axis_types=(AxisType.Auto,))

    @property
    def batch(self) -> NamedSharding:
        """Returns the sharding of arrays [B, ...] along their examples."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def replicated(self) -> NamedSharding:
        """Returns the sharding of arrays that every device holds."""
        return NamedSharding(self.mesh, PartitionSpec())

    def state_shardings(self, state: Any) -> Any:
        """Returns the sharding of every leaf of a state, of arrays or their shapes."""
        return jax.tree.map(self._leaf_sharding if self.fsdp else lambda leaf: self.replicated, state)

    def _leaf_sharding(self, leaf: Any) -> NamedSharding:
        """Returns the sharding along the longest axis that the devices divide; small arrays stay whole."""
        axes = [axis for axis, length in enumerate(leaf.shape) if length % self.size == 0]
        if not axes or leaf.size < MIN_SHARDED_SIZE or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return self.replicated
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        spec = PartitionSpec(*(AXIS if axis == longest else None for axis in range(leaf.ndim)))
        return NamedSharding(self.mesh, spec)

    def rows(self, batch_size: int) -> slice:
        """Returns the rows of a batch that this process's devices hold."""
        if not self.is_distributed:
            return slice(0, batch_size)
        each = batch_size // self.size
        own = [place for place, device in enumerate(self.devices) if device.process_index == jax.process_index()]
        assert own == list(range(own[0], own[-1] + 1))  # the order of jax.devices()
        return slice(own[0] * each, (own[-1] + 1) * each)

    def put_rows(self, rows: Any) -> Any:
        """Puts this process's rows, arrays on the host, onto its devices; returns the batch [B, ...] over all."""
        if not self.is_distributed:
            return jax.device_put(rows)
        return jax.tree.map(partial(jax.make_array_from_process_local_data, self.batch), rows)

    def replicate(self, tree: Any) -> Any:
        """Puts arrays that are equal in all processes onto every device."""
        return jax.tree.map(lambda a: _put(a, self.replicated), tree) if self.is_distributed else jax.device_put(tree)

    def put_state(self, state: Any) -> Any:
        """Returns a copy of a state on these devices, which may be donated."""
        return copy_arrays(jax.tree.map(_put, state, self.state_shardings(state)) if self.is_distributed else state)

    def abstract(self, state: Any) -> Any:
        """Returns the state's shapes and dtypes with their shardings, to load it from a checkpoint."""
        if not self.is_distributed:
            return state
        shardings = self.state_shardings(state)
        return jax.tree.map(lambda a, where: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), state, shardings)

    def fetch(self, array: jax.Array) -> np.ndarray:
        """Returns an array's values on the host, in every process."""
        if jax.process_count() > 1 and not array.is_fully_replicated:
            array = self._gathered(array)
        return np.asarray(array)

    def to_first_device(self, tree: Any) -> Any:
        """Returns whole arrays on this process's first device."""
        if not self.is_distributed:
            return tree
        return jax.tree.map(lambda a: a.addressable_data(0), self._gathered(tree))

    def _gathered(self, tree: Any) -> Any:
        """Returns copies of arrays on every device; compiled once for the same shapes and shardings."""
        return jax.jit(_copies, out_shardings=self.replicated)(tree)


def _put(array: Any, where: NamedSharding) -> jax.Array:
    """Returns the array with this sharding, not copied if it has it; every process gives its own, equal array."""
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
    """Returns copies of all arrays, since donation deletes the originals."""
    return jax.tree.map(jnp.copy, tree)


copy_arrays = jax.jit(_copies)


def one_device() -> DeviceLayout:
    """Returns the layout of this process's first device."""
    return DeviceLayout(tuple(jax.local_devices()[:1]))


def all_devices(*, fsdp: bool = False) -> DeviceLayout:
    """Returns the layout of all devices of all processes, in JAX's order."""
    return DeviceLayout(tuple(jax.devices()), fsdp)
