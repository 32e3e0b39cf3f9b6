"""Encoders: x (and a condition) -> features, [N, *X] -> [N, F].

A factory takes what a config's string holds, `conv(32, 64, dense=256)`, and returns a Linen module.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
from jax import Array

from jaxvae.layers import DenseStack, activation_named


class MLPEncoder(nn.Module):
    widths: Sequence[int]
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        return DenseStack(self.widths, self.activation)(x.reshape(x.shape[0], -1))


class ConvEncoder(nn.Module):
    channels: Sequence[int]
    kernel: int
    dense: int
    activation: str

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        for channels in self.channels:
            x = nn.Conv(channels, (self.kernel, self.kernel), strides=(2, 2), padding="SAME")(x)
            x = activation_named(self.activation)(x)
        return DenseStack((self.dense,), self.activation)(x.reshape(x.shape[0], -1))


def mlp(*widths: int, activation: str = "relu") -> MLPEncoder:
    """Dense layers of these widths on the flattened image."""
    activation_named(activation)
    return MLPEncoder(require_widths("mlp", widths), activation)


def conv(*channels: int, kernel: int = 4, dense: int = 256, activation: str = "relu") -> ConvEncoder:
    """One stride-2 convolution per entry of `channels`, each halving the image (rounding up), then a dense layer."""
    activation_named(activation)
    require_sizes(kernel=kernel, dense=dense)
    return ConvEncoder(require_widths("conv", channels), kernel, dense, activation)


def require_widths(name: str, widths: Sequence[int]) -> tuple[int, ...]:
    """The widths as a tuple; ValueError unless they are one or more positive whole numbers."""
    if not widths or any(not isinstance(width, int) or width < 1 for width in widths):
        raise ValueError(f"{name}{tuple(widths)} needs one or more positive whole numbers, such as {name}(64, 128).")
    return tuple(widths)


def require_sizes(**sizes: int) -> None:
    """ValueError unless each is a positive whole number."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name}={size!r}: expected a positive whole number.")
