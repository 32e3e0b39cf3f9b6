"""Figures of a run: numpy arrays in; out a PNG and an SVG, or a film."""

from jaxvae.plots.animation import plane_film, training_film, walk_film
from jaxvae.plots.charts import curves, kl_per_dimension
from jaxvae.plots.films import require_mp4
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
    "plane_film",
    "reconstructions",
    "require_mp4",
    "samples",
    "save_image",
    "temperatures",
    "training",
    "training_film",
    "walk_film",
]
