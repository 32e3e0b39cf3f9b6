"""The latent space of a trained model: into it and back, walks through it, and what its places mean.

Pure functions of arrays, (model, variables, ...) or (z, ...), to be jitted, vmapped or differentiated.
"""

from jaxvae.latent.anomaly import make_anomaly
from jaxvae.latent.compression import ideally
from jaxvae.latent.maps import decode, encode, generate, latent_shape, reconstruct, sample, without_samples
from jaxvae.latent.missing import Completed, denoise, inpaint, metropolis_within_gibbs, pseudo_gibbs
from jaxvae.latent.neighbours import nearest
from jaxvae.latent.sensitivity import stretch
from jaxvae.latent.walks import (
    along,
    great_circle,
    line,
    nudges,
    plane,
    principal_plane,
    quantile_grid,
    quantiles,
    traversal,
)

__all__ = [
    "Completed",
    "along",
    "decode",
    "denoise",
    "encode",
    "generate",
    "great_circle",
    "ideally",
    "inpaint",
    "latent_shape",
    "line",
    "make_anomaly",
    "metropolis_within_gibbs",
    "nearest",
    "nudges",
    "plane",
    "principal_plane",
    "pseudo_gibbs",
    "quantile_grid",
    "quantiles",
    "reconstruct",
    "sample",
    "stretch",
    "traversal",
    "without_samples",
]
