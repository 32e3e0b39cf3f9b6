"""Objectives: what is minimised, as a function of the bound's terms.

    bound          the elbo, and what holds its rate or its distortion
    importance     tighter bounds, from several weighted draws
    aggregate      how q(z) differs from p(z), or from independence
    adversarial    the same, and pictures, judged by a critic
    pictures       how alike two pictures look

Objectives add up, as terms of one loss: `elbo() + 0.1 * mmd()`.
"""

from jaxvae.objective.adversarial import aae, factor, gan
from jaxvae.objective.aggregate_posterior import dip_i, dip_ii, mmd, tc
from jaxvae.objective.base import Loss, Needs, Objective, Weight, scale_objective, sum_objectives, weight_at
from jaxvae.objective.bound import capacity, elbo, geco, rae, rate, reconstruction
from jaxvae.objective.importance_weighted import ciwae, iwae, miwae, piwae, renyi
from jaxvae.objective.perceptual import ms_ssim

__all__ = [
    "Loss",
    "Needs",
    "Objective",
    "Weight",
    "aae",
    "capacity",
    "ciwae",
    "dip_i",
    "dip_ii",
    "elbo",
    "factor",
    "gan",
    "geco",
    "iwae",
    "miwae",
    "mmd",
    "ms_ssim",
    "piwae",
    "rae",
    "rate",
    "reconstruction",
    "renyi",
    "scale_objective",
    "sum_objectives",
    "tc",
    "weight_at",
]
