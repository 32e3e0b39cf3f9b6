"""Terms with a critic: what it estimates, who learns from whom, and its own optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gaussian_levels import level_of, local, terms_of
from jax import lax, random
from small import binary_images, init, make_vae

from jaxvae.config import Config, Data, Model, Optimizer, Train
from jaxvae.config.build import build
from jaxvae.model import prior
from jaxvae.model.critic import ConvCritic, MLPCritic
from jaxvae.objective import aae, factor, gan
from jaxvae.objective.adversarial import permute_dimensions
from jaxvae.rundir.state import first_state
from jaxvae.terms import example_keys


def critic_trained(objective, draw, steps, batch=256):
    """(params, metrics over the last quarter) of a critic alone, on levels that draw(key) makes."""
    params, memory = objective.init(random.key(1), terms_of(draw(random.key(2), batch)))
    optimizer = optax.adam(3e-3, 0.5, 0.9)

    def step(carry, key):
        params, opt = carry
        terms = terms_of(draw(key, batch))

        def loss(params):
            out = objective.apply(params, memory, terms, key=random.fold_in(key, 1), step=0, gather=local)
            return out.value.mean(), out.metrics

        grads, metrics = jax.grad(loss, has_aux=True)(params)
        updates, opt = optimizer.update(grads, opt)
        return (optax.apply_updates(params, updates), opt), {name: jnp.mean(value) for name, value in metrics.items()}

    start = params, optimizer.init(params)
    _, metrics = jax.jit(lambda start, keys: lax.scan(step, start, keys))(start, random.split(random.key(3), steps))
    return {name: np.asarray(value)[-steps // 4 :].mean() for name, value in metrics.items()}


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.9])
def test_the_critic_of_factor_estimates_the_total_correlation(correlation):
    """Of a Gaussian q(z) in four dimensions, two pairs of which are correlated: -log(1 - r^2) nats."""
    mixing = np.eye(4)
    for row in (0, 2):
        mixing[row + 1, row : row + 2] = correlation, np.sqrt(1 - correlation**2)

    def draw(key, batch):
        noise = random.normal(random.clone(key), (batch, 4)) @ jnp.asarray(mixing.T, jnp.float32)
        return level_of(noise, jnp.full((batch, 4), 1e-3), jnp.zeros((batch, 4)))

    metrics = critic_trained(factor(width=64, layers=2, critic=MLPCritic), draw, 800)
    exact = -np.log(1 - correlation**2)
    assert metrics["total_correlation"] == pytest.approx(exact, abs=0.05 + 0.1 * exact)


def test_a_permutation_keeps_every_coordinate_and_parts_them():
    z = random.normal(random.key(0), (2, 500, 3)) @ jnp.array([[1.0, 1, 1], [0, 0.1, 0], [0, 0, 0.1]])
    apart = np.asarray(permute_dimensions(random.key(1), z))
    np.testing.assert_array_equal(np.sort(apart, axis=1), np.sort(z, axis=1))
    assert abs(np.corrcoef(apart[0].T)[0, 1]) < 0.15 < abs(np.corrcoef(z[0].T)[0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_critic_of_aae_tells_the_aggregate_from_the_prior_as_well_as_one_can(shift):
    """The best classifier of N(shift, I) against N(0, I) is right with probability Phi(|shift| / 2)."""

    def draw(key, batch):
        noise = random.normal(random.clone(key), (batch, 2)) + jnp.array([[shift, 0.0]])
        return level_of(noise, jnp.full((batch, 2), 1e-3), jnp.zeros((batch, 2)))

    metrics = critic_trained(aae(width=32, layers=2, critic=MLPCritic), draw, 600)
    best = {0.0: 0.5, 1.0: 0.6915}[shift]
    assert metrics["critic_accuracy"] == pytest.approx(best, abs=0.02)


OBJECTIVES = {
    "factor": factor(5.0, 8, 2, critic=MLPCritic),
    "aae": aae(2.0, 8, 2, critic=MLPCritic),
    "gan": gan(2.0, 1.0, (3,), image_critic=ConvCritic),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_critic_and_model_learn_from_each_other_and_never_for_each_other(name):
    """The critic's gradient is that of its own loss, the model's that of the rest; in one backward pass."""
    term, model, x = OBJECTIVES[name], make_vae(), binary_images(6)
    weights = init(model, x)["params"]

    def terms_at(weights):
        with_needs = model.clone(objective_needs=term.needs.model)
        return with_needs.apply({"params": weights}, example_keys(random.key(3), np.arange(6)), x)

    critic, memory = term.init(random.key(1), terms_at(weights))

    def value(weights, critic, part):
        out = term.apply(critic, memory, terms_at(weights), key=random.key(5), step=jnp.zeros((), int), gather=local)
        chosen = {
            "all": out.value,
            "critic": out.metrics["critic_loss"],
            "rest": out.value - out.metrics["critic_loss"],
        }
        return chosen[part].mean()

    both = jax.jit(jax.grad(value, argnums=(0, 1)), static_argnums=2)
    whole, own, rest = (both(weights, critic, part) for part in ("all", "critic", "rest"))
    assert largest(own[0]) == largest(rest[1]) == 0
    assert min(largest(rest[0]), largest(own[1])) > 0
    for a, b in zip(jax.tree.leaves((rest[0], own[1])), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    assert largest(rest[0]["decoder"]) > 0 or name != "gan"


@pytest.mark.parametrize("name", ["factor", "aae"])
def test_the_encoder_is_told_what_the_critic_says_of_its_codes(name):
    """factor: gamma log q(z) / prod q(z_j), as the logit has it; aae: -log D(z), small where z looks like the prior."""
    term, model, x = OBJECTIVES[name], make_vae(), binary_images(6)
    terms = jax.jit(model.apply)(init(model, x), example_keys(random.key(3), np.arange(6)), x)
    params, memory = term.init(random.key(1), terms)
    out = term.apply(params, memory, terms, key=random.key(5), step=jnp.zeros((), int), gather=local)
    logit, _ = MLPCritic((8, 8)).apply(params, terms.levels[0].z[0])
    expected = 5.0 * logit if name == "factor" else -2.0 * jnp.log(jax.nn.sigmoid(logit))
    np.testing.assert_allclose(out.value - out.metrics["critic_loss"], expected, rtol=1e-4, atol=1e-5)


def largest(tree):
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def test_the_critic_has_a_learning_rate_of_its_own_and_no_part_in_the_clipping():
    config = Config(
        data=Data(batch_size=16),
        model=Model(encoder="mlp(6)", decoder="mlp(6)"),
        objective="elbo() + factor(width=8, layers=1)",
        optimizer=Optimizer(name="sgd", learning_rate=0.1, clip=1e-6, critic_learning_rate=0.01),
        train=Train(samples=1),
    )
    parts = build(config, (4, 4, 1), examples=36)
    state = first_state(config, parts, *random.split(random.key(0)))
    ones = jax.tree.map(jnp.ones_like, state.params)
    updates, _ = parts.optimizer.update(ones, state.opt, state.params)
    assert float(optax.tree.norm(updates["model"])) == pytest.approx(1e-7, rel=1e-3)
    for leaf in jax.tree.leaves(updates["objective"]):  # Adam's first step
        np.testing.assert_allclose(leaf, -0.01, rtol=1e-3)


def test_the_adversarial_gradient_may_stop_at_z_and_leaves_the_rest_as_it_was():
    """N7: in Larsen et al. 2015 (arXiv 1512.09300, algorithm 1) -log D trains the decoder alone."""
    model, x = make_vae().clone(latent_prior=prior.mixture(2, latent_dim=2)), binary_images(6)
    weights = init(model, x)["params"]

    def gradient_of(perceptual, gradient):
        term = gan(2.0, perceptual, (3,), gradient, image_critic=ConvCritic)
        with_needs = model.clone(objective_needs=term.needs.model)
        keys = example_keys(random.key(3), np.arange(6))

        def loss(weights):
            terms = with_needs.apply({"params": weights}, keys, x)
            critic, memory = term.init(random.key(1), terms)
            out = term.apply(critic, memory, terms, key=random.key(5), step=jnp.zeros((), int), gather=local)
            return out.value.mean()

        return jax.jit(jax.value_and_grad(loss))(weights)

    (value, joint), (same, alone) = (gradient_of(0.0, each) for each in ("joint", "decoder"))
    np.testing.assert_allclose(value, same, rtol=1e-6)
    for name in ("encoder", "posterior", "latent_prior"):
        assert largest(alone[name]) == 0 < largest(joint[name])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), alone["decoder"], joint["decoder"]
    )
    _, features = gradient_of(1.0, "decoder")  # their distance trains the encoder
    assert largest(features["encoder"]) > 0
