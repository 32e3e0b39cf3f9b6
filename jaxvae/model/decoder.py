"""Decoders: z (and a condition) -> features of p(x|z), [N, *Z] -> [N, *shape].

`shape` is (H, W, features per pixel) or (L, features). Called as network(z, condition, keys), as encoders are; the
condition is appended to the flattened z. The last layer gives float32, whatever the `dtype` of the others.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from jaxvae._checks import require_positive
from jaxvae.model import layers
from jaxvae.model._sizes import require_attention, require_network, require_widths
from jaxvae.model.convolution import ConvTranspose, downsampled_sizes
from jaxvae.model.traits import Traits, network_traits

__all__ = ["MLPDecoder", "attention", "conv", "conv1d", "linear", "mlp", "resnet"]


class MLPDecoder(layers.Network):
    """Dense layers, then one affine map to all features of all pixels."""

    widths: Sequence[int]
    shape: tuple[int, ...]
    traits = network_traits()

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        z = layers.append_condition(z.reshape(len(z), -1), condition)
        hidden = layers.DenseStack(self.widths, **self.options)(z, keys)
        return _float32_dense(math.prod(self.shape), self.dtype)(hidden).reshape(-1, *self.shape)


class ConvDecoder(layers.Network):
    """Dense layers to a small image (or sequence), then transpose convolutions that double it."""

    channels: Sequence[int]
    shape: tuple[int, ...]
    kernel: int
    dense: int
    traits = network_traits("images")

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        smallest, *larger = reversed(downsampled_sizes(self.shape[:-1], len(self.channels)))
        widths = (self.dense, math.prod(smallest) * self.channels[0])
        z = layers.append_condition(z.reshape(len(z), -1), condition)
        x = layers.DenseStack(widths, **self.options)(z, layers.layer_keys(keys, 0))
        x = x.reshape(-1, *smallest, self.channels[0])
        for layer, (channels, size) in enumerate(zip(self.channels[1:], larger, strict=False), start=1):
            x = layers.get_activation(self.activation)(ConvTranspose(channels, size, self.kernel, dtype=self.dtype)(x))
            x = layers.dropout(layers.layer_keys(keys, layer), x, self.dropout)
        return ConvTranspose(self.shape[-1], larger[-1], self.kernel)(x)


class SequenceDecoder(nn.Module):
    """A network of sequences [L, F], shaped as the data are: so, or as images of height 1, [1, L, F]."""

    network: ConvDecoder
    shape: tuple[int, ...]

    @property
    def traits(self) -> Traits:
        return dataclasses.replace(self.network.traits, takes="sequences")

    def __call__(self, z: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        return self.network(z, condition, keys).reshape(-1, *self.shape)


class SpectralDecoder(nn.Module):
    """A network none of whose kernels has a singular value above the bound; biases are free."""

    network: nn.Module
    bound: float

    @property
    def traits(self) -> Traits:
        return self.network.traits

    def __call__(self, z: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        if self.is_initializing():
            return self.network(z, condition, keys)
        network, variables = self.network.unbind()
        held = {"params": layers.bound_spectral_norms(variables["params"], self.bound)}
        features: Any = network.apply(held, z, condition, keys)
        return features


class ResNetDecoder(layers.Network):
    """Dense layers to a small image; then residual blocks and a transpose convolution that doubles it, in turns."""

    channels: Sequence[int]
    shape: tuple[int, ...]
    blocks: int
    groups: int
    dense: int
    remat: bool = False
    traits = network_traits("images", remat=True)

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        smallest, *larger = reversed(downsampled_sizes(self.shape[:-1], len(self.channels)))
        z = layers.append_condition(z.reshape(len(z), -1), condition)
        hidden = layers.DenseStack((self.dense,), **self.options)(z, layers.layer_keys(keys, 0))
        x = nn.Dense(math.prod(smallest) * self.channels[0], dtype=self.dtype)(hidden)
        x = x.reshape(-1, *smallest, self.channels[0])
        after = (*self.channels[1:], self.shape[-1])
        for layer, (features, size) in enumerate(zip(after, larger, strict=True), start=1):
            level = layers.ResidualLevel(self.blocks, self.groups, self.remat, **self.options)
            dtype = self.dtype if layer < len(after) else jnp.float32
            x = ConvTranspose(features, size, dtype=dtype)(level(x, layers.layer_keys(keys, layer)))
        return x


class AttentionDecoder(layers.Network):
    """Dense layers to one token a patch, a transformer over them, then an affine map of each to its patch's pixels."""

    shape: tuple[int, ...]
    patch: int
    width: int
    heads: int
    blocks: int
    dense: int
    remat: bool = False
    traits = network_traits("images", remat=True)

    @nn.compact
    def __call__(self, z: Array, condition: Array | None = None, keys: Array | None = None) -> Array:
        tokens = math.prod(layers.patch_grid(self.shape, self.patch))
        z = layers.append_condition(z.reshape(len(z), -1), condition)
        hidden = layers.DenseStack((self.dense,), **self.options)(z, layers.layer_keys(keys, 0))
        x = nn.Dense(tokens * self.width, dtype=self.dtype)(hidden).reshape(-1, tokens, self.width)
        x = layers.Transformer(self.blocks, self.heads, self.remat, **self.options)(x, layers.layer_keys(keys, 1))
        patches = _float32_dense(self.patch**2 * self.shape[-1], self.dtype)(x)
        return layers.from_patches(patches, self.shape[:2], self.patch)


def _float32_dense(features: int, dtype: DTypeLike) -> nn.Dense:
    """Returns a decoder's last affine map: operands in `dtype`, outputs in float32."""
    return nn.Dense(features, dtype=dtype, dot_general=layers.float32_dot_general)


def linear(*, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> MLPDecoder:
    """One affine map from z to all features, no hidden layer: features = W z + b.

    With gaussian('learned') the model is probabilistic PCA (Tipping & Bishop 1999). Goes with any data.
    """
    return MLPDecoder((), shape, dtype=dtype)


def mlp(
    *widths: int,
    shape: tuple[int, ...],
    activation: str = "relu",
    dropout: float = 0.0,
    spectral: float | None = None,
    dtype: DTypeLike = jnp.float32,
) -> MLPDecoder | SpectralDecoder:
    """Dense layers of these widths, then one linear layer to the features of every pixel.

    `activation` is one of relu, tanh, gelu, silu, softplus, leaky_relu; `dropout` the share of hidden units that
    training zeroes at each step; `spectral`, if any, the largest singular value that a layer's kernel may have (Miyato
    et al. 2018, arXiv 1802.05957). Goes with any data.
    """
    options = require_network(activation, dropout, dtype)
    return _bound_spectrum(MLPDecoder(require_widths("mlp", widths), shape, **options), spectral)


def conv(
    *channels: int,
    shape: tuple[int, ...],
    kernel: int = 4,
    dense: int = 256,
    activation: str = "relu",
    dropout: float = 0.0,
    spectral: float | None = None,
    dtype: DTypeLike = jnp.float32,
) -> ConvDecoder | SpectralDecoder:
    """Dense layers to a small image of channels[0], then one doubling transpose convolution per entry of `channels`.

    Mirrors the encoder of the reversed channels: `conv(32, 64)` is undone by `conv(64, 32)`. `kernel` is the side of
    every kernel, `dense` the width of the first layer; `activation`, `dropout` and `spectral` as for mlp. Goes with
    images of any size; sequences take conv1d.
    """
    options = require_network(activation, dropout, dtype, kernel=kernel, dense=dense)
    network = ConvDecoder(require_widths("conv", channels), shape, kernel, dense, **options)
    return _bound_spectrum(network, spectral)


def _bound_spectrum(network: Any, spectral: float | None) -> Any:
    """Returns the network, held to that largest singular value where there is one."""
    return network if spectral is None else SpectralDecoder(network, require_positive("spectral", spectral))


def conv1d(
    *channels: int,
    shape: tuple[int, ...],
    kernel: int = 5,
    dense: int = 256,
    activation: str = "relu",
    dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
) -> SequenceDecoder:
    """Dense layers to a short sequence of channels[0], then one doubling transpose convolution per entry of `channels`.

    For sequences [L, C] of any length, also kept as images of height 1; options as for conv. Images take conv.
    """
    options = require_network(activation, dropout, dtype, kernel=kernel, dense=dense)
    flat = (math.prod(shape[:-1]), shape[-1])
    network = ConvDecoder(require_widths("conv1d", channels), flat, kernel, dense, **options)
    return SequenceDecoder(network, shape)


def resnet(
    *channels: int,
    shape: tuple[int, ...],
    blocks: int = 1,
    groups: int = 8,
    dense: int = 256,
    activation: str = "silu",
    dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> ResNetDecoder:
    """A small image of channels[0]; per entry of `channels`, `blocks` residual blocks, x + f(x), and a doubling.

    Mirrors the encoder of the reversed channels: `resnet(32, 64)` is undone by `resnet(64, 32)`. Pre-activation blocks
    (He et al. 2016, arXiv 1603.05027) with group norm (Wu & He 2018, arXiv 1803.08494); options as for the encoder.
    Goes with images of any size, not with sequences.
    """
    options = require_network(activation, dropout, dtype, blocks=blocks, groups=groups, dense=dense)
    return ResNetDecoder(require_widths("resnet", channels, blocks), shape, blocks, groups, dense, remat, **options)


def attention(
    *,
    shape: tuple[int, ...],
    patch: int = 4,
    width: int = 64,
    heads: int = 4,
    blocks: int = 2,
    dense: int = 256,
    activation: str = "gelu",
    dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> AttentionDecoder:
    """A small transformer, softmax(q k' / sqrt(d)) v, over one token a patch; each becomes its patch's pixels.

    After Dosovitskiy et al. 2020 (arXiv 2010.11929), run from tokens to pixels; options as for the encoder. Goes with
    images of any size, cut from whole patches; not with sequences.
    """
    require_attention(patch=patch, width=width, heads=heads, blocks=blocks, dense=dense)
    options = require_network(activation, dropout, dtype)
    return AttentionDecoder(shape, patch, width, heads, blocks, dense, remat, **options)
