"""The table of figures: for each name, the runs that it is drawn of, what is computed, and how it is plotted.

A figure's name is also the name of its file, NAME.png, and its key in the report's captions, unless it has a `file`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.figure
from jax import Array, random

from jaxvae._checks import UsageError
from jaxvae.config.registry import TABLES, read_functions
from jaxvae.evaluate.bounds import active_units
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.viz.figures.animation import compute_training, compute_unfolding, plot_training_film, plot_unfolding_film
from jaxvae.viz.figures.anomaly import compute_anomaly, plot_anomaly
from jaxvae.viz.figures.compression import compute_compression, has_finite_rate, plot_compression
from jaxvae.viz.figures.inpainting import compute_denoising, compute_inpainting, plot_denoising, plot_inpainting
from jaxvae.viz.figures.interpolation import (
    compute_interpolation,
    compute_manifold,
    compute_traversal,
    plot_interpolation,
    plot_traversal,
    plot_traversal_plane,
)
from jaxvae.viz.figures.latent_plane import compute_map, compute_plane, plot_plane
from jaxvae.viz.figures.neighbours import compute_neighbours, plot_neighbours
from jaxvae.viz.figures.reconstructions import (
    TemperatureData,
    compute_conditional,
    compute_reconstructions,
    compute_temperatures,
    plot_conditional,
    plot_reconstructions,
    plot_temperatures,
)
from jaxvae.viz.figures.sensitivity import compute_sensitivity, has_flat_real_latent, plot_sensitivity
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots import curves, image_panels, scatter
from jaxvae.viz.plots.style import save_figure, use_style

__all__ = ["FIGURES", "REQUIREMENTS", "Figure", "select_figures"]

_RECONSTRUCTED, _SAMPLED = 24, 64
_SECOND = 1000  # purpose folded into the key of the figures that are not among the few

# Each row: what a figure requires of a run, as a message names it -> whether a run has it.
REQUIREMENTS: Mapping[str, Callable[[Subject], bool]] = {
    "posterior means": lambda s: "means" in s.scored,
    "a KL for each dimension": lambda s: "kl_per_dimension" in s.scored,
    "more than two latent dimensions": lambda s: s.scored["means"].shape[1] > 2,
    "exactly two latent dimensions": lambda s: s.run.latent_shape == (2,),
    "one or more than two latent dimensions": lambda s: s.run.latent_shape != (2,),
    "a vector for a latent": lambda s: len(s.run.latent_shape) == 1,
    "a real vector for a latent": lambda s: has_flat_real_latent(s.run),
    "two images": lambda s: len(s.split) > 1,
    "codes of a finite rate": lambda s: has_finite_rate(s.run),
    "model.condition='label'": lambda s: s.run.config.model.condition == "label",
    "data.leave_out": lambda s: "left_out" in s.data.splits,
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a run: `compute(subject)` gives its data, or None without any, which `plot(path, data)` draws.

    `needs` are keys of `REQUIREMENTS`, checked in order; `few` figures are drawn also for evaluate.figures='few'.
    `file` is its file in figures/, if that is not NAME.png. `own` is the user's function of a figure that is not ours.
    """

    compute: Callable[[Subject], Any]
    plot: Callable[[Path, Any], None]
    needs: tuple[str, ...] = ()
    few: bool = False
    file: str = ""
    own: Callable[[Subject], Any] | None = None


def _keys(subject: Subject) -> Array:
    """Returns the keys [3] of the first figures: two of the reconstructions, one of the samples."""
    return random.split(random.clone(subject.key), 3)


def _sample(subject: Subject, **options: Any) -> TemperatureData:
    """Decodes draws of the prior, at one temperature or several."""
    return compute_temperatures(subject.run, subject.data, _keys(subject)[2], _SAMPLED, **options)


def _second(compute: Callable[..., Any], **options: Any) -> Callable[[Subject], Any]:
    """Returns the computation with another key than that of the few figures."""
    return lambda s: compute(dataclasses.replace(s, key=s.key_for(_SECOND)), **options)


_MEANS, _VECTOR = "posterior means", "a vector for a latent"
FIGURES: Mapping[str, Figure] = {
    "reconstructions": Figure(
        lambda s: compute_reconstructions(s.run, s.split, _RECONSTRUCTED, _keys(s)[:2]), plot_reconstructions, few=True
    ),
    "samples": Figure(
        partial(_sample, temperatures=(1.0,)), lambda path, data: image_panels.samples(path, data.means[0]), few=True
    ),
    "temperatures": Figure(_sample, plot_temperatures, few=True),
    "curves": Figure(lambda s: read_metrics(s.workdir) or None, curves.training_curves, few=True),
    "kl_per_dimension": Figure(
        lambda s: (s.scored["kl_per_dimension"].mean(0), active_units(s.scored["means"])),
        lambda path, data: curves.kl_per_dimension(path, *data),
        (_MEANS, "a KL for each dimension"),
        few=True,
    ),
    "latent_plane": Figure(
        lambda s: compute_plane(s, s.scored["means"], circles="elbo" in s.scored), plot_plane, (_MEANS,), few=True
    ),
    "training": Figure(
        lambda s: compute_training(s.workdir), lambda path, data: image_panels.training(path, *data), few=True
    ),
    "latent_map": Figure(
        lambda s: compute_map(s, s.scored["means"]),
        lambda path, data: scatter.latent_map(path, data.points, data.labels),
        (_MEANS, "more than two latent dimensions"),
    ),
    "interpolation": Figure(compute_interpolation, plot_interpolation, (_MEANS, _VECTOR, "two images")),
    "manifold": Figure(compute_manifold, plot_traversal_plane, (_MEANS, "exactly two latent dimensions")),
    "traversal": Figure(compute_traversal, plot_traversal, (_MEANS, _VECTOR, "one or more than two latent dimensions")),
    "training_film": Figure(lambda s: compute_training(s.workdir, least=2), plot_training_film, file="training.gif"),
    "plane": Figure(
        lambda s: compute_unfolding(s.workdir, circles="elbo" in s.scored), plot_unfolding_film, file="plane.gif"
    ),
    "inpainting": Figure(_second(compute_inpainting, steps=200), plot_inpainting),
    "denoising": Figure(_second(compute_denoising), plot_denoising),
    "compression": Figure(_second(compute_compression, most=300), plot_compression, ("codes of a finite rate",)),
    "neighbours": Figure(_second(compute_neighbours, most=500, among=2000), plot_neighbours, (_MEANS,)),
    "sensitivity": Figure(
        _second(compute_sensitivity, most=200), plot_sensitivity, (_MEANS, "a real vector for a latent")
    ),
    "conditional": Figure(_second(compute_conditional), plot_conditional, ("model.condition='label'",)),
    "anomaly": Figure(_second(compute_anomaly, most=500), plot_anomaly, ("data.leave_out",)),
}


def select_figures(which: str, *, trust: bool = True) -> dict[str, Figure]:
    """Returns the figures that evaluate.figures names; UsageError for an unknown name, with the known ones.

    'all', 'few' and 'none' stand for several; 'all' includes the registered figures of the user. With trust=False no
    file of the user is run.
    """
    every = {**FIGURES, **{name: _own_figure(name, function) for name, function in TABLES["figure"].items()}}
    several = {"all": every, "few": {name: each for name, each in every.items() if each.few}, "none": {}}
    chosen: dict[str, Figure] = {}
    for name, function in read_functions("figure", which, [*several, *FIGURES], trust=trust).items():
        if function is None:
            chosen |= several[name] if name in several else {name: FIGURES[name]}
        else:
            chosen[name] = _own_figure(name, function)
    return chosen


def _own_figure(name: str, function: Callable[[Subject], Any]) -> Figure:
    """Returns the figure that a user's function draws, in the style of all figures."""

    def plot(path: Path, subject: Subject) -> None:
        with use_style():
            drawn = function(subject)
            if not isinstance(drawn, matplotlib.figure.Figure):
                raise UsageError(f"figure {name!r} returned a {type(drawn).__name__}; expected a matplotlib Figure.")
            save_figure(path, drawn)

    return Figure(lambda subject: subject, plot, own=function)
