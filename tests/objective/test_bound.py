"""What holds rate and distortion where one wants them: free bits, capacity, GECO; and the regularized autoencoder."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gaussian import images, make_linear_vae
from jax import lax, random
from product import digits
from small import SHAPE, binary_images, init, make_vae

from jaxvae.data.prepare import binarize
from jaxvae.distributions import kl_each
from jaxvae.model import decoder
from jaxvae.model.layers import bound_spectral_norms
from jaxvae.model.posterior import PointPosterior
from jaxvae.model.prior import MixturePrior, StandardPrior
from jaxvae.objective import Needs, capacity, elbo, geco, iwae, mmd, rae, rate, reconstruction
from jaxvae.step import init_state, make_train_step
from jaxvae.terms import example_keys


@pytest.fixture(scope="module")
def terms():
    """Of a linear model whose second latent carries little: rates of about 1 and 0.1 nats."""
    model, variables, _ = make_linear_vae()
    return jax.jit(model.apply)(variables, example_keys(random.key(5), np.arange(6), 2), images(6))


def apply(objective, terms, step=0, memory=None):
    params, start = objective.init(random.key(1), terms)
    return objective.apply(
        params,
        start if memory is None else memory,
        terms,
        key=random.key(0),
        step=jnp.asarray(step),
        gather=lambda tree: tree,
    )


def each_rate(terms):
    (level,) = terms.levels
    return np.asarray(kl_each(level.q, level.p))[0]


@pytest.mark.parametrize("free", [0.01, 0.5, 2.0, 50.0])
@pytest.mark.parametrize("per", ["level", "dimension"])
def test_free_bits_count_on_the_mean_over_the_batch(terms, free, per):
    groups = each_rate(terms) if per == "dimension" else each_rate(terms).sum(1, keepdims=True)
    expected = np.asarray(terms.distortion).mean() + 0.7 * np.maximum(groups.mean(0), free).sum()
    loss = apply(elbo(0.7, free_nats=free, per=per), terms)
    np.testing.assert_allclose(loss.value.mean(), expected, rtol=1e-5)
    np.testing.assert_allclose(loss.metrics["free"], (groups.mean(0) < free).mean())
    np.testing.assert_allclose(loss.metrics["elbo"], apply(elbo(), terms).metrics["elbo"])


def test_a_rate_within_the_free_bits_has_no_gradient_and_one_above_its_own():
    model, variables, _ = make_linear_vae()
    keys, x = example_keys(random.key(5), np.arange(6)), images(6)

    def gradient(objective):
        def loss(variables):
            out = apply(objective, model.apply(variables, random.clone(keys), x))
            return (out.value - out.metrics["distortion"]).mean()

        return jax.jit(jax.grad(loss))(variables)["params"]["posterior"]["Dense_0"]["bias"]

    rates = each_rate(jax.jit(model.apply)(variables, random.clone(keys), x)).mean(0)
    between = float(rates.mean())
    whole, some = gradient(elbo()), gradient(elbo(free_nats=between, per="dimension"))
    above = np.tile(rates > between, 2)  # of the means, and of the log-scales
    assert 0 < above.sum() < above.size
    np.testing.assert_allclose(some, np.where(above, whole, 0.0), atol=1e-6)
    np.testing.assert_allclose(gradient(elbo(free_nats=100.0)), 0.0, atol=1e-6)


def test_dimensions_need_a_kl_that_is_a_sum_over_them(terms):
    model = make_vae().clone(latent_prior=MixturePrior(2, 3))
    x = binary_images(4)
    other = jax.jit(model.apply)(init(model, x), example_keys(random.key(5), np.arange(4)), x)
    with pytest.raises(ValueError, match=r"KL\(Normal \|\| Mixture\) is no sum over dimensions; choose per='level'"):
        apply(elbo(free_nats=1.0, per="dimension"), other)


@pytest.mark.parametrize("nats", [0.1, 30.0])
def test_capacity_weighs_the_distance_of_the_mean_rate(terms, nats):
    expected = np.asarray(terms.distortion).mean() + 10 * abs(each_rate(terms).sum(1).mean() - nats)
    np.testing.assert_allclose(apply(capacity(nats, gamma=10.0), terms).value.mean(), expected, rtol=1e-5)


def test_it_is_the_mean_over_the_batch_that_capacity_holds(terms):
    rates = each_rate(terms).sum(1)
    nats = float(rates.mean()) + 0.01
    assert (rates > nats).any()
    assert (rates < nats).any()
    expected = np.asarray(terms.distortion).mean() + 10 * 0.01  # less than the mean of the examples' own distances
    np.testing.assert_allclose(apply(capacity(nats, gamma=10.0), terms).value.mean(), expected, rtol=1e-4)
    assert 10 * np.abs(rates - nats).mean() > 1.0


def test_geco_moves_its_multiplier_by_the_distortion_of_earlier_batches(terms):
    distortion = float(terms.distortion.mean())
    for wanted, direction in ((distortion - 5, 1), (distortion + 5, -1), (distortion - 0.5, 0.5)):
        objective, memory = geco(wanted, speed=0.1), None
        for step in range(4):
            loss = apply(objective, terms, step, memory)
            memory = loss.memory
            multiplier = np.exp(direction * 0.1 * max(step - 1, 0))  # the first batch is remembered, not yet acted on
            np.testing.assert_allclose(loss.metrics["multiplier"], multiplier, rtol=1e-4)
            expected = terms.rate.mean() + multiplier * (distortion - wanted)
            np.testing.assert_allclose(loss.value.mean(), expected, rtol=1e-3)


def trained(objective, steps=600):
    """Means of the metrics over the last hundred steps of a small VAE on sixteen digits."""
    parts = make_vae((8, 8, 1)), objective, optax.adam(0.01), binarize()
    batch = digits((8, 8, 1))
    state = jax.jit(lambda b: init_state(*parts, b, init_key=random.key(0), train_key=random.key(1), samples=4))(batch)
    step = make_train_step(*parts, samples=4)

    @jax.jit
    def run(state, batch):
        return lax.scan(lambda state, _: step(state, batch), state, None, length=steps)[1]

    return {name: float(np.asarray(value)[-100:].mean()) for name, value in run(state, batch).items()}


def test_capacity_reaches_its_rate():
    assert trained(capacity(nats=optax.linear_schedule(0.0, 3.0, 300), gamma=50.0))["rate"] == pytest.approx(
        3.0, abs=0.1
    )


def test_free_bits_reach_theirs_where_the_elbo_alone_falls_below():
    assert trained(elbo(beta=4.0))["rate"] < 0.5
    assert trained(elbo(beta=4.0, free_nats=0.75, per="dimension"))["rate"] == pytest.approx(1.5, abs=0.15)


def test_geco_reaches_its_constraint():
    wanted, held = 22.0, trained(geco(22.0, speed=0.02), 1200)  # the elbo alone ends at 21.6, with a rate of 2.0
    assert held["distortion"] == pytest.approx(wanted, abs=0.2)
    assert held["rate"] < 1.9
    assert held["beta"] > 1


def point_vae():
    parts = make_vae()
    return parts.clone(posterior=PointPosterior(2), latent_prior=StandardPrior(2))


@pytest.mark.parametrize("kind", ["norm", "slope", "none"])
def test_the_regularized_autoencoder_is_its_formula(kind):
    model, x = point_vae(), binary_images(5)
    variables, objective = init(model, x), rae(code=0.3, decoder=kind, weight=0.2)
    with_needs = model.clone(objective_needs=objective.needs.model)
    seen = jax.jit(with_needs.apply)(variables, example_keys(random.key(5), np.arange(5), 300), x)
    z = np.asarray(seen.levels[0].z)[0]
    expected = np.asarray(seen.distortion).mean(0) + 0.15 * (z**2).sum(-1)
    if kind == "norm":
        expected += 0.2 * sum((np.asarray(leaf) ** 2).sum() for leaf in jax.tree.leaves(variables["params"]["decoder"]))
    if kind == "slope":

        def mean(z):
            return model.apply(variables, (z[None, None],), method="decode").mean().ravel()

        jacobian = jax.vmap(jax.jacrev(mean))(z)
        expected += 0.2 * np.square(jacobian).sum((1, 2))
    # the Jacobian is estimated, here from 300 projections of each example
    np.testing.assert_allclose(apply(objective, seen).value, expected, rtol=1e-5 if kind != "slope" else 0.02)


def test_terms_that_lack_what_an_objective_needs_of_the_model_are_refused_in_words():
    model, x = point_vae(), binary_images(5)
    seen = jax.jit(model.apply)(init(model, x), example_keys(random.key(5), np.arange(5)), x)
    with pytest.raises(ValueError, match=r"made without 'slope', which the objective needs. Set the model's field"):
        apply(rae(decoder="slope"), seen)


@pytest.mark.slow
def test_a_spectral_bound_holds_every_layer_of_the_decoder():
    x = binary_images(5)
    for bounded in (decoder.mlp(8, 6, shape=SHAPE, spectral=0.5), decoder.conv(4, 3, shape=SHAPE, spectral=0.5)):
        free = make_vae(decode=bounded)
        variables = init(free, x)
        big = jax.tree.map(lambda a: 40 * a, variables)  # far above the bound, and all of them alike
        kernels = jax.tree.leaves(bound_spectral_norms(big["params"]["decoder"], 0.5))
        for kernel in kernels:
            if kernel.ndim > 1:
                largest = np.linalg.norm(np.asarray(kernel).reshape(-1, kernel.shape[-1]), 2)
                assert largest == pytest.approx(0.5, rel=0.05)
        small = jax.tree.map(lambda a: 1e-3 * a, variables["params"]["decoder"])
        for a, b in zip(jax.tree.leaves(small), jax.tree.leaves(bound_spectral_norms(small, 0.5)), strict=True):
            np.testing.assert_array_equal(a, b)
        z = np.ones((1, 1, 2), np.float32)
        means = [np.asarray(free.apply(v, (k * z,), method="decode").logits) for v in (big,) for k in (0.0, 1.0)]
        assert np.linalg.norm(means[1] - means[0]) <= 0.5**2 * np.sqrt(2) * 1.1


def test_sums_and_weights_are_sums_and_weights(terms):
    one, two = apply(elbo(), terms), apply(rate(2.0), terms)
    total = apply(elbo() + 3 * rate(2.0), terms)
    np.testing.assert_allclose(total.value, one.value + 3 * two.value, rtol=1e-6)
    assert total.metrics.keys() >= {"rate", "distortion", "elbo", "beta", "beta_2"}
    assert (float(total.metrics["beta"]), float(total.metrics["beta_2"])) == (1.0, 2.0)
    falling = optax.linear_schedule(1.0, 0.0, 10)
    np.testing.assert_allclose(apply(elbo() * falling, terms, 5).value, 0.5 * one.value, rtol=1e-6)
    np.testing.assert_allclose(apply(reconstruction() + rate(), terms).value, one.value, rtol=1e-6)
    assert (elbo() + mmd() + iwae()).needs == Needs({"samples", "continuous"}, engine={"batch"})
    for wrong in (-1.0, "2", True, float("nan")):
        with pytest.raises(ValueError, match="a weight is a number"):
            elbo() * wrong
    with pytest.raises(TypeError):
        elbo() + 3
