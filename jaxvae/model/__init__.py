"""The VAE (vae.py: read it first) and its parts: encoders, posteriors, priors, decoders and likelihoods."""

from jaxvae.model.traits import Traits
from jaxvae.model.vae import VAE

__all__ = ["VAE", "Traits"]
