"""The quality of a trained model.

bounds                the ELBO and its parts, the importance-weighted likelihood, active units, summaries
aggregate_posterior   q(z) against p(z): a two-sample test, and the parts of the rate
"""

from jaxvae.evaluate.aggregate_posterior import compare_to_prior, make_collect_codes
from jaxvae.evaluate.bounds import (
    active_units,
    bits_per_dim,
    elbo_parts,
    latent_statistics,
    log_weight_sum,
    make_evaluate,
    make_log_likelihood,
    mean_and_stderr,
    perplexity,
    rate_and_distortion,
    require_bound,
    summarize,
    summarize_from_corrupted,
)

__all__ = [
    "active_units",
    "bits_per_dim",
    "compare_to_prior",
    "elbo_parts",
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
    "summarize_from_corrupted",
]
