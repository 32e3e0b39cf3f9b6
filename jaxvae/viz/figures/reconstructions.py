"""The images of a split above their reconstructions and what these miss; and what a temperature does to samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jax import Array, random

from jaxvae.data.corrupt import CORRUPT
from jaxvae.data.dataset import DataSet, Split
from jaxvae.rundir.run import Run
from jaxvae.viz.figures.images import conditions, pictures, residuals

TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.25)


def draw_reconstructions(path: Path, run: Run, split: Split, n: int, keys: Array) -> None:
    """n images, evenly spread over the split, above their reconstructions, and below these the residuals; of a model
    trained on corrupted inputs, corrupted between the two, and restored. Of the keys [2] one prepares and corrupts, the
    other draws z.
    """
    from jaxvae.viz import plots

    # some data sets are stored class by class
    image, label, index = split.take(np.linspace(0, len(split) - 1, min(n, len(split))).astype(int))
    preparing, drawing = keys
    corrupting = random.fold_in(preparing, CORRUPT)
    x = run.prepare(preparing, image, index)
    corrupted = run.corrupt(corrupting, x) if run.parts.corrupted else None
    again = run.reconstruct(drawing, x if corrupted is None else corrupted, label if run.conditional else None)
    plots.reconstructions(
        path,
        pictures(x),
        pictures(again),
        corrupted=None if corrupted is None else pictures(corrupted),
        residuals=residuals(x, again),
    )


def draw_samples(folder: Path, run: Run, data: DataSet, key: Array, n: int) -> dict[str, np.ndarray]:
    """samples.png, means of p(x|z) for n draws z ~ p(z); and temperatures.png, what the same draws are when the prior's
    spread is multiplied by each of TEMPERATURES. The latter not where z is chosen from a codebook, without a spread.
    """
    from jaxvae.viz import plots

    keys, condition = random.split(key, n), conditions(run.parts, data, n)
    drawn = [run.generate(random.clone(keys), temperature=t, condition=condition)[1].mean() for t in TEMPERATURES]
    rows = np.stack([pictures(means) for means in drawn])
    plots.samples(folder / "samples.png", rows[TEMPERATURES.index(1.0)])
    if not np.array_equal(rows[0], rows[-1]):
        shown = np.linspace(0, n - 1, min(n, 12)).astype(int)  # over all classes, where there are conditions
        plots.temperatures(folder / "temperatures.png", TEMPERATURES, rows[:, shown])
    return {"temperatures": np.array(TEMPERATURES), "means": rows}
