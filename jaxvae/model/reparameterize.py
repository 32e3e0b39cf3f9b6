"""The reparameterized draw: z ~ q(z|x), and what q and p say of it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxvae.distributions import has_kl, kl
from jaxvae.terms import Level


def draw(keys: Array, q: Any, p: Any) -> Level:
    """Draws z from q with one key for every [S, B] and scores it under q and p; the KL is exact where it has a form."""
    z, log_q = q.sample_and_log_prob(keys)
    log_p = p.log_prob(z)
    return Level(z, log_q, log_p, kl(q, p) if has_kl(q, p) else log_q - log_p, q, p)


def draw_relaxed(keys: Array, q: Any, p: Any) -> Level:
    """Draws z near one of q's discrete outcomes, so that a gradient passes; the KL is the discrete densities' own.

    For training alone: such a z is no outcome of q, and what it gives is no bound.
    """
    z = q.relaxed_sample(keys)
    return Level(z, q.log_prob(z), p.log_prob(z), kl(q, p), q, p)


def draw_gated(keys: Array, q: Any, p: Any) -> Level:
    """`draw` with a gate, by which an objective may steer the gradient through z, example by example and draw by draw.

    q must know its density at any z: it is scored again, after the gate.
    """
    z, gate = _gated(q.sample(keys))
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    return Level(z, log_q, log_p, kl(q, p) if has_kl(q, p) else log_q - log_p, q, p, gate)


@jax.custom_vjp
def _gated(z: Array) -> tuple[Array, Array]:
    """(z [S, B, *Z] itself, a gate of zeros [S, B, 2]), whose gradient is z's times the ratio of the gate's cotangents.

    A weight such as w_s / sum w, known only once z has been decoded, can so reach the gradient of z in one backward
    pass: doubly reparameterized gradients (Tucker et al. 2018, arXiv 1810.04152) need it. A gate that no loss touches
    changes nothing.
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
