"""Linear models have closed forms: the library's, scikit-learn's, and what training finds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
import scipy.stats
import sklearn.decomposition
from jax import lax, random
from small import init

from jaxvae import latent
from jaxvae.data.prepare import Batch, Examples
from jaxvae.evaluate.bounds import elbo_parts, make_log_likelihood
from jaxvae.model.likelihood import gaussian
from jaxvae.model.pca import linear_vae, pca, probabilistic_pca
from jaxvae.model.posterior import DiagonalPosterior, PointPosterior
from jaxvae.objective import elbo, reconstruction
from jaxvae.step import init_state, make_train_step
from jaxvae.terms import example_keys

SHAPE, LATENTS = (2, 3, 1), 2
COUNT = 64


def correlated(count=COUNT, seed=0):
    """Examples of six numbers, float32 [count, 2, 3, 1], most of whose variance lies in a plane."""
    random_state = np.random.RandomState(seed)
    plane = random_state.normal(size=(count, LATENTS)) * [2.0, 1.2] @ random_state.normal(size=(LATENTS, 6))
    x = random_state.normal(size=6) + plane + 0.4 * random_state.normal(size=(count, 6)) * [1, 1.5, 0.7, 1, 1.2, 0.8]
    return x.reshape(count, *SHAPE).astype(np.float32)


def flat(x):
    return np.float64(x).reshape(len(x), -1)


def max_log_likelihood(x):
    """The largest mean log p(x), nats, of a VAE with a linear decoder and a Gaussian scale (Tipping & Bishop 1999)."""
    variances = np.linalg.eigvalsh(np.cov(flat(x).T, bias=True))[::-1]
    noise = variances[LATENTS:].mean()
    log_determinant = np.log(variances[:LATENTS]).sum() + (len(variances) - LATENTS) * np.log(noise)
    return -0.5 * (len(variances) * (np.log(2 * np.pi) + 1) + log_determinant)  # eq. 4


def tree_of(model, x):
    return jax.tree.map(jnp.shape, init(model, x[:1]))


@pytest.mark.parametrize("fit", [pca, probabilistic_pca])
def test_the_variables_have_the_names_and_shapes_of_init(fit):
    x = correlated()
    model, variables = fit(x, LATENTS)
    assert jax.tree.map(jnp.shape, variables) == tree_of(model, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


@pytest.mark.parametrize("latents", [2, 6])
def test_pca_reconstructs_as_scikit_learns(latents):
    x = correlated()
    model, variables = pca(x, latents)
    oracle = sklearn.decomposition.PCA(latents).fit(flat(x))
    expected = oracle.inverse_transform(oracle.transform(flat(x)))
    got = latent.reconstruct(model, variables, random.key(0), x)
    np.testing.assert_allclose(flat(got), expected, atol=2e-5)
    z = np.float64(latent.encode(model, variables, x).mean())
    np.testing.assert_allclose(z.T @ z / COUNT, np.eye(latents), atol=1e-4)  # as the prior's


def test_pca_of_examples_on_a_line_needs_one_latent_of_two():
    x = np.outer(np.linspace(-1, 1, 9), np.arange(6)).reshape(9, *SHAPE).astype(np.float32)
    model, variables = pca(x, 2)
    np.testing.assert_allclose(latent.reconstruct(model, variables, random.key(0), x), x, atol=1e-5)
    z = latent.encode(model, variables, x).mean()
    np.testing.assert_array_equal(z[:, 1], np.zeros(9))  # not rounding errors, divided by almost nothing


def test_probabilistic_pca_is_scikit_learns_and_a_gaussian():
    x = correlated(2000)
    model, variables = probabilistic_pca(x, LATENTS)
    index = np.arange(len(x))
    got = np.float64(make_log_likelihood(model)(variables, random.key(0), x, index, samples=2))
    w = np.float64(variables["params"]["decoder"]["Dense_0"]["kernel"])
    noise = np.float64(latent.decode(model, variables, np.zeros((1, LATENTS), np.float32)).scale()).ravel()[0] ** 2
    mean = flat(x).mean(0)
    gaussian_density = scipy.stats.multivariate_normal(mean, w.T @ w + noise * np.eye(6))
    np.testing.assert_allclose(got, gaussian_density.logpdf(flat(x)), atol=1e-3)
    np.testing.assert_allclose(got.mean(), max_log_likelihood(x), atol=1e-4)
    # scikit-learn's variances are larger by N / (N - 1)
    oracle = sklearn.decomposition.PCA(LATENTS).fit(flat(x))
    np.testing.assert_allclose(got.mean(), oracle.score(flat(x)), atol=1e-3)
    np.testing.assert_allclose(noise, oracle.noise_variance_ * (len(x) - 1) / len(x), rtol=1e-5)


def test_the_elbo_of_probabilistic_pca_is_its_log_likelihood():
    x = correlated()
    model, variables = probabilistic_pca(x, LATENTS)
    draws = 500
    terms = jax.jit(model.apply)(variables, example_keys(random.key(0), np.arange(COUNT), draws), x)
    expected = make_log_likelihood(model)(variables, random.key(1), x, np.arange(COUNT), samples=1)
    np.testing.assert_allclose(terms.log_weight, np.broadcast_to(expected, (draws, COUNT)), atol=1e-3)
    error = np.float64(terms.log_px).std() / np.sqrt(draws * COUNT)
    assert abs(np.float64(elbo_parts(terms)["elbo"]).mean() - max_log_likelihood(x)) < 5 * error + 1e-3


def test_no_linear_model_is_likelier_than_the_best():
    """The closed form is a maximum: every direction away from its variables loses likelihood, to second order."""
    x = correlated()
    best = max_log_likelihood(x)
    model, variables = probabilistic_pca(x, LATENTS)
    score = make_log_likelihood(model)
    for seed in range(3):
        random_state = np.random.RandomState(seed)
        decoder = variables["params"]["decoder"]["Dense_0"]
        moved = jax.tree.map(lambda a, r=random_state: a + 0.03 * r.normal(size=a.shape).astype(np.float32), decoder)
        params = variables["params"] | {"decoder": {"Dense_0": moved}}
        value = score({"params": params}, random.key(0), x, np.arange(COUNT), samples=200)
        assert best - 0.1 < np.float64(value).mean() < best


@pytest.mark.parametrize(
    ("x", "latents", "words"),
    [
        (np.ones((5, 2)), 1, "no variance"),
        (np.eye(5), 0, "expected two or more examples"),
        (np.eye(5)[:1], 1, "expected two or more examples"),
        (np.full((5, 2), np.nan), 1, "finite numbers"),
        (np.random.RandomState(0).normal(size=(9, 3)), 3, "leaves no variance to the noise"),
        (np.outer(np.arange(9.0), np.ones(3)), 1, "leaves no variance to the noise"),
        (np.random.RandomState(0).normal(size=(9, 3)) * [1, 1, 1e-4], 2, "beyond its bound"),
    ],
)
def test_what_has_no_closed_form_is_refused_in_words(x, latents, words):
    with pytest.raises(ValueError, match=words):
        probabilistic_pca(x, latents)


def as_it_is():
    """A preparation of x that is float32 already."""
    return lambda keys, batch: Batch(batch.image, batch.image, None, batch.index)


def trained(model, objective, x, *, steps, rate, samples=1):
    """The parameters after so many full-batch steps of the library's own train step, in one compiled loop."""
    schedule = optax.cosine_decay_schedule(rate, steps)
    parts = (model, objective, optax.adam(schedule), as_it_is())
    batch = Examples(x, np.full(len(x), -1), np.arange(len(x)))

    @jax.jit
    def run(batch):
        state = init_state(*parts, batch, init_key=random.key(0), train_key=random.key(1), samples=samples, ema=0)
        step = make_train_step(*parts, samples=samples, ema=0)
        return lax.fori_loop(0, steps, lambda _, state: step(state, batch)[0], state).params["model"]

    return {"params": run(batch)}


def test_a_linear_autoencoder_trained_finds_the_principal_subspace():
    x = correlated()
    model = linear_vae(PointPosterior(LATENTS), gaussian(1.0), SHAPE)
    variables = trained(model, reconstruction(), x, steps=1500, rate=0.05)
    w = np.float64(variables["params"]["decoder"]["Dense_0"]["kernel"])
    axes = sklearn.decomposition.PCA(LATENTS).fit(flat(x)).components_
    assert scipy.linalg.subspace_angles(w.T, axes.T).max() < 1e-3
    closed = pca(x, LATENTS)
    one, other = (latent.reconstruct(*each, random.key(0), x) for each in ((model, variables), closed))
    np.testing.assert_allclose(one, other, atol=5e-3)


def test_a_linear_vae_trained_from_a_random_start_reaches_the_best_likelihood():
    x = correlated()
    model = linear_vae(DiagonalPosterior(LATENTS), gaussian("learned"), SHAPE)
    variables = trained(model, elbo(), x, steps=3000, rate=0.03, samples=4)
    keys = example_keys(random.key(5), np.arange(COUNT), 1000)
    bound = np.float64(elbo_parts(jax.jit(model.apply)(variables, keys, x))["elbo"]).mean()
    best = max_log_likelihood(x)
    assert best - 0.02 < bound < best + 0.01, (bound, best)
    score = make_log_likelihood(model)(variables, random.key(0), x, np.arange(COUNT), samples=200)
    np.testing.assert_allclose(np.float64(score).mean(), best, atol=0.01)
