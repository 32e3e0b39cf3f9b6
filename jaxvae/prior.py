"""Priors p(z): heads called as head(infer, condition), whose density's leaves broadcast to [S, B, *Z].

`infer` is the model's own, so that a prior made of posteriors (VampPrior) imports nothing. Each says of which `spaces`
it is a density, whether it is `learned`, what it `needs` the posterior to offer, and its relation to the model's
`condition`: 'any' works (the default), one is 'required', or 'none' can be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxvae.distributions import Mixture, Normal, OneHot
from jaxvae.encoder import require_sizes, require_widths
from jaxvae.layers import DenseStack, activation_named, smooth_bound

LOG_SCALE_BOUND = 7.0


class StandardPrior(nn.Module):
    """p(z) = N(0, I), leaves [1, 1, latent_dim]."""

    latent_dim: int
    spaces = frozenset({"real"})
    learned = False
    needs: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Normal:
        zeros = jnp.zeros((1, 1, self.latent_dim))
        return Normal(zeros, zeros, event=1)


class GaussianPrior(nn.Module):
    """p(z) = N(mu, diag sigma^2) with learned mu and sigma, leaves [1, 1, latent_dim]."""

    latent_dim: int
    spaces = frozenset({"real"})
    learned = True
    needs: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Normal:
        loc = self.param("loc", nn.initializers.zeros_init(), (self.latent_dim,))
        log_scale = self.param("log_scale", nn.initializers.zeros_init(), (self.latent_dim,))
        return Normal(loc[None, None], smooth_bound(log_scale, LOG_SCALE_BOUND)[None, None])


class MixturePrior(nn.Module):
    """p(z) = sum_k w_k N(mu_k, diag sigma_k^2), all learned, leaves [1, 1, components, latent_dim]."""

    latent_dim: int
    components: int
    spaces = frozenset({"real"})
    learned = True
    needs: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Mixture:
        shape = (self.components, self.latent_dim)
        loc = self.param("loc", nn.initializers.normal(1.0), shape)  # as far apart as draws of the standard prior
        log_scale = self.param("log_scale", nn.initializers.zeros_init(), shape)
        logits = self.param("logits", nn.initializers.zeros_init(), (self.components,))
        components = Normal(loc[None, None], smooth_bound(log_scale, LOG_SCALE_BOUND)[None, None])
        return Mixture(components, logits[None, None])


class VampPrior(nn.Module):
    """p(z) = 1/K sum_k q(z|u_k), a mixture of the posterior at K learned pseudo-inputs u_k in the data's space."""

    components: int
    data_shape: tuple[int, ...]
    spaces = frozenset({"real", "sphere"})
    learned = True
    needs = frozenset({"density"})
    condition = "none"

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Mixture:
        free = self.param("pseudo_inputs", nn.initializers.normal(1.0), (self.components, *self.data_shape))
        components = jax.tree.map(lambda leaf: leaf[:, None], infer(nn.sigmoid(free)))  # [1, K, *Z] -> [1, 1, K, *Z]
        return Mixture(components, jnp.zeros((1, 1, self.components)))


class CategoricalPrior(nn.Module):
    """p(z) of independent categorical variables, uniform or learned, leaves [1, 1, latent_dim, classes]."""

    learned: bool
    data_shape: tuple[int, ...]
    spaces = frozenset({"one-hot"})
    needs: ClassVar[frozenset[str]] = frozenset()

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> OneHot:
        # the posterior alone knows its classes: it is asked for one blank example, and of that only the shape is used
        blank = None if condition is None else jnp.zeros_like(condition[:1])
        shape = infer(jnp.zeros((1, *self.data_shape)), blank).logits.shape[2:]
        if not self.learned:
            return OneHot(jnp.zeros((1, 1, *shape)))
        return OneHot(self.param("logits", nn.initializers.zeros_init(), shape)[None, None])


class ConditionalPrior(nn.Module):
    """p(z|c) = N(mu(c), diag sigma(c)^2) from a network of the condition [B, C], leaves [1, B, latent_dim]."""

    latent_dim: int
    widths: tuple[int, ...]
    activation: str = "relu"
    spaces = frozenset({"real"})
    learned = True
    needs: ClassVar[frozenset[str]] = frozenset()
    condition = "required"

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Normal:
        assert condition is not None
        hidden = DenseStack(self.widths, self.activation)(condition)
        loc, log_scale = jnp.split(nn.Dense(2 * self.latent_dim)(hidden).astype(jnp.float32), 2, axis=-1)
        return Normal(loc[None], smooth_bound(log_scale, LOG_SCALE_BOUND)[None])


def standard(*, latent_dim: int) -> StandardPrior:
    """The standard Gaussian."""
    return StandardPrior(latent_dim)


def gaussian(*, latent_dim: int) -> GaussianPrior:
    """A Gaussian N(mu, diag(sigma^2)), whose mean and scales are learned with the model."""
    return GaussianPrior(latent_dim)


def mixture(components: int = 10, *, latent_dim: int) -> MixturePrior:
    """A mixture of Gaussians, sum_k w_k N(mu_k, diag(sigma_k^2)), whose weights, means and scales are learned.

    Tomczak & Welling 2018, arXiv 1705.07120. The KL is estimated at the draws.
    """
    require_sizes(components=components)
    return MixturePrior(latent_dim, components)


def vamp(components: int = 500, *, data_shape: tuple[int, ...]) -> VampPrior:
    """The VampPrior, 1/K sum_k q(z|u_k): the posterior itself at K = `components` learned inputs u_k in [0, 1].

    Tomczak & Welling 2018, arXiv 1705.07120. The KL is estimated at the draws; each step encodes the K inputs,
    too. It needs a posterior whose density is known everywhere (no flow), and has no conditional form.
    """
    require_sizes(components=components)
    return VampPrior(components, data_shape)


def categorical(learned: bool = False, *, data_shape: tuple[int, ...]) -> CategoricalPrior:
    """Independent categorical variables: uniform, p = 1/K, or with probabilities that are `learned`.

    For the posterior 'relaxed', of which it has the number of classes (Jang et al. 2016, arXiv 1611.01144).
    """
    if not isinstance(learned, bool):
        raise ValueError(f"categorical(learned={learned!r}): expected True or False.")
    return CategoricalPrior(learned, data_shape)


def conditional(*widths: int, activation: str = "relu", latent_dim: int) -> ConditionalPrior:
    """A Gaussian of the condition c, N(mu(c), diag(sigma(c)^2)): dense layers of these widths; a linear map by default.

    Sohn, Lee & Yan 2015 (NeurIPS). It needs a condition: model.condition='label' or 'vector'.
    """
    activation_named(activation)
    return ConditionalPrior(latent_dim, require_widths("conditional", widths) if widths else (), activation)
