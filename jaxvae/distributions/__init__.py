"""Densities: small frozen pytrees with `sample`, `log_prob` and `mean`, and the divergences between them.

A density's parameters broadcast to `[*batch, *event]`; `event` is the number of trailing axes of one outcome.
Log-densities are in nats and summed over the event. Inside the library the batch is `[S, B]` (see terms.py).
"""

from jaxvae.distributions._base import draw_each, flat_log_prob, softplus, sum_event
from jaxvae.distributions.bernoulli import Bernoulli, ContinuousBernoulli
from jaxvae.distributions.beta_distribution import Beta
from jaxvae.distributions.categorical import OneHot, RelaxedOneHot
from jaxvae.distributions.discretized import LEVELS, CategoricalLevels, DiscretizedLogistic, LogisticMixture
from jaxvae.distributions.divergence import has_kl, has_kl_each, kl, kl_each
from jaxvae.distributions.flow import Flow
from jaxvae.distributions.location_scale import Laplace, Normal, StudentT
from jaxvae.distributions.mixture import Mixture
from jaxvae.distributions.multivariate_normal import LowRankNormal, MultivariateNormal
from jaxvae.distributions.quantized import FiniteScalarQuantized, Point, UniformCodes, VectorQuantized
from jaxvae.distributions.von_mises_fisher import UniformSphere, VonMisesFisher

__all__ = ["LEVELS", "Bernoulli", "Beta", "CategoricalLevels", "ContinuousBernoulli", "DiscretizedLogistic"]
__all__ += ["FiniteScalarQuantized", "Flow", "Laplace", "LogisticMixture", "LowRankNormal", "Mixture"]
__all__ += ["MultivariateNormal", "Normal", "OneHot", "Point", "RelaxedOneHot", "StudentT", "UniformCodes"]
__all__ += ["UniformSphere", "VectorQuantized", "VonMisesFisher", "draw_each", "flat_log_prob", "has_kl", "has_kl_each"]
__all__ += ["kl", "kl_each", "softplus", "sum_event"]
