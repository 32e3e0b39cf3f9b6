"""Normalizing flows: invertible networks of z [N, D], whose Jacobian's determinant is a product of scales.

Each has `forward(z, context) -> (x [N, D], log |det dx/dz| [N])` and `inverse(x, context) -> (z, log |det dz/dx|)`.
`context [N, context_features]`, or None, holds a shift of each step's first hidden layer, computed once per image.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxvae._checks import UsageError
from jaxvae.distributions import Flow, Normal, softplus
from jaxvae.model._sizes import require_depth, require_sizes
from jaxvae.model.layers import smooth_bound

__all__ = ["CouplingFlow", "InverseAutoregressiveFlow", "MaskedAutoregressiveFlow", "make_flow", "require_flow_sizes"]

# near the identity at first; at 0 gradients would stop
_NEAR_IDENTITY = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
_GATE = 2.0  # an IAF's gates start at sigmoid(2) = 0.88, nearly open (arXiv 1606.04934, sec. 4)


class _Flow(nn.Module):
    """`steps` invertible maps with networks of `layers` hidden layers; where `backwards`, forward is their inverse."""

    dim: int
    steps: int
    hidden: int
    layers: int
    backwards = False

    @property
    def context_features(self) -> int:
        return self.steps * self.hidden

    def __call__(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self._compose("forward", z, context)

    def forward(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self._compose("inverse" if self.backwards else "forward", z, context)

    def inverse(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self._compose("forward" if self.backwards else "inverse", x, context)

    def _compose(self, direction: str, z: Array, context: Array | None) -> tuple[Array, Array]:
        """Returns z after all steps, each with its share of the context, and the sum of their log-determinants."""
        shares = [None] * self.steps if context is None else jnp.split(context, self.steps, axis=-1)
        order, log_dets = slice(None, None, -1 if direction == "inverse" else 1), []
        for turn, share in zip(self.turns[order], shares[order], strict=True):
            z, log_det = getattr(turn, direction)(z, share)
            log_dets.append(log_det)
        return z, sum(log_dets[1:], log_dets[0])

    def _autoregressive(self, form: Callable) -> list["Autoregressive"]:
        """Returns steps of alternating order."""
        sizes = self.dim, self.hidden, self.layers, _step_bound(self.steps)
        return [Autoregressive(*sizes, form, turn % 2 == 1) for turn in range(self.steps)]


class CouplingFlow(_Flow):
    """Affine couplings, z of `dim` coordinates (Dinh et al. 2016, arXiv 1605.08803): equally fast in both directions.

    The halves take turns: second given first, first given second, odd given even, even given odd coordinates.
    """

    def setup(self) -> None:
        sizes = self.dim, self.hidden, self.layers, _step_bound(self.steps)
        self.turns = [Coupling(*sizes, turn % 4 // 2 == 1, turn % 2 == 1) for turn in range(self.steps)]


class InverseAutoregressiveFlow(_Flow):
    """Gated autoregressive steps of alternating order (Kingma et al. 2016, arXiv 1606.04934, eq. 10-14).

    Forward is one pass, for a posterior that scores its own draws; inverse takes `dim` passes a step.
    """

    def setup(self) -> None:
        self.turns = self._autoregressive(gated_affine)


class MaskedAutoregressiveFlow(_Flow):
    """Standardising autoregressive steps of alternating order (Papamakarios et al. 2017, arXiv 1705.07057, eq. 3-5).

    Inverse is one pass, for a prior that scores what others drew; forward takes `dim` passes a step.
    """

    backwards = True

    def setup(self) -> None:
        self.turns = self._autoregressive(_standardize)


def make_flow(base: Normal, network: Any, context: Array | None = None) -> Flow:
    """Returns the density of network.forward(z), z ~ base [1, B or 1, D], as a pytree outside the Linen scope.

    `network` is a child of the module that calls this; `context [B, network.context_features]`. Gradients of the Flow's
    weights are gradients of the child's parameters.
    """
    if network.is_initializing():
        network(jnp.zeros((1, network.dim)), None if context is None else context[:1])
    weights = jax.tree.map(lambda leaf: leaf[None, None], network.variables["params"])
    context = None if context is None else _at_least_float32(context)[None]
    return Flow(base, weights, context, network.clone(parent=None, name=None))


def require_flow_sizes(name: str, latent_dim: int, steps: int, hidden: int, layers: int, instead: str) -> None:
    """Raises UsageError unless the sizes fit a flow, and z has two coordinates or more: one depends on no others."""
    require_sizes(steps=steps, hidden=hidden, layers=layers)
    require_depth(name, steps * (layers + 1))
    if latent_dim < 2:
        raise UsageError(
            f"{name}(...) moves coordinates of z by what the others are, but model.latent_dim={latent_dim} has no "
            f"others. Choose {instead}, or model.latent_dim from 2 on."
        )


def _step_bound(steps: int) -> float:
    """Returns the bound of one step's log-scales, such that all steps together stay within e^-16 and e^16."""
    return min(4.0, 16.0 / steps)


class Coupling(nn.Module):
    """x = z exp(s) + t for one half of z, with s and t a dense network of the other, which stays.

    (Dinh et al. 2016, arXiv 1605.08803, eq. 4-5.) The halves are the first and the second, or the even and the odd
    coordinates where `interleaved`; the latter moves, or the former where `swapped`.
    """

    dim: int
    hidden: int
    layers: int
    bound: float
    interleaved: bool
    swapped: bool

    def setup(self) -> None:
        former = (self.dim + 1) // 2 if self.interleaved else self.dim // 2
        self.conditioner = Conditioner(former if self.swapped else self.dim - former, self.hidden, self.layers)

    def forward(self, z: Array, context: Array | None) -> tuple[Array, Array]:
        kept, moved = self._split(z)
        shift, log_scale = self._affine(kept, context)
        return self._join(kept, moved * jnp.exp(log_scale) + shift), log_scale.sum(-1)

    def inverse(self, x: Array, context: Array | None) -> tuple[Array, Array]:
        kept, moved = self._split(x)
        shift, log_scale = self._affine(kept, context)
        return self._join(kept, (moved - shift) * jnp.exp(-log_scale)), -log_scale.sum(-1)

    def _affine(self, kept: Array, context: Array | None) -> tuple[Array, Array]:
        shift, free = self.conditioner(kept, context)
        return shift, smooth_bound(free, self.bound)

    def _split(self, z: Array) -> tuple[Array, Array]:
        half = self.dim // 2
        former, latter = (z[:, 0::2], z[:, 1::2]) if self.interleaved else (z[:, :half], z[:, half:])
        return (latter, former) if self.swapped else (former, latter)

    def _join(self, kept: Array, moved: Array) -> Array:
        former, latter = (moved, kept) if self.swapped else (kept, moved)
        return _interleave(former, latter) if self.interleaved else jnp.concatenate([former, latter], axis=-1)


class Conditioner(nn.Module):
    """A dense network from [N, F] and a context [N, hidden], or None, to two outputs [N, outputs], at first near 0."""

    outputs: int
    hidden: int
    layers: int

    @nn.compact
    def __call__(self, x: Array, context: Array | None) -> tuple[Array, Array]:
        x = nn.Dense(self.hidden)(x)
        x = nn.relu(x if context is None else x + context)
        for _ in range(self.layers - 1):
            x = nn.relu(nn.Dense(self.hidden)(x))
        shift, free = jnp.split(nn.Dense(2 * self.outputs, kernel_init=_NEAR_IDENTITY)(x), 2, axis=-1)
        return _at_least_float32(shift), _at_least_float32(free)


class Autoregressive(nn.Module):
    """y = x exp(s) + t, where s and t of a coordinate see those before it alone; after it, where `descending`.

    `form` maps the outputs of a MADE to t and s. `forward` maps x to y at once, `inverse` y to x by coordinates.
    """

    dim: int
    hidden: int
    layers: int
    bound: float
    form: Callable[[Array, Array, float], tuple[Array, Array]]
    descending: bool

    def setup(self) -> None:
        self.made = MADE(self.dim, self.hidden, self.layers, self.descending)

    def forward(self, x: Array, context: Array | None) -> tuple[Array, Array]:
        """Returns (y, log |det dy/dx|)."""
        shift, log_scale = self.form(*_masked_network(self.made.masked(), x, context), self.bound)
        return x * jnp.exp(log_scale) + shift, log_scale.sum(-1)

    def inverse(self, y: Array, context: Array | None) -> tuple[Array, Array]:
        """Returns (x, log |det dx/dy|). Later coordinates stay 0 until their turn, so that nothing can overflow."""
        layers = self.made.masked()

        def place(found: tuple[Array, Array], turn: Array) -> tuple[tuple[Array, Array], None]:
            x, log_scales = found
            shift, log_scale = self.form(*_masked_network(layers, x, context), self.bound)
            here = jnp.arange(self.dim)[None] == turn
            x = jnp.where(here, (y - shift) * jnp.exp(-log_scale), x)
            return (x, jnp.where(here, log_scale, log_scales)), None

        order = jnp.arange(self.dim)
        nothing = jnp.zeros_like(y)
        (x, log_scales), _ = lax.scan(place, (nothing, nothing), order[::-1] if self.descending else order)
        return x, -log_scales.sum(-1)


class MADE(nn.Module):
    """A dense network whose two outputs for coordinate i see x_1 .. x_{i-1} alone, by masks on its kernels.

    (Germain et al. 2015, arXiv 1502.03509, eq. 12-13.) Where `descending` they see x_{i+1} .. x_D. A hidden unit of
    degree m sees m coordinates; degrees from 0 on, so that the first coordinate, too, may depend on the context.
    """

    dim: int
    hidden: int
    layers: int
    descending: bool

    def setup(self) -> None:
        sizes = [self.dim, *[self.hidden] * self.layers, 2 * self.dim]
        initializers = [nn.initializers.lecun_normal()] * self.layers + [_NEAR_IDENTITY]
        self.kernels = [
            self.param(f"kernel_{i}", initializers[i], (sizes[i], sizes[i + 1]), jnp.float32)
            for i in range(self.layers + 1)
        ]
        self.biases = [
            self.param(f"bias_{i}", nn.initializers.zeros_init(), (sizes[i + 1],), jnp.float32)
            for i in range(self.layers + 1)
        ]

    def masked(self) -> list[tuple[Array, Array]]:
        """Returns the masked kernel and the bias of each layer, made once for any number of calls."""
        parts = zip(self.kernels, self.biases, self._masks(), strict=True)
        return [(kernel * mask, bias) for kernel, bias, mask in parts]

    def _masks(self) -> list[Array]:
        own = jnp.arange(1, self.dim + 1)
        own = own[::-1] if self.descending else own
        hidden = jnp.arange(self.hidden) * self.dim // self.hidden
        first = hidden[None] >= own[:, None]
        inner = hidden[None] >= hidden[:, None]
        last = jnp.tile(own, 2)[None] > hidden[:, None]
        return [first, *[inner] * (self.layers - 1), last]


def _masked_network(layers: list[tuple[Array, Array]], x: Array, context: Array | None) -> tuple[Array, Array]:
    """Returns the two outputs [N, D] of a MADE's masked layers at x [N, D]; pure, so that it may run inside a loop."""
    for i, (kernel, bias) in enumerate(layers):
        x = (x if i == 0 else nn.relu(x)) @ kernel + bias[None]
        if i == 0 and context is not None:
            x = x + context
    shift, free = jnp.split(x, 2, axis=-1)
    return _at_least_float32(shift), _at_least_float32(free)


def _at_least_float32(x: Array) -> Array:
    """Returns x in float32, or in float64 if it is."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def gated_affine(mean: Array, free: Array, bound: float) -> tuple[Array, Array]:
    """Returns shift and log-scale of y = g x + (1 - g) mean, g = sigmoid(free + 2), `free` bounded (eq. 13-14)."""
    gate = _GATE + smooth_bound(free, bound)
    return jax.nn.sigmoid(-gate) * mean, -softplus(-gate)


def _standardize(mean: Array, free: Array, bound: float) -> tuple[Array, Array]:
    """Returns shift and log-scale of y = (x - mean) exp(-a), a = `free` bounded (arXiv 1705.07057, eq. 5)."""
    log_scale = -smooth_bound(free, bound)
    return -mean * jnp.exp(log_scale), log_scale


def _interleave(even: Array, odd: Array) -> Array:
    """Returns [N, D] whose even coordinates are those of `even`, and whose odd ones those of `odd`; D may be odd."""
    longer = even.shape[-1] - odd.shape[-1]
    zero = jnp.zeros((), even.dtype)
    # two interior pads, added: a CPU runs them in one loop, where a scatter would go element by element
    return lax.pad(even, zero, ((0, 0, 0), (0, 1 - longer, 1))) + lax.pad(odd, zero, ((0, 0, 0), (1, longer, 1)))
