"""The pictures of a run: what to compute for each, handed to plots as arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jax import Array, random

from jaxvae.data.dataset import DataSet
from jaxvae.evaluate.bounds import active_units
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.run import Run
from jaxvae.rundir.snapshots import read_codes, read_frames, remove_snapshots_after, save_codes, save_frame
from jaxvae.viz.figures.animation import draw_training, draw_unfolding, draw_walk
from jaxvae.viz.figures.anomaly import draw_anomaly
from jaxvae.viz.figures.compression import costs_bits, draw_compression
from jaxvae.viz.figures.conditional import draw_conditional
from jaxvae.viz.figures.images import conditions, dream, pictures
from jaxvae.viz.figures.inpainting import draw_denoising, draw_inpainting
from jaxvae.viz.figures.interpolation import default_pairs, draw_interpolation, draw_manifold, draw_traversal
from jaxvae.viz.figures.latent_plane import draw_map, draw_plane
from jaxvae.viz.figures.latent_plane_dots import keep_dots
from jaxvae.viz.figures.neighbours import draw_neighbours
from jaxvae.viz.figures.reconstructions import draw_reconstructions, draw_samples
from jaxvae.viz.figures.sensitivity import draw_sensitivity, walkable
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.report import captions

FIGURES = "figures"
_RECONSTRUCTED, _SAMPLED = 24, 64
_MANIFOLD = 20  # pictures along each side
_EXPLORED = 1000  # purpose folded into the key of the figures

__all__ = [
    "FIGURES",
    "Subject",
    "conditions",
    "draw_anomaly",
    "draw_compression",
    "draw_conditional",
    "draw_denoising",
    "draw_figures",
    "draw_inpainting",
    "draw_map",
    "draw_neighbours",
    "draw_plane",
    "draw_reconstructions",
    "draw_samples",
    "draw_sensitivity",
    "draw_training",
    "draw_unfolding",
    "draw_walk",
    "dream",
    "keep_dots",
    "pictures",
    "read_codes",
    "read_frames",
    "remove_snapshots_after",
    "save_codes",
    "save_frame",
]


def draw_figures(
    run: Run, data: DataSet, scored: dict[str, dict[str, np.ndarray]], workdir: Path, key: Array, which: str = "all"
) -> None:
    """Writes the figures of the run, 'all', 'few' or 'none', in place of those that stand there, of other weights.

    `scored` are every example's values by split, as `scoring.score` returned them.
    """
    folder = workdir / FIGURES
    folder.mkdir(exist_ok=True)
    _forget_figures(folder)
    if which == "none":
        return
    name = "test" if "test" in scored else next(iter(scored))
    subject, values = Subject(run, data, name, random.clone(key)), scored[name]
    _draw_few(folder, subject, values, workdir, key)
    if which == "few":
        return
    if "means" in values:
        _draw_latent_space(folder, subject, values["means"])
    draw_training(folder / "training.gif", workdir)
    draw_unfolding(folder / "plane.gif", workdir, circles="elbo" in values)
    draw_explored(folder, dataclasses.replace(subject, key=subject.key_of(_EXPLORED)), means="means" in values)


def _forget_figures(folder: Path) -> None:
    """Removes the figures that `draw_figures` writes; others in the folder are somebody's own."""
    for name in captions.FIGURES:
        for suffix in (".png", ".svg", ".gif", ".npz"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)


def _draw_few(folder: Path, subject: Subject, values: dict[str, np.ndarray], workdir: Path, key: Array) -> None:
    """Images and reconstructions, samples, where the codes lie, how training went."""
    from jaxvae.viz import (
        plots,  # not atop: matplotlib takes a third of a second, and the first step waits for all above
    )

    keys = random.split(key, 3)
    draw_reconstructions(folder / "reconstructions.png", subject.run, subject.split, _RECONSTRUCTED, keys[:2])
    draw_samples(folder, subject.run, subject.data, keys[2], _SAMPLED)
    if records := read_metrics(workdir):
        plots.training_curves(folder / "curves.png", records)
    if "means" in values and "kl_per_dimension" in values:
        kl, units = values["kl_per_dimension"].mean(0), active_units(values["means"])
        plots.kl_per_dimension(folder / "kl_per_dimension.png", kl, units)
    if "means" in values:
        draw_plane(folder / "latent_plane.png", subject, values["means"], circles="elbo" in values)
        keep_dots(folder / "latent_plane.npz", subject, values["means"], circles="elbo" in values)
    if frames := read_frames(workdir):
        plots.training(folder / "training.png", np.array(list(frames)), np.stack(list(frames.values())))


def _draw_latent_space(folder: Path, subject: Subject, means: np.ndarray) -> None:
    """A map of more than two dimensions; walks between images, along dimensions, over the plane of two."""
    if means.shape[1] > 2:
        draw_map(folder / "latent_map.png", subject, means)
    if len(subject.run.latent_shape) != 1:
        return
    if len(subject.split) > 1:
        draw_interpolation(folder / "interpolation.png", subject, default_pairs(subject))
    if subject.run.latent_shape == (2,):
        draw_manifold(folder / "manifold.png", subject)
    else:
        draw_traversal(folder / "traversal.png", subject)


def draw_explored(folder: Path, subject: Subject, *, means: bool) -> None:
    """The figures of what the model can be asked for, of few images each; `means`: whether q(z|x) has a mean."""
    run = subject.run
    draw_inpainting(folder / "inpainting.png", subject, steps=200)
    draw_denoising(folder / "denoising.png", subject)
    if costs_bits(run):
        draw_compression(folder / "compression.png", subject, most=300, training=2000)
    if means:
        draw_neighbours(folder / "neighbours.png", subject, most=500, among=2000)
    if means and walkable(run):
        draw_sensitivity(folder / "sensitivity.png", subject, most=200)
    if run.config.model.condition == "label":
        draw_conditional(folder / "conditional.png", subject)
    if "left_out" in subject.data.splits:
        draw_anomaly(folder / "anomaly.png", subject, most=500)
