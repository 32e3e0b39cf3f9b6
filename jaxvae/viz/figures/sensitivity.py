"""Small changes: of a code, seen in its picture; of a picture, seen in its code."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.distributions import draw_each
from jaxvae.latent.sensitivity import code_displacement, decoder_jacobian_svd, posterior_spread
from jaxvae.model.traits import traits_of
from jaxvae.rundir.run import Run
from jaxvae.terms import example_keys
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject, run_once, spaced

_CHANGE = 40  # purpose folded into the subject's key
_FLIPS, _SCALES = (0.01, 0.02, 0.05, 0.1, 0.2), (0.01, 0.02, 0.05, 0.1, 0.2)  # of pixels; of Gaussian noise
_DRAWS = 16  # of z, by which a posterior's spread is measured


def draw_sensitivity(
    path: Path, subject: Subject, *, n: int = 3, steps: int = 9, reach: float = 2.0, most: int = 300
) -> dict[str, np.ndarray]:
    """n codes moved up to `reach` in the decoder's steepest and flattest direction; and how far codes of `most` images
    move as the images are changed, by flipped pixels where they are binary, else by Gaussian noise.

    The arrays shown: `lengths [n, Z]`, the singular values of dx/dz, `pictures [n, 2, steps, ...]`, `sizes [T]`,
    `moved [T, N]` and `spread [N]`, the root mean square distance of z ~ q(z|x) from its mean.
    """
    from jaxvae.viz import plots

    run = subject.run
    if not walkable(run):
        raise UsageError("small steps from a code are for a z that is a flat vector of real numbers.")
    shown = subject.examples(spaced(len(subject.split), most))
    binary, given = run.parts.prepare.support == "binary", run.parts.prepare.conditions
    condition = None if shown.condition is None else given(shown.condition)
    sizes, amounts = np.linspace(-reach, reach, steps), np.array(_FLIPS if binary else _SCALES)
    look = run_once(run, partial(_small_changes, run.model, n, sizes, amounts, binary))
    keys = example_keys(subject.key_of(_CHANGE), jnp.arange(len(shown.x)), 1 + _DRAWS)
    seen = jax.device_get(look(run.variables, keys, shown.x, condition))
    tiles = pictures(seen["pictures"].reshape(-1, *run.shape))
    drawn = tiles.reshape(*seen["pictures"].shape[:3], *tiles.shape[1:])
    kind = "share of the pixels flipped" if binary else "standard deviation of the noise added"
    plots.sensitivity(path, drawn, seen["lengths"], sizes, seen["moved"], amounts, kind, seen["spread"])
    return seen | {"sizes": amounts}


def _small_changes(model, n, sizes, amounts, binary, variables, keys, x, condition) -> dict[str, Array]:
    """All that the figure shows, by one program, of examples x [N, *X] with keys [1 + S, N]."""
    z = latent.encode(model, variables, x, condition).mean()[:n]
    first = None if condition is None else condition[:n]
    around = decoder_jacobian_svd(model, variables, z, first)
    ends = jnp.stack([around.directions[:, 0], around.directions[:, -1]], 1)  # [n, 2, Z]
    each_size = jax.vmap(latent.perturb, (None, None, 0), 1)
    walks = jax.vmap(each_size, (0, 0, None))(z, ends, jnp.asarray(sizes, z.dtype))  # [n, 2, T, Z]
    again = None if first is None else jnp.repeat(first, 2 * len(sizes), axis=0)
    means = latent.decode(model, variables, walks.reshape(-1, z.shape[-1]), again).mean()
    changed = flipped(keys[0], x, amounts) if binary else noisy(keys[0], x, amounts)
    moved = code_displacement(model, variables, x, changed, condition)
    wide = posterior_spread(model, variables, keys[1:], x, condition)
    means = means.reshape(n, 2, len(sizes), *x.shape[1:])
    return {"lengths": around.singular_values, "pictures": means, "moved": moved, "spread": wide}


def walkable(run: Run) -> bool:
    """Whether z is a flat vector from which steps lead in all directions."""
    return len(run.latent_shape) == 1 and traits_of(run.model.posterior).space == "real"


def flipped(keys: Array, x: Array, shares: np.ndarray) -> Array:
    """[T, N, *X]: binary x [N, *X] with each value changed to the other with these probabilities [T]; keys [N].

    What is flipped with a small probability is so with a larger one, too.
    """
    uniform = draw_each(random.uniform, keys, x.shape, x.ndim - 1)
    return jnp.stack([jnp.where(uniform < share, 1 - x, x) for share in shares])


def noisy(keys: Array, x: Array, scales: np.ndarray) -> Array:
    """[T, N, *X]: x [N, *X] with Gaussian noise of these standard deviations [T], alike but for size; keys [N]."""
    drawn = draw_each(random.normal, keys, x.shape, x.ndim - 1)
    return jnp.stack([x + float(scale) * drawn for scale in scales])
