"""The model: encoder, posterior, prior, decoder and likelihood, and the VAE that they make. `vae.py` is the one to read first."""

from jaxvae.model.vae import VAE

__all__ = ["VAE"]
