"""Checks of the sizes of networks: widths, layers and heads."""

from collections.abc import Sequence
from typing import Any

from jax.typing import DTypeLike

from jaxvae._checks import UsageError, require_fraction, require_whole
from jaxvae.model.layers import get_activation

MAX_WIDTH = 2**20  # units of a layer
_MAX_LAYERS = 500  # of a network: tracing takes about ten milliseconds a layer


def require_widths(name: str, widths: Sequence[int], repeats: int = 1) -> tuple[int, ...]:
    """Returns the widths as a tuple; raises UsageError unless they are sizes, one or more, of `repeats` layers each."""
    if not widths or any(not isinstance(width, int) or width < 1 for width in widths):
        raise UsageError(f"{name}{tuple(widths)} needs one or more positive whole numbers, such as {name}(64, 128).")
    if max(widths) > MAX_WIDTH:
        raise UsageError(f"{name}: a layer of {max(widths):.3g} units is too wide; expected at most {MAX_WIDTH:,}.")
    require_depth(name, len(widths) * repeats)
    return tuple(widths)


def require_depth(name: str, layers: int) -> None:
    """Raises UsageError if there are more layers than can be traced and compiled."""
    if layers > _MAX_LAYERS:
        raise UsageError(f"{name} of {layers:.3g} layers is too deep; expected at most {_MAX_LAYERS:,}.")


def require_sizes(**sizes: int) -> None:
    """Raises UsageError unless each is a whole number from 1 to the largest width of a layer."""
    for name, size in sizes.items():
        require_whole(name, size, 1, MAX_WIDTH)


def require_network(activation: str, dropout: float, dtype: DTypeLike, **sizes: int) -> dict[str, Any]:
    """Returns the fields of `layers.Network`; raises UsageError unless each is one, and the others are sizes."""
    get_activation(activation)
    require_sizes(**sizes)
    return {"activation": activation, "dropout": require_fraction("dropout", dropout), "dtype": dtype}


def require_attention(*, width: int, heads: int, blocks: int, **sizes: int) -> None:
    """Raises UsageError unless all are sizes and the heads divide the width."""
    require_sizes(width=width, heads=heads, blocks=blocks, **sizes)
    require_depth("attention", blocks)
    if width % heads:
        near = max(width // heads, 1) * heads
        raise UsageError(f"width={width} is no multiple of heads={heads}, which share it. Choose width={near}.")
