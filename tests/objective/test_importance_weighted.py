"""Tighter bounds: their values against numpy's, their gradients against a model whose expectations are sums."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from enumerated import (
    DECODER,
    ENCODER,
    NOISE,
    PARAMS,
    X,
    derivative,
    expected_gradient,
    gradients,
    log_weights,
    outcomes,
    terms_of,
)
from jax import random
from small import SHAPE, binary_images, init, make_examples, make_vae

from jaxvae.config import Config, Data, Model, Train
from jaxvae.config.build import build
from jaxvae.objective import ciwae, elbo, iwae, miwae, piwae, renyi
from jaxvae.rundir.state import first_state
from jaxvae.step import make_forward
from jaxvae.terms import Level, Terms, example_keys, reweight_gradient


def log_mean(log_w):
    return scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w))


def in_groups(log_w, groups):
    return log_mean(log_w.reshape(groups, -1, log_w.shape[-1]).swapaxes(0, 1)).mean(0)


BOUNDS = {  # the objective, and its bound of log weights [K, outcomes]
    "iwae": (iwae(), log_mean),
    "miwae": (miwae(2), lambda w: in_groups(w, 2)),
    "ciwae": (ciwae(0.3), lambda w: 0.3 * w.mean(0) + 0.7 * log_mean(w)),
    "piwae": (piwae(2), log_mean),
    "renyi": (renyi(0.4), lambda w: log_mean(0.6 * w) / 0.6),
    "renyi above 1": (renyi(2.0), lambda w: -log_mean(-w)),
    "renyi at 1": (renyi(1.0), lambda w: w.mean(0)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_loss_is_minus_the_bound(name):
    objective, bound = BOUNDS[name]
    noise = np.random.default_rng(0).normal(size=(4, 50))
    loss = objective.apply({}, {}, terms_of(PARAMS, noise), key=None, step=0, gather=None)
    expected = bound(log_weights(PARAMS, noise))
    np.testing.assert_allclose(loss.value, -expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss.metrics[name.split()[0]], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["iwae", "miwae", "ciwae", "renyi", "renyi above 1", "renyi at 1"])
def test_the_gradient_is_unbiased(name):
    objective, bound = BOUNDS[name]
    found = expected_gradient(objective, samples=2, nodes=24)
    for parameter in PARAMS:
        assert float(found[parameter]) == pytest.approx(-derivative(bound, 2, 24, parameter), rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_doubly_reparameterized_gradients_are_unbiased_at_any_k(samples):
    found = expected_gradient(iwae("dreg"), samples, nodes=24)
    for parameter in PARAMS:
        assert float(found[parameter]) == pytest.approx(
            -derivative(log_mean, samples, 24, parameter), rel=2e-3, abs=2e-4
        )


def test_sticking_the_landing_is_unbiased_at_one_draw_and_biased_above():
    one, three = (expected_gradient(iwae("stl"), samples, nodes=24) for samples in (1, 3))
    for parameter in PARAMS:
        assert float(one[parameter]) == pytest.approx(-derivative(log_mean, 1, 24, parameter), rel=2e-3, abs=2e-4)
    off = {parameter: abs(float(three[parameter]) + derivative(log_mean, 3, 24, parameter)) for parameter in PARAMS}
    assert max(off[parameter] for parameter in ENCODER) > 0.02
    assert max(off[parameter] for parameter in DECODER) < 1e-3


def test_piwae_gives_the_decoder_iwaes_gradient_and_the_encoder_miwaes():
    found = expected_gradient(piwae(2), samples=4, nodes=10)
    for names, bound in ((DECODER, log_mean), (ENCODER, lambda w: in_groups(w, 2))):
        for parameter in names:
            assert float(found[parameter]) == pytest.approx(-derivative(bound, 4, 10, parameter), rel=2e-3, abs=2e-4)
    apart = {
        name: derivative(log_mean, 4, 10, name) - derivative(lambda w: in_groups(w, 2), 4, 10, name) for name in ENCODER
    }
    assert max(map(abs, apart.values())) > 0.01  # else the two could not be told apart


@pytest.mark.parametrize(("gradient", "samples"), [("stl", 1), ("dreg", 1), ("dreg", 2), ("dreg", 3)])
def test_their_variance_lies_below_the_plain_gradients(gradient, samples):
    plain, chance = gradients(iwae(), samples, nodes=20)
    other, _ = gradients(iwae(gradient), samples, nodes=20)
    for parameter in ENCODER:
        assert variance(other[parameter], chance) < 0.6 * variance(plain[parameter], chance)
    for parameter in DECODER:
        np.testing.assert_allclose(other[parameter], plain[parameter], rtol=1e-3, atol=1e-4)


def variance(values, chance):
    return (chance * values**2).sum() - (chance * values).sum() ** 2


def test_the_bounds_are_in_order():
    noise, chance = outcomes(4, 8)
    log_w = log_weights(PARAMS, noise)
    value = {name: (chance * bound(log_w)).sum() for name, (_, bound) in BOUNDS.items()}
    lowest = (chance * log_w.mean(0)).sum()
    log_px = scipy.stats.norm.logpdf(X, PARAMS["theta"] * PARAMS["prior"], np.hypot(PARAMS["theta"], NOISE))
    assert value["renyi above 1"] < lowest < value["miwae"] < value["iwae"] < log_px
    assert lowest < value["ciwae"] < value["iwae"]
    assert lowest < value["renyi"] < value["iwae"]


def test_one_group_is_iwae_and_as_many_as_draws_the_sampled_elbo():
    terms = terms_of(PARAMS, np.random.default_rng(1).normal(size=(4, 9)))

    def loss(objective):
        return objective.apply({}, {}, terms, key=None, step=0, gather=None).value

    np.testing.assert_allclose(loss(miwae(1)), loss(iwae()), rtol=1e-5)
    np.testing.assert_allclose(loss(miwae(4)), -terms.log_weight.mean(0), rtol=1e-5)
    np.testing.assert_allclose(loss(ciwae(1.0)), -terms.log_weight.mean(0), rtol=1e-5)
    np.testing.assert_allclose(loss(renyi(0.0)), loss(iwae()), rtol=1e-5)


@pytest.fixture(scope="module")
def vae():
    model, x = make_vae(), binary_images(6)
    return model, init(model, x)["params"], x


def gradient_of(vae, objective, samples=5):
    model, params, x = vae
    model = model.clone(objective_needs=objective.needs.model)

    def loss(params):
        terms = model.apply({"params": params}, example_keys(random.key(3), np.arange(6), samples), x)
        return objective.apply({}, {}, terms, key=random.key(0), step=0, gather=None).value.mean()

    return jax.jit(jax.grad(loss))(params)


@pytest.mark.parametrize("gradient", ["stl", "dreg"])
def test_in_a_vae_the_decoders_gradient_stays_and_the_encoders_changes(vae, gradient):
    plain, other = (gradient_of(vae, objective) for objective in (iwae(), iwae(gradient)))
    for part in ("encoder", "posterior"):
        assert not all(np.allclose(a, b, rtol=0.01) for a, b in pairs(plain[part], other[part]))
    for a, b in pairs(plain["decoder"], other["decoder"]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_in_a_vae_the_encoders_gradient_is_the_one_of_squared_weights(vae):
    """Tucker et al. 2018: sum_s w_s^2 d log w_s / dz_s dz_s / dphi, with w normalised; by two passes, no gate."""
    model, params, x = vae

    def weights(params, fixed):
        terms = model.apply({"params": params}, example_keys(random.key(3), np.arange(6), 5), x)
        q = jax.tree.map(jax.lax.stop_gradient, terms.levels[0].q)
        # the decoder and the prior at fixed parameters: all that moves is z
        z = terms.levels[0].z
        px = model.apply({"params": fixed}, (z,), method="decode")
        return px.log_prob(x[None]) + terms.levels[0].p.log_prob(z) - q.log_prob(z)

    squared = jax.nn.softmax(weights(params, params), axis=0) ** 2
    expected = jax.grad(lambda p: -(squared * weights(p, params)).sum(0).mean())(params)
    found = gradient_of(vae, iwae("dreg"))
    for part in ("encoder", "posterior"):
        for a, b in pairs(expected[part], found[part]):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def pairs(one, other):
    return zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)


def test_a_gate_that_no_loss_touches_changes_nothing(vae):
    model, params, x = vae

    def loss(params, model):
        terms = model.apply({"params": params}, example_keys(random.key(3), np.arange(6)), x)
        return elbo().apply({}, {}, terms, key=random.key(0), step=0, gather=None).value.mean()

    both = (jax.grad(loss)(params, model.clone(objective_needs=frozenset(needs))) for needs in ((), {"gate"}))
    for a, b in pairs(*both):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_hierarchy_is_refused_and_so_are_groups_that_do_not_fit():
    terms = terms_of(PARAMS, np.zeros((3, 2)))
    two = Terms(terms.x, terms.px, terms.log_px, terms.levels * 2)
    for objective in (iwae("stl"), iwae("dreg"), piwae(1)):
        with pytest.raises(ValueError, match="unbiased for one latent variable, this model has 2; choose"):
            objective.apply({}, {}, two, key=None, step=0, gather=None)
    with pytest.raises(ValueError, match=r"groups=2 equal groups cannot be made of train.samples=3 draws; choose"):
        miwae(2).apply({}, {}, terms, key=None, step=0, gather=None)
    for make in (miwae, piwae):
        with pytest.raises(ValueError, match=r"train.samples=5 draws; choose train.samples=4"):
            make(2, samples=5)
    with pytest.raises(ValueError, match="too near 1 for float32"):
        renyi(0.999)
    with pytest.raises(ValueError, match="made without 'gate'"):
        reweight_gradient(Level(jnp.zeros((1, 1, 1)), *[jnp.zeros((1, 1))] * 3, None, None), jnp.zeros((1, 1)))
    with pytest.raises(ValueError, match="no other term can be added"):
        iwae("dreg") + elbo()


OPTIMAL = Config(
    data=Data(prepare="dequantize", batch_size=8),
    model=Model(latent_dim=2, encoder="mlp(8)", decoder="mlp(8)", likelihood="gaussian('optimal')"),
    train=Train(samples=6),
)


WEIGHING = ["iwae()", "iwae('dreg')", "miwae(2)", "ciwae(0.3)", "piwae(2)", "renyi(0.5)", "renyi(2.0)"]


@pytest.mark.parametrize("text", ["elbo()", *WEIGHING, "2.0 * iwae('stl') + mmd()"])
def test_the_optimal_scale_is_that_of_the_bound_that_weighs_the_draws(text):
    """N2: equal weights left iwae's bound at K = 10 2.7 nats below that of 0.8 sigma."""
    parts = build(dataclasses.replace(OPTIMAL, objective=text), SHAPE)
    state = first_state(OPTIMAL, parts, *random.split(random.key(0)))
    spread = jax.tree.map(lambda leaf: 5 * leaf, state.params["model"]["decoder"])  # draws that are far apart
    params = state.params | {"model": state.params["model"] | {"decoder": spread}}
    objective, batch = parts.objective, make_examples(8)

    @jax.jit
    def slope(params):
        _, terms, _, _ = make_forward(parts.model, objective, parts.prepare, samples=6)(state, params, batch)

        def loss(log_factor):
            px = dataclasses.replace(terms.px, log_scale=terms.px.log_scale + log_factor)
            changed = dataclasses.replace(terms, px=px, log_px=px.log_prob(terms.x))
            memory = state.variables["objective"]
            options = {"key": random.key(1), "step": state.step, "gather": lambda tree, axis=1: tree}
            return objective.apply(params["objective"], memory, changed, **options).value.mean()

        return jax.grad(loss)(0.0)

    assert abs(slope(params)) < 0.02  # nats, for a scale e times as large; 16 pixels
