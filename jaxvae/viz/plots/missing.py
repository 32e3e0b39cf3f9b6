"""Images with missing pixels and what a model puts there; noisy images and what it makes of them.

Axis letters as in galleries: N images, H height, W width, C channels; D completions of each image.
"""

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, checked_images, fitted, gallery, label_rows, mosaic, stacked
from jaxvae.viz.plots.style import LIGHT_BLUE

_HOLE = np.array([int(LIGHT_BLUE[i : i + 2], 16) for i in (1, 3, 5)]) / 255  # no digit's colour, and flat in any photo

_FEW = 0.01  # of a chain's proposals: what it draws so rarely tells of where it began


def inpainting(path, originals, hidden, completions, means, *, accepted=None):
    """Draw originals [N,H,W,C], the same with what is `hidden`, bool [N,H,W,1], in flat blue, then `completions`
    [D,N,H,W,C] and their `means` [N,H,W,C]: a column an image. `accepted` is the share of a tested chain's proposals.
    """
    originals, means = (_coloured(name, each) for name, each in (("originals", originals), ("means", means)))
    completions = [_coloured("completions", each) for each in completions]
    if any(each.shape != originals.shape for each in (*completions, means)) or len(hidden) != len(originals):
        raise UsageError(f"originals have shape {originals.shape}; expected completions and means of the same shape.")
    shown = [originals, np.where(hidden, _HOLE, originals), *completions, means]
    labels = ["original", "given", *("a completion" for _ in completions), "their mean"]
    told = "" if accepted is None else f"; {accepted:.1%} of the chain's proposals were taken"
    told += ", too few to trust it" if accepted is not None and accepted < _FEW else ""
    _rows(path, "Missing pixels, filled in", f"blue was hidden from the model{told}", shown, labels)


def denoising(path, originals, noisy, means, noise):
    """Draw originals above noisy ones above what the model makes of these, [N,H,W,C]; `noise` says which, in words."""
    shown = [_coloured(name, each) for name, each in (("originals", originals), ("noisy", noisy), ("means", means))]
    if len({each.shape for each in shown}) > 1:
        raise UsageError(f"images have shapes {[each.shape for each in shown]}; expected one.")
    _rows(path, "Noise, averaged away", noise, shown, ["original", "noisy", "denoised"])


def _rows(path, title, subtitle, shown, labels):
    """Draw rows of images, each [N,H,W,3], a label at the left of each."""
    columns = len(shown[0])
    rows = [mosaic(fitted(images, columns), columns, GAP) for images in shown]
    gaps = [4 * GAP, *[GAP] * (len(rows) - 3), 4 * GAP, GAP] if len(rows) > 3 else [GAP] * len(rows)
    picture, centres = stacked(rows, gaps)
    with gallery(path, picture, title, subtitle, left=1.3) as axes:
        label_rows(axes, centres, labels)


def _coloured(name, images):
    """Images [N,H,W,C] as [N,H,W,3]."""
    images = checked_images(name, images, "NHWC")
    return images if images.shape[-1] == 3 else images.repeat(3, axis=-1)
