"""Walks through the latent space as pictures: from one image to another, along dimensions, over a plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject

_PATHS = {"line": latent.line, "great_circle": latent.great_circle}
_ROWS = 10  # dimensions that a traversal shows unless it is told which


def draw_interpolation(
    path: Path, subject: Subject, pairs: Sequence[tuple[int, int]], *, steps: int = 11, way: str = "line"
) -> dict[str, np.ndarray]:
    """Walks between the means of q(z|x) of pairs of images, each pair with the images themselves at its ends.

    A conditional model is given the condition of a walk's first image all along.
    """
    from jaxvae.viz import plots

    starts, ends = (subject.examples([pair[end] for pair in pairs]) for end in (0, 1))
    a, b = (subject.means[[pair[end] for pair in pairs]] for end in (0, 1))
    z = np.stack([_PATHS[way](*each, steps) for each in zip(jnp.asarray(a), jnp.asarray(b), strict=True)])
    given = starts.condition
    seen = subject.decoded(z, None if given is None else np.repeat(given[:, None], steps, axis=1))
    plots.interpolation(
        path, pictures(starts.x), seen, pictures(ends.x), way=way.replace("_", " "), given=told(subject, "first image")
    )
    return {"pairs": np.array(pairs), "z": z, "images": seen}


def default_pairs(subject: Subject, count: int = 8) -> list[tuple[int, int]]:
    """Pairs of the split's images: of differing classes, or of the same for a model that is given the class."""
    label = subject.classes
    free = np.random.RandomState(0).permutation(len(subject.split))[: 50 * count].tolist()  # sorted by class, perhaps
    pairs: list[tuple[int, int]] = []
    while len(free) > 1 and len(pairs) < count:
        first = free.pop(0)
        fits = [i for i in free if label is None or (label[i] == label[first]) == subject.run.conditional]
        second = fits[0] if fits else free[0]
        free.remove(second)
        pairs.append((first, second))
    if not pairs:
        raise UsageError(f"the {subject.name} split has {len(subject.split)} image; a walk needs two.")
    return pairs


def draw_traversal(
    path: Path,
    subject: Subject,
    dimensions: Sequence[int] | None = None,
    *,
    image: int | None = None,
    steps: int = 11,
    reach: float = 2.5,
) -> dict[str, np.ndarray]:
    """A row for each dimension, moved from -`reach` to `reach` deviations about the middle; the others stay.

    They start from the mean of an `image`, or from the middle. By default the ROWS dimensions that say most.
    """
    from jaxvae.viz import plots

    chosen = most_telling(subject, _ROWS) if dimensions is None else list(dimensions)
    z, given = _start_of(subject, image)
    rows = [
        np.asarray(latent.traversal(jnp.asarray(z), d, jnp.asarray(places(subject, d, steps, reach)))) for d in chosen
    ]
    walks = np.stack(rows)
    seen = subject.decoded(walks, _everywhere(given, walks))
    offsets = np.linspace(-reach, reach, steps)
    where = f"from image {image}" if image is not None else f"from the middle of {whose(subject)}"
    plots.traversal(
        path, seen, offsets, chosen, subject.said[chosen], start=where, unit=unit(subject), given=told(subject)
    )
    return {"dimensions": np.array(chosen), "z": walks, "images": seen, "kl": subject.said[chosen]}


def draw_manifold(
    path: Path, subject: Subject, dimensions: Sequence[int] | None = None, *, side: int = 20
) -> dict[str, np.ndarray]:
    """The plane of two dimensions, decoded at the quantiles (i + 1/2) / side of a normal of their middle and spread.

    For a standard normal prior these are the prior's own. Other dimensions stay in their middle.
    """
    from jaxvae.viz import plots

    first, second = chosen = _two_of(subject, dimensions)
    z, given = _start_of(subject, None)
    unit_plane = np.asarray(latent.plane(jnp.zeros_like(z), chosen, jnp.asarray(latent.normal_quantiles(side))))
    grid = z + subject.spread * unit_plane
    seen = subject.decoded(grid, _everywhere(given, grid))
    normal = "the prior" if subject.at_the_prior else "a normal about the codes"
    plots.manifold(path, seen, names=(f"z{first + 1}", f"z{second + 1}"), of=len(z), whose=normal, given=told(subject))
    return {"dimensions": np.array([first, second]), "z": grid, "images": seen}


def draw_plane_about(
    path: Path,
    subject: Subject,
    dimensions: Sequence[int] | None = None,
    *,
    image: int | None = None,
    steps: int = 11,
    reach: float = 2.5,
) -> dict[str, np.ndarray]:
    """The plane of two dimensions about an image's mean, or the middle, in even steps from -`reach` to `reach`."""
    from jaxvae.viz import plots

    chosen = _two_of(subject, dimensions)
    z, given = _start_of(subject, image)
    offsets = np.linspace(-reach, reach, steps, dtype=np.float32)
    steps_of = np.asarray(latent.plane(jnp.zeros_like(z), chosen, jnp.asarray(offsets)))
    kept = np.where(np.isin(np.arange(len(z)), chosen), subject.middle, z)
    grid = kept + subject.spread * steps_of
    seen = subject.decoded(grid, _everywhere(given, grid))
    about = f"image {image}'s code" if image is not None else f"the middle of {whose(subject)}"
    plots.plane(path, seen, offsets, chosen, about=about, unit=unit(subject), given=told(subject))
    return {"dimensions": np.array(chosen), "z": grid, "images": seen}


def most_telling(subject: Subject, count: int) -> list[int]:
    """The dimensions that say most of an image, the first says most; of two and fewer, all in their order."""
    z = subject.means.shape[1]
    return list(range(z)) if z <= count <= 2 else [int(d) for d in np.argsort(-subject.said, kind="stable")[:count]]


def _two_of(subject: Subject, dimensions: Sequence[int] | None) -> tuple[int, int]:
    """The two dimensions of a plane: those given, or those that say most."""
    chosen = most_telling(subject, 2) if dimensions is None else list(dimensions)
    if len(chosen) != 2:
        raise UsageError(
            f"a plane has two dimensions; {len(chosen)} of this model's {subject.means.shape[1]} were given. "
            "Name two, or look at one with `jaxvae traverse`."
        )
    return chosen[0], chosen[1]


def _start_of(subject: Subject, image: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """(z [Z], the condition) of an image, or of the middle, with the condition of the first image."""
    given = subject.examples([image or 0]).condition
    z = subject.middle if image is None else subject.means[image]
    return z, None if given is None else np.asarray(given[0])


def _everywhere(given: np.ndarray | None, z: np.ndarray) -> np.ndarray | None:
    """One condition, at every place of z [..., Z]: [...] or [..., C]."""
    return None if given is None else np.broadcast_to(given, (*z.shape[:-1], *given.shape))


def places(subject: Subject, dimension: int, steps: int, reach: float) -> np.ndarray:
    """[T]: where a traversal puts this dimension."""
    offsets = np.linspace(-reach, reach, steps, dtype=np.float32)
    return subject.middle[dimension] + subject.spread[dimension] * offsets


def unit(subject: Subject) -> str:
    """What a walk's reach is measured in, in words."""
    return f"deviations of {whose(subject)}"


def whose(subject: Subject) -> str:
    """What walks are measured by, in words."""
    return "the prior" if subject.at_the_prior else "the codes"


def told(subject: Subject, image: str = "") -> str:
    """What a conditional model was told for a picture, as the end of a sentence; nothing of another."""
    if not subject.run.conditional:
        return ""
    if image:
        return f"; given the label of the {image} all along"
    label = subject.examples([0]).label[0]
    return f"; given the label {subject.class_name(label)}" if np.ndim(label) == 0 else "; given one image's vector"
