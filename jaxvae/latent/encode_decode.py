"""Encoding and decoding: encode, decode, generate, sample, reconstruct.

Pure functions (model, variables, ...) -> arrays, to be jitted, vmapped or differentiated; densities have no S axis.
"""

from typing import Any

import jax
from jax import Array, random

__all__ = ["decode", "drop_sample_axis", "encode", "generate", "latent_shape", "reconstruct", "sample"]


def encode(model, variables, x: Array, condition: Array | None = None) -> Any:
    """Returns q(z|x) of x [B, *X]: leaves [B, *Z]."""
    return drop_sample_axis(model.apply(variables, x, condition, method="infer"))


def decode(model, variables, z: Array, condition: Array | None = None) -> Any:
    """Returns p(x|z) of z [B, *Z]: a density over [B, *X]."""
    return drop_sample_axis(model.apply(variables, (z[None],), condition, method="decode"))


def generate(
    model, variables, keys: Array, condition: Array | None = None, *, temperature: float | Array = 1.0
) -> tuple[Array, Any]:
    """Returns (z [N, *Z], p(x|z) over [N, *X]) for z ~ p(z), one key each."""
    (z,), px = model.apply(variables, keys, condition, temperature=temperature, method="generate")
    return z[0], drop_sample_axis(px)


def sample(
    model, variables, key: Array, n: int, condition: Array | None = None, *, temperature: float | Array = 1.0
) -> Array:
    """Draws x ~ p(x|z) for z ~ p(z), [n, *X], in the likelihood's support."""
    latent_key, pixel_key = random.split(key)
    _, px = generate(model, variables, random.split(latent_key, n), condition, temperature=temperature)
    return px.sample(random.split(pixel_key, n))


def reconstruct(model, variables, key: Array, x: Array, condition: Array | None = None) -> Array:
    """Returns the mean of p(x|z) at one draw z ~ q(z|x), [B, *X]."""
    z = encode(model, variables, x, condition).sample(random.split(key, len(x)))
    return decode(model, variables, z, condition).mean()


def latent_shape(model, variables, condition: Array | None = None) -> tuple[int, ...]:
    """Returns the shape *Z of one z; `condition` [1, C] where the model has one."""
    (z,), _ = jax.eval_shape(
        lambda keys: model.apply(variables, keys, condition, method="generate"), random.split(random.key(0), 1)
    )
    return z.shape[2:]


def drop_sample_axis(density: Any) -> Any:
    """Drops the leading S axis, of size 1, of a density's leaves."""
    return jax.tree.map(lambda leaf: leaf[0], density)
