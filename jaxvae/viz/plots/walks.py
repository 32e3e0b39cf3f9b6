"""Walks through the latent space, drawn: rows of images with what they start from, end at, and move along.

Axis letters: P pairs, T points of a walk, D dimensions, H height, W width, C channels.
"""

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, checked_images, fitted, gallery, label_rows, mosaic, stacked

_SEAM = 8  # pixels between a walk and the images at its ends


def interpolation(path, starts, walks, ends, *, way="line", given=""):
    """Draw walks [P,T,H,W,C] decoded, a row each, between the images starts and ends [P,H,W,C]."""
    starts, ends = checked_images("starts", starts, "PHWC"), checked_images("ends", ends, "PHWC")
    walks = checked_images("walks", walks, "PTHWC")
    if not starts.shape == ends.shape == (len(walks), *walks.shape[2:]):
        raise UsageError(
            f"starts have shape {starts.shape}, walks {walks.shape}, ends {ends.shape}; expected [P,H,W,C], "
            "[P,T,H,W,C] and [P,H,W,C] of the same images' size: one start and one end a walk."
        )
    columns = walks.shape[1] + 2
    rows = []
    for start, walk, end in zip(starts, walks, ends, strict=True):
        images = fitted(np.concatenate([start[None], walk, end[None]]), columns)
        seam = np.ones((images.shape[1], _SEAM, images.shape[3]))
        middle = mosaic(images[1:-1], len(images) - 2, GAP)
        rows.append(np.concatenate([images[0], seam, middle, seam, images[-1]], axis=1))
    picture, _ = stacked(rows, [GAP] * len(rows))
    wide = (rows[0].shape[1] - 2 * _SEAM - 3 * GAP) / columns
    subtitle = f"the ends are images; between them, the mean of p(x|z) along the {way} between their codes{given}"
    with gallery(path, picture, "From one image to another", subtitle, bottom=0.45) as axes:
        places = [0.5 * wide, picture.shape[1] / 2, picture.shape[1] - 0.5 * wide]
        axes.set_xticks(places, ["image", "decoded", "image"])
        axes.tick_params(length=0)


def traversal(
    path, walks, offsets, dimensions, kl, *, start="from the middle", unit="deviations of the prior", given=""
):
    """Draw walks [D,T,H,W,C], a row for each of `dimensions` [D], moved by `offsets` [T]; kl [D] is what each says."""
    walks = checked_images("walks", walks, "DTHWC")
    if not len(walks) == len(dimensions) == len(kl) or walks.shape[1] != len(offsets):
        raise UsageError(
            f"walks have shape {walks.shape} for {len(dimensions)} dimensions, {len(kl)} KLs and {len(offsets)} "
            "offsets; expected [D,T,H,W,C], [D], [D] and [T]."
        )
    columns = walks.shape[1]
    rows = [mosaic(fitted(walk, columns), columns, GAP) for walk in walks]
    picture, centres = stacked(rows, [3 * GAP] * len(rows))
    title = "One dimension after the other"
    with gallery(
        path, picture, title, f"each row moves one latent dimension, {start}{given}", left=1.5, bottom=0.6
    ) as axes:
        names = [f"z{dimension + 1}, {value:.1f} nats" for dimension, value in zip(dimensions, kl, strict=True)]
        label_rows(axes, centres, names)
        shown = np.unique([0, (columns - 1) // 2, columns - 1])
        wide = (picture.shape[1] + GAP) / columns
        axes.set_xticks((shown + 0.5) * wide - GAP / 2, [_signed(offsets[i]) for i in shown])
        axes.set_xlabel(f"where it is, in {unit}")


def _signed(value):
    """Write an offset with its sign and one decimal; 0 as 0."""
    return f"{value:+.1f}".replace("-", "−") if abs(value) >= 0.05 else "0"


def plane(path, grid, offsets, dimensions, *, about="the middle", unit="deviations of the prior", given=""):
    """Draw a grid [T,T,H,W,C], row 0 the second dimension's largest of `offsets` [T], ascending along columns."""
    grid = checked_images("grid", grid, "TTHWC")
    side = len(grid)
    if grid.shape[1] != side or len(offsets) != side:
        raise UsageError(f"grid has shape {grid.shape} for {len(offsets)} offsets; expected [T,T,H,W,C] and [T].")
    picture = mosaic(fitted(grid.reshape(-1, *grid.shape[2:]), side, GAP), side, GAP)
    first, second = (f"z{dimension + 1}" for dimension in dimensions)
    subtitle = f"the mean of p(x|z) about {about}, all other dimensions left as they are{given}"
    with gallery(path, picture, f"{first} and {second} together", subtitle, left=0.9, bottom=0.7) as axes:
        shown = np.unique([0, (side - 1) // 2, side - 1])
        labels = [_signed(offsets[i]) for i in shown]
        places = (shown + 0.5) / side
        axes.set_xticks(places * picture.shape[1] - 0.5, labels)
        axes.set_yticks((1 - places) * picture.shape[0] - 0.5, labels)
        axes.set(xlabel=f"{first}, {unit}", ylabel=f"{second}, {unit}")
