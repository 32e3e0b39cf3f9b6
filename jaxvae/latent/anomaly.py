"""Anomaly scores of examples: four, each larger for examples less like the training images.

A score is not a probability. An anomaly need not be improbable: plain images can be more probable than any training
image (Nalisnick et al. 2019, arXiv 1810.09136).
"""

from collections.abc import Callable

import jax
from jax import Array, random

from jaxvae.evaluate.bounds import bound_parts, make_log_likelihood
from jaxvae.terms import example_keys

__all__ = ["make_anomaly_scores"]

_DRAWS = 16  # of z per example, for the means of rate and distortion


def make_anomaly_scores(model) -> Callable[..., dict[str, Array]]:
    """Returns anomaly_scores(variables, key, x [B, *X], index [B], condition=None, *, samples) -> {score: [B]}, nats.

    `samples` is K of the importance-weighted likelihood. A model without a bound has rate and distortion alone. The
    scores of an example depend on the key and its index, not on the batch.
    """
    log_likelihood = make_log_likelihood(model)

    @jax.jit
    def bound_terms(variables, key: Array, x: Array, index: Array, condition: Array | None) -> dict[str, Array]:
        return bound_parts(model.apply(variables, example_keys(key, index, _DRAWS), x, condition))

    def anomaly_scores(variables, key, x, index, condition=None, *, samples: int) -> dict[str, Array]:
        terms_key, likelihood_key = random.split(key)
        scores = bound_terms(variables, terms_key, x, index, condition)
        if "elbo" not in scores:
            return scores
        log_px = log_likelihood(variables, likelihood_key, x, index, condition, samples=samples)
        negative = {"negative_log_likelihood": -log_px, "negative_elbo": -scores["elbo"]}
        return negative | {name: scores[name] for name in ("rate", "distortion")}

    return anomaly_scores
