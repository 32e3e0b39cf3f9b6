"""Figures of a run: numpy arrays in, one PNG file out."""

from jaxvae.plots.charts import curves, kl_per_dimension, latent_plane
from jaxvae.plots.galleries import manifold, mosaic, reconstructions, samples, save_image, training

__all__ = [
    "curves",
    "kl_per_dimension",
    "latent_plane",
    "manifold",
    "mosaic",
    "reconstructions",
    "samples",
    "save_image",
    "training",
]
