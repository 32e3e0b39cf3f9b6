"""Panels of images: originals and reconstructions, samples, the decoded plane, training.

Images as in image_grid.py. Axis letters: N images, H height, W width, C channels (1 grey, 3 colour), R side of a grid,
T temperatures, or snapshots of training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxvae._checks import UsageError
from jaxvae.viz.plots.image_grid import GAP, checked_images, fitted, gallery, label_rows, mosaic, stack_images
from jaxvae.viz.plots.style import BLUE, GREY, VERMILION

__all__ = ["manifold", "reconstructions", "samples", "signed_colours", "temperatures", "training"]


def signed_colours(values: np.ndarray, limit: float) -> np.ndarray:
    """Returns the colours [...,3] of signed `values` [...]: white at 0, VERMILION from +limit on, BLUE from -limit."""
    share = np.clip(np.nan_to_num(values) / limit, -1.0, 1.0)[..., None]
    return 1.0 - np.abs(share) * (1.0 - np.where(share > 0, to_rgb(VERMILION), to_rgb(BLUE)))


def _limit_of(residuals: np.ndarray) -> float:
    """Returns a round number that nearly all residuals lie within, at least 0.05."""
    large = np.quantile(np.abs(np.nan_to_num(residuals)), 0.99)
    return min(limit for limit in (0.05, 0.1, 0.2, 0.5, 1.0, np.inf) if limit >= min(large, 1.0))


def reconstructions(
    path: Path,
    originals: ArrayLike,
    reconstructions: ArrayLike,
    *,
    corrupted: ArrayLike | None = None,
    residuals: ArrayLike | None = None,
) -> None:
    """Draws originals [N,H,W,C] above their reconstructions [N,H,W,C], at most 16 a row.

    If given, `corrupted` originals [N,H,W,C] are between the two, and signed `residuals` [N,H,W,1] below, in colours.
    """
    given = {"originals": originals, "corrupted": corrupted, "reconstructions": reconstructions}
    shown = {name: checked_images(name, images, "NHWC") for name, images in given.items() if images is not None}
    originals = shown["originals"]
    for name, images in shown.items():
        if images.shape != originals.shape:
            raise UsageError(
                f"originals have shape {originals.shape} and {name} {images.shape}; expected one shape: "
                f"give the {name} of all originals, in the same order."
            )
    labels = ["original", "reconstruction"] if corrupted is None else ["original", "corrupted", "restored"]
    if residuals is not None:
        residuals = checked_images("residuals", residuals, "NHWC")
        limit = _limit_of(residuals)
        shown["residuals"] = signed_colours(residuals[..., 0], limit)
        shown = {name: np.broadcast_to(images, (*images.shape[:3], 3)) for name, images in shown.items()}
        labels.append("residual")
    blocks = -(-len(originals) // 16)
    columns = -(-len(originals) // blocks)
    starts = range(0, len(originals), columns)
    rows = [images[start : start + columns] for start in starts for images in shown.values()]
    picture, centres = stack_images(rows, [*[GAP] * (len(shown) - 1), 16] * blocks, columns)
    title, subtitle = "Reconstructions", "the image x above, the mean of p(x|z) for one z from q(z|x) below"
    if corrupted is not None:
        title = "Restored images"
        subtitle = "the image x, what the encoder is shown of it, and the mean of p(x|z) for one z that it draws"
    with gallery(path, picture, title, subtitle, left=1.3, bottom=0.2 if residuals is None else 0.75) as axes:
        label_rows(axes, centres, labels * blocks)
        if residuals is not None:
            _colour_bar(axes, limit, picture.shape)


def _colour_bar(axes: Axes, limit: float, shape: tuple[int, ...]) -> None:
    """Draws the scale of the residuals below a gallery's picture of this shape [H,W,...]."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    dpi, (left, bottom, width, height) = figure.dpi, axes.get_position().bounds
    across, up = width * dpi / shape[1], height * dpi / shape[0]  # an inch, as shares of the figure
    scale = figure.add_axes((left, bottom - 0.32 * up, 2.4 * across, 0.12 * up))
    scale.imshow(signed_colours(np.linspace(-limit, limit, 201)[None], limit), aspect="auto")
    beyond = " and beyond" if limit < 1 else ""
    scale.set(yticks=[], xticks=[0, 100, 200], xticklabels=[f"−{limit:g}", "0", f"+{limit:g}{beyond}"])
    scale.tick_params(labelsize=8, length=0)
    scale.spines[:].set_visible(False)
    scale.grid(False)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "color": GREY}
    scale.annotate("residual: x minus the mean", (1, 0.5), (12, 0), **place)


def samples(path: Path, means: ArrayLike) -> None:
    """Draws generated images [N,H,W,C], the means of p(x|z) for z from the prior, in a near-square grid."""
    means = checked_images("means", means, "NHWC")
    columns = int(np.ceil(np.sqrt(len(means))))
    picture = mosaic(fitted(means, columns), columns, GAP)
    with gallery(path, picture, "Samples: means of p(x|z)", "each z is drawn from the prior"):
        pass


def temperatures(path: Path, values: Sequence[float], means: ArrayLike) -> None:
    """Draws means [T,N,H,W,C] of p(x|z) for the same N draws z at T temperatures `values`: a row a temperature."""
    means = checked_images("means", means, "TNHWC")
    if len(values) != len(means):
        raise UsageError(f"{len(values)} temperatures for {len(means)} rows of images; expected one each.")
    picture, centres = stack_images(list(means), [3 * GAP] * len(means))
    subtitle = "each column is one draw from the prior, whose spread is multiplied by the temperature"
    with gallery(path, picture, "What the temperature does", subtitle, left=1.3) as axes:
        label_rows(axes, centres, [f"{value:g}" + " (the prior)" * (value == 1) for value in values])


def training(path: Path, steps: Sequence[int] | np.ndarray, frames: ArrayLike) -> None:
    """Draws frames [T,N,H,W,C], the same N latent codes decoded at steps [T]: a row a step, a column a code.

    At most 8 rows are drawn, evenly spaced in [T] and always with the first and the last, and at most 16 columns.
    """
    frames = checked_images("frames", frames, "TNHWC")[:, :16]
    if len(steps) != len(frames):
        raise UsageError(f"{len(steps)} steps for {len(frames)} frames; expected one step a frame: drop the others.")
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), 8)).round().astype(int)
    picture, centres = stack_images([frames[index] for index in chosen], [3 * GAP] * len(chosen))
    with gallery(path, picture, "As training goes on", "each column is one fixed z, decoded", left=1.3) as axes:
        label_rows(axes, centres, [f"step {int(steps[index]):,}" for index in chosen])


def manifold(
    path: Path,
    grid: ArrayLike,
    *,
    names: tuple[str, str] = ("z1", "z2"),
    of: int = 2,
    whose: str = "the prior",
    given: str = "",
) -> None:
    """Draws a grid [R,R,H,W,C] of decoded z, row 0 having the largest z2 and column 0 the smallest z1.

    Columns and rows are at the middles of R equally probable parts, (i + 1/2) / R. `names` are those of the two
    dimensions, of all `of`; `whose` is the distribution of the quantiles; `given` is the end of a sentence about
    the condition.
    """
    grid = checked_images("grid", grid, "RRHWC")
    side = len(grid)
    if grid.shape[1] != side:
        raise UsageError(f"grid has {side} rows and {grid.shape[1]} columns; expected a square: decode R x R points.")
    gap = GAP if max(grid.shape[2:4]) < 16 else 0  # tiny pictures have no margin: without a gap they run together
    picture = mosaic(fitted(grid.reshape(-1, *grid.shape[2:]), side, gap), side, gap)
    middles = (np.arange(side) + 0.5) / side
    ticks = np.array([0.05, 0.25, 0.5, 0.75, 0.95]) if side > 1 else np.array([0.5])
    places = ticks.clip(middles[0], middles[-1])
    labels = [f"{tick:.0%}" for tick in ticks]
    rest = f", the other {of - 2} dimensions in their middle" if of > 2 else ""
    subtitle = f"the mean of p(x|z) at equally probable steps of {names[0]} and {names[1]}{rest}{given}"
    with gallery(path, picture, "The latent space, decoded", subtitle, left=0.9, bottom=0.7) as axes:
        axes.set_xticks(places * picture.shape[1] - 0.5, labels)
        axes.set_yticks((1 - places) * picture.shape[0] - 0.5, labels)
        axes.set(xlabel=f"{names[0]}, quantile of {whose}", ylabel=f"{names[1]}, quantile of {whose}")
