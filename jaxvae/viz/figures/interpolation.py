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
from jaxvae.viz.plots.image_grid import GAP, gallery, gallery_of_rows, side_by_side, stacked
from jaxvae.viz.plots.image_panels import decoded_plane, manifold

__all__ = ["InterpolationData", "TraversalData", "TraversalPlane", "choose_pairs", "compute_interpolation"]
__all__ += ["compute_manifold", "compute_traversal", "compute_traversal_plane", "largest_dimensions"]
__all__ += ["plot_interpolation", "plot_traversal", "plot_traversal_plane"]

_PATHS = {"line": latent.line, "great_circle": latent.great_circle}
_ROWS = 10  # dimensions that a traversal shows by default


class InterpolationData(NamedTuple):
    """Pairs of positions [P, 2], codes z [P, T, Z] between them, decoded `images` [P, T, H, W, C], the ends [P, *X]."""

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
    images = subject.decode(z, None if condition is None else condition[:, None])
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
    """Dimensions [D] with their `kl` [D] in nats, codes z [D, T, Z], decoded `images` [D, T, H, W, C], offsets [T]."""

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
    z = jnp.asarray(subject.center if image is None else subject.means[image])
    offsets, reference = np.linspace(-reach, reach, steps), ("the prior" if subject.has_standard_prior else "the codes")
    places = [jnp.asarray(subject.center[d] + subject.scale[d] * np.float32(offsets)) for d in chosen]
    walks = np.stack([latent.traversal(z, d, p) for d, p in zip(chosen, places, strict=True)])
    start = f"from image {image}" if image is not None else f"from the middle of {reference}"
    images, kl = _decode(subject, walks, image), subject.dimension_kl[chosen]
    return TraversalData(np.array(chosen), walks, images, kl, offsets, start, reference, _given(subject))


def plot_traversal(path: Path, data: TraversalData) -> None:
    """Draws a row of decoded images for each dimension."""
    labels = [f"z{d + 1}, {kl:.1f} nats" for d, kl in zip(data.dimensions, data.kl, strict=True)]
    title, subtitle = "One dimension after the other", f"each row moves one latent dimension, {data.start}{data.given}"
    with gallery_of_rows(path, data.images, labels, title, subtitle, left=1.5, bottom=0.6) as axes:
        places, texts = _ticks(data.offsets)
        axes.set_xticks(places * (axes.images[0].get_size()[1] + GAP) - GAP / 2, texts)
        axes.set_xlabel(f"where it is, in deviations of {data.reference}")


def _ticks(offsets: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Returns the first, middle and last offset: their places as shares of a side, their texts with one decimal."""
    shown = np.unique([0, (len(offsets) - 1) // 2, len(offsets) - 1])
    texts = [f"{offsets[i]:+.1f}".replace("-", "−") if abs(offsets[i]) >= 0.05 else "0" for i in shown]
    return (shown + 0.5) / len(offsets), texts


class TraversalPlane(NamedTuple):
    """Two `dimensions` [2], the codes z [T, T, Z] of their plane and the decoded `images` [T, T, H, W, C].

    The `offsets` [T] are in deviations of `reference`, or None for its quantiles.
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
    found = _decode_plane(subject, dimensions, latent.normal_quantiles(side), None)
    reference = found.reference.replace("the codes", "a normal about the codes")
    return found._replace(offsets=None, start="", reference=reference)


def compute_traversal_plane(
    subject: Subject,
    dimensions: Sequence[int] | None = None,
    *,
    image: int | None = None,
    steps: int = 11,
    reach: float = 2.5,
) -> TraversalPlane:
    """Decodes the plane of two dimensions about an image's mean, or the middle, from -`reach` to `reach`."""
    return _decode_plane(subject, dimensions, np.linspace(-reach, reach, steps, dtype=np.float32), image)


def _decode_plane(
    subject: Subject, dimensions: Sequence[int] | None, offsets: np.ndarray, image: int | None
) -> TraversalPlane:
    """Decodes the plane of the two dimensions given, or of the largest KL, at `offsets` [T] from the middle."""
    chosen = largest_dimensions(subject, 2) if dimensions is None else list(dimensions)
    center, reference = subject.center, ("the prior" if subject.has_standard_prior else "the codes")
    if len(chosen) != 2:
        raise UsageError(
            f"a plane has two dimensions; {len(chosen)} of this model's {len(center)} were given. "
            "Name two, or look at one with `jaxvae traverse`."
        )
    unit = np.asarray(latent.plane(jnp.zeros_like(center), (chosen[0], chosen[1]), jnp.asarray(offsets)))
    others = center if image is None else subject.means[image]
    z = np.where(np.isin(np.arange(len(center)), chosen), center, others) + subject.scale * unit
    start = f"image {image}'s code" if image is not None else f"the middle of {reference}"
    images = _decode(subject, z, image)
    return TraversalPlane(np.array(chosen), z, images, offsets, start, reference, _given(subject))


def plot_traversal_plane(path: Path, data: TraversalPlane) -> None:
    """Draws the decoded plane: the second dimension grows upwards, the first to the right."""
    names = f"z{data.dimensions[0] + 1}", f"z{data.dimensions[1] + 1}"
    if data.offsets is None:
        manifold(path, data.images, names=names, of=data.z.shape[-1], whose=data.reference, given=data.given)
        return
    title, unit = f"{names[0]} and {names[1]} together", f"deviations of {data.reference}"
    subtitle = f"the mean of p(x|z) about {data.start}, all other dimensions left as they are{data.given}"
    decoded_plane(path, data.images, *_ticks(data.offsets), title, subtitle, names, unit)


def largest_dimensions(subject: Subject, count: int) -> list[int]:
    """Returns the dimensions of the largest KL, largest first; of two and fewer, all in their order."""
    z = subject.means.shape[1]
    return list(range(z)) if z <= count <= 2 else np.argsort(-subject.dimension_kl, kind="stable")[:count].tolist()


def _decode(subject: Subject, z: np.ndarray, image: int | None) -> np.ndarray:
    """Returns pictures of z [..., Z], all given the condition of this image, or of the first one."""
    return subject.decode(z, subject.examples([image or 0]).condition)


def _given(subject: Subject) -> str:
    """Returns the end of a sentence that says which condition is given; '' for an unconditional model."""
    if not subject.run.conditional:
        return ""
    label = subject.examples([0]).label[0]
    return f"; given the label {subject.class_name(label)}" if np.ndim(label) == 0 else "; given one image's vector"
