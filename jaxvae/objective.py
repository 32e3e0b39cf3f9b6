"""Objectives: what is minimised, as a function of the bound's terms.

An objective is a pair of pure functions, as optax pairs its transformations:
`init(key, terms) -> (params, memory)` and `apply(params, memory, terms, *, key, step, gather) -> Loss`.
Always: summed over event dimensions, one value per example, averaged over the batch by the step.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from jaxvae.terms import Terms

Weight = float | Callable[[Any], Any]  # a number, or an optax.Schedule: step -> number


class Loss(NamedTuple):
    """`value [B]`, nats, to be minimised; `memory` for the next step; `metrics`: name -> [B] or a scalar."""

    value: Array
    memory: Any
    metrics: dict[str, Array]


class Objective(NamedTuple):
    """`needs`: a subset of {samples, each, path, gate, batch}, what it asks of the model and of the engine.

    `gather(tree, axis)` concatenates over devices along B; objectives that compare examples (needs 'batch') call it.
    """

    init: Callable[..., tuple[Any, Any]]
    apply: Callable[..., Loss]
    needs: frozenset[str] = frozenset()


def elbo(beta: Weight = 1.0) -> Objective:
    """The negative evidence lower bound, E_q[-log p(x|z)] + beta KL(q || p) (arXiv 1312.6114, eq. 3).

    beta = 1 is the bound; another number makes the beta-VAE (Higgins et al. 2017); a schedule, KL warm-up. beta is
    unit-free: the KL is summed over latents, the distortion over pixels, whatever the batch or the data set's size.
    """

    if not (callable(beta) or isinstance(beta, numbers.Real | Array)):
        raise ValueError(f"elbo(beta={beta!r}): beta is a number, or a schedule such as linear(0, 1, steps=5000).")
    if isinstance(beta, numbers.Real) and not 0 <= beta < math.inf:
        raise ValueError(f"elbo(beta={beta!r}): beta is a number from 0 on; below, the KL would grow without end.")

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        weight = weight_at(beta, step)
        distortion, rate = terms.distortion.mean(0), terms.rate.mean(0)
        metrics = {"rate": rate, "distortion": distortion, "beta": weight, **means(terms.extra)}
        if terms.bound:
            metrics["elbo"] = -(distortion + rate)
        return Loss(distortion + weight * rate, memory, metrics)

    return Objective(nothing, apply, needs=frozenset({"samples"}))


def reconstruction(commitment: float = 0.25) -> Objective:
    """The distortion alone, E[-log p(x|z)]: of an autoencoder, whose z has no density and so no rate to minimise.

    Where the posterior is a codebook, `commitment` times the squared distance of the encoder's output to its code is
    added (van den Oord et al. 2017, arXiv 1711.00937, eq. 3).
    """
    if not isinstance(commitment, numbers.Real) or not 0 <= commitment < math.inf:
        raise ValueError(f"reconstruction(commitment={commitment!r}): commitment is a number from 0 on.")

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        extra = means(terms.extra)
        distortion, rate = terms.distortion.mean(0), terms.rate.mean(0)
        value = distortion + commitment * extra.get("commitment", 0.0)
        return Loss(value, memory, {"rate": rate, "distortion": distortion, **extra})

    return Objective(nothing, apply)


def means(extra: dict[str, Array]) -> dict[str, Array]:
    """Each of the terms' extra values, averaged over samples: name -> [B]."""
    return {name: value.mean(0) for name, value in extra.items()}


def nothing(key: Array, terms: Terms) -> tuple[dict, dict]:
    """The state of an objective that has neither parameters nor memory."""
    return {}, {}


def weight_at(weight: Weight, step: Array) -> Array:
    """The weight's value at this step, a float32 scalar."""
    return jnp.asarray(weight(step) if callable(weight) else weight, jnp.float32)
