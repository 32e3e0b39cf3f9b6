"""Images above their reconstructions and residuals; samples at several temperatures, and of every class."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, random
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from jaxvae._checks import UsageError
from jaxvae.data.corrupt import CORRUPT
from jaxvae.data.dataset import DataSet, Split
from jaxvae.rundir.run import Run
from jaxvae.viz.figures.images import conditions, pictures, residuals
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.image_grid import GAP, as_rgb, fitted, gallery, gallery_of_rows, mosaic, require_one_each
from jaxvae.viz.plots.style import BLUE, GREY, VERMILION

__all__ = ["ConditionalData", "ReconstructionData", "TemperatureData", "compute_conditional"]
__all__ += ["compute_reconstructions", "compute_temperatures", "plot_conditional", "plot_reconstructions"]
__all__ += ["plot_temperatures"]

_DRAW = 50  # purpose folded into the subject's key
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.25)


class ReconstructionData(NamedTuple):
    """Images x and their reconstructions, [N, *X]; x corrupted, of a model trained on such inputs, or None."""

    x: np.ndarray
    reconstructions: np.ndarray
    corrupted: np.ndarray | None


def compute_reconstructions(run: Run, split: Split, n: int, keys: Array) -> ReconstructionData:
    """Reconstructs n images, evenly spread over the split; of the keys [2] one prepares and corrupts, one draws z."""
    # some data sets are stored class by class
    image, label, index = split.take(np.linspace(0, len(split) - 1, min(n, len(split))).astype(int))
    preparing, drawing = keys
    corrupting = random.fold_in(preparing, CORRUPT)
    x = run.prepare(preparing, image, index)
    corrupted = run.corrupt(corrupting, x) if run.parts.corrupted else None
    again = run.reconstruct(drawing, x if corrupted is None else corrupted, label if run.conditional else None)
    return ReconstructionData(np.asarray(x), np.asarray(again), None if corrupted is None else np.asarray(corrupted))


def plot_reconstructions(path: Path, data: ReconstructionData) -> None:
    """Draws images above their reconstructions above the residuals, at most 16 a row; corrupted inputs are in between.

    Residuals are signed: in colours, with their scale below.
    """
    originals, labels = pictures(data.x), ["original", "reconstruction", "residual"]
    subtitle, shown = "the image x above, the mean of p(x|z) for one z from q(z|x) below", [originals]
    title = "Reconstructions"
    if data.corrupted is not None:
        title, labels = "Restored images", ["original", "corrupted", "restored", "residual"]
        subtitle = "the image x, what the encoder is shown of it, and the mean of p(x|z) for one z that it draws"
        shown.append(pictures(data.corrupted))
    shown.append(pictures(data.reconstructions))
    for name, images in zip(labels, shown, strict=False):
        if images.shape != originals.shape:
            raise UsageError(
                f"originals have shape {originals.shape} and {name} {images.shape}; expected one shape: "
                f"give the {name} of all originals, in the same order."
            )
    difference = residuals(data.x, data.reconstructions)
    limit = _limit_of(difference)
    shown = [*map(as_rgb, shown), signed_colours(difference[..., 0], limit)]
    blocks = -(-len(originals) // 16)
    columns = -(-len(originals) // blocks)
    starts = range(0, len(originals), columns)
    rows = [images[start : start + columns] for start in starts for images in shown]
    gaps = [*[GAP] * (len(shown) - 1), 16] * blocks
    with gallery_of_rows(path, rows, labels * blocks, title, subtitle, gaps, bottom=0.75) as axes:
        _colour_bar(axes, limit)


def _colour_bar(axes: Axes, limit: float) -> None:
    """Draws the scale of the residuals below a gallery's picture."""
    figure, (rows, columns) = axes.figure, axes.images[0].get_size()
    assert isinstance(figure, Figure)
    dpi, (left, bottom, width, height) = figure.dpi, axes.get_position().bounds
    across, up = width * dpi / columns, height * dpi / rows  # an inch, as shares of the figure
    scale = figure.add_axes((left, bottom - 0.32 * up, 2.4 * across, 0.12 * up))
    scale.imshow(signed_colours(np.linspace(-limit, limit, 201)[None], limit), aspect="auto")
    beyond = " and beyond" if limit < 1 else ""
    scale.set(yticks=[], xticks=[0, 100, 200], xticklabels=[f"−{limit:g}", "0", f"+{limit:g}{beyond}"])
    scale.tick_params(labelsize=8, length=0)
    scale.spines[:].set_visible(False)
    scale.grid(False)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "color": GREY}
    scale.annotate("residual: x minus the mean", (1, 0.5), (12, 0), **place)


def signed_colours(values: np.ndarray, limit: float) -> np.ndarray:
    """Returns the colours [...,3] of signed `values` [...]: white at 0, VERMILION from +limit on, BLUE from -limit."""
    share = np.clip(np.nan_to_num(values) / limit, -1.0, 1.0)[..., None]
    return 1.0 - np.abs(share) * (1.0 - np.where(share > 0, to_rgb(VERMILION), to_rgb(BLUE)))


def _limit_of(residuals: np.ndarray) -> float:
    """Returns a round number that nearly all residuals lie within, at least 0.05."""
    large = np.quantile(np.abs(np.nan_to_num(residuals)), 0.99)
    return min(limit for limit in (0.05, 0.1, 0.2, 0.5, 1.0, np.inf) if limit >= min(large, 1.0))


class TemperatureData(NamedTuple):
    """Pictures `means` [T, N, H, W, C] of p(x|z) for the same N draws of the prior at `temperatures` [T]."""

    temperatures: tuple[float, ...]
    means: np.ndarray


def compute_temperatures(
    run: Run, data: DataSet, key: Array, n: int, temperatures: tuple[float, ...] = TEMPERATURES
) -> TemperatureData:
    """Decodes n draws z ~ p(z), whose spread is multiplied by each temperature."""
    keys, condition = random.split(key, n), conditions(run.parts, data, n)
    drawn = [run.generate(random.clone(keys), temperature=t, condition=condition)[1].mean() for t in temperatures]
    return TemperatureData(temperatures, np.stack([pictures(means) for means in drawn]))


def plot_temperatures(path: Path, data: TemperatureData) -> None:
    """Draws a row for each temperature; nothing where all rows are the same, as for codes of a codebook."""
    require_one_each("temperatures", data.temperatures, "rows of images", data.means)
    if not np.array_equal(data.means[0], data.means[-1]):
        n = data.means.shape[1]
        shown = np.linspace(0, n - 1, min(n, 12)).astype(int)  # over all classes, where there are conditions
        labels = [f"{value:g}" + " (the prior)" * (value == 1) for value in data.temperatures]
        subtitle = "each column is one draw from the prior, whose spread is multiplied by the temperature"
        with gallery_of_rows(path, data.means[:, shown], labels, "What the temperature does", subtitle):
            pass


class ConditionalData(NamedTuple):
    """Means of p(x|z) `pictures` [N, K, *X] of N codes and K classes, the codes z [N, K, Z], the classes' names [K]."""

    pictures: np.ndarray
    z: np.ndarray
    names: tuple[str, ...]


def compute_conditional(subject: Subject, *, n: int = 8, most: int = 12) -> ConditionalData:
    """Decodes n draws of z as each of the first `most` classes.

    A prior that depends on the class is given the same randomness for all classes. ValueError unless the model is
    conditioned on labels.
    """
    run = subject.run
    if run.config.model.condition != "label":
        raise UsageError(f"model.condition={run.config.model.condition!r}: expected 'label' for a grid of classes.")
    classes = np.arange(min(most, run.parts.condition_size or 0))
    keys = jnp.repeat(random.split(subject.key_for(_DRAW), n), len(classes))
    z, px = run.generate(keys, condition=np.tile(classes, n))
    names = (subject.data.class_names or tuple(map(str, classes)))[: len(classes)]
    means, codes = (np.asarray(a).reshape(n, len(classes), *a.shape[1:]) for a in (px.mean(), z))
    return ConditionalData(means, codes, names)


def plot_conditional(path: Path, data: ConditionalData) -> None:
    """Draws a row for each code and a column for each class."""
    columns = len(data.names)
    tiles = fitted(pictures(data.pictures.reshape(-1, *data.pictures.shape[2:])), columns)
    picture, title = mosaic(tiles, columns, GAP), "The class, and everything else"
    subtitle = "each row is one z from the prior; each column tells the decoder another class"
    with gallery(path, picture, title, subtitle, left=0.3, bottom=0.7) as axes:
        width = tiles.shape[2] + GAP
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(map(len, data.names)) > 4 else {}
        axes.set_xticks(np.arange(columns) * width + (width - GAP) / 2, data.names, **turned)
        axes.set_xlabel("class")
        axes.tick_params(length=0)
