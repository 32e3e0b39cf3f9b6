"""The dots of the latent plane, each with its image and reconstruction, for the interactive report."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.spec import to_pixels, to_unit
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.latent_plane import plane_axes
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.style import replacing

__all__ = ["compute_dots", "save_dots"]

_MOST = 1500  # dots
_SIDE = 64  # pixels of an image, at most
_PIXELS = 2**21  # bytes of all images together, and as many of all reconstructions
_BATCH = 500  # images decoded at once


def compute_dots(subject: Subject, means: np.ndarray, *, circles: bool) -> dict[str, np.ndarray]:
    """Returns at most 1,500 images of the split, evenly spread, at their places on the plane of the figure.

    For P dots: xy [P, 2], axes [2] (their names), circles (whether the prior's are drawn), position [P] in the split,
    total (images in the split), image and reconstruction [P, H, W, 1 or 3] (the reconstruction is of the
    posterior mean, of `means` [N, Z]), and if images have classes label [P] and names.
    """
    split = subject.split
    first = _small(pictures(to_unit(jnp.asarray(split.take(np.arange(1))[0]))))
    count = max(1, min(len(split), _MOST, _PIXELS // first.size))
    position = np.linspace(0, len(split) - 1, count).round().astype(np.int32)
    middle, basis, axes = plane_axes(means)
    parts = [position[start : start + _BATCH] for start in range(0, count, _BATCH)]
    images, again = zip(*(_pair(subject, part, means[part]) for part in parts), strict=True)
    arrays = {
        "xy": ((means[position] - middle) @ basis).astype(np.float32),
        "axes": np.array(axes),
        "circles": np.array(circles),
        "position": position,
        "total": np.array(len(split)),
        "image": np.concatenate(images),
        "reconstruction": np.concatenate(again),
    }
    if subject.classes is not None:
        names = np.array([str(name) for name in subject.data.class_names], dtype=str)
        arrays |= {"label": subject.classes[position], "names": names}
    return arrays


def save_dots(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays of `compute_dots` as a .npz file."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _pair(subject: Subject, position: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the stored images at these positions and p(x|z) at their posterior means, as small pictures."""
    image, label, _ = subject.split.take(position)
    run = subject.run
    z = np.asarray(means, np.float32).reshape(len(position), *run.latent_shape)
    px = run.decode(z, label if run.conditional else None)
    return _small(pictures(to_unit(jnp.asarray(image)))), _small(pictures(jax.device_get(px.mean())))


def _small(images: np.ndarray) -> np.ndarray:
    """Returns images [N, H, W, C] in [0, 1] as pixels, each side at most 64: means of squares of pixels."""
    part = -(-max(images.shape[1:3]) // _SIDE)
    rows, columns = (max(1, side // part) for side in images.shape[1:3])
    tall, wide = min(part, images.shape[1]), min(part, images.shape[2])
    cut = np.nan_to_num(images[:, : rows * tall, : columns * wide])
    means = cut.reshape(len(cut), rows, tall, columns, wide, -1).mean((2, 4))
    return to_pixels(means)
