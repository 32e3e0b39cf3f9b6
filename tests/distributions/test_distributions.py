import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax import random

from jaxvae.distributions import Bernoulli, Normal, draw_each, has_kl, kl, kl_each

with warnings.catch_warnings(
    action="ignore", category=DeprecationWarning
):  # TFP, which distrax imports, reads old names of jax
    import distrax

SHAPE = (3, 4, 5)  # [S, B, Z]
EXTREMES = [-1e4, -100.0, -90.0, 0.0, 90.0, 100.0, 1e4]


def normals(seed=0, shape=SHAPE, spread=1.0):
    random_state = np.random.RandomState(seed)
    loc, log_scale = random_state.normal(0, spread, shape), random_state.uniform(-2, 1, shape)
    return Normal(jnp.asarray(loc, jnp.float32), jnp.asarray(log_scale, jnp.float32))


def coins(seed=0, shape=SHAPE):
    return Bernoulli(jnp.asarray(np.random.RandomState(seed).normal(0, 3, shape), jnp.float32))


def in_distrax(density):
    if isinstance(density, Normal):
        inner = distrax.Normal(density.loc, jnp.exp(density.log_scale))
    else:
        inner = distrax.Bernoulli(logits=density.logits)
    return distrax.Independent(inner, density.event)


def eager(function):
    return function


def on_the_last_device(function):
    def run(*args):
        with jax.default_device(jax.devices()[-1]):
            return function(*jax.device_put(args, jax.devices()[-1]))

    return run


def over_devices(function):
    """The function on each of two devices, as pmap runs it; the second device's answer."""

    def run(*args):
        return jax.tree.map(lambda a: a[1], jax.pmap(function)(*jax.tree.map(lambda a: jnp.stack([a, a]), args)))

    return run


@pytest.fixture(params=[eager, jax.jit, on_the_last_device, over_devices], ids=["eager", "jit", "device", "pmap"])
def variant(request):
    return request.param


def test_normal_log_prob_is_scipys(variant):
    density, x = normals(), normals(1).loc
    expected = scipy.stats.norm(np.float64(density.loc), np.exp(np.float64(density.log_scale))).logpdf(x)
    np.testing.assert_allclose(variant(Normal.log_prob_each)(density, x), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(variant(Normal.log_prob)(density, x), expected.sum(-1), rtol=1e-5, atol=1e-5)


def test_bernoulli_log_prob_is_scipys(variant):
    density, x = coins(), jnp.asarray(np.random.RandomState(1).randint(0, 2, SHAPE), jnp.float32)
    expected = scipy.stats.bernoulli(scipy.special.expit(np.float64(density.logits))).logpmf(np.int64(x))
    np.testing.assert_allclose(variant(Bernoulli.log_prob_each)(density, x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variant(Bernoulli.log_prob)(density, x), expected.sum(-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("density", "x"), [(normals(), normals(1).loc), (coins(), jnp.round(jax.nn.sigmoid(normals(1).loc)))]
)
def test_log_prob_and_its_gradient_are_distraxs(density, x):
    def total(density, x):
        return density.log_prob(x).sum()

    def total_in_distrax(density, x):
        return in_distrax(density).log_prob(x).sum()

    with jax.numpy_rank_promotion("allow"):
        expected, gradient = in_distrax(density).log_prob(x), jax.grad(total_in_distrax)(density, x)
    np.testing.assert_allclose(density.log_prob(x), expected, rtol=1e-5, atol=1e-5)
    for got, wanted in zip(jax.tree.leaves(jax.grad(total)(density, x)), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("x", [0.0, 1.0])
@pytest.mark.parametrize("logit", EXTREMES)
def test_bernoulli_is_exact_and_its_gradient_finite_at_extreme_logits(logit, x, variant):
    def log_prob(logits):
        return Bernoulli(logits).log_prob(jnp.full((1,), x))

    value, gradient = variant(jax.value_and_grad(log_prob))(jnp.full((1,), logit))
    np.testing.assert_allclose(value, scipy.special.log_expit(logit if x else -logit), rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(gradient[0], x - scipy.special.expit(logit), atol=1e-6)


@pytest.mark.parametrize("a", EXTREMES)
@pytest.mark.parametrize("b", EXTREMES)
def test_bernoulli_kl_is_finite_at_extreme_logits(a, b):
    value, gradient = jax.value_and_grad(lambda pair: kl(Bernoulli(pair[:1]), Bernoulli(pair[1:])))(jnp.array([a, b]))
    q, on, off = scipy.special.expit(a), scipy.special.log_expit([a, b]), scipy.special.log_expit([-a, -b])
    np.testing.assert_allclose(
        value, q * (on[0] - on[1]) + (1 - q) * (off[0] - off[1]), rtol=1e-5, atol=1e-7 * max(abs(a), abs(b))
    )
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("log_scale", [-7.0, 7.0])
def test_normal_is_finite_where_the_posterior_bounds_its_scale(log_scale):
    def log_prob(loc, log_scale):
        return Normal(loc, log_scale).log_prob(jnp.full((1,), 30.0))

    value, gradients = jax.value_and_grad(log_prob, (0, 1))(jnp.zeros(1), jnp.full((1,), log_scale))
    np.testing.assert_allclose(value, scipy.stats.norm(0, np.exp(log_scale)).logpdf(30), rtol=1e-5)
    assert np.isfinite(gradients).all()


@pytest.mark.parametrize("density", [normals(), coins()])
def test_log_prob_sums_the_coordinates_of_its_event(density):
    x = density.mean()
    for event in (1, 2, 3):
        wider = type(density)(*jax.tree.leaves(density), event=event)
        expected = wider.log_prob_each(x).sum(tuple(range(3 - event, 3)))
        np.testing.assert_allclose(wider.log_prob(x), expected, rtol=1e-6)
        assert wider.log_prob(x).shape == SHAPE[: 3 - event]


@pytest.mark.parametrize(("q", "p"), [(normals(), normals(1)), (coins(), coins(1))])
def test_kl_is_distraxs(q, p, variant):
    with jax.numpy_rank_promotion("allow"):
        expected = in_distrax(q).kl_divergence(in_distrax(p))
    np.testing.assert_allclose(variant(kl)(q, p), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variant(kl_each)(q, p).sum(-1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("q", "p"), [(normals(2, (1, 4, 2)), normals(3, (1, 4, 2))), (coins(2, (1, 4, 2)), coins(3, (1, 4, 2)))]
)
def test_kl_is_the_mean_log_ratio_within_five_standard_errors(q, p):
    count = 20_000
    z = q.sample(random.split(random.key(0), (count, 4)))
    ratio = np.float64(q.log_prob(z) - p.log_prob(z))
    error = ratio.std(0, ddof=1) / np.sqrt(count)
    assert (np.abs(ratio.mean(0) - kl(q, p)[0]) < 5 * error).all()


@pytest.mark.parametrize("density", [normals(), coins()])
def test_kl_of_a_density_to_itself_is_zero(density):
    np.testing.assert_array_equal(kl(density, density), np.zeros(SHAPE[:2]))


@pytest.mark.parametrize("log_ratio", [1e-4, -1e-4, 1e-3])
def test_normal_kl_keeps_its_digits_near_the_prior(log_ratio):
    q, p = Normal(jnp.zeros(1), jnp.full((1,), log_ratio)), Normal(jnp.zeros(1), jnp.zeros(1))
    np.testing.assert_allclose(kl(q, p), np.expm1(2 * log_ratio) / 2 - log_ratio, rtol=0.01)


def test_kl_without_a_closed_form_is_refused_in_words():
    assert not has_kl(normals(), coins())
    with pytest.raises(
        TypeError,
        match=r"KL\(Normal \|\| Bernoulli\) has no closed form.*KL\(Normal \|\| Normal\).*Estimate it as the mean",
    ):
        kl(normals(), coins())


@pytest.mark.parametrize("density", [Normal(jnp.zeros(SHAPE), jnp.zeros(SHAPE)), Bernoulli(jnp.zeros(SHAPE))])
@pytest.mark.parametrize("variant", [eager, jax.jit, on_the_last_device])
def test_a_scalar_key_gives_one_draw_of_each_outcome(density, variant):
    x = variant(type(density).sample)(density, random.key(0))
    assert x.shape == SHAPE
    assert len(np.unique(np.asarray(x).reshape(12, 5), axis=0)) > 6  # rows do not share their key
    with jax.numpy_rank_promotion("allow"):
        assert in_distrax(density).sample(seed=random.key(1)).shape == x.shape


def test_a_key_of_its_own_makes_a_draw_independent_of_its_neighbours():
    q = normals(0, (1, 4, 2))
    x = q.sample(random.split(random.key(0), (7, 4)))
    assert x.shape == (7, 4, 2)
    alone = Normal(q.loc[:, 2:3], q.log_scale[:, 2:3]).sample(random.split(random.key(0), (7, 4))[5:6, 2:3])
    np.testing.assert_array_equal(alone[0, 0], x[5, 2])


def test_draw_each_draws_a_single_outcome_from_a_scalar_key():
    assert draw_each(random.normal, random.key(0), (5,), 1).shape == (5,)


def test_a_density_without_a_batch_is_drawn_and_scored():
    density = Normal(jnp.zeros(5), jnp.zeros(5))
    x, log_prob = density.sample_and_log_prob(random.key(0))
    np.testing.assert_allclose(log_prob, scipy.stats.norm.logpdf(x).sum(), rtol=1e-5)


@pytest.mark.parametrize("density", [normals(), coins()])
def test_sample_and_log_prob_is_the_sample_and_its_log_prob(density):
    x, log_prob = density.sample_and_log_prob(random.key(3))
    np.testing.assert_array_equal(x, density.sample(random.key(3)))
    np.testing.assert_array_equal(log_prob, density.log_prob(x))


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_temperature_scales_the_distance_from_the_mean(temperature):
    density = normals()
    plain, scaled = density.sample(random.key(0)), density.sample(random.key(0), temperature)
    np.testing.assert_allclose(scaled - density.loc, temperature * (plain - density.loc), rtol=1e-4, atol=1e-6)


def test_samples_of_a_normal_have_its_mean_and_scale():
    count, density = 20_000, normals(4, (1, 3, 2))
    x = np.float64(density.sample(random.split(random.key(0), (count, 3))))
    scale = np.asarray(density.scale())
    assert (np.abs(x.mean(0) - density.mean()[0]) < 5 * scale[0] / np.sqrt(count)).all()
    assert (np.abs(x.std(0) / scale[0] - 1) < 5 / np.sqrt(2 * count)).all()
    assert scipy.stats.kstest(((x - density.loc) / scale).ravel(), "norm").pvalue > 1e-4


def test_samples_of_coins_are_ones_as_often_as_their_mean():
    count, density = 20_000, coins(4, (1, 3, 2))
    x = np.asarray(density.sample(random.split(random.key(0), (count, 3))))
    p = scipy.special.expit(np.float64(density.logits))
    assert set(np.unique(x)) == {0.0, 1.0}
    np.testing.assert_allclose(density.mean(), p, rtol=1e-5)
    assert (np.abs(x.mean(0) - p[0]) < 5 * np.sqrt(p * (1 - p) / count)[0]).all()


def test_a_normal_is_reparameterized_and_a_coin_is_not():
    gradient = jax.grad(lambda q: q.sample(random.key(0)).sum())(normals())
    np.testing.assert_array_equal(gradient.loc, np.ones(SHAPE))
    noise = (normals().sample(random.key(0)) - normals().loc) / normals().scale()
    np.testing.assert_allclose(gradient.log_scale, noise * normals().scale(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(jax.grad(lambda q: q.sample(random.key(0)).sum())(coins()).logits, np.zeros(SHAPE))


def test_parameters_that_are_shared_broadcast_to_the_batch():
    density = Normal(jnp.zeros((2, 3, 4)), jnp.full((1, 1, 1), 0.5))
    assert density.mean().shape == density.scale().shape == density.sample(random.key(0)).shape == (2, 3, 4)
    assert density.log_prob(jnp.zeros((2, 3, 4))).shape == (2, 3)


def test_draws_have_parameters_of_their_own_for_each_coordinate():
    rate = jnp.asarray(np.random.default_rng(0).uniform(0.5, 50, (3, 4, 5)), jnp.float32)
    keys = random.split(random.key(1), (3, 4))
    drawn = draw_each(random.poisson, keys, rate.shape, 1, rate)
    for s, b in np.ndindex(3, 4):
        np.testing.assert_array_equal(drawn[s, b], random.poisson(random.clone(keys)[s, b], rate[s, b], (5,)))
    shared = draw_each(
        random.gamma,
        random.split(random.key(2), (200, 4)),
        (1, 4, 5),
        1,
        rate[:1],
    )
    assert shared.shape == (200, 4, 5)
    np.testing.assert_allclose(shared.mean(0), rate[0], rtol=0.5)
    assert draw_each(random.poisson, random.key(3), (3, 4, 5), 1, jnp.float32(2.0)).shape == (3, 4, 5)
