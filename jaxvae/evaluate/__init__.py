"""The quality of a trained model.

bounds                 the ELBO and its parts, the importance-weighted likelihood, active units
aggregate_posterior    q(z) against p(z)
"""

from jaxvae.evaluate.aggregate_posterior import make_collect_codes
from jaxvae.evaluate.bounds import (
    active_units,
    bits_per_dim,
    elbo_parts,
    infer,
    latent_statistics,
    log_weight_sum,
    make_evaluate,
    make_log_likelihood,
    mean_and_stderr,
    perplexity,
    rate_and_distortion,
    require_bound,
    summarize,
)

__all__ = [
    "active_units",
    "bits_per_dim",
    "coordinates",
    "elbo_parts",
    "infer",
    "latent_statistics",
    "log_weight_sum",
    "make_collect_codes",
    "make_evaluate",
    "make_log_likelihood",
    "mean_and_stderr",
    "perplexity",
    "rate_and_distortion",
    "require_bound",
    "summarize",
]
