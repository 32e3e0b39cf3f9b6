"""Figures of a run: numpy arrays in, a PNG and an SVG out."""

from jaxvae.viz.plots.animation import plane_film, training_film, walk_film
from jaxvae.viz.plots.anomaly import anomaly
from jaxvae.viz.plots.attributes import arithmetic, attribute
from jaxvae.viz.plots.comparison import comparison
from jaxvae.viz.plots.compression import compression
from jaxvae.viz.plots.conditional import conditional
from jaxvae.viz.plots.curves import kl_per_dimension, training_curves
from jaxvae.viz.plots.image_grid import mosaic, save_image
from jaxvae.viz.plots.image_panels import manifold, reconstructions, samples, temperatures, training
from jaxvae.viz.plots.missing import denoising, inpainting
from jaxvae.viz.plots.neighbours import neighbours
from jaxvae.viz.plots.scatter import Ellipses, latent_map, latent_plane
from jaxvae.viz.plots.sensitivity import sensitivity
from jaxvae.viz.plots.video import require_mp4
from jaxvae.viz.plots.walks import interpolation, plane, traversal

__all__ = [
    "Ellipses",
    "anomaly",
    "arithmetic",
    "attribute",
    "comparison",
    "compression",
    "conditional",
    "denoising",
    "inpainting",
    "interpolation",
    "kl_per_dimension",
    "latent_map",
    "latent_plane",
    "manifold",
    "mosaic",
    "neighbours",
    "plane",
    "plane_film",
    "reconstructions",
    "require_mp4",
    "samples",
    "save_image",
    "sensitivity",
    "temperatures",
    "training",
    "training_curves",
    "training_film",
    "traversal",
    "walk_film",
]
