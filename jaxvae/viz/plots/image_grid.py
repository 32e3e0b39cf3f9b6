"""What pictures made of pictures are made with: checked, enlarged by whole factors, laid out, shown pixel for pixel.

Images are floats in [0, 1]; what lies outside is drawn as the nearer bound and NaN as black, so that a broken model
still gets its picture. Axis letters: N images, H height, W width, C channels (1 grey, 3 colour).
"""

from contextlib import contextmanager

import numpy as np
from PIL import Image

from jaxvae._checks import UsageError
from jaxvae.data.spec import to_pixels
from jaxvae.viz.plots.style import DPI, GREY, LINE, lines_of, new_figure, replacing, write_title

PICTURE = 1200  # pixels that a gallery's picture fills, if whole enlargements allow
_CELL = 168  # pixels above which one image of a gallery is not enlarged further
GAP = 2  # pixels between neighbouring images


def checked_images(name, images, shape):
    """Return `images` as floats, refusing any other rank than that of `shape` (such as "NHWC") or channel count."""
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


def mosaic(images, columns=None, pad=1):
    """Lay images [N,H,W,C] out row by row, `pad` white pixels apart, in one image [H',W',C]; near-square by default."""
    images = checked_images("images", images, "NHWC")
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    picture = np.ones((rows * (height + pad) - pad, columns * (width + pad) - pad, channels))
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + pad), (index % columns) * (width + pad)
        picture[top : top + height, left : left + width] = image
    return picture


def bounded(image):
    """Clip to [0, 1], with NaN as 0."""
    return np.clip(np.nan_to_num(image, nan=0.0), 0.0, 1.0)


def enlarged(images, factor):
    """Repeat each pixel of images [...,H,W,C] factor x factor times."""
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def save_image(path, image, *, cell=None):
    """Write an image [H,W,C] as a PNG in which `cell` pixels of it take 56 or more, by a whole factor of enlargement.

    cell is its shorter side by default; for a mosaic, give the shorter side of one of its images.
    """
    image = checked_images("image", image, "HWC")
    factor = -(-56 // (cell or min(image.shape[:2])))
    pixels = to_pixels(enlarged(image, factor))
    with replacing(path) as temporary:
        Image.fromarray(pixels[..., 0] if image.shape[-1] == 1 else pixels).save(temporary, format="png")


def fitted(images, columns, gap=GAP):
    """Enlarge images [...,H,W,C] by the largest whole factor at which `columns` of them fit a gallery."""
    height, width = images.shape[-3:-1]
    return enlarged(images, max(1, min((PICTURE // columns - gap) // width, _CELL // max(height, width))))


@contextmanager
def gallery(path, picture, title, subtitle, left=0.2, bottom=0.2):
    """Yield axes that show `picture` [H,W,C] pixel for pixel, in pixel coordinates; margins in inches."""
    picture = bounded(picture if picture.shape[-1] == 3 else picture.repeat(3, axis=-1))
    height, width = picture.shape[:2]
    # Beyond PICTURE pixels the resolution grows instead of the page, so that the words keep their relative size.
    dpi = max(DPI, DPI * width // PICTURE)
    wide = max(width, 6 * dpi) / dpi
    above = 0.75 + LINE * (len(lines_of(subtitle, wide)) - 1)
    x, y, top, right = (round(inches * dpi) for inches in (left, bottom, above, 0.2))
    full_width, full_height = x + max(width, 6 * dpi) + right, y + height + top
    # The canvas rounds inches times dpi down; the hundredth saves it a pixel, and the picture its sharpness.
    with new_figure(path, (full_width + 0.01) / dpi, (full_height + 0.01) / dpi, dpi) as figure:
        axes = figure.add_axes((x / full_width, y / full_height, width / full_width, height / full_height))
        axes.imshow(picture, interpolation="none", aspect="auto")  # whole in an SVG; nearest in a PNG of its size
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        write_title(axes, title, subtitle, wide)
        yield axes


def stacked(rows, gaps):
    """Stack rows [H',W',C] with gaps[i] white pixels below row i; returns the picture and the rows' centres."""
    ends = np.cumsum([len(row) + gap for row, gap in zip(rows, gaps, strict=True)])
    picture = np.ones((ends[-1] - gaps[-1], *rows[0].shape[1:]))
    starts = [0, *ends[:-1]]
    for start, row in zip(starts, rows, strict=True):
        picture[start : start + len(row)] = row
    return picture, [start + (len(row) - 1) / 2 for start, row in zip(starts, rows, strict=True)]


def label_rows(axes, centres, labels):
    """Name the rows of a gallery at its left."""
    for centre, label in zip(centres, labels, strict=True):
        axes.annotate(label, (0, centre), (-8, 0), textcoords="offset points", ha="right", va="center", color=GREY)
