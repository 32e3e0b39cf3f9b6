import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from gaussian import images, make_linear_vae
from jax import random
from small import SHAPE, binary_images, init, make_conv_vae, make_vae

from jaxvae import latent
from jaxvae.evaluate.bounds import elbo_parts, make_log_likelihood
from jaxvae.model import likelihood
from jaxvae.model.posterior import LOG_SCALE_BOUND
from jaxvae.model.traits import check_support
from jaxvae.terms import example_keys

INDEX = np.arange(6)


def keys(samples=1, seed=5):
    return example_keys(random.key(seed), INDEX, samples)


def test_with_the_exact_posterior_every_draw_weighs_log_px():
    model, variables, log_px = make_linear_vae()
    x = images(6)
    terms = jax.jit(model.apply)(variables, keys(20), x)
    np.testing.assert_allclose(terms.log_weight, np.broadcast_to(log_px(x), (20, 6)), rtol=2e-5)


@pytest.mark.parametrize("samples", [1, 2, 10, 100])
def test_with_the_exact_posterior_the_importance_weighted_bound_is_log_px_for_every_k(samples):
    model, variables, log_px = make_linear_vae()
    x = images(6)
    np.testing.assert_allclose(
        make_log_likelihood(model)(variables, random.key(0), x, INDEX, samples=samples), log_px(x), rtol=2e-5
    )


def test_with_the_exact_posterior_the_elbo_is_log_px_on_average():
    model, variables, log_px = make_linear_vae()
    x, count = images(6), 5000
    terms = jax.jit(model.apply)(variables, keys(count), x)
    draws = np.float64(terms.log_px - terms.rate)
    error = draws.std(0, ddof=1) / np.sqrt(count)
    assert (np.abs(draws.mean(0) - log_px(x)) < 5 * error).all()
    np.testing.assert_allclose(jax.jit(elbo_parts)(terms)["elbo"], draws.mean(0), rtol=1e-4)


@pytest.mark.parametrize(("shift", "widen"), [(1.0, 0.0), (0.0, 0.5), (-0.5, -0.3)])
def test_with_another_posterior_the_elbo_misses_log_px_by_its_kl_to_the_exact_one(shift, widen):
    _, exact, log_px = make_linear_vae()
    model, variables, _ = make_linear_vae(shift, widen)
    x, count = images(6), 5000
    terms = jax.jit(model.apply)(variables, keys(count), x)
    draws = np.float64(terms.log_px - terms.rate)
    q, posterior = terms.levels[0].q, model.apply(exact, x, method="infer")
    ratio = np.float64(q.log_scale - posterior.log_scale)
    distance = np.float64(q.loc - posterior.loc) / np.exp(np.float64(posterior.log_scale))
    gap = (0.5 * (np.exp(2 * ratio) + distance**2 - 1) - ratio).sum(-1)[0]
    assert gap.min() > 0.1
    error = draws.std(0, ddof=1) / np.sqrt(count)
    assert (np.abs(log_px(x) - draws.mean(0) - gap) < 5 * error + 1e-3).all()


@pytest.mark.parametrize("make", [make_vae, make_conv_vae])
def test_the_terms_of_what_was_inferred_are_the_call(make):
    model, x = make(), binary_images(6)
    variables = init(model, x)
    whole = jax.jit(model.apply)(variables, keys(2), x)

    @jax.jit
    def in_two(keys, x):
        return model.apply(variables, keys, model.apply(variables, x, method="infer"), x, method="terms")

    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(in_two(keys(2), x)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_target_is_what_is_scored_and_x_what_is_encoded():
    model, x, target = make_vae(), binary_images(6), binary_images(6, seed=1)
    variables = init(model, x)
    terms = model.apply(variables, keys(), x, target=target)
    q = model.apply(variables, x, method="infer")
    np.testing.assert_allclose(terms.levels[0].q.loc, q.loc, rtol=1e-6)
    np.testing.assert_array_equal(terms.x[0], target)
    np.testing.assert_allclose(terms.log_px, terms.px.log_prob(target[None]), rtol=1e-6)


@pytest.mark.parametrize("px", [likelihood.bernoulli(), likelihood.gaussian("learned")])
def test_the_terms_are_the_densities_at_the_draw(px):
    """Against scipy, from the parameters that the model gives."""
    model, x = make_vae(px=px), binary_images(6)
    variables = init(model, x)
    terms = jax.jit(model.apply)(variables, keys(3), x)
    (level,) = terms.levels
    expected_q = (
        scipy.stats.norm(np.float64(level.q.loc), np.exp(np.float64(level.q.log_scale))).logpdf(level.z).sum(-1)
    )
    np.testing.assert_allclose(level.log_q, expected_q, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(level.log_p, scipy.stats.norm.logpdf(level.z).sum(-1), rtol=1e-4)
    mean = np.float64(terms.px.mean())
    oracle = (
        scipy.stats.bernoulli(mean).logpmf(x[None].astype(int))
        if px.traits.support == "binary"
        else scipy.stats.norm(mean, 1.0).logpdf(x[None])
    )
    np.testing.assert_allclose(terms.log_px, oracle.sum((-3, -2, -1)), rtol=1e-4)


@pytest.mark.parametrize("make", [make_vae, make_conv_vae])
def test_log_joint_is_the_terms_log_px_and_log_p(make):
    model, x = make(), binary_images(6)
    variables = init(model, x)
    terms = jax.jit(model.apply)(variables, keys(3), x)
    (level,) = terms.levels
    joint = model.apply(variables, (level.z,), x, method="log_joint")
    np.testing.assert_allclose(joint, terms.log_px + level.log_p, rtol=1e-5)


def test_generate_decodes_the_prior_or_what_it_is_given():
    model, x = make_vae(), binary_images(6)
    variables = init(model, x)
    (z,), px = model.apply(variables, random.split(random.key(0), 9), method="generate")
    assert (z.shape, px.logits.shape) == ((1, 9, 2), (1, 9, *SHAPE))
    given = z + 1.0
    (kept,), shifted = model.apply(variables, random.split(random.key(1), 9), given=(given,), method="generate")
    np.testing.assert_array_equal(kept, given)
    np.testing.assert_allclose(shifted.logits, model.apply(variables, (given,), method="decode").logits, rtol=1e-6)
    assert (shifted.logits != px.logits).any()


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_generating_colder_draws_nearer_to_the_priors_mean(temperature):
    model, x = make_vae(), binary_images(6)
    variables = init(model, x)
    z, _ = latent.generate(model, variables, random.split(random.key(0), 500))
    cold, _ = latent.generate(model, variables, random.split(random.key(0), 500), temperature=temperature)
    np.testing.assert_allclose(cold, temperature * z, rtol=1e-5, atol=1e-7)
    assert (np.abs(np.asarray(z).std(0) - 1) < 5 / np.sqrt(1000)).all()


def test_samples_are_in_the_support_and_differ():
    model, x = make_vae(), binary_images(6)
    drawn = np.asarray(latent.sample(model, init(model, x), random.key(0), 20))
    assert drawn.shape == (20, *SHAPE)
    check_support("binary", drawn, "drawn")
    assert len(np.unique(drawn.reshape(20, -1), axis=0)) > 15


def test_encode_decode_and_reconstruct_drop_the_sample_axis():
    model, variables, _ = make_linear_vae()
    x = images(6)
    q = latent.encode(model, variables, x)
    z = q.sample(random.split(random.key(0), 6))
    assert (q.loc.shape, z.shape) == ((6, 2), (6, 2))
    kernel, bias = (variables["params"]["decoder"]["Dense_0"][name] for name in ("kernel", "bias"))
    expected = (np.asarray(z) @ kernel + bias[None]).reshape(6, *SHAPE)
    np.testing.assert_allclose(latent.decode(model, variables, z).mean(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(latent.reconstruct(model, variables, random.key(0), x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "px"),
    [
        (make_vae, likelihood.bernoulli()),
        (make_vae, likelihood.gaussian("learned")),
        (make_conv_vae, likelihood.gaussian(0.5)),
    ],
)
def test_every_parameter_gets_a_gradient(make, px):
    model, x = make(px=px), binary_images(6)
    variables = init(model, x)

    @jax.jit
    def gradient(params):
        return jax.grad(lambda params: -model.apply({"params": params}, keys(4), x).log_weight.mean())(params)

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(variables["params"])):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


@pytest.mark.parametrize("far", [-1e4, 1e4])
def test_the_posteriors_scale_is_bounded_with_a_gradient_inside(far):
    model, variables, _ = make_linear_vae()
    dense = variables["params"]["posterior"]["Dense_0"]
    moved = {
        "params": variables["params"]
        | {"posterior": {"Dense_0": dense | {"bias": dense["bias"] + np.float32([0, 0, far, far])}}}
    }
    q = model.apply(moved, images(6), method="infer")
    np.testing.assert_allclose(q.log_scale, np.full((1, 6, 2), np.sign(far) * LOG_SCALE_BOUND), rtol=1e-6)
    terms = model.apply(moved, keys(), images(6))
    assert np.isfinite(terms.rate).all()
    np.testing.assert_allclose(terms.levels[0].q.log_scale, q.log_scale)


def test_a_learned_scale_starts_at_one_and_widens_with_its_parameter():
    head = likelihood.gaussian("learned")
    features = jnp.zeros((1, 2, *SHAPE))
    px, variables = head.init_with_output(random.key(0), features)
    np.testing.assert_array_equal(px.scale(), np.ones((1, 2, *SHAPE)))
    wider = head.apply(jax.tree.map(lambda a: a + 0.5, variables), features)
    np.testing.assert_allclose(wider.scale(), np.full((1, 2, *SHAPE), np.exp(0.5)), rtol=0.01)


@pytest.mark.parametrize("scale", [0, -1.0, float("inf"), float("nan"), "wide"])
def test_a_gaussian_needs_a_positive_scale(scale):
    with pytest.raises(ValueError, match=r"gaussian\(scale=.*scale is a positive number, or 'learned'"):
        likelihood.gaussian(scale)


@pytest.mark.parametrize(
    ("support", "x", "words"),
    [("binary", [0.0, 0.5], "the values 0 and 1 only"), ("real", [1.0, np.nan], "finite real numbers")],
)
def test_data_outside_the_support_is_refused_in_words(support, x, words):
    check_support(support, np.array([0.0, 1.0]), "x")
    with pytest.raises(ValueError, match=rf"images holds values .* a density over {words}"):
        check_support(support, np.array(x), "images")
