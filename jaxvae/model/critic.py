"""Critics: networks that an objective trains beside the model, to classify examples as real or generated.

Called as network(x) -> (logits [N], features [N, F]). A logit is the log-odds that x is real; the features are the
inputs of the last layer.
"""

from collections.abc import Sequence

import flax.linen as nn
from jax import Array

from jaxvae.model._sizes import require_widths
from jaxvae.model.layers import get_activation

__all__ = ["ConvCritic", "MLPCritic", "conv", "mlp"]


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
    """Returns the critic with dense layers of these widths."""
    return MLPCritic(require_widths("critic", widths))


def conv(channels: Sequence[int]) -> ConvCritic:
    """Returns the critic with a stride-2 convolution per entry of `channels`."""
    return ConvCritic(require_widths("critic", channels))
