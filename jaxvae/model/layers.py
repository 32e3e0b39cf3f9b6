"""Building blocks of networks, independent of VAEs.

`dtype` is the type of a block's arithmetic and outputs; parameters and a norm's statistics are always float32.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax, random
from jax.typing import DTypeLike

from jaxvae._checks import require_choice

__all__ = ["LOG_SCALE_BOUND", "DenseStack", "Network", "ResidualLevel", "Transformer", "append_condition"]
__all__ += ["apply_folded", "bound_spectral_norms", "call_module", "dropout", "float32_dot_general", "from_patches"]
__all__ += ["get_activation", "layer_keys", "maybe_remat", "patch_grid", "smooth_bound", "to_patches"]

LOG_SCALE_BOUND = 7.0  # standard deviations stay within e^-7 and e^7: no overflow, and a gradient everywhere
_POWER_ITERATIONS = 20  # of the power method: a few percent short where two singular values are near each other
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "tanh": jnp.tanh,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "softplus": nn.softplus,
    "leaky_relu": nn.leaky_relu,
}


def get_activation(name: str) -> Callable[[Array], Array]:
    """Returns the activation function of that name."""
    return ACTIVATIONS[require_choice("activation", name, ACTIVATIONS)]


def dropout(keys: Array | None, x: Array, rate: float) -> Array:
    """Zeroes each unit of x [N, ...] with probability `rate` and divides the others by 1 - rate, so the mean stays.

    Every example has its own mask, drawn from its own key of `keys [N]`, independent of the batch; with keys None (in
    evaluation) x is returned as it is. Srivastava et al. 2014, section 4, with the scaling moved to training.
    """
    if keys is None:
        return x
    kept = jax.vmap(lambda key: random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1 - rate), 0)


def layer_keys(keys: Array | None, layer: int) -> Array | None:
    """Returns keys [N] of their own for the layer of that number inside a network; None, in evaluation, stays None."""
    return None if keys is None else jax.vmap(lambda key: random.fold_in(key, layer))(keys)


def append_condition(x: Array, condition: Array | None) -> Array:
    """Returns x [N, ..., F] with the condition [N, C] as further features, the same at every place: [N, ..., F + C]."""
    if condition is None:
        return x
    everywhere = jnp.expand_dims(condition, tuple(range(1, x.ndim - 1)))
    return jnp.concatenate([x, jnp.broadcast_to(everywhere, (*x.shape[:-1], condition.shape[-1]))], axis=-1)


class Network(nn.Module, kw_only=True):
    """A network all of whose hidden layers have this activation, rate of dropout and type of arithmetic."""

    activation: str = "relu"
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @property
    def options(self) -> dict[str, Any]:
        """Returns these three, for the networks that this one is made of."""
        return {"activation": self.activation, "dropout": self.dropout, "dtype": self.dtype}


class DenseStack(Network):
    """Dense layers of the given widths, each followed by activation and dropout: [N, F] -> [N, widths[-1]]."""

    widths: Sequence[int]

    @nn.compact
    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        for layer, width in enumerate(self.widths):
            x = get_activation(self.activation)(nn.Dense(width, dtype=self.dtype)(x))
            x = dropout(layer_keys(keys, layer), x, self.dropout)
        return x


class GroupNorm(nn.Module):
    """Mean 0 and variance 1 over places and each group of channels, then a scale and a shift: [N, ..., C] -> the same.

    Wu & He 2018 (arXiv 1803.08494), eq. 1, 2 and 7. Mixes nothing across examples. `most` groups at the most: the
    largest number that divides C and leaves four channels in a group (or all of them in one).
    """

    most: int = 8
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels, groups = x.shape[-1], group_count(x.shape[-1], self.most)
        scale = self.param("scale", nn.initializers.ones_init(), (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,), jnp.float32)

        def group_means(of_channels: Array) -> Array:
            means = of_channels.reshape(-1, groups, channels // groups).mean(axis=-1)
            return jnp.repeat(means, channels // groups, axis=-1)[:, None]

        # one axis at a time: on a CPU 1.5 to 3 times faster than flax's. The variance is that of what is centred:
        # E[x^2] - E[x]^2 loses all digits of it where the mean is a thousand times the deviation
        flat = x.reshape(len(x), -1, channels).astype(jnp.float32)
        centred = flat - group_means(flat.mean(axis=1))
        factor = lax.rsqrt(group_means((centred * centred).mean(axis=1)) + 1e-5)
        return (centred * (factor * scale[None, None]) + bias[None, None]).reshape(x.shape).astype(self.dtype)


def group_count(channels: int, most: int) -> int:
    """Returns the largest number of equal groups, up to `most`, with four channels or more each; else 1.

    In smaller groups of a small image little but signs would survive the normalisation.
    """
    return max(n for n in range(1, most + 1) if n == 1 or (channels % n == 0 and channels // n >= 4))


class ResidualBlock(Network):
    """x + conv(act(norm(conv(act(norm(x)))))), 3x3, [N, H, W, C] -> the same.

    He et al. 2016 (arXiv 1603.05027), fig. 4e, with group norm. Dropout is before the second convolution, whose
    weights start at 1 / depth of the usual variance, as `depth` blocks add up (Child 2020, arXiv 2011.10650).
    """

    groups: int
    depth: int

    @nn.compact
    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        activation, channels = get_activation(self.activation), x.shape[-1]
        norm, conv = partial(GroupNorm, self.groups, self.dtype), partial(nn.Conv, channels, (3, 3), dtype=self.dtype)
        small = nn.initializers.variance_scaling(1 / self.depth, "fan_in", "truncated_normal")
        hidden = conv()(activation(norm()(x)))
        hidden = dropout(keys, activation(norm()(hidden)), self.dropout)
        return x + conv(kernel_init=small)(hidden)


def maybe_remat(remat: bool, function: Callable[..., Array]) -> Callable[..., Array]:
    """Returns function(module, *args), modules among the args too; where `remat`, the backward pass computes it again.

    So its activations are not kept (Chen et al. 2016, arXiv 1604.06174, section 3); parameters keep their names.
    """
    return nn.remat(function) if remat else function


def call_module(network: nn.Module, *args: Array | None) -> Array:
    """Returns network(*args)."""
    return network(*args)


class ResidualLevel(Network):
    """`blocks` residual blocks at one resolution, then norm and activation, [N, H, W, C] -> the same."""

    blocks: int
    groups: int
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        for number in range(self.blocks):
            block = ResidualBlock(self.groups, self.blocks, **self.options)
            x = maybe_remat(self.remat, call_module)(block, x, layer_keys(keys, number))
        return get_activation(self.activation)(GroupNorm(self.groups, self.dtype)(x))


class SelfAttention(nn.Module):
    """Every token's average of all tokens' values, weighted by softmax(q k' / sqrt(d)), [N, T, F] -> the same.

    Vaswani et al. 2017 (arXiv 1706.03762), eq. 1 and section 3.2.2, with `heads` of d = F / heads each.
    """

    heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        count, tokens, width = x.shape
        three = nn.Dense(3 * width, dtype=self.dtype)(x).reshape(count, tokens, 3, self.heads, width // self.heads)
        averages = jax.nn.dot_product_attention(three[:, :, 0], three[:, :, 1], three[:, :, 2])
        return nn.Dense(width, dtype=self.dtype)(averages.reshape(x.shape))


class Transformer(Network):
    """Learned positions, then blocks of attention and dense layers on normed tokens, [N, T, F] -> the same.

    Norms are before attention and dense layers (Xiong et al. 2020, arXiv 2002.04745), dropout is before each sum
    (Vaswani et al. 2017, section 5.4).
    """

    blocks: int
    heads: int
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        width, dense = x.shape[-1], partial(nn.Dense, dtype=self.dtype)
        norm = partial(nn.LayerNorm, use_fast_variance=False, dtype=self.dtype)
        x = x + self.param("positions", nn.initializers.normal(0.02), x.shape[1:], jnp.float32)[None].astype(x.dtype)

        def block(attention, norms, layers, x, keys_of_two):
            hidden = attention(norms[0](x))
            x = x + dropout(keys_of_two[0], hidden, self.dropout)
            hidden = layers[1](get_activation(self.activation)(layers[0](norms[1](x))))
            return x + dropout(keys_of_two[1], hidden, self.dropout)

        for number in range(self.blocks):
            layers = SelfAttention(self.heads, self.dtype), (norm(), norm()), (dense(4 * width), dense(width))
            of_block = [layer_keys(keys, 2 * number), layer_keys(keys, 2 * number + 1)]
            x = maybe_remat(self.remat, block)(*layers, x, of_block)
        return norm()(x)


def to_patches(x: Array, patch: int) -> Array:
    """Returns images [N, H, W, C], padded to whole patches, as tokens [N, T, patch * patch * C], row by row."""
    count, height, width, channels = x.shape
    rows, columns = patch_grid((height, width), patch)
    x = jnp.pad(x, ((0, 0), (0, rows * patch - height), (0, columns * patch - width), (0, 0)))
    x = x.reshape(count, rows, patch, columns, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(count, rows * columns, -1)


def from_patches(tokens: Array, size: tuple[int, ...], patch: int) -> Array:
    """Undoes `to_patches`: tokens [N, T, patch * patch * F] -> images [N, *size, F], the padding cut off."""
    rows, columns = patch_grid(size, patch)
    x = tokens.reshape(-1, rows, columns, patch, patch, tokens.shape[-1] // patch**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(len(tokens), rows * patch, columns * patch, -1)[:, : size[0], : size[1]]


def patch_grid(size: tuple[int, ...], patch: int) -> tuple[int, int]:
    """Returns how many patches cover an image of that size (H, W): (rows, columns)."""
    return -(-size[0] // patch), -(-size[1] // patch)


def float32_dot_general(x: Array, kernel: Array, dimensions: Any, precision: Any = None) -> Array:
    """Returns the product of x [..., F] and kernel [F, G], of any dtype, summed and returned in float32: [..., G].

    For the `dot_general` of a Dense layer whose outputs must not be rounded. Its operands keep their dtype, also in the
    gradient.
    """
    if x.dtype == jnp.float32:
        return lax.dot_general(x, kernel, dimensions, precision)
    assert dimensions == (((x.ndim - 1,), (0,)), ((), ()))
    return _float32_product(x, kernel)


@jax.custom_vjp
def _float32_product(x: Array, kernel: Array) -> Array:
    return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)


def _float32_product_forward(x: Array, kernel: Array):
    return _float32_product(x, kernel), (x, kernel)


def _float32_product_backward(saved: tuple[Array, Array], cotangent: Array):
    # jax's own rule would multiply a float32 cotangent, at the speed of float32
    x, kernel = saved
    rows, out = x.reshape(-1, x.shape[-1]), cotangent.astype(x.dtype).reshape(-1, kernel.shape[-1])
    return (out @ kernel.T).reshape(x.shape), rows.T @ out


_float32_product.defvjp(_float32_product_forward, _float32_product_backward)


def apply_folded(network: Callable[..., Array], *args: Array | None) -> Array:
    """Applies a network with one leading axis to arguments [S, B, ...]: folds S and B, applies, unfolds."""
    samples, batch = next(arg.shape[:2] for arg in args if arg is not None)
    out = network(*(None if arg is None else arg.reshape(samples * batch, *arg.shape[2:]) for arg in args))
    return out.reshape(samples, batch, *out.shape[1:])


def bound_spectral_norms(params: Any, bound: float) -> Any:
    """Returns the parameters, each kernel scaled such that its largest singular value is at most `bound`.

    A kernel is the matrix [everything else, its last axis] (Miyato et al. 2018, arXiv 1802.05957, section 2.1). The
    value is found by power iteration from a fixed start at every step, without a state.
    """

    def rescale(kernel: Array) -> Array:
        if kernel.ndim < 2:
            return kernel
        matrix = lax.stop_gradient(kernel).reshape(-1, kernel.shape[-1]).astype(jnp.float32)
        right = random.normal(random.key(0), (matrix.shape[1],))
        for _ in range(_POWER_ITERATIONS):
            left = matrix @ right
            right = matrix.T @ (left / jnp.maximum(jnp.linalg.norm(left), 1e-30))
            right = right / jnp.maximum(jnp.linalg.norm(right), 1e-30)
        largest = left @ kernel.reshape(matrix.shape) @ right / jnp.maximum(jnp.linalg.norm(left), 1e-30)
        return kernel * jnp.minimum(1.0, bound / jnp.maximum(largest, 1e-30))

    return jax.tree.map(rescale, params)


def smooth_bound(x: Array, bound: float) -> Array:
    """Bounds x smoothly to (-bound, bound), close to the identity near zero, with a gradient everywhere."""
    return bound * jnp.tanh(x / bound)
