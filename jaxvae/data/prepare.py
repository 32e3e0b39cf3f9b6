"""Preparation of stored images for a likelihood: binarize, scale, dequantize; pure, on the device, per example.

How x was made is part of every number about x: `protocol` describes it.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae._checks import UsageError
from jaxvae.data.spec import TOP, to_unit
from jaxvae.distributions import draw_each

__all__ = ["Batch", "Examples", "Prepare", "as_vector", "binarize", "dequantize", "draw_binary", "grey", "one_hot"]
__all__ += ["static"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Examples:
    """A batch as stored: image [B, *X], index int32 [B], label int32 [B] (-1: none) or float32 vectors [B, C]."""

    image: Any
    label: Any
    index: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch as the model sees it: x and the target it is scored against, [B, *X]; condition or None; index [B]."""

    x: Array
    target: Array
    condition: Array | None
    index: Array


@dataclasses.dataclass(frozen=True)
class Prepare:
    """`image(keys [B], stored [B, *X], index [B]) -> x [B, *X]`, and what x then is.

    `support`: 'binary' (0 and 1), 'coded' (k / 255) or 'open' (inside (0, 1), dequantized), for the likelihood.
    `condition(label) -> [B, C]` makes what the model is conditioned on, or is None.
    """

    image: Callable[[Array, Array, Array], Array]
    support: str
    protocol: str
    condition: Callable[[Array], Array] | None = None

    def __call__(self, keys: Array, batch: Examples) -> Batch:
        x = self.image(keys, batch.image, batch.index)
        return Batch(x, x, self.conditions(batch.label), batch.index)

    def conditions(self, label: Any) -> Array | None:
        """Returns what the model is conditioned on, [B, C], from the labels; None for an unconditional model."""
        return self.condition(jnp.asarray(label)) if self.condition else None


def one_hot(classes: int) -> Callable[[Array], Array]:
    """Returns a function of labels int [B] -> float [B, classes]; a label outside 0 .. classes - 1 gives zeros."""
    return lambda label: jax.nn.one_hot(label, classes)


def as_vector(label: Array) -> Array:
    """Returns vectors [B, C] as they are, in float32."""
    return label.astype(jnp.float32)


def binarize() -> Prepare:
    """Each pixel 1 with its grey value as probability, drawn at every step (Burda et al. 2015, arXiv 1509.00519)."""
    return Prepare(lambda keys, image, index: draw_binary(keys, image), "binary", "dynamic")


def static(seed: int = 0) -> Prepare:
    """Each pixel 1 with its grey value as probability, drawn once per image, from `seed`."""
    if not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise UsageError(f"static(seed={seed!r}): seed is a whole number, of 64 bits at most.")

    def image(keys, image, index):
        return draw_binary(jax.vmap(random.fold_in, (None, 0))(random.key(seed), index), image)

    return Prepare(image, "binary", f"static (seed {seed})")


def grey() -> Prepare:
    """The grey or colour value in [0, 1]."""
    return Prepare(lambda keys, image, index: to_unit(image), "coded", "none, values in [0, 1]")


def dequantize() -> Prepare:
    """(value + u) / 256 with u uniform in (0, 1): with a density (Theis et al. 2015, arXiv 1511.01844, sec. 3.1)."""

    def image(keys, image, index):
        # the middles of 2^15 cells: 8 + 16 bits fill a float32, and neither 0 nor 1 is ever reached
        fraction = ((_draw_16_bits(keys, image.shape) // 2).astype(jnp.float32) + 0.5) / 2**15
        return (image.astype(jnp.float32) + fraction) / (TOP + 1)

    return Prepare(image, "open", "none, uniformly dequantized in (0, 1)")


def draw_binary(keys: Array, image: Array) -> Array:
    """Draws 0. or 1. for every pixel, 1 with probability image / TOP to within 2^-17, exactly at 0 and TOP."""
    wide = image.astype(jnp.int32)
    threshold = (TOP + 2) * wide + (wide >> 7)  # the same as (2^16 wide + 127) // TOP, which took half of its time
    # behind a barrier the bits are compared once, not again wherever x is read: 2% to 5% of a small step on a CPU
    return lax.optimization_barrier(_draw_16_bits(keys, image.shape) < threshold).astype(jnp.float32)


def _draw_16_bits(keys: Array, shape: tuple[int, ...]) -> Array:
    """Draws uniform int32 in [0, 2^16), shaped [B, *X], keys [B]: two of each 32-bit word: half the cost of floats."""
    pixels = math.prod(shape[1:])
    words = draw_each(random.bits, keys, (shape[0], -(-pixels // 2)), 1)
    halves = lax.bitcast_convert_type(words, jnp.uint16).reshape(shape[0], -1)
    return halves[:, :pixels].reshape(shape).astype(jnp.int32)
