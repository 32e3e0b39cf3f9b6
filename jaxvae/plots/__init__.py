"""Figures of a run: numpy arrays in, a PNG and an SVG out."""

from jaxvae.plots.charts import curves, kl_per_dimension
from jaxvae.plots.comparison import comparison
from jaxvae.plots.galleries import manifold, mosaic, reconstructions, samples, save_image, temperatures, training
from jaxvae.plots.planes import Ellipses, latent_map, latent_plane
from jaxvae.plots.walks import interpolation, plane, traversal

__all__ = [
    "Ellipses",
    "comparison",
    "curves",
    "interpolation",
    "kl_per_dimension",
    "latent_map",
    "latent_plane",
    "manifold",
    "mosaic",
    "plane",
    "reconstructions",
    "samples",
    "save_image",
    "temperatures",
    "training",
    "traversal",
]
