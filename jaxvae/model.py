"""The variational autoencoder.

    log p(x)  >=  E_{q(z|x)} [ log p(x|z) + log p(z) - log q(z|x) ]

Five parts, each chosen on its own: encoder and posterior make q(z|x), prior makes p(z), decoder and likelihood make
p(x|z). `terms` names the pieces of the bound; what is done with them is an objective's or an evaluation's business.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
from jax import Array

from jaxvae.draw import draw
from jaxvae.layers import folded
from jaxvae.terms import Terms


class VAE(nn.Module):
    """A VAE with one latent variable; shapes as in terms.py. Use through `init` and `apply`, as any Linen module."""

    encoder: nn.Module
    posterior: nn.Module
    latent_prior: nn.Module
    decoder: nn.Module
    likelihood: nn.Module

    def __call__(self, keys: Array, x: Array, condition: Array | None = None, *, target: Array | None = None) -> Terms:
        """The terms of the bound at x [B, *X] with keys [S, B], scored against `target` (default: x itself)."""
        return self.terms(keys, self.infer(x, condition), x if target is None else target, condition)

    def infer(self, x: Array, condition: Array | None = None) -> Any:
        """q(z|x) for x [B, *X], leaves [1, B, *Z]: all that the terms need of the encoder, run once per image."""
        return self.posterior(self.encoder(x, condition), condition)

    def terms(self, keys: Array, inferred: Any, x: Array, condition: Array | None = None) -> Terms:
        """Draws z ~ q with keys [S, B] and scores x [B, *X] under it."""
        level = draw(keys, q=inferred, p=self.prior(condition))
        px = self.decode((level.z,), condition)
        return Terms(x=x[None], px=px, log_px=px.log_prob(x[None]), levels=(level,))

    def prior(self, condition: Array | None = None) -> Any:
        """p(z), leaves [1, 1, *Z]."""
        return self.latent_prior(self.infer, condition)

    def decode(self, zs: tuple[Array, ...], condition: Array | None = None) -> Any:
        """p(x|z) for zs = (z [S, B, *Z],), over [S, B, *X]."""
        (z,) = zs
        return self.likelihood(folded(self.decoder, z, condition))

    def log_joint(self, zs: tuple[Array, ...], x: Array, condition: Array | None = None) -> Array:
        """log p(x, z) = log p(x|z) + log p(z), [S, B], nats, for x [B, *X]."""
        (z,) = zs
        return self.decode(zs, condition).log_prob(x[None]) + self.prior(condition).log_prob(z)

    def generate(
        self,
        keys: Array,
        condition: Array | None = None,
        *,
        temperature: float | Array = 1.0,
        given: tuple[Array, ...] = (),
    ) -> tuple[tuple[Array, ...], Any]:
        """(zs, p(x|z)) of z ~ p(z) with keys [N], its spread times `temperature`; or of z `given`, [1, N, *Z]."""
        zs = given or (self.prior(condition).sample(keys[None], temperature),)
        return zs, self.decode(zs, condition)
