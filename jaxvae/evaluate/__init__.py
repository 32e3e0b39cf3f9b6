"""The quality of a trained model.

bounds                the ELBO and its parts, the importance-weighted likelihood, active units, summaries
aggregate_posterior   q(z) against p(z): a two-sample test, and the parts of the rate
"""

from jaxvae.evaluate.aggregate_posterior import compare_to_prior, make_collect_codes
from jaxvae.evaluate.bounds import active_units, bits_per_dim, elbo_parts, make_evaluate, make_log_likelihood, summarize

__all__ = ["active_units", "bits_per_dim", "compare_to_prior", "elbo_parts", "make_collect_codes", "make_evaluate"]
__all__ += ["make_log_likelihood", "summarize"]
