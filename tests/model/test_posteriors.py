"""Posteriors with correlated coordinates or classes: the bound they give, with every prior that fits."""

import functools

import jax
import numpy as np
import pytest
import scipy.stats
from gaussian import PIXELS, SIGMA, images
from jax import random
from small import SHAPE, binary_images, make_vae

from jaxvae.model import likelihood, posterior, prior
from jaxvae.model.decoder import MLPDecoder
from jaxvae.model.encoder import MLPEncoder
from jaxvae.model.posterior import FACTOR_BOUND, LOG_SCALE_BOUND
from jaxvae.terms import example_keys

SIZE, BATCH = 2, 3
POSTERIORS = {
    "diagonal": posterior.diagonal(latent_dim=SIZE),
    "full": posterior.full(latent_dim=SIZE),
    "low_rank": posterior.low_rank(1, latent_dim=SIZE),
    "relaxed": posterior.relaxed(3, latent_dim=SIZE),
    "straight_through": posterior.relaxed(3, 0.7, True, latent_dim=SIZE),
}
REAL = {
    "standard": prior.standard(latent_dim=SIZE),
    "gaussian": prior.gaussian(latent_dim=SIZE),
    "mixture": prior.mixture(4, latent_dim=SIZE),
    "vamp": prior.vamp(5, data_shape=SHAPE),
    "conditional": prior.conditional(4, latent_dim=SIZE),
}
DISCRETE = {
    "uniform": prior.categorical(data_shape=SHAPE),
    "learned": prior.categorical(True, data_shape=SHAPE),
}


def make(q, p, px=None):
    """A VAE of linear networks: what is tested is not in them, and they compile the fastest."""
    model = make_vae(px=px, encode=MLPEncoder(()), decode=MLPDecoder((), SHAPE))
    return model.clone(posterior=q, latent_prior=p)


def keys(samples=2, seed=5):
    return example_keys(random.key(seed), np.arange(BATCH), samples)


def random_params(model, x, condition=None, seed=0):
    """Parameters drawn without compiling the model's own initialisation."""
    shapes = jax.eval_shape(model.init, random.key(0), keys(), x, condition)["params"]
    state = np.random.RandomState(seed)
    return jax.tree.map(lambda leaf: (0.3 * state.normal(size=leaf.shape)).astype(np.float32), shapes)


def without(params, parts):
    return {name: leaf for name, leaf in params.items() if name not in parts}


def labels():
    return np.eye(4, dtype=np.float32)[[0, 2, 1]]


@pytest.mark.parametrize("name", POSTERIORS)
def test_with_every_prior_that_fits_the_elbo_is_finite_and_every_parameter_gets_a_gradient(name):
    """The priors share all other parameters, and so the compiled draws; but a model with a condition has its own."""
    q, x = POSTERIORS[name], binary_images(BATCH)
    models = {of: make(q, p).clone(training=True) for of, p in (REAL if q.traits.space == "real" else DISCRETE).items()}
    conditions = {of: labels() if of == "conditional" else None for of in models}
    own = {of: random_params(model, x, conditions[of]) for of, model in models.items()}
    shared = {part: own[next(iter(own))][part] for part in ("posterior", "decoder")}
    own = {of: params if of == "conditional" else without(params, shared) for of, params in own.items()}

    def losses(own, shared, bits):
        each = {}
        for of, model in models.items():
            terms = model.apply({"params": shared | own[of]}, random.wrap_key_data(bits), x, conditions[of])
            each[of] = (terms.rate + terms.distortion).mean()
        return sum(each.values()), each

    (_, values), gradient = jax.jit(jax.value_and_grad(losses, (0, 1), has_aux=True))(
        own, shared, random.key_data(keys(1))
    )
    for of, value in values.items():
        assert np.isfinite(value), of
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


def linear_gaussian(q):
    """A linear-Gaussian model, its columns at a sharp angle: (model, W, b, the posterior's covariance, log_px)."""
    model = make(q, prior.standard(latent_dim=SIZE), likelihood.gaussian(SIGMA))
    state = np.random.RandomState(0)
    w = 0.3 * state.normal(size=(PIXELS, 1)) + 0.2 * state.normal(size=(PIXELS, SIZE))
    b, spread = state.normal(size=PIXELS), np.linalg.inv(np.eye(SIZE) + w.T @ w / SIGMA**2)
    evidence = scipy.stats.multivariate_normal(b, w @ w.T + SIGMA**2 * np.eye(PIXELS))
    return model, w, b, spread, lambda x: evidence.logpdf(np.float64(x).reshape(len(x), -1))


def unbounded(value, bound):
    """Undoes a smooth bound."""
    return bound * np.arctanh(value / bound)


def of_full(spread):
    """The head's outputs of log-scales and of what is below the diagonal."""
    lower = np.linalg.cholesky(spread)
    below = np.sqrt(SIZE) * unbounded(lower[1, 0] / lower[1, 1], FACTOR_BOUND)
    return [*unbounded(np.log(np.diag(lower)), LOG_SCALE_BOUND), below]


def of_low_rank(spread):
    """The head's outputs of log-scales and of the factor: any covariance of two is one factor besides a diagonal."""
    variance, coupling = np.diag(spread), spread[0, 1]
    column = np.sqrt(np.abs(coupling) * np.sqrt(variance / variance[::-1])) * [1, np.sign(coupling)]
    diagonal = variance - column**2
    factor = unbounded(column / np.sqrt(diagonal), FACTOR_BOUND)
    return [*unbounded(0.5 * np.log(diagonal), LOG_SCALE_BOUND), *factor]


@pytest.mark.parametrize(("name", "outputs"), [("full", of_full), ("low_rank", of_low_rank)])
def test_with_the_exact_posterior_every_draw_weighs_log_px(name, outputs):
    model, w, b, spread, log_px = linear_gaussian(POSTERIORS[name])
    assert abs(spread[0, 1]) > 0.5 * np.sqrt(spread[0, 0] * spread[1, 1])  # no diagonal posterior could be it
    to_mean, free = w @ spread / SIGMA**2, outputs(spread)
    params = {
        "posterior": {
            "Dense_0": {
                "kernel": np.concatenate([to_mean, np.zeros((PIXELS, len(free)))], 1),
                "bias": np.concatenate([-b @ to_mean, free]),
            }
        },
        "decoder": {"Dense_0": {"kernel": w.T, "bias": b}},
    }
    x = images(BATCH)
    terms = jax.jit(model.apply)({"params": jax.tree.map(np.float32, params)}, keys(20), x)
    np.testing.assert_allclose(terms.log_weight, np.broadcast_to(log_px(x), (20, BATCH)), rtol=5e-5)


@pytest.mark.parametrize(("name", "of"), [("full", "vamp"), ("low_rank", "mixture"), ("relaxed", "learned")])
def test_editing_an_example_changes_its_own_terms_only(name, of):
    model, x = make(POSTERIORS[name], (REAL | DISCRETE)[of]).clone(training=name == "relaxed"), binary_images(BATCH)
    params = random_params(model, x)
    edited = np.where(np.arange(BATCH).reshape(BATCH, 1, 1, 1) == 1, 1 - x, x)

    @jax.jit
    def per_example(keys, x):
        terms = model.apply({"params": params}, keys, x)
        return terms.log_px, terms.rate, terms.log_weight, terms.levels[0].z

    for before, after in zip(per_example(keys(), x), per_example(keys(), edited), strict=True):
        np.testing.assert_array_equal(np.delete(before, 1, axis=1), np.delete(after, 1, axis=1))
        assert (before[:, 1] != after[:, 1]).all()


@pytest.mark.parametrize("name", ["full", "low_rank"])
def test_the_heads_bound_every_scale_and_coupling(name):
    """All of the head's outputs at -30 or 30, the mean at 1e4: densities and gradients are finite there, too."""
    head = POSTERIORS[name].clone(latent_dim=4)
    width = jax.eval_shape(head.init, random.key(0), np.ones((BATCH, 1)))["params"]["Dense_0"]["bias"].shape[0]

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def log_probs(bias, keys):
        q = head.apply({"params": {"Dense_0": {"kernel": np.zeros((1, width)), "bias": bias}}}, np.ones((BATCH, 1)))
        z, log_q = q.sample_and_log_prob(keys)
        each = log_q.sum(), q.log_prob(z).sum(), q.log_prob(0 * z).sum()
        return sum(each), (q, z, each)

    for far in (-30.0, 30.0):
        (_, (q, *found)), gradient = log_probs(np.float32([1e4] * 4 + [far] * (width - 4)), keys())
        for leaf in jax.tree.leaves((q, found, gradient)):
            assert np.isfinite(leaf).all()
        if name == "full":
            scale, coupled = (
                bound * np.tanh(far / over / bound) for bound, over in ((LOG_SCALE_BOUND, 1), (FACTOR_BOUND, 2))
            )
            expected = np.exp(scale) * (np.eye(4) + np.tril(np.full((4, 4), coupled), -1))
            np.testing.assert_allclose(q.scale_tril[0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: posterior.low_rank(0, latent_dim=3), "rank=0: expected a whole number from 1 on"),
        (lambda: posterior.low_rank(4, latent_dim=3), "rank=4.*at most model.latent_dim=3; 'full' has every"),
        (lambda: posterior.relaxed(1, latent_dim=3), "classes=1: expected a whole number from 2 on"),
        (lambda: posterior.relaxed(temperature=0, latent_dim=3), "temperature=0.*expected a finite number from 1e-30"),
        (
            lambda: posterior.relaxed(temperature="low", latent_dim=3),
            "temperature='low'.*expected a finite number from 1e-30",
        ),
        (lambda: posterior.relaxed(straight_through=1, latent_dim=3), "straight_through=1.*True or False"),
    ],
)
def test_a_wrong_argument_is_refused_in_words(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()
