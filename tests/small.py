"""Small models and data: for tests of laws, which hold at any size."""

import jax
import numpy as np
from jax import random

from jaxvae.data.dataset import Split
from jaxvae.data.prepare import Examples
from jaxvae.model import decoder, encoder, likelihood, posterior, prior
from jaxvae.model.vae import VAE
from jaxvae.terms import example_keys

SHAPE = (4, 4, 1)


def make_vae(shape=SHAPE, latent_dim=2, px=None, encode=None, decode=None):
    """A VAE with 8 units a layer."""
    px = px or likelihood.bernoulli()
    return VAE(
        encoder=encode or encoder.mlp(8),
        posterior=posterior.diagonal(latent_dim=latent_dim),
        latent_prior=prior.standard(latent_dim=latent_dim),
        decoder=decode or decoder.mlp(8, shape=(*shape[:-1], px.features(shape[-1]))),
        likelihood=px,
    )


def make_conv_vae(shape=SHAPE, latent_dim=2, px=None):
    """A VAE with two strided convolutions up and down."""
    decode = decoder.conv(4, 3, shape=shape, kernel=3, dense=8, activation="tanh")
    return make_vae(shape, latent_dim, px, encoder.conv(3, 4, kernel=3, dense=8, activation="tanh"), decode)


def init(model, x, seed=0):
    """The variables of a model for x [B, *X]."""
    return jax.jit(model.init)(random.key(seed), example_keys(random.key(seed + 1), np.arange(len(x))), x)


def binary_images(count, shape=SHAPE, seed=0):
    """Binary images, float32 [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 2, (count, *shape)).astype(np.float32)


def grey_images(count, shape=SHAPE, seed=0):
    """Stored images, uint8 [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def make_examples(count, shape=SHAPE, seed=0, first=0):
    """A stored batch whose indices run from `first`."""
    index = np.arange(first, first + count, dtype=np.int32)
    return Examples(grey_images(count, shape, seed), np.full(count, -1, np.int32), index)


def make_split(count, shape=SHAPE, seed=0):
    """A split of `count` stored images with labels 0 to 9."""
    label = np.arange(count, dtype=np.int32) % 10
    return Split(grey_images(count, shape, seed), label, np.arange(count), 0)
