"""Small changes of a code, seen in its picture; small changes of a picture, seen in its code.

Axis letters: N images or codes, T steps or sizes of a change, Z latent dimensions, *X the shape of an example.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from matplotlib.axes import Axes

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.distributions import draw_each
from jaxvae.latent.sensitivity import code_displacement, decoder_jacobian_svd, posterior_spread
from jaxvae.model.traits import traits_of
from jaxvae.rundir.run import Run
from jaxvae.terms import example_keys
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject, evenly_spaced, jit_once
from jaxvae.viz.plots.image_grid import show_rows
from jaxvae.viz.plots.style import BLUE, INK, LIGHT_BLUE, VERMILION, new_figure, write_title

__all__ = ["SensitivityData", "compute_sensitivity", "has_flat_real_latent", "plot_sensitivity"]

_CHANGE = 40  # purpose folded into the subject's key
_AMOUNTS = (0.01, 0.02, 0.05, 0.1, 0.2)  # shares of flipped pixels; scales of Gaussian noise
_DRAWS = 16  # of z, by which a posterior's spread is measured


class SensitivityData(NamedTuple):
    """What small changes do to n codes, and to N images."""

    pictures: np.ndarray  # [n, 2, T, *X], of codes moved in the steepest and in the flattest direction
    lengths: np.ndarray  # the singular values [n, Z] of dx/dz, descending
    steps: np.ndarray  # [T]
    moved: np.ndarray  # the distances [A, N] of codes whose images were changed by `sizes`
    sizes: np.ndarray  # [A]
    spread: np.ndarray  # [N], of q(z|x) about its mean
    binary: bool  # changed by flipped pixels, else by noise


def compute_sensitivity(
    subject: Subject, *, n: int = 3, steps: int = 9, reach: float = 2.0, most: int = 300
) -> SensitivityData:
    """Moves n codes up to `reach` in two directions, and changes `most` images; z must be a real vector."""
    run = subject.run
    if not has_flat_real_latent(run):
        raise UsageError("small steps from a code are for a z that is a flat vector of real numbers.")
    shown = subject.examples(evenly_spaced(len(subject.split), most))
    binary = run.parts.prepare.support == "binary"
    condition = None if shown.condition is None else run.parts.prepare.conditions(shown.condition)
    offsets, sizes = np.linspace(-reach, reach, steps), np.array(_AMOUNTS)
    alter = partial(flip_pixels, shares=sizes) if binary else partial(add_noise, scales=sizes)
    change = jit_once(run, partial(_small_changes, run.model, n, offsets, alter))
    keys = example_keys(subject.key_for(_CHANGE), jnp.arange(len(shown.x)), 1 + _DRAWS)
    found = jax.device_get(change(run.variables, keys, shown.x, condition))
    return SensitivityData(**found, steps=offsets, sizes=sizes, binary=binary)


def _small_changes(
    model: Any, n: int, offsets: np.ndarray, alter: Callable, variables: Any, keys: Array, x: Array, condition: Any
) -> dict[str, Array]:
    """Computes the arrays of the figure by one program, of examples x [N, *X] with keys [1 + S, N]."""
    z = latent.encode(model, variables, x, condition).mean()[:n]
    first = None if condition is None else condition[:n]
    around = decoder_jacobian_svd(model, variables, z, first)
    ends = jnp.stack([around.directions[:, 0], around.directions[:, -1]], 1)  # [n, 2, Z]
    each_size = jax.vmap(latent.perturb, (None, None, 0), 1)
    walks = jax.vmap(each_size, (0, 0, None))(z, ends, jnp.asarray(offsets, z.dtype))  # [n, 2, T, Z]
    again = None if first is None else jnp.repeat(first, 2 * len(offsets), axis=0)
    means = latent.decode(model, variables, walks.reshape(-1, z.shape[-1]), again).mean()
    moved = code_displacement(model, variables, x, alter(keys[0], x), condition)
    wide = posterior_spread(model, variables, keys[1:], x, condition)
    means = means.reshape(n, 2, len(offsets), *x.shape[1:])
    return {"lengths": around.singular_values, "pictures": means, "moved": moved, "spread": wide}


def has_flat_real_latent(run: Run) -> bool:
    """Returns whether z is a flat vector of real numbers, so that it can be moved in all directions."""
    return len(run.latent_shape) == 1 and traits_of(run.model.posterior).space == "real"


def flip_pixels(keys: Array, x: Array, shares: np.ndarray) -> Array:
    """Returns binary x [N, *X] with each value flipped with probability `shares` [T], as [T, N, *X]; keys [N].

    A pixel that is flipped with a small probability is flipped with every larger one.
    """
    uniform = draw_each(random.uniform, keys, x.shape, x.ndim - 1)
    return jnp.stack([jnp.where(uniform < share, 1 - x, x) for share in shares])


def add_noise(keys: Array, x: Array, scales: np.ndarray) -> Array:
    """Returns x [N, *X] with Gaussian noise of standard deviations `scales` [T], as [T, N, *X]; keys [N]."""
    drawn = draw_each(random.normal, keys, x.shape, x.ndim - 1)
    return jnp.stack([x + float(scale) * drawn for scale in scales])


def plot_sensitivity(path: Path, data: SensitivityData) -> None:
    """Draws two rows of pictures for each code, above the distances that codes move."""
    count, (_, _, *shape) = len(data.pictures), data.pictures.shape
    rows = list(map(pictures, data.pictures.reshape(-1, *shape)))
    names = [f"{kind}: {each[i]:.2g}" for each in data.lengths for kind, i in (("steepest", 0), ("flattest", -1))]
    labels = [f"{size:+.2g}" if size else "0" for size in data.steps]
    with new_figure(path, 9, 4.6 + 1.3 * count) as figure:
        grid = figure.add_gridspec(2, 1, height_ratios=[1.3 * count, 3])
        axes = figure.add_subplot(grid[0])
        wide = show_rows(axes, rows, names[: 2 * count], 64)
        axes.set_xticks((np.arange(len(labels)) + 0.5) * wide, labels, fontsize=8)
        axes.set_xlabel("length of the step from the code in the middle", fontsize=9)
        how_far = "with how far the picture moves for a step of length 1, at the code"
        write_title(axes, "Small changes of the code", how_far)
        _plot_distances(figure.add_subplot(grid[1]), data)


def _plot_distances(axes: Axes, data: SensitivityData) -> None:
    """Draws the median distance and the band that holds four of five codes."""
    low, middle, high = np.quantile(data.moved, [0.1, 0.5, 0.9], axis=1)
    axes.fill_between(data.sizes, low, high, color=LIGHT_BLUE, alpha=0.4, lw=0, label="four of five codes")
    axes.plot(data.sizes, middle, color=BLUE, marker="o", ms=5, lw=2, label="the median code")
    spread_of_q = float(np.median(data.spread))
    if data.spread.max() > 0:
        label = "spread of q(z|x): root mean square distance from its mean, median"
        axes.axhline(spread_of_q, color=VERMILION, ls="--", lw=1.8, label=label)
    axes.set_xscale("log")
    axes.set_xticks(data.sizes, [f"{size:g}" for size in data.sizes])
    axes.minorticks_off()
    kind = "share of the pixels flipped" if data.binary else "standard deviation of the noise added"
    axes.set(xlabel=kind, ylabel="distance in z")
    axes.set_ylim(0, 1.45 * max(high.max(), spread_of_q, 1e-6))
    axes.legend(loc="upper left", labelcolor=INK)
    write_title(axes, "Small changes of the image", "how far the mean of q(z|x) moves")
