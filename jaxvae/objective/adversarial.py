"""Objectives with a critic, a network that is trained in the same backward pass as the model.

The critic's loss has no gradient in the model, the model's loss none in the critic; each has an optimizer of its own.
`critic(widths)` makes the network (model/critic.py), with Linen's init and apply.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae._checks import require_choice, require_number, require_whole
from jaxvae.distributions import softplus
from jaxvae.objective.aggregate_posterior import flatten_events, local_rows, sample_prior
from jaxvae.objective.base import Loss, Needs, Objective, Weight, bound_metrics, require_weight
from jaxvae.terms import Terms, require_provided

__all__ = ["aae", "factor", "gan", "permute_dimensions"]

_Critic = Callable[[Sequence[int]], Any]


def factor(gamma: Weight = 10.0, width: int = 256, layers: int = 4, *, critic: _Critic) -> Objective:
    """gamma times the total correlation of q(z), as a critic estimates it, to be added to elbo().

    FactorVAE (Kim & Mnih 2018, arXiv 1802.05983, eq. 2 and 3): the critic tells draws z ~ q(z) from draws whose
    coordinates come from different examples, so that its logit estimates log q(z) / prod_j q(z_j). It has `layers` of
    so many units. All examples of the batch are used for both: none is set apart for the permutation.
    """
    schedule = require_weight("gamma", gamma)
    network = critic((require_whole("width", width),) * require_whole("layers", layers, 1, 20))

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        z = _flat_latents(terms)
        rows = local_rows(z, gather)
        permuted = jnp.take(permute_dimensions(key, gather(lax.stop_gradient(z))), rows, axis=1)
        ratio = _critic_logits(network, lax.stop_gradient(params), z).mean(0)
        loss, accuracy = _critic_loss(network, params, real=z, fake=permuted)
        metrics = {"total_correlation": ratio, "critic_loss": loss, "critic_accuracy": accuracy}
        return Loss(schedule(step) * ratio + loss, memory, {**bound_metrics(terms), **metrics})

    needs = Needs(posterior={"samples", "continuous"}, engine={"batch", "critic"})
    return Objective(_critic_init(network, _flat_latents), apply, needs)


def aae(weight: Weight = 1.0, width: int = 256, layers: int = 3, *, critic: _Critic) -> Objective:
    """Draws q(z) to the prior by a critic that tells z ~ p(z) from z ~ q(z), to be added to reconstruction().

    The adversarial autoencoder (Makhzani et al. 2015, arXiv 1511.05644, section 2); the encoder's loss is -log D(z),
    which does not saturate (Goodfellow et al. 2014, arXiv 1406.2661, section 3). The critic has `layers` of so many
    units. At its optimum E_p[logit] - E_q[logit] is the symmetric KL of q(z) and p(z).
    """
    schedule = require_weight("weight", weight)
    network = critic((require_whole("width", width),) * require_whole("layers", layers, 1, 20))

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        z = _flat_latents(terms)
        draws = [sample_prior(random.fold_in(key, i), level, gather) for i, level in enumerate(terms.levels)]
        prior = jnp.concatenate([flatten_events(each) for each in draws], axis=-1)
        prior = jnp.take(prior, local_rows(z, gather), axis=1)
        fooled = softplus(-_critic_logits(network, lax.stop_gradient(params), z)).mean(0)
        loss, accuracy = _critic_loss(network, params, real=prior, fake=z)
        metrics = {"critic_loss": loss, "critic_accuracy": accuracy}
        return Loss(schedule(step) * fooled + loss, memory, {**bound_metrics(terms), **metrics})

    needs = Needs(posterior={"continuous"}, engine={"batch", "critic"})
    return Objective(_critic_init(network, _flat_latents), apply, needs)


def gan(
    weight: Weight = 1.0,
    perceptual: float = 1.0,
    channels: Sequence[int] = (32, 64),
    gradient: str = "joint",
    *,
    image_critic: _Critic,
) -> Objective:
    """Makes pictures look real to a critic, and reconstructions alike to its features: to be added to elbo() or rate().

    VAE-GAN (Larsen et al. 2015, arXiv 1512.09300): weight times -log D(x') for x' = E[x|z], with z ~ q(z|x) and with
    z ~ p(z), which does not saturate, plus `perceptual` times half the squared distance of the critic's last features
    at x and at its reconstruction. The critic, one stride-2 convolution per entry of `channels`, tells x from x'. Of
    binarized or dequantized images any smooth pixel would tell: for data.prepare='grey'.

    `gradient` is what -log D trains. 'joint': encoder, prior and decoder. 'decoder': the decoder alone, as in the paper
    (algorithm 1), where the encoder learns from the rate and the distance of features.
    """
    schedule = require_weight("weight", weight)
    require_choice("gradient", gradient, ("joint", "decoder"))
    perceptual = require_number("perceptual", perceptual, 0)
    network = image_critic(tuple(require_whole("channels", each) for each in channels))

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        generated = require_provided(terms.generated, "generated")
        x, fixed = terms.x, lax.stop_gradient(params)
        shown = terms.px if gradient == "joint" else require_provided(terms.detached, "detached")
        fake = jnp.concatenate([shown.mean(), generated.mean()])  # [S + 1, B, *X]
        logit, features = _apply_critic(network, fixed, fake)
        features = features[:-1] if gradient == "joint" else _apply_critic(network, fixed, terms.px.mean())[1]
        difference = features - _apply_critic(network, fixed, x)[1]
        distance = 0.5 * jnp.square(difference).sum(-1).mean(0)
        fooled = softplus(-logit).mean(0)
        loss, accuracy = _critic_loss(network, params, real=x, fake=fake)
        metrics = {"perceptual": distance, "critic_loss": loss, "critic_accuracy": accuracy}
        value = schedule(step) * fooled + perceptual * distance + loss
        return Loss(value, memory, {**bound_metrics(terms), **metrics})

    model = {"generated"} if gradient == "joint" else {"generated", "detached"}
    return Objective(_critic_init(network, lambda terms: terms.x), apply, Needs(engine={"critic"}, model=model))


def _critic_init(network: Any, inputs: Callable[[Terms], Array]) -> Callable[..., tuple[Any, dict]]:
    """Returns an objective's init: the parameters of a critic of inputs(terms), [S, B, ...], and no memory."""
    return lambda key, terms: (network.init(key, inputs(terms)[0]), {})


def _critic_loss(network: Any, params: Any, *, real: Array, fake: Array) -> tuple[Array, Array]:
    """Returns (cross-entropy, accuracy) of a critic, [B]; inputs [S, B, ...] get no gradient (arXiv 1406.2661)."""
    real, fake = (_critic_logits(network, params, lax.stop_gradient(each)) for each in (real, fake))
    loss = softplus(-real).mean(0) + softplus(fake).mean(0)
    return loss, ((real > 0).mean(0) + (fake < 0).mean(0)) / 2


def _critic_logits(network: Any, params: Any, x: Array) -> Array:
    """Returns the critic's logits [S, B] of x [S, B, ...]."""
    return _apply_critic(network, params, x)[0]


def _apply_critic(network: Any, params: Any, x: Array) -> tuple[Array, Array]:
    """Returns (logits [S, B], features [S, B, F]) of x [S, B, ...]: the network takes one leading axis."""
    logit, features = network.apply(params, x.reshape(-1, *x.shape[2:]))
    return logit.reshape(x.shape[:2]), features.reshape(*x.shape[:2], -1)


def _flat_latents(terms: Terms) -> Array:
    """Returns z of all levels side by side, [S, B, Z]."""
    return jnp.concatenate([flatten_events(level.z) for level in terms.levels], axis=-1)


def permute_dimensions(key: Array, z: Array) -> Array:
    """Returns z [S, B, Z] with every coordinate permuted over the batch on its own: draws from prod_j q(z_j)."""
    order = random.permutation(key, jnp.broadcast_to(jnp.arange(z.shape[1])[:, None], z.shape[1:]), 0, independent=True)
    return jnp.take_along_axis(z, order[None], axis=1)
