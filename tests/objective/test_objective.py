import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gaussian import images, make_linear_vae
from jax import random
from small import binary_images, init, make_vae

from jaxvae.evaluate.bounds import elbo_parts, make_log_likelihood
from jaxvae.objective import Needs, elbo, reconstruction
from jaxvae.objective.base import require_weight
from jaxvae.terms import example_keys


@pytest.fixture(scope="module")
def terms():
    model, x = make_vae(), binary_images(6)
    return jax.jit(model.apply)(init(model, x), example_keys(random.key(5), np.arange(6), 4), x)


def apply(objective, terms, step=0):
    return objective.apply({}, {}, terms, key=random.key(0), step=jnp.asarray(step), gather=lambda tree: tree)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_the_loss_is_distortion_and_beta_times_rate(terms, beta):
    loss = apply(elbo(beta), terms)
    np.testing.assert_allclose(loss.value, (-terms.log_px + beta * terms.rate).mean(0), rtol=1e-5)
    assert loss.value.shape == (6,)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_elbo_reported_is_the_bound_whatever_beta(terms, beta):
    metrics = apply(elbo(beta), terms).metrics
    for name, value in elbo_parts(terms).items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-6)
    np.testing.assert_allclose(metrics["elbo"], -apply(elbo(1.0), terms).value, rtol=1e-6)
    assert metrics["beta"] == beta


@pytest.mark.parametrize(("step", "beta"), [(0, 0.0), (50, 0.25), (100, 0.5), (1000, 0.5)])
def test_a_schedule_is_read_at_the_step(terms, step, beta):
    schedule = optax.linear_schedule(0.0, 0.5, 100)
    loss = apply(elbo(schedule), terms, step)
    np.testing.assert_allclose(loss.value, apply(elbo(beta), terms).value, rtol=1e-5)
    np.testing.assert_allclose(require_weight("beta", schedule)(jnp.asarray(step)), beta, rtol=1e-6)
    assert require_weight("beta", 2)(jnp.asarray(step)).dtype == jnp.float32


def test_an_objective_without_state_says_so(terms):
    assert elbo().init(random.key(0), terms) == ({}, {})
    assert elbo().needs == Needs(posterior={"samples"})
    assert reconstruction().needs == Needs()


def test_the_importance_weighted_bound_rises_with_k_towards_log_px():
    """A posterior that is off by one in its means and too narrow: 300 images, paired over K."""
    model, variables, log_px = make_linear_vae(shift=1.0, widen=-0.4)
    x, index = images(300), np.arange(300)
    score = make_log_likelihood(model)
    values = [np.float64(score(variables, random.key(0), x, index, samples=k)) for k in (1, 10, 100)] + [log_px(x)]
    for lower, higher in itertools.pairwise(values):
        rise = higher - lower
        assert rise.mean() > 5 * rise.std(ddof=1) / np.sqrt(300)


def test_one_sample_of_the_importance_weighted_bound_is_an_unbiased_elbo():
    model, variables, _ = make_linear_vae(shift=0.5)
    x, index = images(300), np.arange(300)
    single = np.float64(make_log_likelihood(model)(variables, random.key(0), x, index, samples=1))
    terms = jax.jit(model.apply)(variables, example_keys(random.key(1), index), x)
    difference = single - np.float64(elbo_parts(terms)["elbo"])
    assert abs(difference.mean()) < 5 * difference.std(ddof=1) / np.sqrt(300)


def test_the_importance_weights_favour_the_sample_that_explains_x_best():
    """The gradient of the importance-weighted bound is that of its samples, weighted by p(x, z) / q(z|x)."""
    model, variables, _ = make_linear_vae(widen=1.5)
    x = images(6)
    terms = jax.jit(model.apply)(variables, example_keys(random.key(0), np.arange(6), 8), x)
    (level,) = terms.levels
    joint = np.float64(model.apply(variables, (level.z,), x, method="log_joint"))
    weights = np.asarray(jax.grad(lambda w: jax.nn.logsumexp(w, axis=0).sum())(terms.log_weight))
    ratio = np.exp(joint - np.float64(level.log_q))
    np.testing.assert_allclose(weights, ratio / ratio.sum(0), rtol=1e-3, atol=1e-6)
    # a wide q is nearly flat where the posterior is: the heaviest sample is nearly the one of the largest joint density
    likelier = np.take_along_axis(joint, weights.argmax(0)[None], 0)[0]
    assert (likelier > np.median(joint, axis=0)).all()
