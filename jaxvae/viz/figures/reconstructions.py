"""Images above their reconstructions and residuals; samples at several temperatures."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jax import Array, random

from jaxvae.data.corrupt import CORRUPT
from jaxvae.data.dataset import DataSet, Split
from jaxvae.rundir.run import Run
from jaxvae.viz.figures.images import conditions, pictures, residuals
from jaxvae.viz.plots import image_panels

__all__ = ["ReconstructionData", "TemperatureData", "compute_reconstructions", "compute_temperatures"]
__all__ += ["plot_reconstructions", "plot_temperatures"]

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
    """Draws images above their reconstructions above the residuals; corrupted inputs are in between."""
    corrupted = None if data.corrupted is None else pictures(data.corrupted)
    difference = residuals(data.x, data.reconstructions)
    image_panels.reconstructions(
        path, pictures(data.x), pictures(data.reconstructions), corrupted=corrupted, residuals=difference
    )


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
    if not np.array_equal(data.means[0], data.means[-1]):
        n = data.means.shape[1]
        shown = np.linspace(0, n - 1, min(n, 12)).astype(int)  # over all classes, where there are conditions
        image_panels.temperatures(path, data.temperatures, data.means[:, shown])
