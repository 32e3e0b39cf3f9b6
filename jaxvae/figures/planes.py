"""Where the encoder puts all images: on the plane, with some posteriors' ellipses, and on a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxvae import latent
from jaxvae.figures.subject import Subject

ELLIPSES = 60  # posteriors that a plane shows
MAPPED, LEAST_MAPPED = 1000, 50  # images on a map, at most and at least
PERPLEXITY = 30  # neighbours that t-SNE keeps near each image


def draw_plane(path: Path, subject: Subject, means: np.ndarray, *, circles: bool) -> dict[str, np.ndarray]:
    """The posterior means [N, Z] of the split, coloured by label; their principal plane above two dimensions.

    Over them the 1-sigma ellipses of some q(z|x), where these are Gaussian.
    """
    from jaxvae import plots

    middle, basis, names = view_of(means)
    points, classes = (means - middle) @ basis, subject.classes
    shadows = shadows_of(subject, middle, basis)
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


def shadows_of(subject: Subject, middle: np.ndarray, basis: np.ndarray) -> dict[str, Any] | None:
    """The fields of plots.Ellipses for ELLIPSES images, evenly spread over the split; None where q is no Gaussian."""
    positions = np.unique(np.linspace(0, len(subject.split) - 1, ELLIPSES).astype(int))
    shown = subject.examples(positions)
    q: Any = subject.run.encode(shown.x, shown.condition)
    found = latent.ellipses(q, basis)
    if found is None:
        return None
    half_axes, angles = found
    labels = shown.label if subject.classes is not None else None
    centres = (np.asarray(q.mean()) - middle) @ basis
    return {"centres": centres, "half_axes": half_axes, "angles": angles, "labels": labels}


def draw_map(path: Path, subject: Subject, means: np.ndarray) -> dict[str, np.ndarray]:
    """A map of at most MAPPED posterior means [N, Z], by t-SNE; {} where fewer than LEAST_MAPPED of them are finite."""
    from jaxvae import plots

    positions = np.unique(np.linspace(0, len(means) - 1, MAPPED).astype(int))
    positions = positions[np.isfinite(means[positions]).all(1)]
    if len(positions) < LEAST_MAPPED:
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

    perplexity = min(PERPLEXITY, (len(means) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, init="pca", random_state=0, max_iter=500, perplexity=perplexity)
        return np.asarray(tsne.fit_transform(means.astype(np.float32)))
