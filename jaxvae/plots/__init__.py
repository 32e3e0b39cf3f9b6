"""Figures of a run: numpy arrays in, a PNG and an SVG out."""

from jaxvae.plots.animation import plane_film, training_film, walk_film
from jaxvae.plots.anomaly import anomaly
from jaxvae.plots.attributes import arithmetic, attribute
from jaxvae.plots.charts import curves, kl_per_dimension
from jaxvae.plots.comparison import comparison
from jaxvae.plots.compression import compression
from jaxvae.plots.conditional import conditional
from jaxvae.plots.films import require_mp4
from jaxvae.plots.galleries import manifold, reconstructions, samples, temperatures, training
from jaxvae.plots.missing import denoising, inpainting
from jaxvae.plots.mosaics import mosaic, save_image
from jaxvae.plots.neighbours import neighbours
from jaxvae.plots.planes import Ellipses, latent_map, latent_plane
from jaxvae.plots.sensitivity import sensitivity
from jaxvae.plots.walks import interpolation, plane, traversal

__all__ = [
    "Ellipses",
    "anomaly",
    "arithmetic",
    "attribute",
    "comparison",
    "compression",
    "conditional",
    "curves",
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
    "training_film",
    "traversal",
    "walk_film",
]
