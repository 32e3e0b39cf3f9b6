"""The latent space of a trained model: into it and back, walks through it, and what its places mean.

Pure functions of arrays, (model, variables, ...) or (z, ...), to be jitted, vmapped or differentiated.
"""

from jaxvae.latent.anomaly import make_anomaly_scores
from jaxvae.latent.attribute_vectors import arithmetic, logistic_regression, mean_difference, orthogonalize, probe
from jaxvae.latent.compression import ideal_compression
from jaxvae.latent.encode_decode import decode, drop_sample_axis, encode, generate, latent_shape, reconstruct, sample
from jaxvae.latent.inpainting import InpaintResult, denoise, inpaint, metropolis_within_gibbs, pseudo_gibbs
from jaxvae.latent.interpolation import (
    circle,
    closed_path,
    great_circle,
    line,
    move_along,
    normal_quantiles,
    perturb,
    plane,
    quantile_grid,
    traversal,
)
from jaxvae.latent.neighbours import nearest
from jaxvae.latent.projection import covariance_ellipses, principal_axes, principal_plane
from jaxvae.latent.sensitivity import decoder_jacobian_svd

__all__ = [
    "InpaintResult",
    "arithmetic",
    "circle",
    "closed_path",
    "covariance_ellipses",
    "decode",
    "decoder_jacobian_svd",
    "denoise",
    "drop_sample_axis",
    "encode",
    "generate",
    "great_circle",
    "ideal_compression",
    "inpaint",
    "latent_shape",
    "line",
    "logistic_regression",
    "make_anomaly_scores",
    "mean_difference",
    "metropolis_within_gibbs",
    "move_along",
    "nearest",
    "normal_quantiles",
    "orthogonalize",
    "perturb",
    "plane",
    "principal_axes",
    "principal_plane",
    "probe",
    "pseudo_gibbs",
    "quantile_grid",
    "reconstruct",
    "sample",
    "traversal",
]
