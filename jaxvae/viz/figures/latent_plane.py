"""Where the encoder puts all images: on the plane, with some posteriors' ellipses, and on a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxvae import latent
from jaxvae.viz.figures.subject import Subject

MOST_ELLIPSES, LEAST_ELLIPSES = 60, 15  # posteriors that a plane shows,
_COVERED = 0.8  # and how much of it they may cover together, each alone
_MAPPED, _LEAST_MAPPED = 1000, 50  # images on a map, at most and at least
_PERPLEXITY = 30  # neighbours that t-SNE keeps near each image


def draw_plane(path: Path, subject: Subject, means: np.ndarray, *, circles: bool) -> dict[str, np.ndarray]:
    """The posterior means [N, Z] of the split, coloured by label; their principal plane above two dimensions.

    Over them the 1-sigma ellipses of some q(z|x), where these are Gaussian.
    """
    from jaxvae.viz import plots

    middle, basis, names = view_of(means)
    points, classes = (means - middle) @ basis, subject.classes
    shadows = _shadows_of(subject, middle, basis)
    ellipses = None if shadows is None else plots.Ellipses(**shadows)
    plots.latent_plane(path, points, classes, axes=names, circles=circles, ellipses=ellipses)
    shown = {"points": points, "labels": classes} | {f"ellipses_{name}": a for name, a in (shadows or {}).items()}
    return {name: array for name, array in shown.items() if array is not None}


def view_of(means: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """(middle [Z], axes [Z, 2], their names) of the plane that means [N, Z] are shown on, at (z - middle) @ axes."""
    size = means.shape[1]
    if size <= 2:
        return np.zeros(size), np.eye(size, 2), ("z1", "z2" if size == 2 else "(the latent has one dimension)")
    middle, basis, shares = latent.principal_axes(means)
    first, second = (
        f"{order} principal component ({share:.0%} of the variance)"
        for order, share in zip(("first", "second"), shares, strict=True)
    )
    return middle, basis, (first, second)


def _shadows_of(subject: Subject, middle: np.ndarray, basis: np.ndarray) -> dict[str, Any] | None:
    """The fields of plots.Ellipses for some images, evenly spread over the split; None where q is no Gaussian, or z has
    one dimension, where an ellipse is a line that hides the dots.
    """
    positions = np.unique(np.linspace(0, len(subject.split) - 1, MOST_ELLIPSES).astype(int))
    shown = subject.examples(positions)
    q: Any = subject.run.encode(shown.x, shown.condition)
    found = latent.covariance_ellipses(q, basis) if len(basis) > 1 else None
    if found is None:
        return None
    half_axes, angles = found
    centres, labels = (np.asarray(q.mean()) - middle) @ basis, shown.label if subject.classes is not None else None
    chosen = np.unique(np.linspace(0, len(positions) - 1, readable(centres, half_axes)).astype(int))
    fields = {"centres": centres, "half_axes": half_axes, "angles": angles, "labels": labels}
    return {name: None if array is None else array[chosen] for name, array in fields.items()}


def readable(centres: np.ndarray, half_axes: np.ndarray) -> int:
    """How many of the ellipses can be told apart: fewer where they are wide."""
    finite = np.isfinite(centres).all(1) & np.isfinite(half_axes).all(1)
    if not finite.any():
        return LEAST_ELLIPSES
    plane = np.prod(np.ptp(centres[finite], axis=0))
    each = np.pi * np.prod(half_axes[finite], axis=1).mean()
    return int(np.clip(_COVERED * plane / max(each, 1e-12), LEAST_ELLIPSES, MOST_ELLIPSES))


def draw_map(path: Path, subject: Subject, means: np.ndarray) -> dict[str, np.ndarray]:
    """A map of at most MAPPED posterior means [N, Z], by t-SNE; {} where fewer than LEAST_MAPPED of them are finite."""
    from jaxvae.viz import plots

    positions = np.unique(np.linspace(0, len(means) - 1, _MAPPED).astype(int))
    positions = positions[np.isfinite(means[positions]).all(1)]
    if len(positions) < _LEAST_MAPPED:
        return {}
    points = mapped(means[positions])
    classes = None if subject.classes is None else subject.classes[positions]
    plots.latent_map(path, points, classes)
    return {"points": points, "positions": positions} | ({} if classes is None else {"labels": classes})


def mapped(means: np.ndarray) -> np.ndarray:
    """A map [N, 2] of means [N, Z] on which neighbours stay neighbours (t-SNE: van der Maaten & Hinton 2008, JMLR 9).

    Begun from their principal components, and by one thread: with several, sums of another order would give another
    map of the same means at each drawing, and at a thousand points they take longer besides.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(means) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, init="pca", random_state=0, max_iter=500, perplexity=perplexity)
        return np.asarray(tsne.fit_transform(means.astype(np.float32)))
