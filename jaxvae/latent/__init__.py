"""The latent space of a trained model: into it and back, walks through it, and what its places mean.

Pure functions of arrays, (model, variables, ...) or (z, ...), to be jitted, vmapped or differentiated.
"""

from jaxvae.latent.maps import decode, encode, generate, latent_shape, reconstruct, sample, without_samples
from jaxvae.latent.planes import ellipses, principal_axes, principal_plane
from jaxvae.latent.walks import (
    along,
    great_circle,
    line,
    nudges,
    plane,
    quantile_grid,
    quantiles,
    traversal,
)

__all__ = [
    "along",
    "decode",
    "ellipses",
    "encode",
    "generate",
    "great_circle",
    "latent_shape",
    "line",
    "nudges",
    "plane",
    "principal_axes",
    "principal_plane",
    "quantile_grid",
    "quantiles",
    "reconstruct",
    "sample",
    "traversal",
    "without_samples",
]
