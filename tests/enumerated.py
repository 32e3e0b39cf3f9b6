"""A model whose expectations are sums: one latent number, and K draws of it on a grid of Gauss and Hermite.

x ~ N(theta z, 0.9^2), z ~ N(prior mean, 1), q(z|x) = N(mean, e^log_scale): three numbers of the encoder's side and the
decoder's, theta and the prior's mean. An estimator's gradient, averaged over all outcomes with their weights, is its
expectation without noise.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.distributions import Normal
from jaxvae.model.reparameterize import draw_gated
from jaxvae.terms import Terms

X, NOISE = 0.8, 0.9
PARAMS = {"mean": 0.3, "log_scale": -0.2, "theta": 1.1, "prior": -0.4}
ENCODER, DECODER = ("mean", "log_scale"), ("theta", "prior")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NoisyNormal:
    """A Gaussian whose draws are made of noise that is given."""

    normal: Normal
    noise: jax.Array

    def sample(self, keys):
        return self.normal.loc + jnp.exp(self.normal.log_scale) * self.noise

    def log_prob(self, z):
        return self.normal.log_prob(z)


def outcomes(samples, nodes):
    """(noise [K, outcomes], their probabilities [outcomes])."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    noise = np.array(list(itertools.product(points, repeat=samples))).T
    return noise, np.prod(list(itertools.product(weights, repeat=samples)), axis=1)


def leaf(value):
    """A number as a leaf [1, 1, *Z]."""
    return jnp.reshape(value, (1, 1, 1))


def terms_of(params, noise):
    """The terms of these draws, noise [K, outcomes]: each outcome an example."""
    q = NoisyNormal(Normal(leaf(params["mean"]), leaf(params["log_scale"])), jnp.asarray(noise, jnp.float32)[..., None])
    level = draw_gated(None, q, Normal(leaf(params["prior"]), jnp.zeros((1, 1, 1))))
    px = Normal(params["theta"] * level.z, jnp.full((1, 1, 1), np.log(NOISE)))
    x = jnp.full((1, 1, 1), X)
    return Terms(x=x, px=px, log_px=px.log_prob(x), levels=(level,))


def log_weights(params, noise):
    """log p(x, z) - log q(z|x), [K, outcomes], in numpy and float64, written out."""
    scale = np.exp(params["log_scale"])
    z = params["mean"] + scale * noise

    def log_normal(value, mean, deviation):
        return -0.5 * ((value - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)

    joint = log_normal(X, params["theta"] * z, NOISE) + log_normal(z, params["prior"], 1.0)
    return joint - log_normal(z, params["mean"], scale)


def derivative(bound, samples, nodes, name, step=1e-5):
    """d/d(name) of the expectation of bound(log weights) over all outcomes, by central differences."""
    noise, chance = outcomes(samples, nodes)

    def expected(change):
        return (chance * bound(log_weights({**PARAMS, name: PARAMS[name] + change}, noise))).sum()

    return (expected(step) - expected(-step)) / (2 * step)


def gradients(objective, samples, nodes):
    """({parameter: gradient of the loss at each outcome}, the outcomes' probabilities)."""
    noise, chance = outcomes(samples, nodes)

    def loss(params, noise):
        out = objective.apply({}, {}, terms_of(params, noise[:, None]), key=None, step=0, gather=None)
        return out.value.sum()

    params = {name: jnp.float32(value) for name, value in PARAMS.items()}
    found = jax.jit(jax.vmap(jax.grad(loss), (None, 1)))(params, noise)
    return {name: np.float64(value) for name, value in found.items()}, chance


def expected_gradient(objective, samples, nodes):
    """{parameter: the expectation of the gradient of the loss}: of the sum over outcomes, each with its probability."""
    noise, chance = outcomes(samples, nodes)

    def loss(params):
        out = objective.apply({}, {}, terms_of(params, noise), key=None, step=0, gather=None)
        return (jnp.asarray(chance, jnp.float32) * out.value).sum()

    return jax.jit(jax.grad(loss))({name: jnp.float32(value) for name, value in PARAMS.items()})
