"""Encoders: x (and a condition) -> features, [N, *X] -> [N, F].

Called as network(x, condition, keys): `condition` [N, C] is a one-hot class or a vector, or None; `keys` [N] are for
dropout, in training alone. build.py fills in a factory's keyword-only `dtype`; without one it computes in float32.
"""

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from jaxvae.model import layers
from jaxvae.model._sizes import require_attention, require_network, require_widths
from jaxvae.model.traits import Traits, network_traits

__all__ = ["ConvEncoder", "MLPEncoder", "attention", "conv", "conv1d", "linear", "mlp", "resnet"]


class MLPEncoder(layers.Network):
    """Dense layers on the flattened x, to which the condition is appended."""

    widths: Sequence[int]
    traits = network_traits()

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        x = layers.append_condition(x.reshape(len(x), -1), condition)
        return layers.DenseStack(self.widths, **self.options)(x, keys)


class ConvEncoder(layers.Network):
    """Strided convolutions and a dense layer on [N, H, W, C] or [N, L, C]; the condition is further channels."""

    channels: Sequence[int]
    kernel: int
    dense: int
    traits = network_traits("images")

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        x, places = layers.append_condition(x, condition), x.ndim - 2
        for layer, channels in enumerate(self.channels):
            x = nn.Conv(channels, (self.kernel,) * places, strides=(2,) * places, dtype=self.dtype)(x)
            x = layers.dropout(layers.layer_keys(keys, layer), layers.get_activation(self.activation)(x), self.dropout)
        head = layers.DenseStack((self.dense,), **self.options)
        return head(x.reshape(len(x), -1), layers.layer_keys(keys, len(self.channels)))


class SequenceEncoder(nn.Module):
    """A network of sequences [N, L, C], on such or on images of height 1, [N, 1, L, C]."""

    network: ConvEncoder

    @property
    def traits(self) -> Traits:
        return dataclasses.replace(self.network.traits, takes="sequences")

    def __call__(self, x: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        return self.network(x.reshape(len(x), -1, x.shape[-1]), condition, keys)


class ResNetEncoder(layers.Network):
    """Strided convolutions, each followed by residual blocks, then a dense layer; the condition is further channels."""

    channels: Sequence[int]
    blocks: int
    groups: int
    dense: int
    remat: bool = False
    traits = network_traits("images", remat=True)

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        x = layers.append_condition(x, condition)
        for layer, channels in enumerate(self.channels):
            level = layers.ResidualLevel(self.blocks, self.groups, self.remat, **self.options)
            x = level(nn.Conv(channels, (4, 4), strides=(2, 2), dtype=self.dtype)(x), layers.layer_keys(keys, layer))
        head = layers.DenseStack((self.dense,), **self.options)
        return head(x.reshape(len(x), -1), layers.layer_keys(keys, len(self.channels)))


class AttentionEncoder(layers.Network):
    """A transformer over the image's patches, then a dense layer; the condition is appended to every patch."""

    patch: int
    width: int
    heads: int
    blocks: int
    dense: int
    remat: bool = False
    traits = network_traits("images", remat=True)

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        patches = layers.append_condition(layers.to_patches(x, self.patch), condition)
        tokens = nn.Dense(self.width, dtype=self.dtype)(patches)
        transformer = layers.Transformer(self.blocks, self.heads, self.remat, **self.options)
        tokens = transformer(tokens, layers.layer_keys(keys, 0))
        head = layers.DenseStack((self.dense,), **self.options)
        return head(tokens.reshape(len(x), -1), layers.layer_keys(keys, 1))


def linear() -> MLPEncoder:
    """The flattened x itself, no hidden layer: features = x.

    With linear decoder, Gaussian likelihood and standard prior the model is probabilistic PCA, but for q's scale, which
    depends on x (Tipping & Bishop 1999; Lucas et al. 2019, arXiv 1911.02469). Goes with any data.
    """
    return MLPEncoder(())


def mlp(*widths: int, activation: str = "relu", dropout: float = 0.0, dtype: DTypeLike = jnp.float32) -> MLPEncoder:
    """Dense layers of these widths on the flattened x: h <- act(W h + b).

    `activation` is one of relu, tanh, gelu, silu, softplus, leaky_relu; `dropout` the share of hidden units that
    training zeroes at each step. Goes with any data.
    """
    options = require_network(activation, dropout, dtype)
    return MLPEncoder(require_widths("mlp", widths), **options)


def conv(
    *channels: int,
    kernel: int = 4,
    dense: int = 256,
    activation: str = "relu",
    dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
) -> ConvEncoder:
    """One stride-2 convolution per entry of `channels`, each halving the image (rounding up), then a dense layer.

    `kernel` is the side of every kernel, `dense` the width of the last layer; `activation` and `dropout` as for mlp.
    Goes with images of any size; sequences take conv1d.
    """
    options = require_network(activation, dropout, dtype, kernel=kernel, dense=dense)
    return ConvEncoder(require_widths("conv", channels), kernel, dense, **options)


def conv1d(
    *channels: int,
    kernel: int = 5,
    dense: int = 256,
    activation: str = "relu",
    dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
) -> SequenceEncoder:
    """One stride-2 convolution along the sequence per entry of `channels`, each halving it, then a dense layer.

    For sequences [L, C] of any length, also kept as images of height 1; options as for conv. Images take conv.
    """
    options = require_network(activation, dropout, dtype, kernel=kernel, dense=dense)
    return SequenceEncoder(ConvEncoder(require_widths("conv1d", channels), kernel, dense, **options))


def resnet(
    *channels: int,
    blocks: int = 1,
    groups: int = 8,
    dense: int = 256,
    activation: str = "silu",
    dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> ResNetEncoder:
    """Per entry of `channels` a stride-2 convolution and `blocks` residual blocks, x + f(x), then a dense layer.

    Pre-activation blocks (He et al. 2016, arXiv 1603.05027) with group norm (Wu & He 2018, arXiv 1803.08494) over at
    most `groups` groups of four channels or more; never batch norm, which mixes examples. `dense`, `activation` and
    `dropout` (inside the blocks and after the dense layer) as for conv. Goes with images of any size, not sequences.
    """
    options = require_network(activation, dropout, dtype, blocks=blocks, groups=groups, dense=dense)
    return ResNetEncoder(require_widths("resnet", channels, blocks), blocks, groups, dense, remat, **options)


def attention(
    *,
    patch: int = 4,
    width: int = 64,
    heads: int = 4,
    blocks: int = 2,
    dense: int = 256,
    activation: str = "gelu",
    dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> AttentionEncoder:
    """A small transformer over patches of the image, softmax(q k' / sqrt(d)) v between them, then a dense layer.

    Dosovitskiy et al. 2020 (arXiv 2010.11929), without the class token: the dense layer sees every patch. `patch` is
    the side of a patch, `width` a token's features, shared by `heads`, `blocks` the number of layers; `dense`,
    `activation` and `dropout` as for conv. Goes with images of any size, padded to whole patches; not with sequences.
    """
    require_attention(patch=patch, width=width, heads=heads, blocks=blocks, dense=dense)
    options = require_network(activation, dropout, dtype)
    return AttentionEncoder(patch, width, heads, blocks, dense, remat, **options)
