"""Densities of z whose coordinates are correlated, mixed or discrete: against scipy, numpy and each other."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax import lax, random

from jaxvae.distributions import LowRankNormal, Mixture, MultivariateNormal, Normal, OneHot, RelaxedOneHot, kl
from jaxvae.distributions.mixture import normal_log_prob_pairs

BATCH, SIZE, CLASSES, COUNT = 2, 3, 4, 4000

score = jax.jit(lambda density, x: density.log_prob(x))
draw = jax.jit(lambda density, keys: density.sample_and_log_prob(keys))
draw_at = jax.jit(lambda density, keys, temperature: density.sample(keys, temperature))
draw_relaxed = jax.jit(lambda density, keys: density.relaxed_sample(keys))
divergence = jax.jit(kl)


def array(value):
    return jnp.asarray(value, jnp.float32)


def normal(seed=0, batch=(1, BATCH), size=SIZE):
    state = np.random.RandomState(seed)
    return Normal(array(state.normal(size=(*batch, size))), array(state.uniform(-1, 0.5, (*batch, size))))


def full(seed=0, batch=(1, BATCH), size=SIZE):
    state = np.random.RandomState(seed)
    below = np.tril(state.normal(size=(*batch, size, size)), -1)
    scale = np.eye(size) * np.exp(state.uniform(-1, 0.5, (*batch, size, 1)))
    return MultivariateNormal(array(state.normal(size=(*batch, size))), array(below + scale))


def low_rank(seed=0, batch=(1, BATCH), size=SIZE, rank=2):
    state = np.random.RandomState(seed)
    loc, log_diagonal = state.normal(size=(*batch, size)), state.uniform(-2, 1, (*batch, size))
    return LowRankNormal(array(loc), array(log_diagonal), array(state.normal(size=(*batch, size, rank))))


def one_hot(seed=0, batch=(1, BATCH), size=SIZE):
    return OneHot(array(np.random.RandomState(seed).normal(0, 1.5, (*batch, size, CLASSES))))


def relaxed(seed=0, **options):
    return RelaxedOneHot(one_hot(seed).logits, **options)


def mixture(of, seed=0, batch=(1, BATCH), size=SIZE):
    components = of(seed, (*batch, CLASSES), size)
    return Mixture(components, array(np.random.RandomState(seed).normal(size=(*batch, CLASSES))))


def shared_mixture(seed=0):
    """A prior's: one for the whole batch."""
    return mixture(normal, seed, (1, 1))


REAL = {
    "full": full,
    "low_rank": low_rank,
    "shared": shared_mixture,
    "mixture": lambda seed=0: mixture(normal, seed),
    "of_full": lambda seed=0: mixture(full, seed, (1, 1)),
}
DISCRETE = {"one_hot": one_hot, "relaxed": relaxed}


def covariance(density):
    """[*batch, D, D], in double precision."""
    if isinstance(density, Normal):
        return np.eye(density.loc.shape[-1]) * np.exp(2 * np.float64(density.log_scale))[..., None]
    if isinstance(density, MultivariateNormal):
        return np.float64(density.scale_tril) @ np.swapaxes(np.float64(density.scale_tril), -1, -2)
    diagonal = np.eye(density.loc.shape[-1]) * np.exp(np.float64(density.log_diagonal))[..., None]
    return diagonal + np.float64(density.factor) @ np.swapaxes(np.float64(density.factor), -1, -2)


def in_scipy(density, x):
    """log p(x [S, B, D]) by scipy, one example and component at a time."""
    weights = np.zeros((1, 1, 1))
    if isinstance(density, Mixture):
        density, weights = density.components, scipy.special.log_softmax(np.float64(density.logits), -1)
    else:
        density = jax.tree.map(lambda leaf: leaf[:, :, None], density)
    loc, spread, each = np.float64(density.loc), covariance(density), []
    for b in range(x.shape[1]):
        k = min(b, loc.shape[1] - 1)
        components = zip(loc[0, k], spread[0, k], weights[0, min(k, len(weights[0]) - 1)], strict=True)
        logs = [w + scipy.stats.multivariate_normal(m, c).logpdf(np.float64(x[:, b])) for m, c, w in components]
        each.append(scipy.special.logsumexp(logs, axis=0))
    return np.stack(each, -1)


def keys(count=COUNT, batch=BATCH, seed=0):
    return random.split(random.key(seed), (count, batch))


@pytest.mark.parametrize("name", REAL)
def test_the_log_density_is_scipys_at_its_own_draws_and_elsewhere(name):
    density = REAL[name]()
    x, log_prob = draw(density, keys())
    expected = in_scipy(density, np.asarray(x))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(score(density, 1.5 - x), in_scipy(density, np.asarray(1.5 - x)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(score(density, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "density",
    [full(3, (1, 1), 2), low_rank(3, (1, 1), 2), mixture(normal, 3, (1, 1), 2), mixture(full, 3, (1, 1), 2)],
    ids=["full", "low_rank", "mixture", "of_full"],
)
def test_the_density_integrates_to_one(density):
    side = np.linspace(-12, 12, 121)
    points = array(np.stack(np.meshgrid(side, side), -1).reshape(-1, 1, 2))
    assert abs(np.exp(np.float64(score(density, points))).sum() * 0.2**2 - 1) < 1e-3


@pytest.mark.parametrize("name", REAL)
def test_draws_have_the_mean_and_the_covariance(name):
    density = REAL[name](1)
    x = np.float64(draw(density, keys())[0])
    if isinstance(density, Mixture):
        weights = scipy.special.softmax(np.float64(density.logits), -1)
        loc, own = np.float64(density.components.loc), covariance(density.components)
        mean = (weights[..., None] * loc).sum(2)
        apart = loc - mean[:, :, None]
        spread = (weights[..., None, None] * (own + apart[..., None] * apart[..., None, :])).sum(2)
    else:
        mean, spread = np.float64(density.loc), covariance(density)
    np.testing.assert_allclose(density.mean(), mean, rtol=1e-5, atol=1e-6)
    centred = x - mean
    error = x.std(0) / np.sqrt(COUNT)
    assert (np.abs(centred.mean(0)) < 5 * error).all()
    products = centred[..., None] * centred[..., None, :]
    assert (np.abs(products.mean(0) - spread[0]) < 5 * products.std(0) / np.sqrt(COUNT)).all()


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_draws_are_one_hot_and_as_frequent_as_the_mean(name):
    density = DISCRETE[name](1)
    x, log_prob = draw(density, keys())
    assert set(np.unique(x)) == {0.0, 1.0}
    np.testing.assert_array_equal(x.sum(-1), np.ones((COUNT, BATCH, SIZE)))
    p = scipy.special.softmax(np.float64(density.logits), -1)
    np.testing.assert_allclose(density.mean(), p, rtol=1e-5)
    assert (np.abs(np.asarray(x).mean(0) - p[0]) < 5 * np.sqrt(p * (1 - p) / COUNT)[0]).all()
    np.testing.assert_allclose(log_prob, (np.asarray(x) * np.log(p)).sum((-2, -1)), rtol=1e-4)


@pytest.mark.parametrize("name", DISCRETE)
def test_the_probabilities_of_all_outcomes_sum_to_one(name):
    outcomes = np.array(list(itertools.product(np.eye(CLASSES), repeat=SIZE)))
    density = DISCRETE[name](2)
    probabilities = np.exp(score(density, array(np.broadcast_to(outcomes[:, None], (64, BATCH, SIZE, CLASSES)))))
    np.testing.assert_allclose(probabilities.sum(0), [1, 1], rtol=1e-5)


PAIRS = {  # p is wider than q, so that the log ratio varies little
    "full, normal": (full(1), Normal(normal(2).loc, normal(2).log_scale + 1.5)),
    "full, full": (full(1), MultivariateNormal(full(2).loc, 6 * full(2).scale_tril)),
    "low_rank, normal": (low_rank(1), Normal(normal(2).loc, normal(2).log_scale + 1.5)),
    "one_hot, one_hot": (one_hot(1), one_hot(2)),
    "relaxed, one_hot": (relaxed(1), one_hot(2)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_kl_is_the_mean_log_ratio_within_five_standard_errors(pair):
    q, p = PAIRS[pair]
    z, log_q = draw(q, keys(seed=1))
    ratio = np.float64(log_q - score(p, z))
    error = ratio.std(0, ddof=1) / np.sqrt(COUNT)
    assert error.max() < 0.1
    assert (np.abs(ratio.mean(0) - divergence(q, p)[0]) < 5 * error).all()


def test_kl_depends_on_the_covariance_alone_and_not_on_how_it_is_written():
    q, p = low_rank(1), normal(2)
    q_full = MultivariateNormal(q.loc, array(np.linalg.cholesky(covariance(q))))
    p_full = MultivariateNormal(p.loc, array(np.linalg.cholesky(covariance(p))))
    for other in (divergence(q_full, p), divergence(q_full, p_full)):
        np.testing.assert_allclose(other, divergence(q, p), rtol=1e-4)
    diagonal = normal(1)
    as_full = MultivariateNormal(diagonal.loc, array(np.sqrt(covariance(diagonal))))
    np.testing.assert_allclose(divergence(as_full, p), kl(diagonal, p), rtol=1e-4)
    np.testing.assert_allclose(divergence(relaxed(1), one_hot(2)), divergence(one_hot(1), one_hot(2)), rtol=1e-6)


def test_kl_of_a_density_to_itself_is_zero():
    np.testing.assert_allclose(divergence(full(1), full(1)), np.zeros((1, BATCH)), atol=1e-6)
    np.testing.assert_allclose(divergence(one_hot(1), one_hot(1)), np.zeros((1, BATCH)), atol=1e-6)


@pytest.mark.parametrize("name", ["full", "low_rank", "shared", "one_hot"])
def test_an_example_alone_and_without_the_sample_axis_is_drawn_and_scored_the_same(name):
    density = (REAL | DISCRETE)[name]()
    x, log_prob = draw(density, keys())
    alone, log_alone = draw(jax.tree.map(lambda leaf: leaf[0, -1:], density), keys()[5, -1:])
    np.testing.assert_allclose(alone, x[5, -1:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_alone, log_prob[5, -1:], rtol=1e-4, atol=1e-5)


def test_a_scalar_key_draws_every_example_of_a_mixture_on_its_own_even_where_they_share_the_weights():
    density = Mixture(REAL["mixture"]().components, jnp.zeros((1, 1, CLASSES)))
    x = np.asarray(draw_at(density, random.key(0), 1.0))
    assert x.shape == (1, BATCH, SIZE)
    standard = (x[:, :, None] - density.components.loc) / density.components.scale()
    assert len(np.unique(np.round(standard, 4))) == standard.size


def test_temperature_scales_the_spread_of_a_gaussian():
    for density in (full(), low_rank()):
        (plain, _), cold = draw(density, keys()), draw_at(density, keys(), 0.5)
        np.testing.assert_allclose(cold - density.loc, 0.5 * (plain - density.loc), rtol=1e-4, atol=1e-6)


def test_at_temperature_zero_a_mixture_draws_its_components_and_gives_their_means():
    density = shared_mixture()
    distance = np.abs(
        np.asarray(draw_at(density, keys(), 0.0))[:, :, None] - np.asarray(density.components.loc[0])
    ).max(-1)
    np.testing.assert_array_equal(distance.min(-1), np.zeros((COUNT, BATCH)))
    assert len(np.unique(distance.argmin(-1))) == CLASSES


def test_temperature_sharpens_classes():
    """At t, class k is drawn with a probability proportional to p_k^(1/t); at 0, the likeliest."""
    density = one_hot()
    p = scipy.special.softmax(np.float64(density.logits) / 0.5, -1)
    x = np.asarray(draw_at(density, keys(), 0.5))
    assert (np.abs(x.mean(0) - p[0]) < 5 * np.sqrt(p * (1 - p) / COUNT)[0]).all()
    mode = np.eye(CLASSES)[np.argmax(density.logits, -1)]
    np.testing.assert_array_equal(draw_at(density, keys(), 0.0), np.broadcast_to(mode, x.shape))


def test_components_have_the_gradient_of_double_precision_even_where_they_are_narrow():
    """Scales down to e^-5, and an offset of a hundred shared by all."""
    state = np.random.RandomState(0)
    loc, log_scale = 100 + state.normal(size=(6, SIZE)), state.uniform(-5, -2, (6, SIZE))
    x = loc[state.randint(0, 6, 9)] + 0.01 * state.normal(size=(9, SIZE))
    weight = state.uniform(size=(9, 6)) * (np.abs(x[:, None] - loc).max(-1) < 0.5)  # as a mixture weighs: the near ones
    args = array(x), array(loc), array(log_scale)
    got = jax.jit(jax.grad(lambda *args: (normal_log_prob_pairs(*args) * array(weight)).sum(), (0, 1, 2)))(*args)
    x, loc, log_scale = (np.float64(each) for each in args)
    ratio = (x[:, None] - loc) / np.exp(log_scale)
    pull = weight[..., None] * ratio / np.exp(log_scale)
    widen = (weight[..., None] * (ratio**2 - 1)).sum(0)
    for one, other in zip(got, (-pull.sum(1), pull.sum(0), widen), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())


@pytest.mark.parametrize("straight_through", [False, True])
def test_a_relaxed_draw_goes_to_the_hard_one_as_its_temperature_goes_to_zero(straight_through):
    hard, _ = draw(one_hot(), keys())
    cold = draw_relaxed(relaxed(temperature=1e-3, straight_through=straight_through), keys())
    assert (np.abs(cold - hard).max((-2, -1)) > 0.01).mean() < 0.02  # all but near ties
    warm = draw_relaxed(relaxed(temperature=1.0, straight_through=straight_through), keys())
    np.testing.assert_allclose(warm.sum(-1), np.ones((COUNT, BATCH, SIZE)), rtol=1e-5)
    assert (np.abs(warm - hard).max((-2, -1)) > 0.01).mean() == (0 if straight_through else 1)


def test_a_relaxed_draw_is_the_softmax_of_noisy_logits():
    """Two classes: softmax is a sigmoid, the noise a logistic; its quantiles are the draw's (arXiv 1611.00712)."""
    density = RelaxedOneHot(array([[[[0.3, -0.4]]]]), temperature=0.7)
    x = np.asarray(draw_relaxed(density, keys(COUNT, 1)))[..., 0].ravel()
    noise = 0.7 * scipy.special.logit(np.clip(np.float64(x), 1e-7, 1 - 1e-7)) - 0.7
    assert scipy.stats.kstest(noise, "logistic").pvalue > 1e-4


def test_straight_through_is_exactly_one_hot_in_value_and_soft_in_gradient():
    weight = array(np.random.RandomState(0).normal(size=(7, BATCH, SIZE, CLASSES)))

    @jax.jit
    def value_and_gradient(density, keys):
        def total(density):
            draws = density.relaxed_sample(keys)
            return (draws * weight).sum(), draws

        gradient, draws = jax.grad(total, has_aux=True)(density)
        return draws, gradient.logits

    hard, through = value_and_gradient(relaxed(temperature=0.6, straight_through=True), keys(7))
    soft, gradient = value_and_gradient(relaxed(temperature=0.6), keys(7))
    assert set(np.unique(hard)) == {0.0, 1.0}
    np.testing.assert_array_equal(hard.argmax(-1), soft.argmax(-1))
    assert not np.isin(soft, (0, 1)).any()
    assert (np.abs(gradient) > 1e-3).any()
    np.testing.assert_allclose(through, gradient, rtol=1e-6)


def extremes():
    """Log-scales of -30 and 30, means of 1e4, logits of 1e4."""
    state, signs = np.random.RandomState(0), np.array([[[-30.0, 30.0, 0.0], [30.0, -30.0, -30.0]]])
    loc, scale = 1e4 * state.normal(size=(1, BATCH, SIZE)), np.exp(signs)[..., None]
    unit = np.eye(SIZE) + np.tril(state.normal(size=(1, BATCH, SIZE, SIZE)), -1)
    logits = array(1e4 * state.normal(size=(1, BATCH, SIZE, CLASSES)))
    same = np.broadcast_to(signs[:, None, :1], (1, 1, 2, SIZE))
    return {
        "full": MultivariateNormal(array(loc), array(unit * scale)),
        "low_rank": LowRankNormal(array(loc), 2 * array(signs), array(unit[..., :2] * scale)),
        "mixture": Mixture(Normal(array(loc[:, None]), array(same)), array([[[1e4, -1e4]]])),
        "relaxed": RelaxedOneHot(logits, 0.1),
    }


@pytest.mark.parametrize("name", extremes())
def test_values_and_gradients_are_finite_at_extreme_parameters(name):
    density = extremes()[name]
    p = one_hot(5) if name in DISCRETE else normal(5)

    def values(density, keys):
        z, log_q = density.sample_and_log_prob(keys[:2])
        soft = density.relaxed_sample(keys[2:]) if name == "relaxed" else z
        return z, log_q, density.log_prob(lax.stop_gradient(z)), soft, 0.0 if name == "mixture" else kl(density, p)

    def total(density, keys):
        found = values(density, keys)
        return sum(jnp.sum(value) for value in found), found

    for leaf in jax.tree.leaves(jax.jit(jax.value_and_grad(total, has_aux=True))(density, keys(4))):
        assert np.isfinite(leaf).all()
