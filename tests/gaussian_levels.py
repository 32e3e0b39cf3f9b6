"""Gaussian posteriors of a batch as the terms of a bound, for objectives that look at z alone."""

import jax.numpy as jnp

from jaxvae.distributions import Normal
from jaxvae.terms import Level, Terms


def local(tree, axis=1):
    """Gathers over one device."""
    return tree


def level_of(means, scales, noise):
    """A level whose q are Gaussians of means and scales [B, Z], at draws made of the noise [B, Z]."""
    z = jnp.asarray(means + scales * noise, jnp.float32)[None]
    q = Normal(jnp.asarray(means, jnp.float32)[None], jnp.log(jnp.asarray(scales, jnp.float32))[None])
    p = Normal(jnp.zeros((1, 1, z.shape[-1])), jnp.zeros((1, 1, z.shape[-1])))
    return Level(z, q.log_prob(z), p.log_prob(z), q.log_prob(z) - p.log_prob(z), q, p)


def terms_of(level):
    """The terms of a model of this level and of no data."""
    blank = jnp.zeros((1, level.z.shape[1]))
    return Terms(x=blank, px=None, log_px=blank, levels=(level,))
