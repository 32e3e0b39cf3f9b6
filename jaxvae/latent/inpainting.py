"""Pixels that are missing, or noisy: sampled given the others, or averaged away, by the model alone.

Axis letters: B examples, X an example's axes, T steps of a chain. A chain belongs to one example and draws with its own
keys, so that what comes of it depends on no other example of the batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae._checks import require_whole
from jaxvae.model.traits import traits_of
from jaxvae.terms import example_keys

_WARM = 20  # steps at the start, at most a quarter, that take every proposal


class InpaintResult(NamedTuple):
    """Examples whose missing pixels a chain has filled in."""

    x: Array  # [B, *X], the last draw of the missing pixels, around the known ones
    z: Array  # [B, *Z], the code that it was drawn from
    mean: Array  # [B, *X], E[x|z] averaged over the chain's second half: the mean of the missing ones, given the known
    accepted: Array  # [B], the share of the proposals taken after the warm-up; 1 without a test


class _Chain(NamedTuple):
    """Where a chain stands: x [B, *X] complete, z [1, B, *Z], p(x|z), and what has been summed so far."""

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
) -> InpaintResult:
    """Draws of the missing pixels of x [B, *X] given those that are `known`, bool [*X] or [B, *X], by a Markov chain.

    `metropolis_within_gibbs`, which is exact in the limit of many steps, where q(z|x) has a density at any z;
    `pseudo_gibbs`, which is so only as far as q(z|x) is the exact posterior, where it has not: of a point or a code it
    is the autoencoder applied again and again. What x holds where it is not known has no influence. `index [B]`
    numbers the examples for their keys; by default it counts from 0.

    The encoder is shown draws of p(x|z): where these are noise beside its training images, as under a Gaussian whose
    sigma is too large, it is lost, few proposals are taken, and more steps are needed than anyone has. `accepted` says
    so. p(x|z) must not couple the missing channels of a pixel to its known ones: a logistic_mixture does.
    """
    exact = "density" in traits_of(model.posterior).offers
    chain = metropolis_within_gibbs if exact else pseudo_gibbs
    return chain(model, variables, key, x, known, steps, condition, index)


def pseudo_gibbs(
    model,
    variables,
    key: Array,
    x: Array,
    known: Array,
    steps: int,
    condition: Array | None = None,
    index: Array | None = None,
) -> InpaintResult:
    """As `inpaint`: z ~ q(z|x), then the missing pixels from p(x|z), in turn.

    Rezende, Mohamed & Wierstra 2014 (arXiv 1401.4082, appendix F). Its stationary distribution is p(missing|known)
    where q is the exact posterior, else near it: q's errors stay in every draw.
    """

    def always(chain: _Chain, q: Any, proposed: Array, px: Any) -> Array:
        return jnp.zeros(len(x))

    return _run_chain(model, variables, key, x, known, steps, condition, index, always)


def metropolis_within_gibbs(
    model,
    variables,
    key: Array,
    x: Array,
    known: Array,
    steps: int,
    condition: Array | None = None,
    index: Array | None = None,
) -> InpaintResult:
    """As `inpaint`: z' ~ q(z|x) is taken with Metropolis & Hastings' probability, then the missing pixels ~ p(x|z).

    Mattei & Frellsen 2018 (arXiv 1802.04826, sec. 3.3): taken with probability min(1, w(z') / w(z)), where w(z) is
    p(x|z) p(z) / q(z|x), so that the stationary distribution is p(z, missing|known) for any q with the posterior's
    support. As they advise, the chain begins with pseudo-Gibbs: from a poor start nearly every proposal is refused.
    """
    prior = model.apply(variables, condition, method="prior")

    def weighed(chain: _Chain, q: Any, proposed: Array, px: Any) -> Array:
        def log_weight(z: Array, px: Any) -> Array:
            return (px.log_prob(chain.x[None]) + prior.log_prob(z) - q.log_prob(z))[0]

        return log_weight(proposed, px) - log_weight(chain.z, chain.px)

    return _run_chain(model, variables, key, x, known, steps, condition, index, weighed, min(_WARM, steps // 4))


def _run_chain(model, variables, key, x, known, steps, condition, index, log_ratio, warm: int = 0) -> InpaintResult:
    """The chain itself, one scan; `log_ratio(chain, q(z|x), z', p(x|z')) -> [B]` is the log of z's chance to be taken.

    ValueError for fewer than two steps: the first half is left out of the mean.
    """
    require_whole("steps", steps, 2)
    known = jnp.broadcast_to(known, x.shape)
    keys = example_keys(key, jnp.arange(len(x)) if index is None else index)[0]
    for_start, for_rest, for_steps = _split_keys(keys, 3)
    (z,), px = model.apply(variables, for_start, condition, method="generate")
    start = jnp.where(known, x, px.sample(for_rest[None])[0])
    first = _Chain(start, z, px, jnp.zeros_like(start), jnp.zeros(len(x)))

    def step(chain: _Chain, t: Array) -> tuple[_Chain, None]:
        for_z, for_test, for_x = _split_keys(jax.vmap(random.fold_in, (0, None))(for_steps, t), 3)
        q = model.apply(variables, chain.x, condition, method="infer")
        proposed = q.sample(for_z[None])
        px = model.apply(variables, (proposed,), condition, method="decode")
        chance = jnp.where(t < warm, 0.0, log_ratio(chain, q, proposed, px))
        taken = jnp.log(jax.vmap(random.uniform)(for_test)) <= chance
        z, px = _select(taken, (proposed, px), (chain.z, chain.px))
        x = jnp.where(known, start, px.sample(for_x[None])[0])
        total = chain.total + jnp.where(t >= steps // 2, px.mean()[0], 0.0)
        return _Chain(x, z, px, total, chain.accepted + jnp.where(t < warm, 0.0, taken)), None

    last, _ = lax.scan(step, first, jnp.arange(steps))
    mean = jnp.where(known, start, last.total / (steps - steps // 2))
    return InpaintResult(last.x, last.z[0], mean, last.accepted / (steps - warm))


def denoise(
    model, variables, key: Array, x: Array, draws: int, condition: Array | None = None, index: Array | None = None
) -> Array:
    """The mean of p(x|z), averaged over so many draws z ~ q(z|x) of noisy x [B, *X]: [B, *X].

    What the model would expect of another image with the same code: noise that no code tells of averages out, and so
    does detail that no code tells of. It is the posterior mean of the clean image only where the encoder was trained
    for such noise (data.corrupt); else it takes the noisy x for a clean one, and knows neither kind nor strength of the
    noise.
    """
    keys = example_keys(key, jnp.arange(len(x)) if index is None else index, draws)
    q = model.apply(variables, x, condition, method="infer")
    return model.apply(variables, (q.sample(keys),), condition, method="decode").mean().mean(0)


def _select(taken: Array, new: Any, old: Any) -> Any:
    """Leaf by leaf, `new` [1, B, ...] where it is taken [B], else `old`; what all share is the same in both."""

    def choose(a: Array, b: Array) -> Array:
        return a if a.shape[1] != len(taken) else jnp.where(taken.reshape(1, -1, *(1,) * (a.ndim - 2)), a, b)

    return jax.tree.map(choose, new, old)


def _split_keys(keys: Array, count: int) -> list[Array]:
    """`count` rows of keys [B], one for each purpose, of the keys [B]."""
    split = jax.vmap(lambda key: random.split(key, count))(keys)
    return [split[:, purpose] for purpose in range(count)]
