"""Codes decoded as every class: a row a code, a column a class."""

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, checked_images, fitted, gallery, mosaic


def conditional(path, grid, names):
    """Draw a grid [N,K,H,W,C]: a row each of N codes, a column each of K classes, of these names."""
    grid = checked_images("grid", grid, "NKHWC")
    if len(names) != grid.shape[1]:
        raise UsageError(f"{len(names)} names for {grid.shape[1]} columns; expected one for each class.")
    columns = grid.shape[1]
    tiles = fitted(grid.reshape(-1, *grid.shape[2:]), columns)
    picture = mosaic(tiles, columns, GAP)
    subtitle = "each row is one z from the prior; each column tells the decoder another class"
    with gallery(path, picture, "The class, and everything else", subtitle, left=0.3, bottom=0.7) as axes:
        width = tiles.shape[2] + GAP
        turned = {"rotation": 30, "ha": "right"} if max(map(len, names)) > 4 else {}
        axes.set_xticks(np.arange(columns) * width + (width - GAP) / 2, names, **turned)
        axes.set_xlabel("class")
        axes.tick_params(length=0)
