"""The latent space of a trained model: into it and back, walks through it, and what its places mean.

Pure functions of arrays, (model, variables, ...) or (z, ...), to be jitted, vmapped or differentiated.
"""

from jaxvae.latent.anomaly import make_anomaly
from jaxvae.latent.maps import decode, encode, generate, latent_shape, reconstruct, sample, without_samples
from jaxvae.latent.missing import Completed, denoise, inpaint, metropolis_within_gibbs, pseudo_gibbs
from jaxvae.latent.planes import ellipses, principal_axes, principal_plane
from jaxvae.latent.tours import circle, tour
from jaxvae.latent.walks import along, great_circle, line, nudges, plane, quantile_grid, quantiles, traversal

__all__ = [
    "Completed",
    "along",
    "circle",
    "decode",
    "denoise",
    "ellipses",
    "encode",
    "generate",
    "great_circle",
    "inpaint",
    "latent_shape",
    "line",
    "make_anomaly",
    "metropolis_within_gibbs",
    "nudges",
    "plane",
    "principal_axes",
    "principal_plane",
    "pseudo_gibbs",
    "quantile_grid",
    "quantiles",
    "reconstruct",
    "sample",
    "tour",
    "traversal",
    "without_samples",
]
