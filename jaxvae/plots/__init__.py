"""Figures of a run: numpy arrays in, one PNG file out."""

from jaxvae.plots.charts import curves, kl_per_dimension
from jaxvae.plots.galleries import manifold, mosaic, reconstructions, samples, save_image, temperatures, training
from jaxvae.plots.planes import Ellipses, latent_map, latent_plane

__all__ = [
    "Ellipses",
    "curves",
    "kl_per_dimension",
    "latent_map",
    "latent_plane",
    "manifold",
    "mosaic",
    "reconstructions",
    "samples",
    "save_image",
    "temperatures",
    "training",
]
