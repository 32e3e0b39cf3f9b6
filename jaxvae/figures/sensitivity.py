"""Small changes: of a code, seen in its picture; of a picture, seen in its code."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax import Array, random

from jaxvae import latent
from jaxvae.data.corrupt import noise
from jaxvae.figures.pictures import pictures
from jaxvae.figures.subject import Subject, spaced
from jaxvae.latent.sensitivity import displacement, spread, stretch
from jaxvae.terms import example_keys

CHANGE, DRAW = 40, 41  # purposes folded into the subject's key
FLIPS, SCALES = (0.01, 0.02, 0.05, 0.1, 0.2), (0.01, 0.02, 0.05, 0.1, 0.2)  # of pixels; of Gaussian noise
DRAWS = 16  # of z, by which a posterior's spread is measured


def draw_sensitivity(
    path: Path, subject: Subject, *, n: int = 3, steps: int = 9, reach: float = 2.0, most: int = 300
) -> dict[str, np.ndarray]:
    """n codes moved up to `reach` in the decoder's steepest and flattest direction; and how far codes of `most` images
    move as the images are changed, by flipped pixels where they are binary, else by Gaussian noise.

    The arrays shown: `lengths [n, Z]`, the singular values of dx/dz, `pictures [n, 2, steps, ...]`, `sizes [T]`,
    `moved [T, N]` and `spread [N]`, the root mean square distance of z ~ q(z|x) from its mean.
    """
    from jaxvae import plots

    run = subject.run
    if len(run.latent_shape) != 1 or not hasattr(run.model.posterior, "space") or run.model.posterior.space == "codes":
        raise ValueError("small steps from a code are for a z that is a flat vector of real numbers.")
    shown = subject.examples(spaced(len(subject.split), most))
    n, given = min(n, len(shown.x)), shown.condition
    z = run.encode(shown.x, given).mean()[:n]
    around = jax.jit(partial(stretch, run.model))(run.variables, z, encoded(subject, given, n))
    sizes = np.linspace(-reach, reach, steps)
    walks = np.stack([walk(z[i], around.directions[i], sizes) for i in range(n)])  # [n, 2, steps, Z]
    again = None if given is None else np.repeat(given[:n], 2 * steps, axis=0)
    means = run.decode(walks.reshape(-1, walks.shape[-1]), again).mean()
    moved, amounts, kind = changes(subject, shown.x, encoded(subject, given, len(shown.x)))
    keys = example_keys(subject.key_of(DRAW), np.arange(len(shown.x)), DRAWS)
    wide = jax.jit(partial(spread, run.model))(run.variables, keys, shown.x, encoded(subject, given, len(shown.x)))
    tiles = pictures(means)
    drawn = tiles.reshape(n, 2, steps, *tiles.shape[1:])
    plots.sensitivity(path, drawn, np.asarray(around.lengths), sizes, moved, amounts, kind, np.asarray(wide))
    arrays = {"lengths": around.lengths, "pictures": np.asarray(means).reshape(n, 2, steps, *run.shape)}
    return {name: np.asarray(a) for name, a in (arrays | {"sizes": amounts, "moved": moved, "spread": wide}).items()}


def encoded(subject: Subject, condition: np.ndarray | None, count: int) -> Array | None:
    """The first conditions as the model takes them, [count, C]; None where it takes none."""
    return None if condition is None else subject.run.parts.prepare.conditions(condition[:count])


def walk(z: Array, directions: Array, sizes: np.ndarray) -> np.ndarray:
    """[2, T, Z]: z [Z] moved by each of the sizes [T] in the first and in the last of the directions [Z, Z]."""
    both = directions[np.array([0, -1])]
    return np.stack([np.asarray(latent.nudges(z, both, float(size))) for size in sizes], 1)


def changes(subject: Subject, x: Array, condition: Array | None) -> tuple[np.ndarray, np.ndarray, str]:
    """(how far the codes move [T, N], the sizes of the changes [T], what these are in words)."""
    binary = subject.run.parts.prepare.support == "binary"
    keys = random.split(subject.key_of(CHANGE), len(x))
    how_far = jax.jit(partial(displacement, subject.run.model))
    amounts = FLIPS if binary else SCALES
    moved = [
        how_far(
            subject.run.variables,
            x,
            flipped(keys, x, size) if binary else noise(size)(random.clone(keys), x),
            condition,
        )
        for size in map(float, amounts)
    ]
    kind = "share of the pixels flipped" if binary else "standard deviation of the noise added"
    return np.stack([np.asarray(each) for each in moved]), np.array(amounts), kind


def flipped(keys: Array, x: Array, share: float) -> Array:
    """Binary x [B, *X] with each value changed to the other with this probability; keys [B]."""
    uniform = jax.vmap(lambda key: random.uniform(random.clone(key), x.shape[1:]))(keys)
    return np.where(uniform < share, 1 - x, x)
