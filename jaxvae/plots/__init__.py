"""Figures of a run: numpy arrays in, one PNG file out."""

from jaxvae.plots.anomaly import anomaly
from jaxvae.plots.charts import curves, kl_per_dimension, latent_plane
from jaxvae.plots.compression import compression
from jaxvae.plots.conditional import conditional
from jaxvae.plots.galleries import manifold, mosaic, reconstructions, samples, save_image, training
from jaxvae.plots.missing import denoising, inpainting
from jaxvae.plots.neighbours import neighbours
from jaxvae.plots.sensitivity import sensitivity

__all__ = [
    "anomaly",
    "compression",
    "conditional",
    "curves",
    "denoising",
    "inpainting",
    "kl_per_dimension",
    "latent_plane",
    "manifold",
    "mosaic",
    "neighbours",
    "reconstructions",
    "samples",
    "save_image",
    "sensitivity",
    "training",
]
