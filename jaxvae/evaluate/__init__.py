"""The quality of a trained model.

bounds                 the ELBO and its parts, the importance-weighted likelihood, active units
aggregate_posterior    q(z) against p(z)
"""

from jaxvae.evaluate.aggregate_posterior import make_codes
from jaxvae.evaluate.bounds import (
    active,
    bits_per_dim,
    coordinates,
    elbo_parts,
    infer,
    log_weight_sum,
    make_evaluate,
    make_log_likelihood,
    mean_and_error,
    perplexity,
    rate_and_distortion,
    require_bound,
    summarize,
)

__all__ = [
    "active",
    "bits_per_dim",
    "coordinates",
    "elbo_parts",
    "infer",
    "log_weight_sum",
    "make_codes",
    "make_evaluate",
    "make_log_likelihood",
    "mean_and_error",
    "perplexity",
    "rate_and_distortion",
    "require_bound",
    "summarize",
]
