"""Critics: networks that an objective trains beside the model, to tell what it made from what it should look like.

Called as network(x) -> (logits [N], features [N, F]). A logit is the log of how likely x is real over how likely it is
made; the features are what the last layer sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
from jax import Array

from jaxvae.model.encoder import require_widths
from jaxvae.model.layers import get_activation


class MLPCritic(nn.Module):
    """Dense layers on the flattened input."""

    widths: Sequence[int]

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = x.reshape(len(x), -1)
        for width in self.widths:
            x = get_activation("leaky_relu")(nn.Dense(width)(x))
        return nn.Dense(1)(x)[..., 0], x


class ConvCritic(nn.Module):
    """Strided convolutions on images [N, H, W, C] or sequences [N, L, C], without norms."""

    channels: Sequence[int]

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        places = x.ndim - 2
        for channels in self.channels:
            x = get_activation("leaky_relu")(nn.Conv(channels, (4,) * places, strides=(2,) * places)(x))
        features = x.reshape(len(x), -1)
        return nn.Dense(1)(features)[..., 0], features


def mlp(widths: Sequence[int]) -> MLPCritic:
    """The critic with dense layers of these widths; ValueError where they are too wide or too many."""
    return MLPCritic(require_widths("critic", widths))


def conv(channels: Sequence[int]) -> ConvCritic:
    """The critic with a stride-2 convolution per entry of `channels`; ValueError where there are none, or too many."""
    return ConvCritic(require_widths("critic", channels))
