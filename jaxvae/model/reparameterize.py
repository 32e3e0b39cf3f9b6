"""The reparameterized draw z ~ q(z|x), with its log-densities under q and p."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxvae.distributions import has_kl, kl
from jaxvae.terms import Level

__all__ = ["draw", "draw_gated", "draw_relaxed"]


def draw(keys: Array, q: Any, p: Any) -> Level:
    """Draws z ~ q with keys [S, B] and scores it under q and p; the KL is in closed form if there is one."""
    z, log_q = q.sample_and_log_prob(keys)
    log_p = p.log_prob(z)
    return Level(z, log_q, log_p, kl(q, p) if has_kl(q, p) else log_q - log_p, q, p)


def draw_relaxed(keys: Array, q: Any, p: Any) -> Level:
    """Draws a relaxed z near one of q's discrete outcomes, with a gradient; the KL is that of the discrete densities.

    For training only: such a z is not an outcome of q, and its terms are not a bound.
    """
    z = q.relaxed_sample(keys)
    return Level(z, q.log_prob(z), p.log_prob(z), kl(q, p), q, p)


def draw_gated(keys: Array, q: Any, p: Any) -> Level:
    """Draws as `draw` does, with a gate, through which an objective reweights the gradient of z for each draw.

    q must have a density at any z: it is scored again, after the gate.
    """
    z, gate = _gated(q.sample(keys))
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    return Level(z, log_q, log_p, kl(q, p) if has_kl(q, p) else log_q - log_p, q, p, gate)


@jax.custom_vjp
def _gated(z: Array) -> tuple[Array, Array]:
    """Returns (z [S, B, *Z], a gate of zeros [S, B, 2]), whose cotangents' ratio multiplies the gradient of z.

    So a weight such as w_s / sum w, which depends on the decoded z, reaches the gradient of z in one backward pass, as
    doubly reparameterized gradients need it (Tucker et al. 2018, arXiv 1810.04152). An unused gate changes nothing.
    """
    zero = 0 * z.reshape(*z.shape[:2], -1)[..., :1]  # made of z, so that it, too, differs over a shard_map's devices:
    return z, jnp.concatenate([zero, zero], axis=-1)  # the cotangents of what does not are summed over them


def _gated_forward(z: Array):
    return _gated(z), None


def _gated_backward(_: None, cotangents: tuple[Array, Array]):
    of_z, of_gate = cotangents
    factor, scale = of_gate[..., 0], of_gate[..., 1]
    factor = jnp.where(scale == 0, 1.0, factor / jnp.where(scale == 0, 1.0, scale))
    return (of_z * factor.reshape(*factor.shape, *(1,) * (of_z.ndim - 2)),)


_gated.defvjp(_gated_forward, _gated_backward)
