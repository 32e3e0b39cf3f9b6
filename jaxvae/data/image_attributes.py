"""Attributes computed from an image: slant, thickness and loops of its ink, brightness, colours.

Pure functions of stored images [N, H, W, C], or of decoded ones in [0, 1], to float [N]. The three of ink are
those by which Morpho-MNIST (Castro et al. 2019, arXiv:1809.10780) describes a digit; ink is bright on a dark ground,
and if the borders are bright the complement is meant. Axis letters: N images, H height, W width, C channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jaxvae.data.spec import DTYPE, TOP

__all__ = ["GREY_MEASURES", "brightness", "colourfulness", "contrast", "ink", "loops", "measures", "scale_to_unit"]
__all__ += ["slant", "thickness", "warmth"]

_FILLED = 0.4  # of a picture's brightest ink: what is above counts as ink when holes are counted


class _Measure(NamedTuple):
    """A function of pictures [N, H, W, C] to float [N], and the unit of what it gives, if it has one."""

    of: Callable[[np.ndarray], np.ndarray]
    unit: str


def brightness(images: np.ndarray) -> np.ndarray:
    """Returns the mean of all values of each picture, in [0, 1]."""
    return _flatten(images).mean(1)


def contrast(images: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of each picture's grey values, in [0, 0.5]."""
    return _flatten(scale_to_unit(images).mean(-1)).std(1)


def slant(images: np.ndarray) -> np.ndarray:
    """Returns by how many degrees the ink leans to the right: arctan(-mu11 / mu02), 0 where it is upright.

    The central second moments of the ink give the shear that makes it upright, mu11 / mu02 pixels to the left for each
    pixel upwards (LeCun et al. 1998 deslant so; rows count downwards, hence the sign). 0 where there is no ink.
    """
    drawn = ink(images)
    rows, columns = (np.arange(size, dtype=float) for size in drawn.shape[1:])
    mass = np.maximum(drawn.sum((1, 2)), 1e-12)
    y, x = drawn.sum(2) @ rows / mass, drawn.sum(1) @ columns / mass
    down, right = rows[None] - y[:, None], columns[None] - x[:, None]
    mu02 = np.einsum("nhw,nh->n", drawn, down**2)
    mu11 = np.einsum("nhw,nh,nw->n", drawn, down, right)
    return np.degrees(np.arctan2(-mu11, np.maximum(mu02, 1e-12)))


def thickness(images: np.ndarray) -> np.ndarray:
    """Returns the width of the strokes, in pixels: w of a round-ended stroke with the ink's area A and perimeter P.

    A stroke of length l has A = w l + pi w^2 / 4 and P = 2 l + pi w, so that w = (P - sqrt(P^2 - 4 pi A)) / pi; of long
    strokes 2 A / P. P is the ink's total variation, which is the perimeter by the coarea formula (Federer 1959) and
    needs neither a threshold nor a skeleton; A and P are of the ink divided by its brightest. Of drawn strokes, from
    2 pixels on, mostly within 3%; along a diagonal up to 10% more. 0 where there is no ink.
    """
    drawn = np.pad(ink(images), ((0, 0), (1, 1), (1, 1)))
    drawn = drawn / np.maximum(drawn.max((1, 2), keepdims=True), 1e-12)
    down, right = np.diff(drawn, axis=1), np.diff(drawn, axis=2)
    slopes = (
        np.hypot(down[:, :, 1:] + down[:, :, :-1], right[:, 1:] + right[:, :-1]) / 2
    )  # at the corners of the pixels
    perimeter, area = slopes.sum((1, 2)), drawn.sum((1, 2))
    return (perimeter - np.sqrt(np.maximum(perimeter**2 - 4 * np.pi * area, 0.0))) / np.pi


def loops(images: np.ndarray) -> np.ndarray:
    """Returns the number of holes of the ink: parts of the ground that cannot be reached from outside.

    Ink is what is brighter than _FILLED times the picture's brightest, and hangs together over corners; then the ground
    does not (Rosenfeld & Pfaltz 1966). 1 for a 0, 6 or 9, 2 for an 8.
    """
    drawn = ink(images)
    ground = drawn <= _FILLED * np.maximum(drawn.max((1, 2), keepdims=True), 1e-12)
    ground = np.pad(ground, ((0, 0), (1, 1), (1, 1)), constant_values=True)  # all that is outside hangs together
    crosses = np.zeros((3, 3, 3), int)
    crosses[1] = ndimage.generate_binary_structure(2, 1)  # within a picture alone
    parts, count = ndimage.label(ground, crosses)
    owner = np.zeros(count + 1, int)
    owner[parts] = np.arange(len(parts))[:, None, None]
    return np.bincount(owner[1:], minlength=len(parts)) - 1.0


def colourfulness(images: np.ndarray) -> np.ndarray:
    """Returns how colourful each picture is, 0 if grey: M3 of Hasler & Süsstrunk (2003, Proc. SPIE 5007), of [0, 1]."""
    red, green, blue = np.moveaxis(scale_to_unit(images), -1, 0).reshape(3, len(images), -1)
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(1), second.std(1))
    return spread + 0.3 * np.hypot(first.mean(1), second.mean(1))


def warmth(images: np.ndarray) -> np.ndarray:
    """Returns the mean of red minus the mean of blue, in [-1, 1]: above 0 for warm colours, below for cold ones."""
    means = scale_to_unit(images).mean((1, 2))
    return means[:, 0] - means[:, 2]


GREY_MEASURES = {
    "slant": _Measure(slant, "degrees"),
    "thickness": _Measure(thickness, "pixels"),
    "loops": _Measure(loops, "holes"),
}
_COLOUR = {"warmth": _Measure(warmth, ""), "colourfulness": _Measure(colourfulness, "")}
_ANY = {"brightness": _Measure(brightness, ""), "contrast": _Measure(contrast, "")}


def measures(shape: tuple[int, ...]) -> dict[str, _Measure]:
    """Returns the measures of images of this shape (H, W, C), by name; none for sequences (L, C)."""
    if len(shape) != 3:
        return {}
    return {**(_COLOUR if shape[-1] == 3 else GREY_MEASURES), **_ANY}


def ink(images: np.ndarray) -> np.ndarray:
    """Returns [N, H, W] in [0, 1]: the grey values, or 1 minus them if the borders are bright on average."""
    grey = scale_to_unit(images).mean(-1)
    border = np.concatenate([grey[:, [0, -1]].ravel(), grey[:, :, [0, -1]].ravel()])
    return 1 - grey if border.mean() > 0.5 else grey


def scale_to_unit(images: np.ndarray) -> np.ndarray:
    """Returns values in [0, 1] as float64: stored values scaled, others as they are but finite and clipped."""
    if images.dtype == DTYPE:
        return images / float(TOP)
    return np.clip(np.nan_to_num(np.asarray(images, float)), 0.0, 1.0)


def _flatten(images: np.ndarray) -> np.ndarray:
    """[N, D]: each picture's values in [0, 1] in a row."""
    return scale_to_unit(images).reshape(len(images), -1)
