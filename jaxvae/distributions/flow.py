"""Normalizing flows: a Gaussian carried through an invertible network."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxvae.distributions.location_scale import Normal

__all__ = ["Flow"]


@struct.dataclass
class Flow:
    """The density of x = f(z, context), z ~ base: log p(x) = log base(z) - log |det df/dz|.

    (Rezende & Mohamed 2015, arXiv 1505.05770, eq. 5.) `weights` are f's parameters, each leaf with one axis of size 1
    for every batch axis of the base in front of its own; `context [*batch, C]` or None. `network` is hashable, and
    `network.apply({"params": weights}, z [N, D], context [N, C], method="forward")`, or "inverse", gives what f, or its
    inverse, makes of z, and log |det| of that map's Jacobian, [N]. Which of the two is fast is the network's choice.
    """

    base: Normal
    weights: Any
    context: Array | None
    network: Any = struct.field(pytree_node=False)

    @property
    def event(self) -> int:
        return self.base.event

    def mean(self) -> Array:
        """Returns f of the base's mean: the centre of the density, not its expectation, which has no closed form."""
        return self._apply(self.base.mean(), "forward")[0]

    def sample(self, keys: Array, temperature: float | Array = 1.0) -> Array:
        """Draws f(z), z from the base, its spread times `temperature`; see `draw_each` for the keys."""
        return self._apply(self.base.sample(keys, temperature), "forward")[0]

    def log_prob(self, x: Array) -> Array:
        """Returns log p(x), by the inverse of f: for x of other origin than `sample_and_log_prob`."""
        z, log_det = self._apply(x, "inverse")
        return self.base.log_prob(z) + log_det

    def sample_and_log_prob(self, keys: Array) -> tuple[Array, Array]:
        """Returns a draw with its log-density, both from one forward pass."""
        z, log_base = self.base.sample_and_log_prob(keys)
        x, log_det = self._apply(z, "forward")
        return x, log_base - log_det

    def _apply(self, z: Array, method: str) -> tuple[Array, Array]:
        """Applies the network to z [*batch, D] with all batch axes flattened: it takes one leading axis."""
        leading = self.base.loc.ndim - self.event
        weights = jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[leading:]), self.weights)
        batch = z.shape[:-1] if self.context is None else jnp.broadcast_shapes(z.shape[:-1], self.context.shape[:-1])

        def flat(a: Array) -> Array:
            return jnp.broadcast_to(a, (*batch, a.shape[-1])).reshape(-1, a.shape[-1])

        context = None if self.context is None else flat(self.context)
        out, log_det = self.network.apply({"params": weights}, flat(z), context, method=method)
        return out.reshape(*batch, -1), log_det.reshape(batch)
