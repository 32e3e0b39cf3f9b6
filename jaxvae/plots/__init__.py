"""Figures of a run: numpy arrays in, a PNG and an SVG out."""

from jaxvae.plots.charts import curves, kl_per_dimension, latent_plane
from jaxvae.plots.galleries import manifold, mosaic, reconstructions, samples, save_image, training
from jaxvae.plots.walks import interpolation, plane, traversal

__all__ = [
    "curves",
    "interpolation",
    "kl_per_dimension",
    "latent_plane",
    "manifold",
    "mosaic",
    "plane",
    "reconstructions",
    "samples",
    "save_image",
    "training",
    "traversal",
]
