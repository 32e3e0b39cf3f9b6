"""The reparameterized draw: z ~ q(z|x), and what q and p say of it."""

from __future__ import annotations

from typing import Any

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
