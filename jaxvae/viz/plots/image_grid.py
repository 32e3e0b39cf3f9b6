"""Pictures made of images: checked, enlarged by whole factors, laid out in grids, shown pixel for pixel.

Images are floats in [0, 1]; values outside are drawn as the nearer bound and NaN as black, so that a broken model
still gets its picture. Axis letters: N images, H height, W width, C channels (1 grey, 3 colour).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from PIL import Image

from jaxvae._checks import UsageError
from jaxvae.data.spec import to_pixels
from jaxvae.viz.plots.style import DPI, GREY, LINE, lines_of, new_figure, replacing, write_title

__all__ = ["GAP", "PICTURE", "as_rgb", "checked_images", "enlarged", "fitted", "gallery", "gallery_of_rows", "mosaic"]
__all__ += ["require_one_each", "save_image", "show_picture", "show_rows", "side_by_side", "stacked"]

PICTURE = 1200  # pixels that a gallery's picture fills, if whole enlargements allow
_CELL = 168  # pixels above which one image of a gallery is not enlarged further
GAP = 2  # pixels between neighbouring images
_SEAM = 8  # pixels between parts of a row


def checked_images(name: str, images: ArrayLike, shape: str) -> np.ndarray:
    """Returns `images` as floats; ValueError for another rank than that of `shape` ("NHWC"), or channel count."""
    images = np.asarray(images, dtype=float)
    expected = f"[{','.join(shape)}]"
    if images.ndim != len(shape) or 0 in images.shape:
        raise UsageError(f"{name} has shape {images.shape}; expected {expected}, none of them 0: reshape it first.")
    if images.shape[-1] not in (1, 3):
        raise UsageError(
            f"{name} has {images.shape[-1]} channels (shape {images.shape}); expected 1 (grey) or 3 (colour), last in "
            f"{expected}: move the channels to the end, or choose the ones to draw."
        )
    return images


def require_one_each(name: str, some: Sequence[Any] | np.ndarray, other: str, arrays: np.ndarray) -> None:
    """Raises UsageError unless there is one of `some` for each of `arrays`."""
    if len(some) != len(arrays):
        raise UsageError(f"{len(some)} {name} for {len(arrays)} {other}; expected one each.")


def mosaic(images: ArrayLike, columns: int | None = None, pad: int = 1) -> np.ndarray:
    """Lays images [N,H,W,C] out row by row, `pad` white pixels apart, in an image [H',W',C]; near-square by default."""
    images = checked_images("images", images, "NHWC")
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    picture = np.ones((rows * (height + pad) - pad, columns * (width + pad) - pad, channels))
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + pad), (index % columns) * (width + pad)
        picture[top : top + height, left : left + width] = image
    return picture


def as_rgb(images: np.ndarray) -> np.ndarray:
    """Returns images [...,C], C 1 or 3, with three channels, clipped to [0, 1], and NaN as 0."""
    bounded = np.clip(np.nan_to_num(images, nan=0.0), 0.0, 1.0)
    return bounded if images.shape[-1] == 3 else bounded.repeat(3, axis=-1)


def enlarged(images: np.ndarray, factor: int) -> np.ndarray:
    """Repeats each pixel of images [...,H,W,C] factor x factor times."""
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def save_image(path: Path, image: ArrayLike, *, cell: int | None = None) -> None:
    """Writes an image [H,W,C] as a PNG in which `cell` pixels of it take 56 or more, by a whole factor of enlargement.

    cell is its shorter side by default; for a mosaic, give the shorter side of one of its images.
    """
    image = checked_images("image", image, "HWC")
    factor = -(-56 // (cell or min(image.shape[:2])))
    pixels = to_pixels(enlarged(image, factor))
    with replacing(path) as temporary:
        Image.fromarray(pixels[..., 0] if image.shape[-1] == 1 else pixels).save(temporary, format="png")


def fitted(images: np.ndarray, columns: int, gap: int = GAP) -> np.ndarray:
    """Enlarges images [...,H,W,C] by the largest whole factor at which `columns` of them fit a gallery."""
    height, width = images.shape[-3:-1]
    return enlarged(images, max(1, min((PICTURE // columns - gap) // width, _CELL // max(height, width))))


@contextmanager
def gallery(
    path: Path, picture: np.ndarray, title: str, subtitle: str, left: float = 0.2, bottom: float = 0.2
) -> Iterator[Axes]:
    """Yields axes that show `picture` [H,W,C] pixel for pixel, in pixel coordinates; margins in inches."""
    height, width = picture.shape[:2]
    # Beyond PICTURE pixels the resolution grows instead of the page, so that the words keep their relative size.
    dpi = max(DPI, DPI * width // PICTURE)
    wide = max(width, 6 * dpi) / dpi
    above = 0.75 + LINE * (len(lines_of(subtitle, wide)) - 1)
    x, y, top, right = (round(inches * dpi) for inches in (left, bottom, above, 0.2))
    full_width, full_height = x + max(width, 6 * dpi) + right, y + height + top
    # The canvas rounds inches times dpi down; the hundredth saves it a pixel, and the picture its sharpness.
    with new_figure(path, (full_width + 0.01) / dpi, (full_height + 0.01) / dpi, dpi, None) as figure:
        axes = figure.add_axes((x / full_width, y / full_height, width / full_width, height / full_height))
        # "none": whole in an SVG; nearest in a PNG of its size
        show_picture(axes, picture, interpolation="none", aspect="auto")
        write_title(axes, title, subtitle, wide)
        yield axes


@contextmanager
def gallery_of_rows(
    path: Path,
    rows: Sequence[np.ndarray] | np.ndarray,
    labels: Sequence[str],
    title: str,
    subtitle: str,
    gaps: Sequence[int] = (),
    left: float = 1.3,
    bottom: float = 0.2,
) -> Iterator[Axes]:
    """Yields a gallery's axes with rows of images [N,H,W,C], labelled at the left, the first row being the longest.

    `gaps` are the pixels below each row, all alike by default.
    """
    columns = len(rows[0])
    large = [mosaic(fitted(images, columns), columns, GAP) for images in rows]
    picture, centres = stacked(large, gaps or [3 * GAP] * len(rows))
    with gallery(path, picture, title, subtitle, left, bottom) as axes:
        for centre, label in zip(centres, labels, strict=True):
            axes.annotate(label, (0, centre), (-8, 0), textcoords="offset points", ha="right", va="center", color=GREY)
        yield axes


def show_picture(axes: Axes, picture: np.ndarray, **options: Any) -> None:
    """Shows a picture [H,W,C] without ticks, grid and frame; `options` are those of `imshow`."""
    axes.imshow(as_rgb(picture), **{"interpolation": "nearest"} | options)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def show_rows(axes: Axes, rows: Sequence[np.ndarray], labels: Sequence[str], side: int) -> int:
    """Shows labelled rows of images [N,H,W,C], enlarged up to `side` pixels; returns the width of a cell."""
    columns = max(map(len, rows))
    full = [np.concatenate([row, np.ones((columns - len(row), *row.shape[1:]))]) for row in rows]
    tiles = enlarged(checked_images("images", np.concatenate(full), "NHWC"), max(1, side // max(rows[0].shape[1:3])))
    show_picture(axes, mosaic(tiles, columns, GAP))
    axes.set_yticks((np.arange(len(labels)) + 0.5) * (tiles.shape[1] + GAP), labels, fontsize=9)
    axes.tick_params(length=0)
    return tiles.shape[2] + GAP


def stacked(rows: Sequence[np.ndarray], gaps: Sequence[int]) -> tuple[np.ndarray, list[float]]:
    """Stacks rows [H',W',C] with gaps[i] white pixels below row i; returns the picture and the rows' centres."""
    ends = np.cumsum([len(row) + gap for row, gap in zip(rows, gaps, strict=True)])
    picture = np.ones((ends[-1] - gaps[-1], *rows[0].shape[1:]))
    starts = [0, *ends[:-1]]
    for start, row in zip(starts, rows, strict=True):
        picture[start : start + len(row)] = row
    return picture, [start + (len(row) - 1) / 2 for start, row in zip(starts, rows, strict=True)]


def side_by_side(*parts: np.ndarray) -> tuple[np.ndarray, int]:
    """Lays parts [N,H,W,C] of one row side by side with seams between them; returns the row and an image's width."""
    columns = sum(map(len, parts))
    large = [fitted(part, columns) for part in parts]
    seam = np.ones((large[0].shape[1], _SEAM, large[0].shape[3]))
    row = [each for part in large for each in (mosaic(part, len(part), GAP), seam)]
    return np.concatenate(row[:-1], axis=1), large[0].shape[2]
