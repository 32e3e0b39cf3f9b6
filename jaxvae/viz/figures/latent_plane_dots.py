"""The dots of the latent plane, each with its image and what the decoder makes of its code, for the report's reader."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.spec import to_pixels, to_unit
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.latent_plane import view_of
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.style import replacing

MOST = 1500  # dots
SIDE = 64  # pixels of an image, at most
_PIXELS = 2**21  # bytes of all images together, and as many of all reconstructions
_BATCH = 500  # images decoded at once


def keep_dots(path: Path, subject: Subject, means: np.ndarray, *, circles: bool) -> None:
    """Writes a .npz of at most MOST images of the split, evenly spread, with the places of their posterior means [N, Z]
    in the plane that `draw_plane` draws, and what the decoder makes of these means.

    Its arrays, P dots: xy [P, 2], axes [2] (their names), circles (whether the prior's are drawn), position [P] in the
    split, total (images in the split), image and reconstruction [P, H, W, 1 or 3], and where images have classes
    label [P] and names.
    """
    split = subject.split
    first = _small(pictures(to_unit(jnp.asarray(split.take(np.arange(1))[0]))))
    count = max(1, min(len(split), MOST, _PIXELS // first.size))
    position = np.linspace(0, len(split) - 1, count).round().astype(np.int32)
    middle, basis, axes = view_of(means)
    parts = [position[start : start + _BATCH] for start in range(0, count, _BATCH)]
    images, again = zip(*(_pair(subject, part, means[part]) for part in parts), strict=True)
    arrays = {
        **{"xy": ((means[position] - middle) @ basis).astype(np.float32), "axes": np.array(axes)},
        **{"circles": np.array(circles), "position": position, "total": np.array(len(split))},
        **{"image": np.concatenate(images), "reconstruction": np.concatenate(again)},
    }
    if subject.classes is not None:
        names = np.array([str(name) for name in subject.data.class_names], dtype=str)
        arrays |= {"label": subject.classes[position], "names": names}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _pair(subject: Subject, position: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stored images at these positions and p(x|z) at the means of their q(z|x), as small pictures, in pixels."""
    image, label, _ = subject.split.take(position)
    run = subject.run
    z = np.asarray(means, np.float32).reshape(len(position), *run.latent_shape)
    px = run.decode(z, label if run.conditional else None)
    return _small(pictures(to_unit(jnp.asarray(image)))), _small(pictures(jax.device_get(px.mean())))


def _small(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] of values in [0, 1] as pixels, each side at most SIDE: means of squares of pixels."""
    part = -(-max(images.shape[1:3]) // SIDE)
    rows, columns = (max(1, side // part) for side in images.shape[1:3])
    tall, wide = min(part, images.shape[1]), min(part, images.shape[2])
    cut = np.nan_to_num(images[:, : rows * tall, : columns * wide])
    means = cut.reshape(len(cut), rows, tall, columns, wide, -1).mean((2, 4))
    return to_pixels(means)
