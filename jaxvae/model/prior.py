"""Priors p(z): heads called as head(infer, condition), whose density's leaves broadcast to [S, B, *Z].

`infer` is the model's own, so that a prior made of posteriors (VampPrior) imports nothing. Each declares by
its traits the spaces that it is a density on, whether it is learned, and what it needs of the posterior.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxvae._checks import UsageError, require_type
from jaxvae.distributions import Flow, Mixture, Normal, OneHot, UniformCodes, UniformSphere
from jaxvae.model._sizes import require_sizes, require_widths
from jaxvae.model.flows import CouplingFlow, MaskedAutoregressiveFlow, make_flow, require_flow_sizes
from jaxvae.model.layers import LOG_SCALE_BOUND, DenseStack, get_activation, smooth_bound
from jaxvae.model.traits import Traits

__all__ = ["StandardPrior", "categorical", "codes", "conditional", "gaussian", "maf", "mixture", "realnvp", "sphere"]
__all__ += ["standard", "vamp"]


class StandardPrior(nn.Module):
    """p(z) = N(0, I), leaves [1, 1, latent_dim]."""

    latent_dim: int
    traits = Traits(factorises=True)

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Normal:
        zeros = jnp.zeros((1, 1, self.latent_dim))
        return Normal(zeros, zeros, event=1)


class SpherePrior(nn.Module):
    """p(z) = 1 / area, on the unit sphere of R^latent_dim; no leaves."""

    latent_dim: int
    traits = Traits(spaces={"sphere"})

    def __call__(self, infer: Callable, condition: Array | None = None) -> UniformSphere:
        return UniformSphere(self.latent_dim)


class FlowPrior(nn.Module):
    """p(z): the standard Gaussian carried through a flow, which sees the condition where there is one."""

    flow: nn.Module
    traits = Traits(learned=True)

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Flow:
        zeros = jnp.zeros((1, 1 if condition is None else len(condition), self.flow.dim))
        context = None if condition is None else nn.Dense(self.flow.context_features, name="context")(condition)
        return make_flow(Normal(zeros, zeros, event=1), self.flow, context)


class CodesPrior(nn.Module):
    """The uniform over the posterior's codes, leaves [1, 1, K, dim]; `data_shape` is *X."""

    data_shape: tuple[int, ...]
    traits = Traits(spaces={"codes"})

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> UniformCodes:
        # the codebook is the posterior's, and part of every q(z|x), also of a blank image's
        blank = jnp.zeros((1, *self.data_shape))
        return infer(blank, None if condition is None else jnp.zeros_like(condition[:1])).uniform()


class GaussianPrior(nn.Module):
    """p(z) = N(mu, diag sigma^2) with learned mu and sigma, leaves [1, 1, latent_dim]."""

    latent_dim: int
    traits = Traits(learned=True, factorises=True)

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Normal:
        loc = self.param("loc", nn.initializers.zeros_init(), (self.latent_dim,), jnp.float32)
        log_scale = self.param("log_scale", nn.initializers.zeros_init(), (self.latent_dim,), jnp.float32)
        return Normal(loc[None, None], smooth_bound(log_scale, LOG_SCALE_BOUND)[None, None])


class MixturePrior(nn.Module):
    """p(z) = sum_k w_k N(mu_k, diag sigma_k^2), all learned, leaves [1, 1, components, latent_dim]."""

    latent_dim: int
    components: int
    traits = Traits(learned=True)

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Mixture:
        shape = (self.components, self.latent_dim)
        # as far apart as draws of the standard prior
        loc = self.param("loc", nn.initializers.normal(1.0), shape, jnp.float32)
        log_scale = self.param("log_scale", nn.initializers.zeros_init(), shape, jnp.float32)
        logits = self.param("logits", nn.initializers.zeros_init(), (self.components,), jnp.float32)
        components = Normal(loc[None, None], smooth_bound(log_scale, LOG_SCALE_BOUND)[None, None])
        return Mixture(components, logits[None, None])


class VampPrior(nn.Module):
    """p(z) = 1/K sum_k q(z|u_k), a mixture of the posterior at K learned pseudo-inputs u_k in the data's space."""

    components: int
    data_shape: tuple[int, ...]
    traits = Traits(spaces={"real", "sphere"}, needs={"density"}, learned=True, condition="none")

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Mixture:
        free = self.param(
            "pseudo_inputs", nn.initializers.normal(1.0), (self.components, *self.data_shape), jnp.float32
        )
        components = jax.tree.map(lambda leaf: leaf[:, None], infer(nn.sigmoid(free)))  # [1, K, *Z] -> [1, 1, K, *Z]
        return Mixture(components, jnp.zeros((1, 1, self.components)))


class CategoricalPrior(nn.Module):
    """p(z) of independent categorical variables, uniform or learned, leaves [1, 1, latent_dim, classes]."""

    learned: bool
    data_shape: tuple[int, ...]

    @property
    def traits(self) -> Traits:
        return Traits(spaces={"one-hot"}, learned=self.learned)

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> OneHot:
        # the number of classes is the posterior's: the shape of its logits for a blank example
        blank = None if condition is None else jnp.zeros_like(condition[:1])
        shape = infer(jnp.zeros((1, *self.data_shape)), blank).logits.shape[2:]
        if not self.learned:
            return OneHot(jnp.zeros((1, 1, *shape)))
        return OneHot(self.param("logits", nn.initializers.zeros_init(), shape, jnp.float32)[None, None])


class ConditionalPrior(nn.Module):
    """p(z|c) = N(mu(c), diag sigma(c)^2) from a network of the condition [B, C], leaves [1, B, latent_dim]."""

    latent_dim: int
    widths: tuple[int, ...]
    activation: str = "relu"
    traits = Traits(learned=True, factorises=True, condition="required")

    @nn.compact
    def __call__(self, infer: Callable, condition: Array | None = None) -> Normal:
        assert condition is not None
        hidden = DenseStack(self.widths, activation=self.activation)(condition)
        loc, log_scale = jnp.split(nn.Dense(2 * self.latent_dim)(hidden).astype(jnp.float32), 2, axis=-1)
        return Normal(loc[None], smooth_bound(log_scale, LOG_SCALE_BOUND)[None])


def standard(*, latent_dim: int) -> StandardPrior:
    """The standard Gaussian, p(z) = N(0, I), whatever the condition (Kingma & Welling 2013, arXiv 1312.6114)."""
    return StandardPrior(latent_dim)


def codes(*, data_shape: tuple[int, ...]) -> CodesPrior:
    """Every code of every slot equally probable: log p(z) = -slots log K, nats, the prior of VQ's and FSQ's training.

    Goes with the posteriors 'vq' and 'fsq', whose codebook it takes.
    """
    return CodesPrior(data_shape)


def sphere(*, latent_dim: int) -> SpherePrior:
    """The uniform density on the unit sphere, p(z) = Gamma(D/2) / (2 pi^(D/2)) for |z| = 1, D = latent_dim.

    For posterior 'vmf' (Davidson et al. 2018, arXiv 1804.00891). Sampling ignores a temperature. Not for posteriors of
    real vectors.
    """
    if latent_dim < 2:
        raise UsageError(f"sphere needs model.latent_dim from 2 on (2 is the circle), not {latent_dim}; raise it.")
    return SpherePrior(latent_dim)


def realnvp(steps: int = 8, hidden: int = 128, layers: int = 2, *, latent_dim: int) -> FlowPrior:
    """The standard Gaussian through affine couplings, one half of z <- z exp(s) + t, s and t of the other half.

    Dinh et al. 2016 (arXiv 1605.08803, eq. 4-5); the halves change from step to step. Each step has a dense network of
    so many hidden `layers` of width `hidden`; a condition enters all of them. Sampling and scoring cost the same. Needs
    latent_dim >= 2.
    """
    require_flow_sizes("realnvp", latent_dim, steps, hidden, layers, "model.prior='standard'")
    return FlowPrior(CouplingFlow(latent_dim, steps, hidden, layers))


def maf(steps: int = 5, hidden: int = 256, layers: int = 1, *, latent_dim: int) -> FlowPrior:
    """The standard Gaussian through autoregressive steps, z_i <- z_i exp(a_i) + m_i, a_i and m_i of z_1 .. z_{i-1}.

    Papamakarios et al. 2017 (arXiv 1705.07057, eq. 3-5); the order turns round from step to step. Each step has a
    masked network of so many hidden `layers` of width `hidden`; a condition enters all of them. Scoring is one pass,
    sampling latent_dim passes a step. Needs latent_dim >= 2.
    """
    require_flow_sizes("maf", latent_dim, steps, hidden, layers, "model.prior='standard'")
    return FlowPrior(MaskedAutoregressiveFlow(latent_dim, steps, hidden, layers))


def gaussian(*, latent_dim: int) -> GaussianPrior:
    """A Gaussian N(mu, diag(sigma^2)), whose mean and scales are learned with the model, from N(0, I).

    The linear maps around z could learn as much; here it shows in p(z). Its KL is exact for Gaussian posteriors.
    """
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
    require_type("learned", learned, bool)
    return CategoricalPrior(learned, data_shape)


def conditional(*widths: int, activation: str = "relu", latent_dim: int) -> ConditionalPrior:
    """A Gaussian of the condition c, N(mu(c), diag(sigma(c)^2)): dense layers of these widths; a linear map by default.

    Sohn, Lee & Yan 2015 (NeurIPS). It needs a condition: model.condition='label' or 'vector'.
    """
    get_activation(activation)
    return ConditionalPrior(latent_dim, require_widths("conditional", widths) if widths else (), activation)
