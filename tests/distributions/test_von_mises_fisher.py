import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from jax import random
from jax.sharding import PartitionSpec
from small import SHAPE, binary_images, init, make_vae

from jaxvae.config import build, schema
from jaxvae.distributions import UniformSphere, VonMisesFisher, kl
from jaxvae.distributions._bessel import kl_to_uniform, log_mean_scaled, mean_resultant_length, one_minus_resultant
from jaxvae.distributions.von_mises_fisher import angle_gradient, log_area, reflect_tangent
from jaxvae.evaluate.bounds import elbo_parts
from jaxvae.model import likelihood, posterior, prior
from jaxvae.model.vae import VAE
from jaxvae.objective import elbo
from jaxvae.terms import example_keys

DIMS = [2, 3, 4, 5, 10, 20, 32, 64, 128]
KAPPAS = np.float32(np.logspace(-2, 4, 49))
DRAWN = np.float32([1e-2, 1.0, 10.0, 300.0, 1e4])
COUNT = 4000


def exact(dim, kappa):
    """log M, E[w], dE[w]/dkappa and E[w^2] in double precision, from scipy's Bessel functions."""
    kappa = np.float64(kappa)
    order = dim / 2 - 1
    low, middle, high = (scipy.special.ive(order + step, kappa) for step in range(3))
    log_mean = np.log(low) + kappa + scipy.special.gammaln(dim / 2) + order * np.log(2 / kappa)
    mean = middle / low
    return log_mean, mean, mean * (high / middle - mean + 1 / kappa), 1 - (dim - 1) * mean / kappa


def radial(dim, kappa):
    """A fine grid of angles from loc, and in double precision their density and its distribution function."""
    angle = np.linspace(0, min(np.pi, 15 * np.sqrt(dim / kappa)), 200_001)
    with np.errstate(divide="ignore"):
        log_density = kappa * (np.cos(angle) - 1) + (np.log(np.sin(angle)) * (dim - 2) if dim > 2 else 0)
    density = np.exp(log_density - log_density.max())
    below = scipy.integrate.cumulative_simpson(density, x=angle, initial=0)
    return angle, density / below[-1], below / below[-1]


def midpoints(end, count=4000):
    """Equidistant angles from 0 to end, and their distance."""
    return (np.arange(count) + 0.5) * end / count, end / count


def log_circles(dim, angle):
    """The log of the area of all points at these angles from an axis, per angle."""
    area = np.log(2) + (dim - 1) / 2 * np.log(np.pi) - scipy.special.gammaln((dim - 1) / 2)
    return area + (dim - 2) * np.log(np.sin(angle))


def axis(dim, seed=0):
    loc = np.random.RandomState(seed).normal(size=dim)
    return jnp.asarray(loc / np.linalg.norm(loc), jnp.float32)


def make_density(dim, kappa, seed=0):
    """One outcome of R^dim for each kappa: leaves [1, len(kappa), .]."""
    locs = jnp.stack([axis(dim, seed + i) for i in range(len(kappa))])
    return VonMisesFisher(locs[None], jnp.log(jnp.asarray(kappa, jnp.float32))[None, :, None])


@functools.cache
def drawn(dim):
    """The density of every kappa in DRAWN, and COUNT draws [COUNT, 5, dim]."""
    density = make_density(dim, DRAWN)
    return density, jax.jit(VonMisesFisher.sample)(density, random.split(random.key(dim), (COUNT, len(DRAWN))))


@pytest.mark.parametrize("dim", DIMS)
def test_the_normalizer_the_mean_and_the_divergence_are_scipys_with_their_derivatives(dim):
    functions = (log_mean_scaled, mean_resultant_length, kl_to_uniform)

    def with_derivative(f):
        return jax.jvp(functools.partial(f, dim), (KAPPAS,), (np.ones_like(KAPPAS),))

    (scaled, slope), (mean, mean_slope), (divergence, divergence_slope) = map(with_derivative, functions)
    missing = one_minus_resultant(dim, KAPPAS)
    log_mean, expected, expected_slope, _ = exact(dim, KAPPAS)
    np.testing.assert_allclose(scaled, log_mean - KAPPAS, rtol=1e-5)
    np.testing.assert_allclose(slope, expected - 1, rtol=2e-5)
    np.testing.assert_allclose(missing, 1 - expected, rtol=2e-5)
    np.testing.assert_allclose(mean, expected, rtol=2e-6)
    np.testing.assert_allclose(mean_slope, expected_slope, rtol=2e-5)
    np.testing.assert_allclose(divergence, KAPPAS * expected - log_mean, rtol=1e-5)
    np.testing.assert_allclose(divergence_slope, KAPPAS * expected_slope, rtol=2e-5)


@pytest.mark.parametrize("dim", [2, 64])
def test_the_divergence_vanishes_with_kappa_and_is_never_negative(dim):
    kappa = jnp.asarray([0.0, 1e-15, 1e-6, 1e-4, 1e-3])
    value, slope = jax.jvp(functools.partial(kl_to_uniform, dim), (kappa,), (jnp.ones_like(kappa),))
    np.testing.assert_allclose(value, np.float64(kappa) ** 2 / (2 * dim), rtol=1e-5)
    np.testing.assert_allclose(slope, np.float64(kappa) / dim, rtol=1e-5)


@pytest.mark.parametrize("dim", [2, 3, 32])
def test_log_prob_and_divergence_are_those_of_scipys_von_mises_fisher(dim):
    kappa = np.float32([0.01, 0.7, 5.0, 80.0, 2000.0])
    q = make_density(dim, kappa)
    x = np.random.RandomState(1).normal(size=(6, 5, dim)) + np.asarray(q.loc) * kappa[:, None]
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    log_prob, divergence = q.log_prob(jnp.float32(x)), kl(q, UniformSphere(dim))
    assert divergence.shape == (1, 5)
    for i, (loc, concentration) in enumerate(zip(np.float64(q.loc[0]), np.float64(kappa), strict=True)):
        theirs = scipy.stats.vonmises_fisher(loc / np.linalg.norm(loc), concentration)
        np.testing.assert_allclose(log_prob[:, i], theirs.logpdf(x[:, i]), rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(divergence[0, i], log_area(dim) - theirs.entropy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dim", [2, 3, 64])
def test_the_densities_integrate_to_one_over_the_sphere(dim):
    """Over the angle from loc, times the area of the circles at that angle."""
    q = make_density(dim, DRAWN)
    for i, kappa in enumerate(DRAWN):
        angle, step = midpoints(min(np.pi, 15 * np.sqrt(dim / kappa)))
        loc = np.float64(q.loc[0, i])
        across = np.eye(dim)[0] - loc[0] * loc
        across /= np.linalg.norm(across)
        x = np.cos(angle)[:, None] * loc + np.sin(angle)[:, None] * across
        circles = log_circles(dim, angle)
        one = VonMisesFisher(q.loc[:, i : i + 1], q.log_kappa[:, i : i + 1])
        whole = step * np.exp(one.log_prob(jnp.float32(x)[:, None])[:, 0] + circles).sum()
        np.testing.assert_allclose(whole, 1, atol=2e-4)
    uniform = np.float64(UniformSphere(dim).log_prob(jnp.zeros((1, dim))))
    angle, step = midpoints(np.pi)
    circles = log_circles(dim, angle)
    np.testing.assert_allclose(step * np.exp(uniform + circles).sum(), 1, atol=1e-5)


@pytest.mark.parametrize("dim", [2, 3, 32])
def test_draws_lie_on_the_sphere_and_have_the_moments_of_their_law(dim):
    q, z = drawn(dim)
    z = np.float64(z)
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, atol=1e-6)
    _, mean, _, second = exact(dim, DRAWN)
    loc = np.float64(q.loc[0])
    assert (np.abs(z.mean(0) - mean[:, None] * loc) < 5 * z.std(0) / np.sqrt(COUNT) + 1e-7).all()
    np.testing.assert_allclose(q.mean()[0], mean[:, None] * loc, rtol=1e-4, atol=1e-6)
    some = np.stack([axis(dim, seed) for seed in range(20)], 1)
    cosine2 = (loc @ some) ** 2
    expected = second[:, None] * cosine2 + ((1 - second) / (dim - 1))[:, None] * (1 - cosine2)
    squares = (z @ some) ** 2
    assert (np.abs(squares.mean(0) - expected) < 5 * squares.std(0) / np.sqrt(COUNT) + 1e-6).all()


@pytest.mark.parametrize("dim", [2, 3, 32])
def test_the_angles_of_draws_follow_their_law(dim):
    q, z = drawn(dim)
    distance = np.linalg.norm(np.float64(z) - np.float64(q.loc), axis=-1)
    for i, kappa in enumerate(DRAWN):
        angle, _, below = radial(dim, np.float64(kappa))
        drawn_angles = 2 * np.arcsin(np.minimum(distance[:, i] / 2, 1))
        assert scipy.stats.kstest(drawn_angles, lambda a, x=angle, y=below: np.interp(a, x, y)).pvalue > 1e-4


@pytest.mark.parametrize("dim", [2, 5])
def test_points_of_the_uniform_sphere_are_uniform(dim):
    p = UniformSphere(dim)
    z = np.float64(jax.jit(p.sample)(random.split(random.key(0), (COUNT, 1)), 0.3))
    assert z.shape == (COUNT, 1, dim)
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, atol=1e-6)
    assert (np.abs(z.mean(0)) < 5 / np.sqrt(dim * COUNT)).all()
    law = scipy.stats.beta((dim - 1) / 2, (dim - 1) / 2)
    for coordinate in range(dim):
        assert scipy.stats.kstest((1 + z[:, 0, coordinate]) / 2, law.cdf).pvalue > 1e-4
    np.testing.assert_array_equal(p.sample(random.key(1)), p.sample_and_log_prob(random.key(1))[0])


@pytest.mark.parametrize("dim", [2, 3, 10, 128])
def test_a_draw_moves_with_kappa_as_its_quantile_does(dim):
    """Against -(dF/dkappa) / (dF/da), on a fine grid in double precision."""
    quantiles = np.array([1e-3, 0.03, 0.2, 0.5, 0.8, 0.97, 0.999])
    angles, slopes = [], []
    for kappa in np.float64(DRAWN):
        angle, density, below = radial(dim, kappa)
        u = 2 * np.sin(angle / 2) ** 2
        moved = (np.trapezoid(u * density, angle) - u) * density
        places = np.searchsorted(below, quantiles)
        angles.append(angle[places])
        slopes.append(-scipy.integrate.cumulative_simpson(moved, x=angle, initial=0)[places] / density[places])
    got = angle_gradient(dim, np.float32(angles), DRAWN[:, None])
    np.testing.assert_allclose(got, slopes, rtol=2e-4)


@pytest.mark.parametrize("dim", [2, 10])
def test_gradients_of_expectations_are_the_expectations_gradients(dim):
    """E[w] and E[w^2] in kappa; E[c.z] and E[(c.z)^2] in loc, across the sphere."""
    q, c = make_density(dim, DRAWN[:4]), axis(dim, 77)
    kappa, loc = np.float64(DRAWN[:4]), np.float64(q.loc[0])
    keys = random.split(random.key(1), (COUNT, 4))
    each = VonMisesFisher(jnp.broadcast_to(q.loc, (COUNT, 4, dim)), jnp.broadcast_to(q.log_kappa, (COUNT, 4, 1)))

    @jax.jit
    def gradients(each, keys):
        along, towards = jax.lax.stop_gradient(each.loc), jnp.broadcast_to(c, each.loc.shape)
        z, back = jax.vjp(lambda q: q.sample(keys), each)
        w, t = (z * along).sum(-1, keepdims=True), (z * towards).sum(-1, keepdims=True)
        directions = (along, 2 * w * along, towards, 2 * t * towards)
        return [back(direction)[0] for direction in directions]

    in_w, in_w2, in_c, in_c2 = gradients(each, keys)
    _, mean, slope, second = exact(dim, kappa)
    cosine = (loc @ np.float64(c))[:, None]
    tangential = np.float64(c) - cosine * loc
    rounder = (second - (1 - second) / (dim - 1))[:, None]
    second_slope = -(dim - 1) * (slope / kappa - mean / kappa**2)

    def check(draws, expected):
        draws = np.float64(draws)
        error = draws.std(0) / np.sqrt(COUNT)
        assert (np.abs(draws.mean(0) - expected) < 5 * error + 1e-5 * np.abs(expected) + 1e-7).all()

    check(in_w.log_kappa[..., 0], kappa * slope)
    check(in_w2.log_kappa[..., 0], kappa * second_slope)
    for got, expected in ((in_c, mean[:, None] * tangential), (in_c2, 2 * rounder * cosine * tangential)):
        got = np.float64(got.loc)
        check(got - (got * loc).sum(-1, keepdims=True) * loc, expected)


@pytest.mark.parametrize("dim", [2, 3, 32])
def test_the_divergence_is_the_mean_log_ratio(dim):
    q, z = drawn(dim)
    ratio = np.float64(q.log_prob(z) - UniformSphere(dim).log_prob(z))
    error = ratio.std(0) / np.sqrt(COUNT)
    assert (np.abs(ratio.mean(0) - kl(q, UniformSphere(dim))[0]) < 5 * error + 1e-6).all()


@pytest.mark.parametrize("dim", [2, 5])
def test_tangents_are_unit_across_loc_and_keep_their_angles(dim):
    first = np.eye(dim)[0]
    near = [first, -first, first + 1e-4, -first + 1e-4, first * 1e-30 + 1e-3, axis(dim, 1), -np.eye(dim)[1]]
    locs = jnp.asarray([loc / np.linalg.norm(loc) for loc in near], jnp.float32)
    around = random.normal(random.key(0), (2, 1, dim - 1))
    around = jnp.broadcast_to(around / jnp.linalg.norm(around, axis=-1, keepdims=True), (2, len(near), dim - 1))
    both = jnp.broadcast_to(locs, (2, *locs.shape))
    moved = np.float64(reflect_tangent(both, around))
    np.testing.assert_allclose((moved * both).sum(-1), 0, atol=3e-7)
    np.testing.assert_allclose((moved**2).sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose((moved[0] * moved[1]).sum(-1), (around[0] * around[1]).sum(-1), atol=1e-6)
    jacobian = jax.jit(jax.vmap(jax.jacobian(reflect_tangent)))(locs, around[0])
    assert (np.linalg.norm(jacobian, axis=(-2, -1)) < 3 * np.sqrt(dim)).all()


def test_a_part_of_the_keys_gives_that_part_of_the_draws_whatever_the_batch():
    q, keys, sample = make_density(3, DRAWN), random.split(random.key(0), (7, 5)), jax.jit(VonMisesFisher.sample)
    z = sample(q, keys)
    some = VonMisesFisher(q.loc[:, 1:4], q.log_kappa[:, 1:4])
    np.testing.assert_allclose(sample(some, random.clone(keys)[5:6, 1:4]), z[5:6, 1:4], atol=1e-6)
    alone = jax.tree.map(lambda leaf: leaf[0], q)
    assert jax.eval_shape(alone.sample, random.split(random.key(0), 5)).shape == (5, 3)
    assert jax.eval_shape(q.sample, random.key(3)).shape == (1, 5, 3)
    assert alone.log_prob(z[4]).shape == (5,)


@pytest.mark.slow
def test_draws_and_gradients_under_shard_map_are_those_under_pmap():
    q, keys = make_density(3, DRAWN[:4]), random.split(random.key(0), (3, 4))

    def run(q, keys):
        z, back = jax.vjp(lambda q: q.sample(keys), q)
        return z, back(z)[0]

    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec(None, "batch")
    sharded = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(spec, spec), out_specs=spec))(q, random.clone(keys))
    split = jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0], 2, 2, *leaf.shape[2:]), (q, random.clone(keys)))
    joined = jax.pmap(run, in_axes=1, out_axes=1)(*split)
    joined = jax.tree.map(lambda leaf: leaf.reshape(leaf.shape[0], 4, *leaf.shape[3:]), joined)
    for one, other in zip(*map(jax.tree.leaves, (sharded, joined)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dim", [2, 64])
def test_the_head_is_bounded_and_everything_finite_at_extreme_features(dim):
    head = posterior.vmf(latent_dim=dim)
    size = np.float32([0, 1e-20, 1e-7, 1, 30, 1e4])
    rows = np.concatenate([sign * size[:, None] * np.eye(dim + 1)[0] for sign in (1, -1)])
    features = np.concatenate([rows + k * np.eye(dim + 1)[-1] for k in (-30, 0, 30, 1e4)]).astype(np.float32)
    variables = {"params": {"Dense_0": {"kernel": jnp.eye(dim + 1), "bias": jnp.zeros(dim + 1)}}}
    keys = random.split(random.key(0), (2, len(features)))

    def total(features, keys, temperature):
        q = head.apply(variables, features)
        z = q.sample(keys, temperature)
        values = (q.log_prob(z), kl(q, UniformSphere(dim)), q.mean(), z)
        return sum(value.sum() for value in values), (q, values)

    run = jax.jit(jax.value_and_grad(total, has_aux=True))
    for temperature in (1.0, 0.5, 0.0):
        (_, (q, values)), gradient = run(features, random.clone(keys), temperature)
        assert all(np.isfinite(value).all() for value in values)
        assert np.isfinite(gradient).all()
    np.testing.assert_allclose(np.linalg.norm(q.loc, axis=-1), 1, atol=1e-6)
    kappa = np.exp(np.float64(q.log_kappa)).reshape(4, -1)  # a row for each of its features, -30, 0, 30, 1e4
    np.testing.assert_allclose(kappa[0], np.sqrt(dim) / 2, rtol=1e-3)
    np.testing.assert_allclose(kappa[1] / np.sqrt(dim), 5.3, atol=1.3)
    np.testing.assert_allclose(kappa[2:], 1e4, rtol=1e-3)
    assert kl(q, UniformSphere(dim)).min() < 1 / 8
    np.testing.assert_allclose(values[-1], np.broadcast_to(q.loc, values[-1].shape), atol=3e-5)


def test_temperature_divides_kappa_by_its_square():
    q, keys, sample = make_density(5, DRAWN[2:4]), random.split(random.key(0), (3, 2)), jax.jit(VonMisesFisher.sample)
    colder = VonMisesFisher(q.loc, q.log_kappa - 2 * jnp.log(0.5))
    np.testing.assert_allclose(sample(q, keys, 0.5), sample(colder, random.clone(keys), 1.0), atol=1e-5)


def make_sphere_vae(dim=3):
    plain = make_vae(latent_dim=dim)
    return VAE(
        encoder=plain.encoder,
        posterior=posterior.vmf(latent_dim=dim),
        latent_prior=prior.sphere(latent_dim=dim),
        decoder=plain.decoder,
        likelihood=likelihood.bernoulli(),
    )


@pytest.fixture(scope="module")
def made():
    model, x = make_sphere_vae(), binary_images(6)
    return model, init(model, x), x, jax.jit(model.apply)


def test_a_vae_on_the_sphere_has_a_finite_bound_and_every_parameter_a_gradient(made):
    model, variables, x, _ = made

    def elbos(variables):
        terms = model.apply(variables, example_keys(random.key(1), jnp.arange(6), 4), x)
        return elbo_parts(terms)["elbo"].mean(), terms.log_weight.mean()

    (value, sampled), gradients = jax.jit(jax.value_and_grad(elbos, has_aux=True))(variables)
    np.testing.assert_allclose(value, sampled, rtol=0.2)
    for leaf in jax.tree.leaves(gradients):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0
    assert (np.abs(gradients["params"]["posterior"]["Dense_0"]["kernel"]).max(0) > 0).all()  # of loc, and of kappa


def test_leaves_have_the_full_rank_and_editing_an_example_changes_its_own_terms_only(made):
    _, variables, x, apply = made
    edited = np.where(np.arange(6).reshape(6, 1, 1, 1) == 2, 1 - x, x)
    one, other = (apply(variables, example_keys(random.key(2), np.arange(6), 4), data) for data in (x, edited))
    (level,) = one.levels
    shapes = [leaf.shape for leaf in (level.q.loc, level.q.log_kappa, level.kl, level.z, level.log_p)]
    assert shapes == [(1, 6, 3), (1, 6, 1), (1, 6), (4, 6, 3), (4, 6)]
    for before, after in ((one.log_weight, other.log_weight), (level.z, other.levels[0].z)):
        np.testing.assert_array_equal(np.delete(before, 2, axis=1), np.delete(after, 2, axis=1))
        assert (np.asarray(before)[:, 2] != np.asarray(after)[:, 2]).any()


def test_a_config_builds_the_sphere_and_refuses_one_dimension_in_words():
    def parts(latent_dim):
        model = schema.Model(latent_dim=latent_dim, posterior="vmf", prior="sphere")
        return build.build(schema.Config(model=model), SHAPE)

    assert isinstance(parts(2).model.posterior, posterior.VonMisesFisherPosterior)
    with pytest.raises(ValueError, match=r"vmf needs model.latent_dim from 2 on .* not 1"):
        parts(1)
    with pytest.raises(ValueError, match=r"sphere needs model.latent_dim from 2 on .* not 1"):
        prior.sphere(latent_dim=1)
    assert elbo().needs.posterior <= posterior.VonMisesFisherPosterior.traits.offers
