"""The pictures of a run: what to compute for each, handed to plots as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jax import Array, random

from jaxvae import latent
from jaxvae.data.dataset import DataSet
from jaxvae.evaluate import active
from jaxvae.figures.basics import draw_plane, draw_reconstructions
from jaxvae.figures.dots import keep_dots
from jaxvae.figures.frames import forget_frames, read_frames, save_frame
from jaxvae.figures.pictures import conditions, dream, pictures
from jaxvae.figures.subject import Subject
from jaxvae.logbook import read_metrics
from jaxvae.run import Run

FIGURES = "figures"
MANIFOLD = 20  # pictures along each side

__all__ = [
    "FIGURES",
    "Subject",
    "conditions",
    "draw_figures",
    "draw_plane",
    "draw_reconstructions",
    "dream",
    "forget_frames",
    "keep_dots",
    "pictures",
    "read_frames",
    "save_frame",
]


def draw_figures(run: Run, data: DataSet, scored: dict[str, dict[str, np.ndarray]], workdir: Path, key: Array) -> None:
    """Writes all figures of the run; `scored` are every example's values by split, as `results.score` returned them."""
    from jaxvae import plots  # not atop: matplotlib takes a third of a second, and the first step waits for all above

    folder = workdir / FIGURES
    folder.mkdir(exist_ok=True)
    name = "test" if "test" in scored else next(iter(scored))
    split, values = data.splits[name], scored[name]
    keys = random.split(key, 3)
    draw_reconstructions(folder / "reconstructions.png", run, split, 48, keys[:2])
    plots.samples(folder / "samples.png", dream(run, data, keys[2], 64))
    if records := read_metrics(workdir):
        plots.curves(folder / "curves.png", records)
    if "means" in values and "kl_per_dimension" in values:
        plots.kl_per_dimension(
            folder / "kl_per_dimension.png", values["kl_per_dimension"].mean(0), active(values["means"])
        )
    if "means" in values:
        plane = draw_plane(folder / "latent_plane.png", values["means"], split, circles="elbo" in values)
        keep_dots(folder / "latent_plane.npz", run, split, values["means"], plane, data.class_names)
    if run.latent_shape == (2,) and run.config.model.prior == "standard":
        grid = latent.quantile_grid(MANIFOLD)
        first = conditions(run.parts, data, 1)
        given = None if first is None else np.repeat(first, grid.size // 2, axis=0)
        tiles = pictures(run.decode(grid.reshape(-1, 2), given).mean())
        plots.manifold(folder / "manifold.png", tiles.reshape(*grid.shape[:2], *tiles.shape[1:]))
    if frames := read_frames(workdir):
        plots.training(folder / "training.png", np.array(list(frames)), np.stack(list(frames.values())))
