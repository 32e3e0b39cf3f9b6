"""Objectives: losses of the bound's terms, which add up: `elbo() + 0.1 * mmd()`."""

from jaxvae.objective.adversarial import aae, factor, gan
from jaxvae.objective.aggregate_posterior import dip_i, dip_ii, mmd, tc
from jaxvae.objective.base import Loss, Needs, Objective, Weight, scale_objective, sum_objectives
from jaxvae.objective.bound import capacity, elbo, geco, rae, rate, reconstruction
from jaxvae.objective.importance_weighted import ciwae, iwae, miwae, piwae, renyi
from jaxvae.objective.perceptual import ms_ssim

__all__ = ["Loss", "Needs", "Objective", "Weight", "aae", "capacity", "ciwae", "dip_i", "dip_ii", "elbo", "factor"]
__all__ += ["gan", "geco", "iwae", "miwae", "mmd", "ms_ssim", "piwae", "rae", "rate", "reconstruction", "renyi"]
__all__ += ["scale_objective", "sum_objectives", "tc"]
