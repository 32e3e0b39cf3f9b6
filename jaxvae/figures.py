"""The pictures of a run: what to compute for each, handed to plots as arrays."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxvae import latent
from jaxvae.build import Parts
from jaxvae.data.corrupt import CORRUPT
from jaxvae.data.dataset import DataSet, Split
from jaxvae.data.numpy_files import mapped
from jaxvae.data.prepare import unit
from jaxvae.evaluate import active
from jaxvae.logbook import read_metrics
from jaxvae.run import Run

FIGURES, FRAMES = "figures", "samples"
MANIFOLD = 20  # pictures along each side


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
        draw_plane(folder / "latent_plane.png", values["means"], split, circles="elbo" in values)
    if run.latent_shape == (2,) and run.config.model.prior == "standard":
        grid = latent.quantile_grid(MANIFOLD)
        first = conditions(run.parts, data, 1)
        given = None if first is None else np.repeat(first, grid.size // 2, axis=0)
        tiles = pictures(run.decode(grid.reshape(-1, 2), given).mean())
        plots.manifold(folder / "manifold.png", tiles.reshape(*grid.shape[:2], *tiles.shape[1:]))
    if frames := read_frames(workdir):
        plots.training(folder / "training.png", np.array(list(frames)), np.stack(list(frames.values())))


def draw_reconstructions(path: Path, run: Run, split: Split, n: int, keys: Array) -> None:
    """The first n images of the split above their reconstructions; of a model trained on corrupted inputs, corrupted
    between the two, and restored. Of the keys [2] one prepares and corrupts, the other draws z.
    """
    from jaxvae import plots

    image, label, index = split.take(np.arange(min(n, len(split))))
    preparing, drawing = keys
    corrupting = random.fold_in(preparing, CORRUPT)
    x = run.prepare(preparing, image, index)
    corrupted = run.corrupt(corrupting, x) if run.parts.corrupted else None
    again = run.reconstruct(drawing, x if corrupted is None else corrupted, label if run.conditional else None)
    plots.reconstructions(
        path, pictures(x), pictures(again), corrupted=None if corrupted is None else pictures(corrupted)
    )


def dream(run: Run, data: DataSet, key: Array, n: int) -> np.ndarray:
    """Means of p(x|z) for n draws z ~ p(z), [n, H, W, C]; a conditional model is given the conditions of n images."""
    _, px = run.generate(random.split(key, n), condition=conditions(run.parts, data, n))
    return pictures(px.mean())


def conditions(parts: Parts, data: DataSet, n: int) -> np.ndarray | None:
    """The labels of n training images, sorted, for a conditional model; None for another."""
    if parts.condition_size is None:
        return None
    label = data.splits["train"].labels(np.arange(n) % len(data.splits["train"]))
    return label[np.argsort(label if label.ndim == 1 else label[:, 0], kind="stable")]


def draw_plane(path: Path, means: np.ndarray, split, *, circles: bool) -> None:
    """The posterior means of all scored examples, coloured by label; their principal plane above two dimensions."""
    from jaxvae import plots

    axes: tuple[str, ...] = ("z1", "z2")
    if means.shape[1] == 1:
        means, axes = np.concatenate([means, np.zeros_like(means)], 1), ("z1", "(the latent has one dimension)")
    elif means.shape[1] > 2:
        means, shares = latent.principal_plane(means)
        axes = tuple(
            f"{order} principal component ({share:.0%} of the variance)"
            for order, share in zip(("first", "second"), shares, strict=True)
        )
    label = split.labels(np.arange(len(split))) if split.label is not None and split.label.ndim == 1 else None
    plots.latent_plane(path, means, label, axes=axes, circles=circles)


def pictures(means: Array) -> np.ndarray:
    """What can be shown of [N, H, W, C]: grey or colour (the first channel of 2, or of more than 3), clipped to [0, 1].

    A sequence [N, L, C] is shown as a strip.
    """
    shown = np.asarray(means)
    if shown.ndim == 3:
        shown = np.repeat(shown[:, None, :, :1], max(1, shown.shape[1] // 8), axis=1)
    return np.clip(shown if shown.shape[-1] in (1, 3) else shown[..., :1], 0.0, 1.0)


def save_frame(workdir: Path, step: int, means: np.ndarray) -> None:
    """Keeps what the model dreams at this step, uint8 [N, H, W, C]: samples from the same z throughout training."""
    folder = workdir / FRAMES
    folder.mkdir(exist_ok=True)
    np.save(folder / "new.npy", np.round(255 * np.nan_to_num(means)).astype(np.uint8))
    (folder / "new.npy").replace(folder / f"{step:09d}.npy")


def forget_frames(workdir: Path, step: int) -> None:
    """Removes what was kept after this step: a run that goes on from there dreams anew."""
    for path in (workdir / FRAMES).glob("[0-9]*.npy"):
        if int(path.stem) > step:
            path.unlink()


def read_frames(workdir: Path) -> dict[int, np.ndarray]:
    """{step: float [N, H, W, C] in [0, 1]}, ascending; ValueError names a file that holds no such frame."""
    paths = sorted(path for path in (workdir / FRAMES).glob("*.npy") if path.stem.isdecimal())
    frames: dict[int, np.ndarray] = {}
    for path in paths:
        try:
            frame = mapped(path)
            first = next(iter(frames.values()), frame)
            if frame.dtype != np.uint8 or frame.ndim != 4 or frame.shape != first.shape:
                raise ValueError(f"{frame.dtype} {list(frame.shape)}")
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} holds no frame of this training ({error}); remove it.") from error
        frames[int(path.stem)] = frame
    return {step: np.asarray(unit(jnp.asarray(frame))) for step, frame in frames.items()}
