"""Sensitivity of decoded images to codes, and of codes to images.

A small step dz moves the mean of p(x|z) by |J dz|, J = dx/dz (Arvanitidis, Hansen & Hauberg 2018, arXiv 1710.11379,
eq. 3). J's singular values are the lengths in the directions of steepest and flattest change.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxvae.latent.encode_decode import decode, encode

__all__ = ["code_displacement", "decoder_jacobian_svd", "posterior_spread"]


class _JacobianSVD(NamedTuple):
    """The singular values of a decoder's Jacobian at codes, and their directions."""

    singular_values: Array  # [B, Z], descending: how far the image moves for a step of length 1
    directions: Array  # [B, Z, Z], row i the right singular vector of singular_values[:, i]


def decoder_jacobian_svd(model, variables, z: Array, condition: Array | None = None) -> _JacobianSVD:
    """Returns singular values and right singular vectors of dE[x|z]/dz at z [B, Z]; with few pixels, some are 0."""

    def at_one(place: tuple[Array, Array | None]) -> tuple[Array, Array]:
        code, given = place

        def image(code: Array) -> Array:
            given_one = None if given is None else given[None]
            return decode(model, variables, code[None], given_one).mean()[0].ravel()

        rows = _jacobian(image, code)
        missing = max(0, rows.shape[1] - rows.shape[0])
        _, lengths, directions = jnp.linalg.svd(jnp.pad(rows, ((0, missing), (0, 0))), full_matrices=False)
        return lengths, directions

    return _JacobianSVD(*lax.map(at_one, (z, condition)))


def _jacobian(f: Callable[[Array], Array], z: Array) -> Array:
    """Returns dx/dz, [D, Z], of x [D] = f(z [Z]), a column for each of few z, by reverse mode alone.

    Reverse mode twice (Townsend 2017): forward mode stops at networks whose gradient is written by hand.
    """
    x, pull = jax.vjp(f, z)
    _, push = jax.vjp(lambda u: pull(u)[0], jnp.zeros_like(x))
    return jax.vmap(lambda v: push(v)[0])(jnp.eye(len(z), dtype=z.dtype)).T


def code_displacement(model, variables, x: Array, changed: Array, condition: Array | None = None) -> Array:
    """Returns |mean of q(z|x') - mean of q(z|x)|, [T, B], for x [B, *X] and T changed x' of each, [T, B, *X]."""

    def mean(x: Array) -> Array:
        return encode(model, variables, x, condition).mean().reshape(len(x), -1)

    return jnp.sqrt(jnp.square(lax.map(mean, changed) - mean(x)[None]).sum(2))


def posterior_spread(model, variables, keys: Array, x: Array, condition: Array | None = None) -> Array:
    """Returns the root mean square distance of z ~ q(z|x) from the mean of q, [B], over keys [S, B]."""
    q = model.apply(variables, x, condition, method="infer")
    away = (q.sample(keys) - q.mean()).reshape(*keys.shape, -1)
    return jnp.sqrt(jnp.square(away).sum(2).mean(0))
