"""The functions of a model that requests need, each one compiled program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
from jax import Array

from jaxvae import latent
from jaxvae.distributions import has_kl_each

__all__ = ["CompiledFunctions", "compile_functions", "has_kl_per_dimension"]


@dataclasses.dataclass(frozen=True)
class CompiledFunctions:
    """The jitted functions of (variables, ...) below, and the paths (start, end, steps) between two codes."""

    decode: Callable[..., Array]
    generate: Callable[..., tuple[Array, Array]]
    reconstruct: Callable[..., dict[str, Array]]
    paths: Mapping[str, Callable[..., Array]]


def compile_functions(model: Any) -> CompiledFunctions:
    """Returns the functions of this model; each is compiled at its first call."""
    paths = {"line": latent.line, "great_circle": latent.great_circle}
    return CompiledFunctions(
        decode=jax.jit(partial(_decode, model)),
        generate=jax.jit(partial(_generate, model)),
        reconstruct=jax.jit(partial(_reconstruct, model)),
        paths={name: jax.jit(path, static_argnums=2) for name, path in paths.items()},
    )


def _decode(model: Any, variables: Any, z: Array, condition: Array | None = None) -> Array:
    """Returns the mean of p(x|z), [B, *X], of z [B, *Z]."""
    return latent.decode(model, variables, z, condition).mean()


def _generate(
    model: Any, variables: Any, keys: Array, temperature: Array, condition: Array | None = None
) -> tuple[Array, Array]:
    """Returns (z [N, *Z], the means of p(x|z), [N, *X]) for z ~ p(z), one key each."""
    z, px = latent.generate(model, variables, keys, condition, temperature=temperature)
    return z, px.mean()


def _reconstruct(model: Any, variables: Any, keys: Array, x: Array, condition: Array | None = None) -> dict[str, Array]:
    """Returns `z` [B, *Z], the mean of q(z|x) for x [B, *X], `reconstruction` [B, *X], the mean of p(x|z) there, and
    `rate` and `distortion`, nats [B], means over draws z ~ q(z|x), one for each of the keys [S, B].
    """
    q = model.apply(variables, x, condition, method="infer")
    terms = model.apply(variables, keys, q, x, condition, method="terms")
    z = q.mean()[0]
    return {
        "z": z,
        "reconstruction": _decode(model, variables, z, condition),
        "rate": terms.rate.mean(0),
        "distortion": terms.distortion.mean(0),
    }


def has_kl_per_dimension(model: Any, variables: Any, x: Array, condition: Array | None = None) -> bool:
    """Returns whether KL(q(z|x) || p(z)) is a sum over dimensions in closed form; nothing is computed."""

    def densities(variables: Any, x: Array, condition: Array | None) -> tuple[Any, Any]:
        return model.apply(variables, x, condition, method="infer"), model.apply(variables, condition, method="prior")

    return has_kl_each(*jax.eval_shape(densities, variables, x, condition))
