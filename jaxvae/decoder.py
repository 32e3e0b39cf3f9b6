"""Decoders: z (and a condition) -> features of p(x|z), [N, *Z] -> [N, *shape].

`shape` is (H, W, features per pixel): the likelihood says how many features a pixel needs, build.py passes it in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
from jax import Array

from jaxvae.encoder import require_sizes, require_widths
from jaxvae.layers import ConvTranspose, DenseStack, activation_named, halved


class MLPDecoder(nn.Module):
    widths: Sequence[int]
    shape: tuple[int, ...]
    activation: str = "relu"

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None) -> Array:
        hidden = DenseStack(self.widths, self.activation)(z.reshape(z.shape[0], -1))
        return nn.Dense(math.prod(self.shape))(hidden).reshape(-1, *self.shape)


class ConvDecoder(nn.Module):
    channels: Sequence[int]
    shape: tuple[int, int, int]
    kernel: int
    dense: int
    activation: str

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None) -> Array:
        smallest, *larger = reversed(halved(self.shape[:2], len(self.channels)))
        hidden = DenseStack((self.dense, math.prod(smallest) * self.channels[0]), self.activation)
        x = hidden(z.reshape(z.shape[0], -1)).reshape(-1, *smallest, self.channels[0])
        for channels, size in zip(self.channels[1:], larger, strict=False):
            x = activation_named(self.activation)(ConvTranspose(channels, size, self.kernel)(x))
        return ConvTranspose(self.shape[-1], larger[-1], self.kernel)(x)


def mlp(*widths: int, shape: tuple[int, ...], activation: str = "relu") -> MLPDecoder:
    """Dense layers of these widths, then one linear layer to the features of every pixel."""
    activation_named(activation)
    return MLPDecoder(require_widths("mlp", widths), shape, activation)


def conv(
    *channels: int, shape: tuple[int, int, int], kernel: int = 4, dense: int = 256, activation: str = "relu"
) -> ConvDecoder:
    """Dense layers to a small image of channels[0], then one doubling transpose convolution per entry of `channels`.

    Mirrors the encoder of the reversed channels: `conv(32, 64)` is undone by `conv(64, 32)`.
    """
    activation_named(activation)
    require_sizes(kernel=kernel, dense=dense)
    return ConvDecoder(require_widths("conv", channels), shape, kernel, dense, activation)
