"""The pictures of a run: what to compute for each, handed to plots as arrays."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax import Array, random

from jaxvae import latent, plots
from jaxvae.data.dataset import DataSet
from jaxvae.data.prepare import unit
from jaxvae.evaluate import active
from jaxvae.logbook import read_metrics
from jaxvae.run import Run

FIGURES, FRAMES = "figures", "samples"
MANIFOLD = 20  # pictures along each side


def draw_figures(run: Run, data: DataSet, scored: dict[str, dict[str, np.ndarray]], workdir: Path, key: Array) -> None:
    """Writes all figures of the run; `scored` are every example's values by split, as `results.score` returned them."""
    folder = workdir / FIGURES
    folder.mkdir(exist_ok=True)
    name = "test" if "test" in scored else next(iter(scored))
    split, values = data.splits[name], scored[name]
    image, _, index = split.take(np.arange(min(48, len(split))))
    keys = random.split(key, 3)
    x = run.prepare(keys[0], image, index)
    plots.reconstructions(folder / "reconstructions.png", pictures(x), pictures(run.reconstruct(keys[1], x)))
    _, px = jax.jit(partial(latent.generate, run.model))(run.variables, random.split(keys[2], 64))
    plots.samples(folder / "samples.png", pictures(px.mean()))
    plots.curves(folder / "curves.png", read_metrics(workdir))
    if "kl_per_dimension" in values:
        plots.kl_per_dimension(
            folder / "kl_per_dimension.png", values["kl_per_dimension"].mean(0), active(values["means"])
        )
    if "means" in values:
        draw_plane(folder / "latent_plane.png", values["means"], split)
    if run.config.model.latent_dim == 2:
        grid = latent.quantile_grid(MANIFOLD)
        tiles = pictures(run.decode(grid.reshape(-1, 2)).mean())
        plots.manifold(folder / "manifold.png", tiles.reshape(*grid.shape[:2], *tiles.shape[1:]))
    if frames := read_frames(workdir):
        plots.training(folder / "training.png", np.array(list(frames)), np.stack(list(frames.values())))


def draw_plane(path: Path, means: np.ndarray, split) -> None:
    """The posterior means of all scored examples, coloured by label; their principal plane above two dimensions."""
    axes: tuple[str, ...] = ("z1", "z2")
    if means.shape[1] == 1:
        means, axes = np.concatenate([means, np.zeros_like(means)], 1), ("z1", "(the latent has one dimension)")
    elif means.shape[1] > 2:
        means, shares = latent.principal_plane(means)
        axes = tuple(
            f"{order} principal component ({share:.0%} of the variance)"
            for order, share in zip(("first", "second"), shares, strict=True)
        )
    label = split.take(np.arange(len(split)))[1] if split.label is not None else None
    plots.latent_plane(path, means, label, axes=axes)


def pictures(means: Array) -> np.ndarray:
    """What can be shown of [..., C]: grey or colour (the first channel of 2, or of more than 3), clipped to [0, 1]."""
    shown = np.asarray(means)
    return np.clip(shown if shown.shape[-1] in (1, 3) else shown[..., :1], 0.0, 1.0)


def save_frame(workdir: Path, step: int, means: np.ndarray) -> None:
    """Keeps what the model dreams at this step, uint8 [N, H, W, C]: samples from the same z throughout training."""
    folder = workdir / FRAMES
    folder.mkdir(exist_ok=True)
    np.save(folder / "new.npy", np.round(255 * means).astype(np.uint8))
    (folder / "new.npy").replace(folder / f"{step:09d}.npy")


def read_frames(workdir: Path) -> dict[int, np.ndarray]:
    """{step: float [N, H, W, C] in [0, 1]}, ascending."""
    paths = sorted((workdir / FRAMES).glob("[0-9]*.npy"))
    return {int(path.stem): np.asarray(unit(np.load(path, allow_pickle=False))) for path in paths}
