"""Objectives: losses as functions of the bound's terms.

    base                  Objective, Loss, sums and weights
    bound                 the elbo, and constraints on its rate or distortion
    importance_weighted   tighter bounds from several weighted draws
    aggregate_posterior   divergences of q(z) from p(z), or from independence
    adversarial           critics of codes and images
    perceptual            structural similarity of images

Objectives add up, as terms of one loss: `elbo() + 0.1 * mmd()`.
"""

from jaxvae.objective.adversarial import aae, factor, gan
from jaxvae.objective.aggregate_posterior import dip_i, dip_ii, mmd, tc
from jaxvae.objective.base import Loss, Needs, Objective, Weight, scale_objective, sum_objectives
from jaxvae.objective.bound import capacity, elbo, geco, rae, rate, reconstruction
from jaxvae.objective.importance_weighted import ciwae, iwae, miwae, piwae, renyi
from jaxvae.objective.perceptual import ms_ssim

__all__ = ["Loss", "Needs", "Objective", "Weight", "aae", "capacity", "ciwae", "dip_i", "dip_ii", "elbo", "factor"]
__all__ += ["gan", "geco", "iwae", "miwae", "mmd", "ms_ssim", "piwae", "rae", "rate", "reconstruction", "renyi"]
__all__ += ["scale_objective", "sum_objectives", "tc"]
