"""The named terms of the bound, and the keys of their draws.

Axis letters, used in every docstring:  S samples of z per example · B examples of the batch · Z the latent's event axes
· X the data's event axes (H, W, C for images) · K importance samples · N examples of a data set.

Rank law: every leaf of q, p and px, and x inside Terms, has the full rank [S, B, *event], with axes of size 1 where the
value is shared: the q of a flat VAE is [1, B, *Z], a global prior [1, 1, *Z]. Nothing relies on rank promotion.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax, random

from jaxvae._checks import UsageError

__all__ = ["CAPABILITIES", "Level", "Terms", "example_keys", "require_provided", "reweight_gradient"]

CAPABILITIES = {  # what a posterior may offer, and a prior or an objective may need of it
    "samples": "draws with their density",
    "density": "its density at any z (a flow's is known only at its own draws)",
    "each": "each coordinate's own density",
    "path": "derivatives along the path of a draw",
    "continuous": "a z that moves continuously with x",
}


@struct.dataclass
class Level:
    """One latent variable of the bound: its draw, and its densities under q and p."""

    z: Array  # [S, B, *Z]
    log_q: Array  # [S, B], log q(z|x), nats
    log_p: Array  # [S, B], log p(z), nats
    kl: Array  # [S or 1, B], KL(q || p) in closed form if there is one, else log_q - log_p
    q: Any
    p: Any
    gate: Array | None = None  # [S, B, 2], zeros through which `reweight_gradient` acts


@struct.dataclass
class Terms:
    """The terms of one forward pass, for objectives and evaluations: log p(x|z), and z, q, p and more for each level.

    `bound` is whether E[log_px + sum(log_p - log_q)] is a lower bound on log p(x). If it is not (a point posterior, a
    codebook), elbo, log_likelihood and bits_per_dim raise an error.
    """

    x: Array  # [1, B, *X]
    px: Any
    log_px: Array  # [S, B], nats
    levels: tuple[Level, ...]
    extra: dict[str, Array] = dataclasses.field(default_factory=dict)  # name -> [S, B]
    bound: bool = struct.field(pytree_node=False, default=True)
    generated: Any = None  # p(x|z) at z ~ p(z), over [1, B, *X]; only where an objective needs it
    detached: Any = None  # as px, without a gradient through z, [S, B, *X]

    @property
    def distortion(self) -> Array:
        """Returns -log p(x|z), [S, B], nats."""
        return -self.log_px

    @property
    def rate(self) -> Array:
        """Returns the KL summed over levels, [S, B], nats."""
        return jnp.broadcast_to(sum(level.kl for level in self.levels), self.log_px.shape)

    @property
    def log_weight(self) -> Array:
        """Returns log p(x, z) - log q(z|x), [S, B], nats: the log of the importance weight."""
        return self.log_px + sum(level.log_p - level.log_q for level in self.levels)


def reweight_gradient(level: Level, factor: Array) -> Array:
    """Returns zeros [B]; added to a loss [B], they multiply the gradient through the level's z [S, B, *Z] by `factor`.

    The gate (model/reparameterize.py) receives the factor [S, B] in the backward pass: its two cotangents are factor
    and 1, both times the weight of the loss.
    """
    gate = require_provided(level.gate, "gate")
    return (gate[..., 0] * lax.stop_gradient(factor) + gate[..., 1]).sum(0)


def require_provided(value: Any, need: str) -> Any:
    """Returns the value; raises UsageError if it is None, since the model did not make what the objective needs."""
    if value is None:
        raise UsageError(
            f"these terms were made without {need!r}, which the objective needs. Set the model's field, as a train "
            "step does: model.clone(objective_needs=objective.needs.model)."
        )
    return value


def example_keys(key: Array, index: Array, samples: int = 1, *, first: Array | int = 0) -> Array:
    """Returns one key for every sample s of every example i, fold_in(fold_in(key, i), s), shaped [S, B].

    `index [B]` numbers the examples in their data set, so what is drawn for an example depends neither on the batch
    nor on the number of devices; `first` lets K samples be drawn in chunks: s runs from `first` to `first + samples`.
    """
    of_example = jax.vmap(random.fold_in, (None, 0))(key, index)
    return jax.vmap(jax.vmap(random.fold_in, (0, None)), (None, 0))(of_example, first + jnp.arange(samples))
