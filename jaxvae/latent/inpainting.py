"""Inpainting of missing pixels by Markov chains, and denoising.

Axis letters: B examples, X an example's axes, T steps of a chain. Each example has a chain and keys of its own, so that
its result does not depend on the batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae._checks import require_whole
from jaxvae.model.traits import traits_of
from jaxvae.terms import example_keys

__all__ = ["InpaintResult", "denoise", "inpaint", "metropolis_within_gibbs", "pseudo_gibbs"]

_WARM_UP = 20  # first steps, at most a quarter, that accept every proposal


class InpaintResult(NamedTuple):
    """Examples whose missing pixels a chain has filled in."""

    x: Array  # [B, *X], the known pixels, and the last draw of the missing ones
    z: Array  # [B, *Z], the code of that draw
    mean: Array  # [B, *X], of the missing pixels given the known: E[x|z] averaged over the chain's second half
    accepted: Array  # [B], the acceptance rate after the warm-up


class _Chain(NamedTuple):
    """The state of a chain: x [B, *X] complete, z [1, B, *Z], p(x|z), and running sums."""

    x: Array
    z: Array
    px: Any
    total: Array  # [B, *X]
    accepted: Array  # [B]


def inpaint(
    model,
    variables,
    key: Array,
    x: Array,
    known: Array,
    steps: int,
    condition: Array | None = None,
    index: Array | None = None,
    chain: Callable[..., tuple[Callable[..., Array], int]] | None = None,
) -> InpaintResult:
    """Draws of the missing pixels of x [B, *X] given those that are `known`, bool [*X] or [B, *X], by a Markov chain.

    In each step z' ~ q(z|x) is proposed, and the missing pixels are drawn from p(x|z). The values of x that are not
    known have no influence. `index [B]` numbers the examples for their keys; by default it counts from 0. The default
    `chain` is `metropolis_within_gibbs`, which is exact in the limit of many steps, if q(z|x) has a density at any z.
    Else it is `pseudo_gibbs`, which is exact only if q(z|x) is the exact posterior.

    The encoder sees draws of p(x|z). If they are noise compared to its training images, as under a Gaussian with a
    large sigma, few proposals are accepted and the chain needs too many steps: see `accepted`. p(x|z) must not couple
    the missing channels of a pixel to its known ones, as logistic_mixture does. Raises UsageError for fewer than two
    steps: the first half is left out of the mean.
    """
    require_whole("steps", steps, 2)
    exact = "density" in traits_of(model.posterior).offers
    chain = chain or (metropolis_within_gibbs if exact else pseudo_gibbs)
    log_ratio, warm_up = chain(model, variables, condition, steps)
    known = jnp.broadcast_to(known, x.shape)
    keys = example_keys(key, jnp.arange(len(x)) if index is None else index)[0]
    z_keys, x_keys, step_keys = _split_keys(keys, 3)
    (z,), px = model.apply(variables, z_keys, condition, method="generate")
    start = jnp.where(known, x, px.sample(x_keys[None])[0])
    first = _Chain(start, z, px, jnp.zeros_like(start), jnp.zeros(len(x)))

    def step(chain: _Chain, t: Array) -> tuple[_Chain, None]:
        z_keys, test_keys, x_keys = _split_keys(jax.vmap(random.fold_in, (0, None))(step_keys, t), 3)
        q = model.apply(variables, chain.x, condition, method="infer")
        proposed = q.sample(z_keys[None])
        px = model.apply(variables, (proposed,), condition, method="decode")
        log_probability = jnp.where(t < warm_up, 0.0, log_ratio(chain, q, proposed, px))
        accept = jnp.log(jax.vmap(random.uniform)(test_keys)) <= log_probability
        z, px = _select(accept, (proposed, px), (chain.z, chain.px))
        x = jnp.where(known, start, px.sample(x_keys[None])[0])
        total = chain.total + jnp.where(t >= steps // 2, px.mean()[0], 0.0)
        return _Chain(x, z, px, total, chain.accepted + jnp.where(t < warm_up, 0.0, accept)), None

    last, _ = lax.scan(step, first, jnp.arange(steps))
    mean = jnp.where(known, start, last.total / (steps - steps // 2))
    return InpaintResult(last.x, last.z[0], mean, last.accepted / (steps - warm_up))


def pseudo_gibbs(model, variables, condition: Array | None, steps: int) -> tuple[Callable[..., Array], int]:
    """Returns the chain of `inpaint` that accepts every proposal: log_ratio(chain, q, z', p(x|z')) [B], its warm-up.

    Rezende, Mohamed & Wierstra 2014 (arXiv 1401.4082, appendix F). Its stationary distribution is p(missing|known)
    if q is the exact posterior, else near it: q's errors stay in every draw.
    """
    return lambda chain, q, proposed, px: jnp.zeros(len(chain.x)), 0


def metropolis_within_gibbs(model, variables, condition: Array | None, steps: int) -> tuple[Callable[..., Array], int]:
    """Returns the chain of `inpaint` that accepts a proposal with probability min(1, w(z') / w(z)), as `pseudo_gibbs`.

    Mattei & Frellsen 2018 (arXiv 1802.04826, sec. 3.3). w(z) = p(x|z) p(z) / q(z|x), so that the stationary
    distribution is p(z, missing|known) for any q with the posterior's support. As they advise, the chain starts with
    pseudo-Gibbs: from a poor start few are accepted.
    """
    prior = model.apply(variables, condition, method="prior")

    def log_ratio(chain: _Chain, q: Any, proposed: Array, px: Any) -> Array:
        def log_weight(z: Array, px: Any) -> Array:
            return (px.log_prob(chain.x[None]) + prior.log_prob(z) - q.log_prob(z))[0]

        return log_weight(proposed, px) - log_weight(chain.z, chain.px)

    return log_ratio, min(_WARM_UP, steps // 4)


def denoise(
    model, variables, key: Array, x: Array, draws: int, condition: Array | None = None, index: Array | None = None
) -> Array:
    """Returns the mean of p(x|z), averaged over `draws` of z ~ q(z|x), for noisy x [B, *X]: [B, *X].

    Noise that z does not encode averages out, and so does detail that z does not encode. It is the posterior mean of
    the clean image only if the encoder was trained for such noise (data.corrupt). Else the encoder takes the noisy x
    for a clean image.
    """
    keys = example_keys(key, jnp.arange(len(x)) if index is None else index, draws)
    q = model.apply(variables, x, condition, method="infer")
    return model.apply(variables, (q.sample(keys),), condition, method="decode").mean().mean(0)


def _select(accept: Array, new: Any, old: Any) -> Any:
    """Returns, leaf by leaf, `new` [1, B, ...] where `accept` [B], else `old`; shared leaves are the same in both."""

    def select(a: Array, b: Array) -> Array:
        return a if a.shape[1] != len(accept) else jnp.where(accept.reshape(1, -1, *(1,) * (a.ndim - 2)), a, b)

    return jax.tree.map(select, new, old)


def _split_keys(keys: Array, count: int) -> list[Array]:
    """Returns `count` independent arrays of keys [B], split from keys [B]."""
    split = jax.vmap(lambda key: random.split(key, count))(keys)
    return [split[:, i] for i in range(count)]
