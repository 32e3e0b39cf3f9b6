"""Decoded paths and planes of the latent space: interpolation, traversal, manifold.

Axis letters: P pairs, T points of a path, D dimensions, Z latent dimensions, H height, W width, C channels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.image_grid import GAP, fitted, gallery, label_rows, mosaic, side_by_side, stack_images, stacked
from jaxvae.viz.plots.image_panels import manifold

__all__ = ["InterpolationData", "TraversalData", "TraversalPlane", "choose_pairs", "compute_interpolation"]
__all__ += ["compute_manifold", "compute_traversal", "compute_traversal_plane", "largest_dimensions"]
__all__ += ["plot_interpolation", "plot_traversal", "plot_traversal_plane"]

_PATHS = {"line": latent.line, "great_circle": latent.great_circle}
_ROWS = 10  # dimensions that a traversal shows by default


class InterpolationData(NamedTuple):
    """Pairs of positions [P, 2], the codes z [P, T, Z] between them, decoded `images` [P, T, H, W, C], and the examples
    at both ends, `starts` and `ends` [P, *X]; `path` is the kind of path, `given` says which condition was given.
    """

    pairs: np.ndarray
    z: np.ndarray
    images: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    path: str
    given: str


def compute_interpolation(
    subject: Subject, pairs: Sequence[tuple[int, int]] | None = None, *, steps: int = 11, path: str = "line"
) -> InterpolationData:
    """Decodes paths between the means of q(z|x) of pairs of images; by default those of `choose_pairs`.

    A conditional model is given the condition of a path's first image.
    """
    pairs = choose_pairs(subject) if pairs is None else pairs
    starts, ends = (subject.examples([pair[end] for pair in pairs]) for end in (0, 1))
    a, b = (subject.means[[pair[end] for pair in pairs]] for end in (0, 1))
    z = np.stack([_PATHS[path](*each, steps) for each in zip(jnp.asarray(a), jnp.asarray(b), strict=True)])
    condition = starts.condition
    images = subject.decode(z, None if condition is None else np.repeat(condition[:, None], steps, axis=1))
    given = "; given the label of the first image all along" if subject.run.conditional else ""
    return InterpolationData(np.array(pairs), z, images, np.asarray(starts.x), np.asarray(ends.x), path, given)


def choose_pairs(subject: Subject, count: int = 8) -> list[tuple[int, int]]:
    """Returns pairs of the split's images: of differing classes, or of the same for a model that is given the class."""
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


def plot_interpolation(path: Path, data: InterpolationData) -> None:
    """Draws the decoded paths, a row each, between the images at their ends."""
    ends = zip(pictures(data.starts)[:, None], data.images, pictures(data.ends)[:, None], strict=True)
    rows, widths = zip(*(side_by_side(*parts) for parts in ends), strict=True)
    picture, _ = stacked(rows, [GAP] * len(rows))
    kind = data.path.replace("_", " ")
    subtitle = f"the ends are images; between them, the mean of p(x|z) along the {kind} between their codes{data.given}"
    with gallery(path, picture, "From one image to another", subtitle, bottom=0.45) as axes:
        places = [0.5 * widths[0], picture.shape[1] / 2, picture.shape[1] - 0.5 * widths[0]]
        axes.set_xticks(places, ["image", "decoded", "image"])
        axes.tick_params(length=0)


class TraversalData(NamedTuple):
    """Dimensions [D], the codes z [D, T, Z], the decoded `images` [D, T, H, W, C], the dimensions' `kl` [D] in nats,
    and the `offsets` [T] in deviations of `reference`; `start` and `given` complete the subtitle.
    """

    dimensions: np.ndarray
    z: np.ndarray
    images: np.ndarray
    kl: np.ndarray
    offsets: np.ndarray
    start: str
    reference: str
    given: str


def compute_traversal(
    subject: Subject,
    dimensions: Sequence[int] | None = None,
    *,
    image: int | None = None,
    steps: int = 11,
    reach: float = 2.5,
) -> TraversalData:
    """Moves each dimension from -`reach` to `reach` deviations about the middle; the others stay.

    The start is the mean of an `image`, or the middle. By default the 10 dimensions of the largest KL.
    """
    chosen = largest_dimensions(subject, _ROWS) if dimensions is None else list(dimensions)
    z = subject.center if image is None else subject.means[image]
    offsets = np.linspace(-reach, reach, steps, dtype=np.float32)
    places = [subject.center[d] + subject.scale[d] * offsets for d in chosen]
    walks = np.stack([latent.traversal(jnp.asarray(z), d, jnp.asarray(p)) for d, p in zip(chosen, places, strict=True)])
    reference = _reference_of(subject)
    return TraversalData(
        dimensions=np.array(chosen),
        z=walks,
        images=_decode(subject, walks, image),
        kl=subject.dimension_kl[chosen],
        offsets=np.linspace(-reach, reach, steps),
        start=f"from image {image}" if image is not None else f"from the middle of {reference}",
        reference=reference,
        given=_given(subject),
    )


def plot_traversal(path: Path, data: TraversalData) -> None:
    """Draws a row of decoded images for each dimension."""
    picture, centres = stack_images(list(data.images), [3 * GAP] * len(data.images))
    subtitle = f"each row moves one latent dimension, {data.start}{data.given}"
    with gallery(path, picture, "One dimension after the other", subtitle, left=1.5, bottom=0.6) as axes:
        label_rows(axes, centres, [f"z{d + 1}, {kl:.1f} nats" for d, kl in zip(data.dimensions, data.kl, strict=True)])
        columns = len(data.offsets)
        shown = np.unique([0, (columns - 1) // 2, columns - 1])
        wide = (picture.shape[1] + GAP) / columns
        axes.set_xticks((shown + 0.5) * wide - GAP / 2, [_signed(data.offsets[i]) for i in shown])
        axes.set_xlabel(f"where it is, in deviations of {data.reference}")


def _signed(value: float) -> str:
    """Returns an offset with its sign and one decimal; 0 as 0."""
    return f"{value:+.1f}".replace("-", "−") if abs(value) >= 0.05 else "0"


class TraversalPlane(NamedTuple):
    """Two `dimensions` [2], the codes z [T, T, Z] of their plane and the decoded `images` [T, T, H, W, C].

    The `offsets` [T] are in deviations of `reference`, or None for its quantiles; `start` and `given` complete the
    subtitle.
    """

    dimensions: np.ndarray
    z: np.ndarray
    images: np.ndarray
    offsets: np.ndarray | None
    start: str
    reference: str
    given: str


def compute_manifold(subject: Subject, dimensions: Sequence[int] | None = None, *, side: int = 20) -> TraversalPlane:
    """Decodes the plane of two dimensions at the quantiles (i + 1/2) / side of a normal of their middle and spread.

    For a standard normal prior these are the prior's own. Other dimensions stay in their middle.
    """
    chosen = _two_dimensions(subject, dimensions)
    grid = subject.center + subject.scale * _unit_plane(subject, chosen, latent.normal_quantiles(side))
    reference, given = _reference_of(subject).replace("the codes", "a normal about the codes"), _given(subject)
    return TraversalPlane(np.array(chosen), grid, _decode(subject, grid, None), None, "", reference, given)


def compute_traversal_plane(
    subject: Subject,
    dimensions: Sequence[int] | None = None,
    *,
    image: int | None = None,
    steps: int = 11,
    reach: float = 2.5,
) -> TraversalPlane:
    """Decodes the plane of two dimensions about an image's mean, or the middle, from -`reach` to `reach`."""
    chosen = _two_dimensions(subject, dimensions)
    z, reference = subject.center if image is None else subject.means[image], _reference_of(subject)
    offsets = np.linspace(-reach, reach, steps, dtype=np.float32)
    kept = np.where(np.isin(np.arange(len(z)), chosen), subject.center, z)
    grid = kept + subject.scale * _unit_plane(subject, chosen, offsets)
    images, given = _decode(subject, grid, image), _given(subject)
    start = f"image {image}'s code" if image is not None else f"the middle of {reference}"
    return TraversalPlane(np.array(chosen), grid, images, offsets, start, reference, given)


def plot_traversal_plane(path: Path, data: TraversalPlane) -> None:
    """Draws the decoded plane: the second dimension grows upwards, the first to the right."""
    first, second = (f"z{d + 1}" for d in data.dimensions)
    if data.offsets is None:
        size = data.z.shape[-1]
        return manifold(path, data.images, names=(first, second), of=size, whose=data.reference, given=data.given)
    side = len(data.offsets)
    picture = mosaic(fitted(data.images.reshape(-1, *data.images.shape[2:]), side, GAP), side, GAP)
    subtitle = f"the mean of p(x|z) about {data.start}, all other dimensions left as they are{data.given}"
    with gallery(path, picture, f"{first} and {second} together", subtitle, left=0.9, bottom=0.7) as axes:
        shown = np.unique([0, (side - 1) // 2, side - 1])
        labels = [_signed(data.offsets[i]) for i in shown]
        places, unit = (shown + 0.5) / side, f"deviations of {data.reference}"
        axes.set_xticks(places * picture.shape[1] - 0.5, labels)
        axes.set_yticks((1 - places) * picture.shape[0] - 0.5, labels)
        axes.set(xlabel=f"{first}, {unit}", ylabel=f"{second}, {unit}")
    return None


def largest_dimensions(subject: Subject, count: int) -> list[int]:
    """Returns the dimensions of the largest KL, largest first; of two and fewer, all in their order."""
    z = subject.means.shape[1]
    return list(range(z)) if z <= count <= 2 else np.argsort(-subject.dimension_kl, kind="stable")[:count].tolist()


def _two_dimensions(subject: Subject, dimensions: Sequence[int] | None) -> tuple[int, int]:
    """Returns the two dimensions of a plane: those given, or those of the largest KL."""
    chosen = largest_dimensions(subject, 2) if dimensions is None else list(dimensions)
    if len(chosen) != 2:
        raise UsageError(
            f"a plane has two dimensions; {len(chosen)} of this model's {subject.means.shape[1]} were given. "
            "Name two, or look at one with `jaxvae traverse`."
        )
    return chosen[0], chosen[1]


def _unit_plane(subject: Subject, dimensions: tuple[int, int], offsets: np.ndarray) -> np.ndarray:
    """Returns the offsets [T] of two dimensions as codes about 0, [T, T, Z]."""
    return np.asarray(latent.plane(jnp.zeros_like(subject.center), dimensions, jnp.asarray(offsets)))


def _decode(subject: Subject, z: np.ndarray, image: int | None) -> np.ndarray:
    """Returns pictures of z [..., Z], all given the condition of this image, or of the first one."""
    condition = subject.examples([image or 0]).condition
    given = None if condition is None else np.broadcast_to(condition[0], (*z.shape[:-1], *condition.shape[1:]))
    return subject.decode(z, given)


def _reference_of(subject: Subject) -> str:
    """Returns what offsets are measured by."""
    return "the prior" if subject.has_standard_prior else "the codes"


def _given(subject: Subject) -> str:
    """Returns the end of a sentence that says which condition is given; '' for an unconditional model."""
    if not subject.run.conditional:
        return ""
    label = subject.examples([0]).label[0]
    return f"; given the label {subject.class_name(label)}" if np.ndim(label) == 0 else "; given one image's vector"
