"""The latent space of a trained model: into it and back, walks through it, and what its places mean.

Pure functions of arrays, (model, variables, ...) or (z, ...), to be jitted, vmapped or differentiated.
"""

from jaxvae.latent.anomaly import make_anomaly
from jaxvae.latent.attribute_vectors import arithmetic, keeping, logistic_regression, mean_difference, probe
from jaxvae.latent.compression import ideally
from jaxvae.latent.encode_decode import decode, encode, generate, latent_shape, reconstruct, sample, without_samples
from jaxvae.latent.inpainting import Completed, denoise, inpaint, metropolis_within_gibbs, pseudo_gibbs
from jaxvae.latent.interpolation import (
    along,
    circle,
    great_circle,
    line,
    nudges,
    plane,
    quantile_grid,
    quantiles,
    tour,
    traversal,
)
from jaxvae.latent.neighbours import nearest
from jaxvae.latent.projection import ellipses, principal_axes, principal_plane
from jaxvae.latent.sensitivity import stretch

__all__ = [
    "Completed",
    "along",
    "arithmetic",
    "circle",
    "decode",
    "denoise",
    "ellipses",
    "encode",
    "generate",
    "great_circle",
    "ideally",
    "inpaint",
    "keeping",
    "latent_shape",
    "line",
    "logistic_regression",
    "make_anomaly",
    "mean_difference",
    "metropolis_within_gibbs",
    "nearest",
    "nudges",
    "plane",
    "principal_axes",
    "principal_plane",
    "probe",
    "pseudo_gibbs",
    "quantile_grid",
    "quantiles",
    "reconstruct",
    "sample",
    "stretch",
    "tour",
    "traversal",
    "without_samples",
]
