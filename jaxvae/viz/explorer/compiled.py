"""The functions of a model that the page's questions need, each one compiled program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import jax
from jax import Array

from jaxvae import latent
from jaxvae.distributions import has_kl_each


@dataclasses.dataclass(frozen=True)
class Functions:
    """The model's functions, jitted, of (variables, ...): see those of this file; and walks, (start, end, steps)."""

    decode: Callable[..., Array]
    generate: Callable[..., tuple[Array, Array]]
    read: Callable[..., dict[str, Array]]
    walks: Mapping[str, Callable[..., Array]]


def compiled(model) -> Functions:
    """The functions of this model; each is compiled at its first call."""
    walks = {"line": latent.line, "great_circle": latent.great_circle}
    return Functions(
        decode=jax.jit(partial(decode, model)),
        generate=jax.jit(partial(generate, model)),
        read=jax.jit(partial(read, model)),
        walks={name: jax.jit(walk, static_argnums=2) for name, walk in walks.items()},
    )


def decode(model, variables, z: Array, condition: Array | None = None) -> Array:
    """The mean of p(x|z), [B, *X], of z [B, *Z]."""
    return latent.decode(model, variables, z, condition).mean()


def generate(model, variables, keys: Array, temperature: Array, condition: Array | None = None) -> tuple[Array, Array]:
    """(z [N, *Z], the means of p(x|z), [N, *X]) for z ~ p(z), one key each."""
    z, px = latent.generate(model, variables, keys, condition, temperature=temperature)
    return z, px.mean()


def read(model, variables, keys: Array, x: Array, condition: Array | None = None) -> dict[str, Array]:
    """What the model makes of x [B, *X]: `z` [B, *Z], the mean of q(z|x); `reconstruction` [B, *X], the mean of p(x|z)
    there; `rate` and `distortion`, nats [B], averaged over as many draws z ~ q(z|x) as there are keys [S, B].
    """
    q = model.apply(variables, x, condition, method="infer")
    terms = model.apply(variables, keys, q, x, condition, method="terms")
    z = q.mean()[0]
    return {
        "z": z,
        "reconstruction": decode(model, variables, z, condition),
        "rate": terms.rate.mean(0),
        "distortion": terms.distortion.mean(0),
    }


def factorises(model, variables, x: Array, condition: Array | None = None) -> bool:
    """Whether the KL of q(z|x) from p(z) is a sum over dimensions in closed form; nothing is computed."""

    def densities(variables, x, condition):
        return model.apply(variables, x, condition, method="infer"), model.apply(variables, condition, method="prior")

    return has_kl_each(*jax.eval_shape(densities, variables, x, condition))
