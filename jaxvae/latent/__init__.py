"""The latent space of a trained model.

    encode_decode       encode, decode, generate, sample, reconstruct
    interpolation       lines, great circles, closed paths, traversals, planes
    projection          the principal plane, and posteriors' ellipses on it
    attribute_vectors   directions for an attribute, arithmetic with codes
    inpainting          missing pixels by Markov chains, denoising
    neighbours          exact nearest neighbours
    sensitivity         how images change with codes, and codes with images
    compression         bits against error, beside transform coding
    anomaly             anomaly scores

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
from jaxvae.latent.neighbours import majority_label, nearest
from jaxvae.latent.projection import covariance_ellipses, principal_axes
from jaxvae.latent.sensitivity import code_displacement, decoder_jacobian_svd, posterior_spread

__all__ = ["InpaintResult", "arithmetic", "circle", "closed_path", "code_displacement", "covariance_ellipses", "decode"]
__all__ += ["decoder_jacobian_svd", "denoise", "drop_sample_axis", "encode", "generate", "great_circle"]
__all__ += ["ideal_compression", "inpaint", "latent_shape", "line", "logistic_regression", "majority_label"]
__all__ += ["make_anomaly_scores", "mean_difference", "metropolis_within_gibbs", "move_along", "nearest"]
__all__ += ["normal_quantiles", "orthogonalize", "perturb", "plane", "posterior_spread", "principal_axes"]
__all__ += ["probe", "pseudo_gibbs", "quantile_grid", "reconstruct", "sample", "traversal"]
