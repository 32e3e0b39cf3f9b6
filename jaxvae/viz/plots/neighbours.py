"""Images beside their nearest neighbours in two spaces. Axis letters as in galleries; K neighbours."""

import numpy as np
from matplotlib.patches import Rectangle

from jaxvae.viz.plots.image_grid import GAP, PICTURE, checked_images, enlarged, gallery, mosaic
from jaxvae.viz.plots.style import BLUE, GREY, VERMILION

_NAMES = {"pixels": "nearest by pixels", "codes": "nearest by codes"}
_SEAM = 8  # pixels between neighbouring images, in which their frames stand
_BETWEEN = 40  # pixels between an image and its neighbours


def neighbours(path, queries, rows, same, accuracy):
    """Draw queries [N,H,W,C], each left of its neighbours by space, `rows` {space: [N,K,H,W,C]}, nearest first.

    `same` {space: bool [N,K]} says which are of the query's class: these have a whole blue frame, the others a broken
    vermilion one; {} where there are no classes. `accuracy` {space: share} is of the class by vote.
    """
    queries = checked_images("queries", queries, "NHWC")
    blocks = {space: checked_images(space, each, "NKHWC") for space, each in rows.items()}
    columns = 1 + sum(each.shape[1] for each in blocks.values())
    factor = max(1, ((PICTURE - 2 * _BETWEEN) // columns - _SEAM) // queries.shape[2])
    tall, wide = queries.shape[1] * factor + _SEAM, queries.shape[2] * factor + _SEAM
    parts, starts, left = [], {}, 0
    for name, each in {"": queries[:, None], **blocks}.items():
        large = enlarged(each.reshape(-1, *each.shape[2:]), factor)
        parts += [
            mosaic(large, each.shape[1], _SEAM),
            np.ones((len(queries) * tall - _SEAM, _BETWEEN, queries.shape[-1])),
        ]
        starts[name], left = left, left + each.shape[1] * wide - _SEAM + _BETWEEN
    told = "a whole frame: of the image's class; a broken one: of another" if same else "by Euclidean distance"
    with gallery(path, np.concatenate(parts[:-1], 1), "Who is near", told, left=0.3, bottom=0.75) as axes:
        for space, kinds in same.items():
            for (row, column), alike in np.ndenumerate(kinds):
                _frame(axes, starts[space] + column * wide, row * tall, wide - _SEAM, tall - _SEAM, alike)
        for space, each in blocks.items():
            middle = starts[space] + (each.shape[1] * wide - _SEAM) / 2
            share = f"\n5 nearest name the class: {accuracy[space]:.1%} right" if space in accuracy else ""
            style = {
                "textcoords": "offset points",
                "ha": "center",
                "va": "top",
                "color": GREY,
                "annotation_clip": False,
            }
            axes.annotate(_NAMES[space] + share, (middle, len(queries) * tall - _SEAM), (0, -8), **style)


def _frame(axes, left, top, width, height, alike):
    """A frame around an image, in the seam."""
    look = {"edgecolor": BLUE, "ls": "-"} if alike else {"edgecolor": VERMILION, "ls": (0, (2, 1.2))}
    place = (left - GAP - 0.5, top - GAP - 0.5)
    axes.add_patch(Rectangle(place, width + 2 * GAP, height + 2 * GAP, fill=False, lw=1.6, clip_on=False, **look))
