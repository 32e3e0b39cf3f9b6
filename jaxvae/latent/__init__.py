"""The latent space of a trained model: into it and back, walks through it, and what its places mean.

Pure functions of arrays, (model, variables, ...) or (z, ...), to be jitted, vmapped or differentiated.
"""

from jaxvae.latent.directions import arithmetic, keeping, logistic_regression, mean_difference, probe
from jaxvae.latent.maps import decode, encode, generate, latent_shape, reconstruct, sample, without_samples
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
    "along",
    "arithmetic",
    "decode",
    "encode",
    "generate",
    "great_circle",
    "keeping",
    "latent_shape",
    "line",
    "logistic_regression",
    "mean_difference",
    "nudges",
    "plane",
    "principal_plane",
    "probe",
    "quantile_grid",
    "quantiles",
    "reconstruct",
    "sample",
    "traversal",
    "without_samples",
]
