"""Densities: small frozen pytrees with `sample`, `log_prob` and `mean`, and the divergences between them.

A density's parameters broadcast to `[*batch, *event]`; `event` says how many trailing axes make up one outcome.
Log-densities are in nats and summed over the event. Inside the library the batch is `[S, B]` (see terms.py).
"""

from jaxvae.distributions.categorical import OneHot, RelaxedOneHot
from jaxvae.distributions.coin import Bernoulli
from jaxvae.distributions.correlated import LowRankNormal, MultivariateNormal
from jaxvae.distributions.divergence import has_kl, has_kl_each, kl, kl_each
from jaxvae.distributions.event import draw_each, flat_log_prob, softplus, sum_event
from jaxvae.distributions.gaussian import Normal
from jaxvae.distributions.mixture import Mixture

__all__ = [
    "Bernoulli",
    "LowRankNormal",
    "Mixture",
    "MultivariateNormal",
    "Normal",
    "OneHot",
    "RelaxedOneHot",
    "draw_each",
    "flat_log_prob",
    "has_kl",
    "has_kl_each",
    "kl",
    "kl_each",
    "softplus",
    "sum_event",
]
