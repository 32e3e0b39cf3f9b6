"""Primitives of figures: numpy arrays in, a PNG and an SVG out."""

from jaxvae.viz.plots.curves import kl_per_dimension, training_curves
from jaxvae.viz.plots.image_grid import mosaic, save_image
from jaxvae.viz.plots.image_panels import manifold, samples, training
from jaxvae.viz.plots.scatter import Ellipses, latent_map, latent_plane
from jaxvae.viz.plots.video import require_mp4

__all__ = ["Ellipses", "kl_per_dimension", "latent_map", "latent_plane", "manifold", "mosaic", "require_mp4"]
__all__ += ["samples", "save_image", "training", "training_curves"]
