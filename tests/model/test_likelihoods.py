"""Likelihood heads: from features to a density over the data they say they are one of."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax import random
from small import init, make_vae
from small_configs import refused, small_config

from jaxvae.config.build import build
from jaxvae.config.registry import TABLES, build_part
from jaxvae.latent import drop_sample_axis
from jaxvae.model import likelihood
from jaxvae.model.traits import CONTAINED_IN, SUPPORTS, check_support

SHAPE = (2, 2, 3)
TEXTS = (
    "bernoulli",
    "continuous_bernoulli",
    "gaussian(0.3)",
    "gaussian('learned')",
    "gaussian('pixel')",
    "gaussian('optimal')",
    "laplace('pixel')",
    "student_t(3, 'pixel')",
    "beta",
    "discretized_logistic",
    "discretized_logistic('pixel')",
    "logistic_mixture(2)",
    "categorical",
)
ALIKE = {"gaussian(0.3)", "gaussian('learned')", "discretized_logistic"}  # densities that others of these give, too
ENDS = {"open": (2.0**-24, 1 - 2.0**-24)}  # what data.prepare='dequantize' makes of black and white


def head(text):
    return build_part("likelihood", text, {})


def scored(px, shape=SHAPE):
    """(variables, jitted f(variables, features [1, B, ...], x [B, *X]) -> log p [1, B])."""
    features = jnp.zeros((1, 2, *shape[:-1], px.features(shape[-1])))
    return px.init(random.key(0), features), jax.jit(lambda v, f, x: px.apply(v, f).log_prob(x[None]))


def data(px, count, shape=SHAPE, seed=0):
    """Values of the head's support, float32 [count, *shape]."""
    level = np.random.default_rng(seed).integers(0, 256, (count, *shape))
    return np.float32({"binary": level // 128, "open": (level + 0.5) / 256}.get(px.traits.support, level / 255))


@pytest.mark.parametrize("text", TEXTS)
def test_loss_and_gradient_are_finite_on_black_and_white_whatever_the_features(text):
    px = head(text)
    black, white = ENDS.get(px.traits.support, (0.0, 1.0))
    count = px.features(3)
    rows = [np.full(count, 200.0), np.full(count, -200.0), np.zeros(count)]
    for sign in (1, -1):  # places at +-200, the second half (scales, where there are any) at +-30, either way
        rows += [np.repeat([200.0 * sign, 30.0], [-(-count // 2), count // 2])]
        rows += [np.repeat([200.0 * sign, -30.0], [-(-count // 2), count // 2])]
    features = jnp.asarray(np.repeat(rows, 2, axis=0), jnp.float32)[None, :, None, None, :]
    features = jnp.broadcast_to(features, (1, len(rows) * 2, *SHAPE[:-1], count))
    x = jnp.asarray([black, white] * len(rows), jnp.float32).reshape(-1, 1, 1, 1)
    x = jnp.broadcast_to(x, (len(rows) * 2, *SHAPE))
    variables, log_px = scored(px)
    params = variables.pop("params", {})

    @jax.jit
    def loss(params, features):
        return -log_px({"params": params, **variables}, features, x).sum()

    slopes = jax.jit(jax.value_and_grad(loss, (0, 1)))
    for free in (30.0, -30.0) if params else (0.0,):
        moved = {name: jnp.full_like(leaf, free) for name, leaf in params.items()}
        value, gradients = slopes(moved, features)
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in ALIKE])
def test_a_head_scores_each_example_alone_with_or_without_the_sample_axis_and_draws_valid_data(text):
    px = head(text)
    variables, log_px = scored(px)
    features = random.normal(random.key(1), (1, 4, *SHAPE[:-1], px.features(3)))
    x = data(px, 4)
    edited, other = x.copy(), random.normal(random.key(2), features.shape)
    edited[1] = data(px, 4, seed=1)[1]
    moved = features.at[:, 2].set(other[:, 2])

    @jax.jit
    def alone(features, keys):
        density = drop_sample_axis(px.apply(variables, features))
        return density.log_prob(x), density.mean(), density.sample(keys)

    before, after = (np.asarray(log_px(variables, *pair)) for pair in ((features, x), (moved, edited)))
    np.testing.assert_array_equal(np.flatnonzero(before[0] != after[0]), [1, 2])
    log_prob, mean, drawn = map(np.asarray, alone(features, random.split(random.key(3), 4)))
    np.testing.assert_allclose(log_prob, before[0], rtol=1e-5)
    assert drawn.shape == mean.shape == (4, *SHAPE)
    check_support(px.traits.support, drawn, "drawn")
    check_support("unit" if px.traits.support != "real" else "real", mean, "the mean")


@pytest.mark.parametrize("text", ["gaussian('pixel')", "logistic_mixture(2)"])
def test_sequences_are_scored_as_images_of_one_row(text):
    px = head(text)
    variables, log_px = scored(px, (1, 4, 2))
    features = random.normal(random.key(1), (1, 3, 1, 4, px.features(2)))
    x = data(px, 3, (1, 4, 2))
    np.testing.assert_allclose(log_px(variables, features[:, :, 0], x[:, 0]), log_px(variables, features, x), rtol=1e-5)


def test_a_head_places_its_density_where_its_features_say():
    features = np.float32([0.2, -0.7, 1.1, 0.3])  # locations, then scales
    x = np.float32([0.25, 0.75])
    scale = np.exp(7 * np.tanh(features[2:] / 7))
    expected = {
        "gaussian('pixel')": scipy.stats.norm(features[:2], scale).logpdf(x),
        "laplace('pixel')": scipy.stats.laplace(features[:2], scale).logpdf(x),
        "student_t(3, 'pixel')": scipy.stats.t(3, features[:2], scale).logpdf(x),
        "beta": scipy.stats.beta(np.exp(7 * np.tanh(features[:2] / 7)), scale).logpdf(x),
    }
    for text, each in expected.items():
        _, log_px = scored(head(text), (2,))
        got = log_px({}, features.reshape(1, 1, 4), x.reshape(1, 2))
        np.testing.assert_allclose(got[0, 0], each.sum(), rtol=1e-5)
    for text in ("gaussian(0.3)", "laplace(0.3)", "student_t(df=4, scale=0.3)", "discretized_logistic(0.3)"):
        density = head(text).apply({}, jnp.zeros((1, 1, 1, 2)))
        np.testing.assert_allclose(jnp.exp(density.log_scale), 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "channels", "features"), [("logistic_mixture(5)", 1, 15), ("logistic_mixture", 3, 100)]
)
def test_a_mixtures_features_are_counted_as_in_the_paper_and_start_spread_over_the_range(text, channels, features):
    px = head(text)
    assert px.features(channels) == features
    density, mean = jax.jit(lambda f: (px.apply({}, f), px.apply({}, f).mean()))(jnp.zeros((1, 1, 2, 2, features)))
    assert density.loc.shape[-2:] == (px.components, channels)
    centres = (np.arange(px.components) + 0.5) / px.components
    np.testing.assert_allclose(density.loc[0, 0, 0, 0, :, 0], centres, rtol=1e-6)
    np.testing.assert_allclose(mean, 0.5, atol=1e-5)


def test_the_optimal_scale_is_the_batchs_root_mean_square_and_its_loss_has_the_same_gradient_as_the_papers():
    px = head("gaussian('optimal')")
    loc, x = np.float32(np.random.default_rng(0).normal(0, 1, (2, 3, *SHAPE))), data(px, 3)[None]
    variables = px.init(random.key(0), loc)
    density, _ = px.apply(variables, loc, x, mutable=["scale"])
    np.testing.assert_allclose(jnp.exp(2 * density.log_scale), np.mean((x - loc) ** 2), rtol=1e-5)
    dimensions = math.prod(SHAPE)

    def loss(loc):
        return -px.apply(variables, loc, x, mutable=["scale"])[0].log_prob(jnp.broadcast_to(x, loc.shape)).mean()

    def papers(loc):
        return dimensions / 2 * (jnp.log(2 * jnp.pi * jnp.mean((x - loc) ** 2)) + 1)

    (value, gradient), (wanted, slope) = (jax.jit(jax.value_and_grad(each))(loc) for each in (loss, papers))
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)


def test_the_stored_scale_alone_is_scored_and_is_the_bias_corrected_average_of_the_batches():
    px = head("gaussian('optimal')")
    loc = jnp.zeros((1, 4, *SHAPE))
    variables = px.init(random.key(0), loc, loc + 3)
    np.testing.assert_array_equal(px.apply(variables, loc).log_scale, np.zeros((1,) * 5))  # untrained, though it saw x
    step = jax.jit(lambda v, x: px.apply(v, loc, x[None], mutable=["scale"])[1])
    squares, memory = [], likelihood.SCALE_DECAY
    for seed in range(3):
        x = (seed + 1) * np.float32(np.random.default_rng(seed).normal(size=(4, *SHAPE)))
        variables = step(variables, x)
        squares.append(np.mean(np.float64(x) ** 2))
        weight = memory ** np.arange(seed, -1, -1)
        stored = px.apply(variables, loc)
        np.testing.assert_allclose(jnp.exp(2 * stored.log_scale), np.average(squares, weights=weight), rtol=1e-5)
    # the update is linear in means over examples: two devices' averages are the whole batch's
    halves = [px.apply(variables, loc[:, :2], x[None, rows], mutable=["scale"])[1] for rows in ([0, 1], [2, 3])]
    averaged = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
    for got, wanted in zip(jax.tree.leaves(averaged), jax.tree.leaves(step(variables, x)), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    # scoring neither reads the batch nor renews anything
    with_x = px.apply(variables, loc, x[None])
    assert not np.allclose(with_x.log_scale, stored.log_scale)
    edited = stored.log_prob(jnp.asarray(x).at[1].set(9.0)[None])
    np.testing.assert_array_equal(np.flatnonzero(edited[0] != stored.log_prob(x[None])[0]), [1])


def test_a_model_in_training_fits_the_scale_that_it_then_scores_with():
    px = head("gaussian('optimal')")
    model, x = make_vae(px=px), data(px, 4, (4, 4, 1))
    variables = init(model, x)
    keys = random.split(random.key(0), (1, 4))
    train = jax.jit(lambda v, keys: model.clone(training=True).apply(v, keys, x, mutable=["scale"]))
    terms, renewed = train(variables, keys)
    np.testing.assert_array_equal(jax.tree.leaves(variables["scale"]), [0, 0])
    mean_square = np.mean((x[None] - np.asarray(terms.px.loc)) ** 2)
    np.testing.assert_allclose(jnp.exp(2 * terms.px.log_scale), mean_square, rtol=1e-5)
    scoring = jax.jit(lambda v, keys: model.apply(v, keys, x))({**variables, **renewed}, random.clone(keys))
    np.testing.assert_allclose(scoring.px.log_scale, terms.px.log_scale, atol=1e-5)
    np.testing.assert_allclose(scoring.log_px, terms.log_px, rtol=1e-4)


def test_data_met_exactly_leave_the_optimal_scale_at_its_floor():
    px = head("gaussian('optimal')")
    loc = jnp.full((1, 2, *SHAPE), 0.5)
    variables = px.init(random.key(0), loc)

    def loss(loc):
        return -px.apply(variables, loc, jnp.full_like(loc, 0.5), mutable=["scale"])[0].log_prob(loc * 0 + 0.5).sum()

    value, gradient = jax.jit(jax.value_and_grad(loss))(loc)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(value, 24 * (0.5 * np.log(2 * np.pi) - 7), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *((f"gaussian({scale!r})", "a positive number, or 'learned' or 'pixel' or 'optimal'") for scale in (0, "wide")),
        ("laplace('optimal')", r"laplace\(scale='optimal'\): scale is a positive number, or 'learned' or 'pixel'"),
        ("student_t(4, True)", r"student_t\(scale=True\): scale is a positive number"),
        ("student_t(1)", r"student_t\(df=1\): df is a number above 1, such as 4"),
        ("discretized_logistic(-1.0)", r"discretized_logistic\(scale=-1.0\): scale is a positive number"),
        ("logistic_mixture(0)", r"components=0: expected a whole number from 1 on"),
    ],
)
def test_a_heads_wrong_argument_is_refused_in_words(text, words):
    with pytest.raises(ValueError, match=f"model.likelihood=.*{words}"):
        head(text)


@pytest.mark.parametrize(
    ("support", "x", "words"),
    [
        (
            "binary",
            [0.0, 0.4],
            r"prepare\(key, images\).*binarizes.*'continuous_bernoulli' .*'discretized_logistic' .*data.prepare='grey'",
        ),
        ("binary", [0, 255], r"Pass uint8 images through prepare\(key, images\) first"),
        ("open", [0.0, 0.5], "dequantizes them, so that none is 0 or 1"),
        ("coded", [0.0, 0.5011], r"or round to a level: numpy.round\(255 \* x\) / 255"),
        ("unit", [0.0, 255.0], r"Pass uint8 images through prepare\(key, images\) first"),
        ("real", [0.0, np.inf], "Replace what is not finite"),
    ],
)
def test_values_outside_the_support_are_refused_with_the_next_move(support, x, words):
    with pytest.raises(ValueError, match=f"x holds values from 0 to .* a density over .*{words}"):
        check_support(support, np.array(x), "x")


@pytest.mark.parametrize("name", TABLES["likelihood"])
@pytest.mark.parametrize("prepared", ["binarize", "grey", "dequantize"])
def test_data_and_likelihood_go_together_or_are_refused_with_likelihoods_that_do(prepared, name):
    fields = {"data__prepare": prepared, "model__likelihood": name}
    given = {"binarize": "binary", "grey": "coded", "dequantize": "open"}[prepared]
    if head(name).traits.support in CONTAINED_IN[given]:
        build(small_config(**fields), (4, 4, 1))
        return
    with pytest.raises(
        ValueError, match=f"model.likelihood='{name}' .*data.prepare='{prepared}' gives .*Either "
    ) as refusal:
        build(small_config(**fields), (4, 4, 1))
    offered = str(refusal.value).rsplit("or choose model.likelihood=")[1]
    fitting = [other for other in TABLES["likelihood"] if f"'{other}'" in offered]
    assert fitting
    assert all(head(other).traits.support in CONTAINED_IN[given] for other in fitting)


def test_grey_pixels_for_a_bernoulli_are_refused_with_the_three_right_ways():
    ways = r"data.prepare='binarize'.*'continuous_bernoulli' \(a density.*'discretized_logistic' \(of 256 levels"
    refused(
        rf"model.likelihood='bernoulli' is a probability of the values 0 and 1 only, .*{ways}", data__prepare="grey"
    )


def test_every_head_declares_what_the_verdicts_ask():
    for name in TABLES["likelihood"]:
        px = head(name)
        assert px.traits.support in SUPPORTS
        assert px.traits.mass == (px.traits.support in ("binary", "coded"))
        assert px.features(3) % 3 == 0 or name == "logistic_mixture"
