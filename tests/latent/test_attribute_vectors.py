"""Directions of the latent space: right where the true one is known, and of one length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jaxvae import latent

TRUE = np.array([1.0, -0.5, 0.0, 0.25])  # what tells the attribute
SPREAD = np.linalg.cholesky(np.array([[1, 0.8, 0, 0], [0.8, 1, 0, 0], [0, 0, 1, -0.7], [0, 0, -0.7, 1]]))


@pytest.fixture(scope="module")
def cut():
    """(codes, has): a correlated Gaussian, whose log-odds of having the attribute are 3 TRUE . z + 0.5."""
    random = np.random.default_rng(0)
    codes = (random.normal(size=(40_000, 4)) @ SPREAD.T).astype(np.float32)
    has = random.uniform(size=len(codes)) < 1 / (1 + np.exp(-3 * codes @ TRUE - 0.5))
    return jnp.asarray(codes), jnp.asarray(has)


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_probe_finds_what_tells_and_the_mean_difference_what_goes_with_it(cut):
    difference, probe = np.asarray(latent.mean_difference(*cut)), np.asarray(latent.probe(*cut))
    assert cosine(probe, TRUE) > 0.999
    assert cosine(difference, SPREAD @ SPREAD.T @ TRUE) > 0.999
    assert cosine(difference, TRUE) < 0.95


def test_both_directions_lead_from_mean_to_mean(cut):
    codes, has = (np.asarray(each) for each in cut)
    apart = codes[has].mean(0) - codes[~has].mean(0)
    np.testing.assert_allclose(latent.mean_difference(*cut), apart, atol=1e-4)
    probe = np.asarray(latent.probe(*cut))
    assert probe @ apart == pytest.approx(probe @ probe, rel=1e-4)
    reverse = np.asarray(latent.probe(cut[0], ~cut[1]))
    np.testing.assert_allclose(reverse, -probe, atol=1e-3)


@pytest.mark.parametrize(("penalty", "parted"), [(1.0, False), (30.0, False), (0.1, True)])
def test_logistic_regression_is_scikit_learn_s(cut, penalty, parted):
    codes, has = (np.asarray(each[:500]) for each in cut)
    has = codes @ TRUE > 0.1 if parted else has
    weights, bias = latent.logistic_regression(jnp.asarray(codes), jnp.asarray(has), penalty)
    other = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit(codes.astype(float), has)
    np.testing.assert_allclose(weights, other.coef_[0], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(bias, other.intercept_[0], rtol=2e-3, atol=2e-3)


def test_logistic_regression_survives_newton_steps_that_overshoot():
    """One code far from the others and hardly a penalty: whole steps lead to weights of a thousand, and further."""
    near = [[-0.4, 0.5, 1.3], [-1.1, 0.8, 0.1], [-0.2, -0.3, -2.3], [-1.4, -0.5, 0.7], [-3.4, 0.2, 6.9]]
    codes = jnp.asarray([[169.6, 1.5, -0.7], *near, [-0.8, -0.6, -3.3]])
    has = jnp.asarray([True, False, False, False, True, False, False])
    weights, bias = latent.logistic_regression(codes, has, 1e-3)
    other = LogisticRegression(C=1e3, tol=1e-10, max_iter=100_000).fit(np.float64(codes), has)
    np.testing.assert_allclose([*weights, bias], [*other.coef_[0], other.intercept_[0]], rtol=0.02)


def test_what_is_kept_does_not_change(cut):
    others = jnp.asarray([[0.0, 1.0, 0.0, 0.3], [0.5, 1.0, -1.0, 0.0]])
    kept = latent.orthogonalize(latent.mean_difference(*cut), others)
    np.testing.assert_allclose(others @ kept, [0.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(latent.orthogonalize(kept, others), kept, atol=1e-5)
    orthogonal = jnp.asarray([1.0, 0.0, 0.5, 0.0])
    np.testing.assert_allclose(latent.orthogonalize(orthogonal, others), orthogonal, atol=1e-6)


def test_arithmetic_is_of_any_shape_and_passes_gradients():
    a, b, c = (jnp.arange(6.0).reshape(2, 3) * k for k in (1, 2, 5))
    np.testing.assert_array_equal(latent.arithmetic(a, b, c), 4 * jnp.arange(6.0).reshape(2, 3))
    slopes = [jax.grad(lambda *codes: latent.arithmetic(*codes).sum(), k)(a, b, c).sum() for k in range(3)]
    assert slopes == [6.0, -6.0, 6.0]
