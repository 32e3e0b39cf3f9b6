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
