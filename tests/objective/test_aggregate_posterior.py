"""Objectives of the aggregate posterior: total correlation, discrepancies, covariances; on one device and on four."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from gaussian_levels import level_of, local, terms_of
from jax import random
from small import binary_images, init, make_split, make_vae

from jaxvae.config import Config, Data, Model, Optimizer, Train
from jaxvae.config.build import build
from jaxvae.data.pipeline import Streaming
from jaxvae.objective import dip_i, dip_ii, mmd, tc
from jaxvae.objective.aggregate_posterior import LOG_WEIGHTS, estimate_log_q
from jaxvae.rundir.state import first_state
from jaxvae.runtime.sharding import DeviceLayout, one_device
from jaxvae.terms import example_keys
from jaxvae.training.engine import ENGINES

N, DIMENSIONS, BATCH = 2000, 10, 64


def apply(objective, terms):
    params, memory = objective.init(random.key(1), terms)
    return objective.apply(params, memory, terms, key=random.key(2), step=jnp.zeros((), int), gather=local)


def toy():
    """Posteriors of N examples, narrow and at random places: (means, scales, noise), [N, DIMENSIONS].

    That they are so few and so narrow makes their mixture's coordinates depend on one another.
    """
    generator = np.random.default_rng(0)
    means, noise = generator.normal(size=(2, N, DIMENSIONS))
    return means, np.full((N, DIMENSIONS), 0.15), noise


def exact_correlation(means, scales, z):
    """log q(z) - sum_j log q(z_j) at draws z [M, Z] of the mixture of all N posteriors, in float64."""
    each = scipy.stats.norm.logpdf(z[:, None], means[None], scales[None])
    joint = scipy.special.logsumexp(each.sum(-1), axis=1) - np.log(len(means))
    return joint - (scipy.special.logsumexp(each, axis=1) - np.log(len(means))).sum(-1)


def estimates(weights, count=40, batch=BATCH):
    """The TC that batches of the toy give, [count]."""
    means, scales, noise = toy()
    generator = np.random.default_rng(1)
    of_batch = jax.jit(lambda *batch: apply(tc(weights=weights, examples=N), terms_of(level_of(*batch))).metrics)
    found = []
    for _ in range(count):
        rows = generator.choice(N, batch, replace=False)
        found.append(float(of_batch(means[rows], scales[rows], noise[rows])["total_correlation"].mean()))
    return np.array(found)


def test_the_total_correlation_of_a_toy_is_the_exact_one_but_for_a_known_bias():
    """The exact mixture of 2,000 posteriors in 10 dimensions, 11.44 nats, against estimates from batches.

    The density is estimated without bias, its logarithm is not: of batches of 64 the estimate is 0.9 nats too large,
    twice the spread of one batch's; the bias falls with the batch. Weights on the wrong diagonal give 14.
    """
    means, scales, noise = toy()
    some = np.random.default_rng(2).choice(N, 400, replace=False)
    exact = exact_correlation(means, scales, (means + scales * noise)[some]).mean()
    assert exact == pytest.approx(11.44, abs=0.2)
    small, large = estimates("stratified"), estimates("stratified", 8, 400)
    assert small.mean() == pytest.approx(12.37, abs=4 * small.std(ddof=1) / np.sqrt(len(small)))
    assert small.mean() == pytest.approx(exact, abs=3 * small.std(ddof=1))
    assert large.mean() == pytest.approx(exact, abs=0.4 * (small.mean() - exact))


def test_weighted_sampling_is_off_by_its_known_bias():
    """1/(N B) for each: log q(z) is log N too small, sum_j log q(z_j) Z log N: TC too large by about (Z - 1) log N."""
    off = estimates("weighted", 20).mean() - estimates("stratified", 20).mean()
    assert off == pytest.approx((DIMENSIONS - 1) * np.log(N), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, 3, 5])
def test_stratified_weights_are_unbiased_over_all_batches(batch):
    """q(z) at a draw of example 0, averaged over every batch of 6 that holds it; the diagonal is an example's own."""
    generator = np.random.default_rng(0)
    means, scales = generator.normal(size=(6, 2)), np.exp(generator.normal(size=(6, 2)))
    z = np.repeat(means[:1] + scales[:1] * 0.3, 6, axis=0)
    found = []
    for others in itertools.combinations(range(1, 6), batch - 1):
        rows = [*others[:1], 0, *others[1:]]  # its own place is not the first
        level = level_of(means[rows], scales[rows], ((z - means) / scales)[rows])
        log_qz, _ = estimate_log_q(level, local, 6, LOG_WEIGHTS["stratified"])
        found.append(np.exp(np.float64(log_qz[0, 1])))
    exact = scipy.stats.norm.pdf(z[:1, None], means[None], scales[None]).prod(-1).mean()
    assert np.mean(found) == pytest.approx(exact, rel=1e-5)


def test_with_the_whole_data_set_as_batch_it_is_exact():
    means, scales, noise = (each[:50] for each in toy())
    metrics = apply(tc(examples=50), terms_of(level_of(means, scales, noise))).metrics
    exact = exact_correlation(means, scales, means + scales * noise)
    np.testing.assert_allclose(metrics["total_correlation"], exact, rtol=1e-3, atol=1e-3)
    everything = sum(np.asarray(metrics[name]) for name in ("mutual_information", "total_correlation", "marginal_kl"))
    level = level_of(means, scales, noise)
    np.testing.assert_allclose(everything, (level.log_q - level.log_p)[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("weights", ["stratified", "weighted"])
def test_weights_of_one_give_the_elbo_with_a_sampled_kl(weights):
    model, x = make_vae(), binary_images(6)
    terms = jax.jit(model.apply)(init(model, x), example_keys(random.key(5), np.arange(6), 4), x)
    loss = apply(tc(1.0, 1.0, 1.0, weights, examples=100), terms)
    np.testing.assert_allclose(loss.value, -terms.log_weight.mean(0), rtol=1e-4)
    heavier = apply(tc(4.0, 1.0, 1.0, weights, examples=100), terms)
    difference = np.asarray(heavier.value - loss.value)
    np.testing.assert_allclose(difference, 3 * loss.metrics["total_correlation"], rtol=1e-3, atol=1e-3)


def kernel_by_hand(name, a, b, width):
    squared = ((a[:, None] - b[None]) ** 2).sum(-1)
    widths = width * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])
    values = [c / (c + squared) if name == "imq" else np.exp(-squared / c) for c in widths]
    return np.mean(values, axis=0)


@pytest.mark.parametrize("name", ["imq", "rbf"])
def test_the_discrepancy_is_the_u_statistic_written_out(name):
    level = level_of(*(each[:12, :3] for each in toy()))
    found = float(apply(mmd(name, 0.5), terms_of(level)).value.mean())
    z = np.float64(level.z[0])
    p = np.float64(level.p.sample(random.split(random.fold_in(random.key(2), 0), (1, 12)))[0])
    off = ~np.eye(12, dtype=bool)
    within = sum(kernel_by_hand(name, a, a, 3.0)[off].mean() for a in (z, p))
    assert found == pytest.approx(within - 2 * kernel_by_hand(name, z, p, 3.0).mean(), abs=1e-5)


@pytest.mark.parametrize("name", ["imq", "rbf"])
def test_the_discrepancy_is_zero_in_the_mean_where_q_is_p_and_positive_where_not(name):
    noise = np.random.default_rng(0).normal(size=(60, 20, 2))
    of_batch = jax.jit(lambda means, noise, key: jnp.mean(mmd(name).apply(
        {}, {}, terms_of(level_of(means, np.ones((20, 2)), noise)), key=key, step=0, gather=local).value))  # fmt: skip
    keys = random.split(random.key(0), (2, 60))
    for shift, low, high in ((0.0, -4, 4), (1.0, 8, np.inf)):
        values = np.array(
            [of_batch(np.full((20, 2), shift), e, k) for e, k in zip(noise, keys[int(shift)], strict=True)]
        )
        assert low < values.mean() / (values.std(ddof=1) / np.sqrt(60)) < high


@pytest.mark.parametrize("make", [dip_i, dip_ii])
def test_covariances_are_held_at_the_identity(make):
    means, scales, noise = (each[:40, :3] for each in toy())
    covariance = np.cov(means.T, bias=True) + (np.diag((scales**2).mean(0)) if make is dip_ii else 0)
    off = covariance - np.diag(np.diag(covariance))
    expected = 7 * (off**2).sum() + 3 * ((np.diag(covariance) - 1) ** 2).sum()
    loss = apply(make(7.0, 3.0), terms_of(level_of(means, scales, noise)))
    np.testing.assert_allclose(loss.value, np.full(40, expected), rtol=1e-4)
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(means.T, bias=True)), (means - means.mean(0)).T).T
    if make is dip_i:
        np.testing.assert_allclose(apply(make(), terms_of(level_of(whitened, scales, noise))).value, 0, atol=1e-4)


SUMS = {  # what compares examples, and what carries a memory, a critic or a gate; the engines to try
    "elbo(free_nats=0.5) + 10 * mmd() + dip_ii() + factor(width=8) + aae(width=8)": ("shard_map",),
    "tc(beta=3.0) + capacity(nats=3.0, gamma=1.0) + geco(9.0) + 0.1 * gan(channels=(3,))": ("pmap",),
    "piwae(2)": ("shard_map",),
}


def advanced(text, name, steps=2):
    """Parameters, variables and the loss after two steps of that engine, of batches of 16 cut over four devices."""
    config = Config(
        data=Data(batch_size=16),
        model=Model(encoder="mlp(6)", decoder="mlp(6)", prior="conditional", condition="label"),
        objective=text,
        optimizer=Optimizer(name="sgd", learning_rate=1e-3),
        train=Train(samples=2),
    )
    parts = build(config, (4, 4, 1), condition=10, examples=36)
    layout = one_device() if name == "dispatch" else DeviceLayout(tuple(jax.devices()[:4]))
    engine = ENGINES[name](parts.train_step, Streaming(make_split(36), random.key(2), 16, layout), layout)
    state = jax.jit(lambda a, b: first_state(config, parts, a, b))(*random.split(random.key(0)))
    state, metrics = engine.advance(engine.place(state), 0, steps)
    state = engine.collect(state)
    return jax.tree.map(np.asarray, (state.params, state.variables, metrics["loss"]))


@pytest.mark.slow
@pytest.mark.parametrize("text", SUMS)
def test_four_devices_take_the_steps_of_one(text):
    one = advanced(text, "dispatch")
    for name in SUMS[text]:
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(advanced(text, name)), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_the_defaults_of_dip_i_stay_those_of_old_configs_and_the_studys_are_said():
    """N8: its diagonal weighs half as much as the rest by default; in disentanglement_lib's study ten times as much."""
    defaults = inspect.signature(dip_i).parameters
    assert (defaults["off_diagonal"].default, defaults["diagonal"].default) == (10.0, 5.0)
    assert "dip_i(10, 100)" in dip_i.__doc__
