"""How strange a model finds an example: four scores, each larger for what is less like the training images.

    negative_log_likelihood   -log p(x), by the importance-weighted bound
    negative_elbo             rate + distortion
    rate                      how far the code lies from where codes are expected
    distortion                how badly the code tells of x

A score is no probability that x is of another kind. Strange and improbable are not the same: plain images can be more
probable than any training image (Nalisnick et al. 2019, arXiv 1810.09136).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
from jax import Array, random

from jaxvae.evaluate.bounds import elbo_parts, make_log_likelihood, rate_and_distortion
from jaxvae.terms import example_keys

_DRAWS = 16  # of z for each example, that its rate and distortion are averaged over


def make_anomaly_scores(model) -> Callable[..., dict[str, Array]]:
    """Returns anomaly(variables, key, x [B, *X], index [B], condition=None, *, samples) -> {score: [B]}, nats.

    K = `samples` are the weights of the log-likelihood. Of a model without a bound, rate and distortion alone. What an
    example scores depends on the key and its index, not on the batch.
    """
    pieces = jax.jit(partial(_bound_terms, model))
    log_likelihood = make_log_likelihood(model)

    def anomaly(variables, key, x, index, condition=None, *, samples: int) -> dict[str, Array]:
        for_pieces, for_weights = random.split(key)
        found = pieces(variables, for_pieces, x, index, condition)
        if "elbo" not in found:
            return found
        weighed = log_likelihood(variables, for_weights, x, index, condition, samples=samples)
        own = {"negative_log_likelihood": -weighed, "negative_elbo": -found["elbo"]}
        return own | {name: found[name] for name in ("rate", "distortion")}

    return anomaly


def _bound_terms(
    model, variables, key: Array, x: Array, index: Array, condition: Array | None = None
) -> dict[str, Array]:
    """The elbo, where there is one, rate and distortion of x [B, *X], [B], nats, averaged over DRAWS draws of z."""
    terms = model.apply(variables, example_keys(key, index, _DRAWS), x, condition)
    return elbo_parts(terms) if terms.bound else rate_and_distortion(terms)
