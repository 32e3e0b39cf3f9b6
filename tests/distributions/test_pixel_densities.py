"""Densities of pixels against scipy and distrax, and by their laws: each integrates, or sums, to 1."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from jax import random

from jaxvae.distributions import (
    Beta,
    CategoricalLevels,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Laplace,
    LogisticMixture,
    StudentT,
)

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # as in test_distributions.py
    import distrax

COUNT = 20_000
LEVELS = np.arange(256) / 255
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)
LOGITS = np.float32([0, 1e-6, -1e-6, 4e-7, 1e-3, -0.3, 0.999, 1.001, -5, 30, 90, 200, -200])


def log_prob_each(density, x):
    """log p of each coordinate of x [N, event], jitted."""
    return np.float64(jax.jit(type(density).log_prob_each)(density, jnp.asarray(x, jnp.float32)))


def pair(one, other):
    return jnp.asarray(one, jnp.float32)[None], jnp.asarray(other, jnp.float32)[None]


def continuous_bernoulli(x, logit):
    """log p(x) in float64, by the paper's formula in lambda, or by its limit."""
    logit = np.float64(logit)
    if abs(logit) < 1e-4:
        return np.log1p(logit * (x - 0.5))
    if abs(logit) > 20:
        return x * logit - max(logit, 0) + np.log(abs(logit))
    lam = scipy.special.expit(logit)
    normalizer = np.log(2 * np.arctanh(1 - 2 * lam) / (1 - 2 * lam))
    return x * np.log(lam) + (1 - x) * np.log1p(-lam) + normalizer


def its_mean(logit):
    """By integration of the density in float64."""
    x = (NODES + 1) / 2
    return (WEIGHTS / 2 * x * np.exp(continuous_bernoulli(x, logit))).sum()


def cell(level, loc, log_scale):
    """log P(level) in float64, from the logistic's distribution function or, above the centre, its survival."""
    scale = np.exp(np.float64(log_scale))
    lower = np.where(level > 0, (level - 0.5) / 255, -np.inf)
    upper = np.where(level < 255, (level + 0.5) / 255, np.inf)
    logistic = scipy.stats.logistic(np.float64(loc), scale)
    return np.log(np.maximum(logistic.cdf(upper) - logistic.cdf(lower), logistic.sf(lower) - logistic.sf(upper)))


def fits(observed, probability):
    """Whether counts are as likely as they must be, outcomes that are rarely expected taken together."""
    likely = probability > 10 / COUNT
    counts = np.append(observed[likely], observed[~likely].sum())
    expected = np.append(probability[likely], max(1 - probability[likely].sum(), 1e-9)) * COUNT
    return scipy.stats.chisquare(counts, expected * (COUNT / expected.sum())).pvalue > 1e-4


def mixture(channels, components=3, pixels=(1,), spread=0.3, seed=0):
    """A mixture of discretized logistics over [1, *pixels, channels]."""
    state = np.random.RandomState(seed)
    shape = (1, *pixels, components)
    leaves = (
        state.normal(0, 1, shape),
        state.uniform(0.5 - spread, 0.5 + spread, (*shape, channels)),
        state.uniform(-4, -3, (*shape, channels)),
        state.uniform(-0.9, 0.9, (*shape, channels * (channels - 1) // 2)),
    )
    return LogisticMixture(*(jnp.asarray(leaf, jnp.float32) for leaf in leaves), event=1 + len(pixels))


def test_log_prob_of_a_laplace_and_a_t_are_scipys():
    state = np.random.RandomState(0)
    x, loc, log_scale = np.float32(state.normal(0, 3, (3, 8, 5)))
    scale = np.exp(np.float64(log_scale))
    got = log_prob_each(Laplace(jnp.asarray(loc), jnp.asarray(log_scale)), x)
    np.testing.assert_allclose(got, scipy.stats.laplace(loc, scale).logpdf(x), rtol=1e-5, atol=1e-5)
    for df in (1.5, 4.0, 1e6):
        got = log_prob_each(StudentT(jnp.asarray(loc), jnp.asarray(log_scale), df=df), x)
        oracle = scipy.stats.t(df, loc, scale).logpdf(x)
        np.testing.assert_allclose(got, oracle, rtol=3e-5, atol=2e-5)


def test_log_prob_of_a_beta_is_scipys_from_the_flattest_to_the_sharpest():
    state = np.random.RandomState(0)
    logs = np.float32(state.uniform(-7, 7, (2, 20, 100)))
    oracle = scipy.stats.beta(*np.exp(np.float64(logs)))
    x = np.clip(np.float32(oracle.rvs(random_state=1)), 1e-30, 1 - 2**-24)
    got = log_prob_each(Beta(*map(jnp.asarray, logs)), x)
    np.testing.assert_allclose(got, oracle.logpdf(np.float64(x)), rtol=1e-6, atol=2e-4)
    assert np.abs(got - oracle.logpdf(np.float64(x))).mean() < 5e-6
    np.testing.assert_allclose(Beta(*map(jnp.asarray, logs)).mean(), oracle.mean(), rtol=1e-5)


def test_a_betas_gradient_is_its_statistics_less_their_means():
    logs, x = np.float32([[-1.0, 0.0, 2.0, 6.9], [0.5, 0.0, 3.0, 6.9]]), np.float32([0.1, 0.7, 0.25, 0.5])
    got = jax.jit(jax.grad(lambda logs: Beta(logs[0], logs[1]).log_prob(x)))(logs)
    each = np.exp(np.float64(logs))
    statistics = np.log([np.float64(x), 1 - np.float64(x)])
    means = scipy.special.digamma(each) - scipy.special.digamma(each.sum(0))
    np.testing.assert_allclose(got, each * (statistics - means), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_the_continuous_bernoulli_is_exact_in_value_and_gradient_at_every_logit(x):
    at = jnp.full(LOGITS.shape, x)
    each = log_prob_each(ContinuousBernoulli(jnp.asarray(LOGITS)), at)
    np.testing.assert_allclose(
        each, [continuous_bernoulli(np.float32(x), logit) for logit in LOGITS], rtol=2e-6, atol=2e-7
    )
    gradient = jax.jit(jax.grad(lambda logits: ContinuousBernoulli(logits).log_prob(at)))(LOGITS)
    np.testing.assert_allclose(gradient, [np.float32(x) - its_mean(logit) for logit in LOGITS], atol=3e-7)


def test_the_continuous_bernoulli_keeps_its_mean_and_curvature_near_one_half():
    density = ContinuousBernoulli(jnp.asarray(LOGITS))
    np.testing.assert_allclose(density.mean(), [its_mean(logit) for logit in LOGITS], rtol=1e-6)
    slope = jax.jit(jax.grad(lambda logits: ContinuousBernoulli(logits).mean().sum()))(LOGITS)
    step = 1e-3
    expected = [(its_mean(logit + step) - its_mean(logit - step)) / (2 * step) for logit in np.float64(LOGITS)]
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-7)
    lam = 0.5 + np.array([-1e-7, 0, 1e-7])  # as a user would ask: lambda next to 1/2
    near = jnp.asarray(np.log(lam) - np.log1p(-lam), jnp.float32)
    np.testing.assert_allclose(log_prob_each(ContinuousBernoulli(near), np.full(3, 0.9)), np.zeros(3), atol=3e-7)
    np.testing.assert_allclose(ContinuousBernoulli(near).mean(), lam, atol=1e-7)


@pytest.mark.parametrize(
    "density",
    [
        ContinuousBernoulli(jnp.asarray([0.0, 1e-3, -7.0, 60.0])),
        Beta(jnp.asarray([0.0, 1.5, 4.0, 6.9]), jnp.asarray([0.0, 0.7, 2.0, 6.9])),
        Laplace(jnp.asarray([0.5, -3.0]), jnp.asarray([-7.0, 2.0])),
        StudentT(jnp.asarray([0.5, -3.0]), jnp.asarray([-7.0, 2.0]), df=3.0),
    ],
    ids=lambda density: type(density).__name__,
)
def test_a_density_integrates_to_one(density):
    if isinstance(density, ContinuousBernoulli | Beta):
        x, length = (np.arange(20_000) + 0.5) / 20_000, 1 / 20_000
    else:  # a grid that is finer where the density is higher
        t = np.linspace(-16, 16, 20_001)
        x = np.asarray(density.loc) + np.exp(np.asarray(density.log_scale)) * np.sinh(t)[:, None]
        length = np.gradient(x, axis=0)
    x = np.broadcast_to(x.reshape(len(x), -1), (len(x), density.mean().size))
    each = log_prob_each(jax.tree.map(lambda leaf: leaf[None], density), x)
    np.testing.assert_allclose((np.exp(each) * length).sum(0), np.ones(x.shape[1]), rtol=3e-4)


def test_the_levels_of_a_discretized_logistic_are_scipys_and_sum_to_one():
    loc, log_scale = np.float32([[0.3, 0.0, 1.0, -0.4, 0.997, 1.2], [-2.0, -3.0, -4.0, -2.0, -5.0, -3.0]])
    each = log_prob_each(DiscretizedLogistic(loc[None], log_scale[None]), np.broadcast_to(LEVELS[:, None], (256, 6)))
    expected = cell(np.arange(256)[:, None], loc, log_scale)
    common = expected > -25  # below it, float64 itself has lost the difference
    np.testing.assert_allclose(each[common], expected[common], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(np.exp(each).sum(0), np.ones(6), rtol=1e-5)


def test_the_levels_sum_to_one_and_stay_finite_at_extreme_scales_and_places():
    loc, log_scale = (
        a.ravel() for a in np.meshgrid(np.float32([-200, 0, 0.5, 0.301, 1, 201]), [-30, -9, -7, 0, 7, 30])
    )
    density = DiscretizedLogistic(*pair(loc, log_scale))
    x = np.broadcast_to(LEVELS[:, None], (256, len(loc)))
    each = log_prob_each(density, x)
    assert np.isfinite(each).all()
    np.testing.assert_allclose(np.exp(each).sum(0), np.ones(len(loc)), rtol=2e-5)
    np.testing.assert_allclose(density.mean()[0], (np.exp(each) * LEVELS[:, None]).sum(0), rtol=2e-5, atol=1e-6)
    # far out, where a bin's probability underflows, the logarithm still falls by the distance in scales
    far = log_prob_each(DiscretizedLogistic(*pair([0.2], [-7.0])), [[200 / 255], [201 / 255]])
    np.testing.assert_allclose(far[0] - far[1], np.exp(7) / 255, rtol=1e-4)


def test_the_edges_take_the_tails():
    loc, log_scale = np.float32([0.01, 0.99]), np.float32([-3.0, -3.0])
    each = log_prob_each(DiscretizedLogistic(*pair(loc, log_scale)), [[0, 0], [1, 1]])
    logistic = scipy.stats.logistic(loc, np.exp(log_scale))
    np.testing.assert_allclose(each, [logistic.logcdf(0.5 / 255), logistic.logsf(254.5 / 255)], rtol=1e-5)


def test_a_discretized_logistic_is_distraxs_quantized_logistic():
    loc, scale = np.float32([40.3, 128.0, 200.0]), np.float32([7.0, 20.0, 4.0])  # in levels
    levels = jnp.asarray([[30.0, 128.0, 255.0], [0.0, 90.0, 201.0]])
    with jax.numpy_rank_promotion("allow"):  # distrax rounds up: its cell of k is (k - 1, k], half a level lower
        expected = distrax.Quantized(distrax.Logistic(loc - 0.5, scale), 0.0, 255.0).log_prob(levels)
    got = log_prob_each(DiscretizedLogistic(*pair(loc / 255, np.log(scale / 255))), levels / 255)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_a_mixture_of_one_channel_is_the_weighted_sum_of_its_components():
    density = mixture(1)
    x = np.float32(LEVELS)[:, None, None]
    got = jax.jit(LogisticMixture.log_prob)(density, x)
    weight = scipy.special.softmax(np.float64(density.logits[0, 0]))
    each = cell(np.arange(256)[:, None], density.loc[0, 0, :, 0], density.log_scale[0, 0, :, 0])
    np.testing.assert_allclose(np.exp(np.float64(got)), np.exp(each) @ weight, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(density.mean()[0, 0, 0], np.exp(each).T @ LEVELS @ weight, rtol=1e-5)


def test_a_mixture_of_two_channels_sums_to_one_and_its_draws_have_its_frequencies():
    density = mixture(2)
    first, second = np.meshgrid(LEVELS, LEVELS, indexing="ij")
    x = jnp.asarray(np.stack([first, second], -1).reshape(-1, 1, 2), jnp.float32)
    mass = np.exp(np.float64(jax.jit(LogisticMixture.log_prob)(density, x))).reshape(256, 256)
    np.testing.assert_allclose(mass.sum(), 1, rtol=1e-5)
    drawn = np.asarray(jax.jit(LogisticMixture.sample)(density, random.split(random.key(0), COUNT)))
    blocks = mass.reshape(8, 32, 8, 32).sum((1, 3)).ravel()
    index = np.int32(np.round(255 * drawn[:, 0])) // 32
    assert fits(np.bincount(index[:, 0] * 8 + index[:, 1], minlength=64), blocks)
    np.testing.assert_allclose(density.mean()[0, 0], [(mass * first).sum(), (mass * second).sum()], atol=2e-3)
    # channels do depend on each other, and as the coefficient says
    assert abs(np.corrcoef(drawn[:, 0].T)[0, 1]) > 0.1


def test_a_mixture_of_three_channels_is_the_chain_of_its_conditionals():
    """By hand, from the definition in the docstring, for one component."""
    density = mixture(3, components=1, pixels=(2, 2))
    x = np.float32(np.random.RandomState(1).randint(60, 196, (4, 2, 2, 3)) / 255)
    a, b, c = (np.float64(density.coefficients[..., 0, i]) for i in range(3))
    loc, total = np.float64(density.loc[..., 0, :]), 0
    located = [
        loc[..., 0],
        loc[..., 1] + a * (x[..., 0] - 0.5),
        loc[..., 2] + b * (x[..., 0] - 0.5) + c * (x[..., 1] - 0.5),
    ]
    for i in range(3):
        total += cell(np.round(255 * x[..., i]), located[i], density.log_scale[..., 0, i])
    got = jax.jit(LogisticMixture.log_prob)(density, x)
    np.testing.assert_allclose(got, total.sum((1, 2)), rtol=1e-4)


def test_a_categorical_is_scipys_softmax_of_its_logits():
    logits = np.float32(np.random.RandomState(0).normal(0, 5, (1, 2, 256)))
    density, x = CategoricalLevels(jnp.asarray(logits)), np.repeat(np.float32(LEVELS)[:, None], 2, 1)
    expected = scipy.special.log_softmax(np.float64(logits[0]), -1).T
    np.testing.assert_allclose(log_prob_each(density, x), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(density.mean()[0], np.exp(expected).T @ LEVELS, rtol=1e-5)
    drawn = np.int32(np.round(255 * np.asarray(density.sample(random.split(random.key(0), (COUNT,))))))
    for i in range(2):
        assert fits(np.bincount(drawn[:, i], minlength=256), np.exp(expected[:, i]))


def test_a_categorical_never_draws_what_has_no_probability():
    logits = jnp.full((1, 3, 256), -200.0).at[0, [0, 1, 2], [0, 100, 255]].set(0.0)
    drawn = CategoricalLevels(logits).sample(random.split(random.key(0), (200,)))
    np.testing.assert_allclose(drawn, np.broadcast_to([0, 100 / 255, 1], (200, 3)), rtol=1e-6)


BETA = np.float32([[0.0, 2.0, -1.0, 5.0], [1.0, -0.5, -1.0, 6.0]])
SAMPLED = [
    (ContinuousBernoulli(jnp.asarray([[0.0, 1e-6, -3.0, 40.0]])), None),
    (Laplace(*pair([0.0, 3.0], [-2.0, 1.0])), scipy.stats.laplace([0.0, 3.0], np.exp([-2.0, 1.0]))),
    (StudentT(*pair([0.0, 3.0], [-2.0, 1.0]), df=5.0), scipy.stats.t(5, [0.0, 3.0], np.exp([-2.0, 1.0]))),
    (Beta(*pair(*BETA)), scipy.stats.beta(*np.exp(BETA))),
]


@pytest.mark.parametrize(("density", "oracle"), SAMPLED, ids=[type(density).__name__ for density, _ in SAMPLED])
def test_draws_follow_their_density(density, oracle):
    x = np.float64(jax.jit(type(density).sample)(density, random.split(random.key(0), (COUNT,))))
    mean = np.asarray(density.mean())[0]
    assert (np.abs(x.mean(0) - mean) < 5 * x.std(0) / np.sqrt(COUNT)).all()
    for i in range(x.shape[1]):

        def cdf(x, i=i):
            logit = np.asarray(density.logits)[0, i]
            return x if abs(logit) < 1e-4 else np.expm1(np.float64(logit) * x) / np.expm1(np.float64(logit))

        def column(x, i=i):
            return oracle.cdf(x[:, None])[:, i]

        assert scipy.stats.kstest(x[:, i], column if oracle else cdf).pvalue > 1e-4


def test_draws_of_a_discretized_logistic_are_levels_as_often_as_it_says():
    loc, log_scale = np.float32([0.02, 0.5, 0.98]), np.float32([-4.0, -1.0, -3.0])
    density = DiscretizedLogistic(*pair(loc, log_scale))
    x = np.asarray(density.sample(random.split(random.key(0), (COUNT,))))
    level = np.round(255 * x)
    np.testing.assert_allclose(x, level / 255, rtol=1e-6)
    p = np.exp(cell(np.arange(256)[:, None], loc, log_scale))
    for i in range(3):
        assert fits(np.bincount(np.int32(level[:, i]), minlength=256), p[:, i])


def test_draws_stay_inside_their_support_at_extreme_parameters():
    keys = random.split(random.key(0), (2, 500))
    far = jnp.asarray([[-7.0, -7.0, 7.0, 7.0]]), jnp.asarray([[-7.0, 7.0, -7.0, 7.0]])
    beta = np.asarray(jax.jit(Beta.sample)(Beta(*far), random.split(random.key(1), (COUNT,))))
    assert ((beta > 0) & (beta < 1)).all()
    assert np.isfinite(log_prob_each(Beta(*far), beta)).all()
    far = ContinuousBernoulli(jnp.asarray([[200.0, -200.0, 1e4, -1e4, 0.0, 1e-30]]))
    coin = np.asarray(jax.jit(ContinuousBernoulli.sample)(far, keys[0]))
    assert ((coin >= 0) & (coin <= 1)).all()
    np.testing.assert_allclose(coin[:, 4:].mean(0), [0.5, 0.5], atol=5 / np.sqrt(12 * 500))
    wide = np.asarray(
        jax.jit(DiscretizedLogistic.sample)(DiscretizedLogistic(*pair([0.5, -200.0], [7.0, -7.0])), keys[1])
    )
    assert set(np.unique(wide)) <= set(np.float32(LEVELS))


@pytest.mark.parametrize("density", [SAMPLED[-1][0], mixture(2)], ids=lambda d: type(d).__name__)
def test_a_draw_depends_on_its_own_key_alone_and_a_scalar_key_gives_one_of_each(density):
    draw = jax.jit(type(density).sample_and_log_prob)
    keys = random.split(random.key(0), (7, 1))
    other_way = random.wrap_key_data(random.key_data(random.clone(keys))[::-1])
    shape = density.mean().shape[1:]
    full = jax.tree.map(lambda leaf: leaf[None], density)
    x, log_prob = draw(full, keys)
    assert x.shape == (7, 1, *shape)
    assert len(np.unique(np.asarray(x).reshape(7, -1), axis=0)) == 7
    np.testing.assert_array_equal(draw(full, other_way)[0], x[::-1])
    np.testing.assert_allclose(log_prob, jax.jit(type(density).log_prob)(full, x), rtol=1e-5)
    assert jax.eval_shape(draw, full, random.key(1))[0].shape == (1, 1, *shape)
