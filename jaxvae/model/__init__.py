"""The model: the VAE (vae.py, the file to read first) and its encoders, posteriors, priors, decoders and likelihoods."""

from jaxvae.model.vae import VAE

__all__ = ["VAE"]
