"""Decoding of one image file, of any format, size, mode and orientation, to pixels [H, W, C].

How: EXIF orientation is applied. Transparent pixels are laid over white. 16-bit grey keeps its high bits, 65535 being
white. CMYK and other colour spaces go to RGB by Pillow's plain formulas, without colour profiles; colour goes to grey
as 0.299 R + 0.587 G + 0.114 B. Of an animation the first frame counts.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import PIL.Image
import PIL.ImageOps

from jaxvae._checks import UsageError

__all__ = ["FORMATS", "SUFFIXES", "bombs_refused", "picture_size", "read_picture"]

# Pillow would open more, but of what strangers pack into a zip the fewer parsers see it the better: EPS runs a program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)

_ORIENTATION = 0x0112  # the EXIF tag; from 5 on width and height change places
_FINER = 3  # times the result's size: to which a JPEG is decoded, and a large image box-averaged, before it is resized


def read_picture(file: BinaryIO, mode: str, size: int | None) -> np.ndarray:
    """Returns the pixels of one image file, uint8 [H, W, 3] for mode 'RGB' and [H, W, 1] for 'L'.

    With a `size` the central square, resized to size x size, antialiased (Lanczos). ValueError for pixels that have no
    fixed range; Pillow's own errors, of many kinds, for a broken file.
    """
    with PIL.Image.open(file, formats=FORMATS) as image:
        if size is not None:
            image.draft(None, (_FINER * size, _FINER * size))  # a JPEG then skips its detail
        pixels = _opaque(PIL.ImageOps.exif_transpose(image)).convert(mode)
    if size is not None:
        pixels = pixels.resize((size, size), PIL.Image.Resampling.LANCZOS, _central_square(pixels), _FINER)
    return np.asarray(pixels).reshape(pixels.height, pixels.width, -1)


def picture_size(file: BinaryIO) -> tuple[int, int]:
    """Returns (height, width) as read_picture will find it, from the file's head."""
    with PIL.Image.open(file, formats=FORMATS) as image:
        # a PNG without EXIF in its head would be decoded whole in search of it
        looked = image.format != "PNG" or "exif" in image.info
        turned = looked and image.getexif().get(_ORIENTATION, 1) >= 5
        return image.size if turned else image.size[::-1]


def _opaque(image: PIL.Image.Image) -> PIL.Image.Image:
    """Returns the image in 8 bits and over white."""
    if image.mode == "F":
        raise UsageError("its pixels are floating-point numbers of no known range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return PIL.Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def _eight_bits(levels: np.ndarray) -> np.ndarray:
    """Returns grey levels 0..65535 as uint8, rounded."""
    if levels.min() < 0 or levels.max() > 65535:
        raise UsageError(
            f"its grey levels run from {levels.min()} to {levels.max()}, not from 0 to 65535; save it with 8 or 16 bits"
        )
    return ((levels.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)


def _central_square(image: PIL.Image.Image) -> tuple[float, float, float, float]:
    """Returns (left, top, right, bottom) of the largest square in the image's middle."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return left, top, left + side, top + side


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Makes an image of more pixels than Pillow considers safe an error instead of a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        yield
