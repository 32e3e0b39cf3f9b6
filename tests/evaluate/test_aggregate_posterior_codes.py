"""What a diagnosis measures: q(z) against known densities, neighbours against their law, errors against sigma."""

import math

import jax
import numpy as np
import pytest
import scipy.stats
from gaussian import SIGMA, make_linear_vae
from jax import random
from scipy.integrate import quad
from small import SHAPE, make_split

from jaxvae.config import Config, Data, Model
from jaxvae.config.build import build
from jaxvae.data.pipeline import in_order
from jaxvae.data.prepare import Examples, Prepare
from jaxvae.distributions import LowRankNormal, MultivariateNormal, Normal
from jaxvae.evaluate import aggregate_posterior
from jaxvae.evaluate.aggregate_posterior import (
    compare_to_prior,
    decompose_rate,
    divergence_bounds,
    log_aggregate_posterior,
    make_collect_codes,
    nearest_neighbour_test,
    pinsker_bound,
)


def drawn(q, count, seed=0):
    """One z of each of `count` densities, and its log-density: [count, *Z], [count]."""
    z, log_q = jax.jit(q.sample_and_log_prob)(random.split(random.key(seed), count))
    return np.asarray(z), np.asarray(log_q)


def posteriors(kind, count=6):
    """`count` densities of that kind, leaves [count, *Z]."""
    r = np.random.default_rng(0)
    loc, log_scale = (r.normal(size=(count, 3)).astype(np.float32) for _ in range(2))
    if kind == "diagonal":
        return Normal(loc, log_scale)
    if kind == "full":
        return MultivariateNormal(loc, np.float32(np.tril(r.normal(size=(count, 3, 3)), -1) + np.eye(3)))
    return LowRankNormal(loc, log_scale, r.normal(size=(count, 3, 2)).astype(np.float32))


@pytest.mark.parametrize("kind", ["diagonal", "full", "low rank"])
def test_the_aggregate_is_the_mean_of_all_densities_in_chunks_too(kind, monkeypatch):
    q = posteriors(kind)
    z, _ = drawn(q, 6)
    each = np.stack([jax.vmap(q.log_prob)(np.broadcast_to(one, (1, 6, 3)))[0] for one in z]).astype(np.float64)
    without = np.where(np.eye(6, dtype=bool), -np.inf, each)
    expected = np.logaddexp.reduce(each, 1) - math.log(6), np.logaddexp.reduce(without, 1) - math.log(5)
    np.testing.assert_allclose(log_aggregate_posterior(q, z), expected, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(aggregate_posterior, "_PAIR_CHUNK_VALUES", 100)
    np.testing.assert_allclose(log_aggregate_posterior(q, z), expected, rtol=1e-4, atol=1e-4)


def test_the_divergence_of_a_mixture_is_the_integral():
    """N(-2, 1/4) and N(2, 1/4), half and half, against N(0, 1): holes around 0, and mass outside."""
    loc = np.where(np.arange(2000) % 2, 2.0, -2.0).astype(np.float32)[:, None]
    q, p, normal = Normal(loc, np.full_like(loc, math.log(0.5))), Normal(0 * loc, 0 * loc), scipy.stats.norm
    z, log_q = drawn(q, 2000)
    found = compare_to_prior(
        {"z": z, "log_q": log_q, "log_p": np.asarray(p.log_prob(z)), "prior": drawn(p, 2000)[0], "posterior": q}
    )

    def density(z):
        return (normal.pdf(z, -2, 0.5) + normal.pdf(z, 2, 0.5)) / 2

    kl = quad(lambda z: density(z) * (np.log(density(z)) - normal.logpdf(z)), -5, 5)[0]
    assert abs(found["divergence"] - kl) < 4 * found["divergence_stderr"] < 0.2
    assert found["divergence_least"] == pytest.approx(found["divergence"], abs=1e-2)
    information = quad(lambda z: -density(z) * np.log(density(z)), -5, 5)[0] - normal.entropy(0, 0.5)
    assert found["information"] == pytest.approx(information, abs=0.05)
    assert 0.25 < pinsker_bound(found["told_apart"]) < kl


@pytest.mark.parametrize("width", [0.01, 0.3, 3.0])
def test_the_rate_is_information_and_divergence_and_few_images_hold_log_n(width):
    loc = 5 * np.arange(50, dtype=np.float32)[:, None]
    q = Normal(loc, np.full_like(loc, math.log(width)))
    z, log_q = drawn(q, 50)
    log_p = scipy.stats.norm.logpdf(z)[:, 0]
    found = decompose_rate(log_q, log_p, *log_aggregate_posterior(q, z))
    assert found["information"] + found["divergence"] == pytest.approx(found["rate"], rel=1e-12)
    assert found["rate"] == pytest.approx(np.mean(log_q - log_p), rel=1e-5)
    assert found["divergence_least"] < found["divergence"]
    assert found["information"] == pytest.approx(math.log(50), abs=1e-4) if width < 1 else found["information"] < 3.9


def exact_model(count):
    """(model, variables, preparation, batches) of the linear-Gaussian VAE on its own draws x ~ p(x)."""
    model, variables, _ = make_linear_vae()
    w, b = (variables["params"]["decoder"]["Dense_0"][name] for name in ("kernel", "bias"))
    r = np.random.default_rng(1)
    x = (
        (r.normal(size=(count, 2)) @ w + b + SIGMA * r.normal(size=(count, len(b))))
        .reshape(-1, *SHAPE)
        .astype(np.float32)
    )
    index = np.arange(count, dtype=np.int32)
    batches = [(Examples(x[i : i + 500], np.full(500, -1), index[i : i + 500]), 500) for i in range(0, count, 500)]
    return model, variables, Prepare(lambda keys, image, index: image, "real", ""), batches


def test_where_the_aggregate_is_the_prior_nothing_is_found():
    """With the exact posterior and x ~ p(x), q(z) is p(z), and E|x - E[x|z]|^2 is sigma^2 in every pixel."""
    model, variables, prepare, batches = exact_model(1500)
    codes = make_collect_codes(model, prepare, key=random.key(0))(variables, batches)
    found = compare_to_prior(codes)
    assert found["examples"] == 1500
    assert -4 * found["divergence_stderr"] < found["divergence"] < 0.1
    assert -0.1 < found["divergence_least"] < 4 * found["divergence_stderr"]
    assert found["divergence_least"] < found["divergence"]
    assert abs(found["told_apart"] - 0.5) < 4 * found["told_apart_stderr"]
    assert math.sqrt(codes["square_error"].mean()) == pytest.approx(SIGMA, rel=0.02)
    np.testing.assert_allclose(codes["scale"], SIGMA, rtol=1e-6)


def test_a_shifted_posterior_is_seen_from_below_and_above():
    model, _, prepare, batches = exact_model(1000)
    _, shifted, _ = make_linear_vae(shift=1.0)
    found = compare_to_prior(make_collect_codes(model, prepare, key=random.key(0))(shifted, batches))
    kl = 2 * 1.0 / 2  # N((1, 1), I) against N(0, I)
    error = found["divergence_stderr"]
    assert found["divergence_least"] - 4 * error < kl < found["divergence"] + 4 * error
    assert found["divergence_least"] > 0.8
    assert 0.2 < pinsker_bound(found["told_apart"]) < kl


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_neighbours_tell_apart_as_often_as_their_densities_say(shift):
    """The limit is 1/2 of the integral of (f^2 + g^2) / (f + g) (Henze 1988)."""
    r, pdf = np.random.default_rng(0), scipy.stats.norm.pdf
    right, _ = nearest_neighbour_test(
        r.normal(size=(2000, 1)).astype(np.float32), r.normal(shift, size=(2000, 1)).astype(np.float32)
    )
    limit = 0.5 * quad(lambda z: (pdf(z) ** 2 + pdf(z, shift) ** 2) / (pdf(z) + pdf(z, shift)), -8, 8)[0]
    assert right.mean() == pytest.approx(limit, abs=4 * right.std() / math.sqrt(4000))


@pytest.mark.parametrize(("shift", "width", "dimensions"), [(0.0, 1.0, 1), (0.0, 1.0, 8), (1.0, 1.0, 2), (0.0, 0.5, 2)])
def test_the_two_sample_test_s_error_is_the_spread_of_repeats(shift, width, dimensions):
    """The spread of 300 repeats is known to 4%."""
    r, found = np.random.default_rng(1), []
    for _ in range(300):
        z, prior = r.normal(size=(2, 150, dimensions)).astype(np.float32)
        found.append(compare_to_prior({"z": shift + width * z, "prior": prior}))
    spread = np.std([each["told_apart"] for each in found], ddof=1)
    error = math.sqrt(np.mean([each["told_apart_stderr"] ** 2 for each in found]))
    assert error == pytest.approx(spread, rel=0.12)


def test_the_two_sample_test_s_error_counts_dependent_pairs_by_hand():
    """Seven points on a line, written out pair by pair: r_i, r_j depend if their nearest neighbours share a point."""
    z, prior = np.array([[0.0], [1.0], [3.1], [9.0]]), np.array([[1.5], [3.0], [8.0], [13.0]])
    points, kinds = np.concatenate([z, prior])[:, 0], np.repeat([0, 1], 4)
    distances = abs(points[:, None] - points) + np.diag([np.inf] * 8)
    nearest = distances.argmin(1)
    off = (kinds == kinds[nearest]) - np.mean(kinds == kinds[nearest])
    pairs = [
        (i, j) for i in range(8) for j in range(8) if nearest[i] == nearest[j] or (nearest[i], nearest[j]) == (j, i)
    ]
    expected = math.sqrt(sum(off[i] * off[j] for i, j in pairs)) / 8
    found = compare_to_prior({"z": z.astype(np.float32), "prior": prior.astype(np.float32)})
    assert found["told_apart_stderr"] == pytest.approx(expected)


@pytest.mark.parametrize(("count", "loc", "variance", "width"), [(200, 0.5, 0.75, 0.5), (200, 1.0, 0.3, 0.8)])
def test_the_printed_bounds_hold_the_divergence_in_most_repeats(count, loc, variance, width):
    """q_i = N(m_i, w^2), m_i ~ N(loc, v): q(z) is N(loc, v + w^2), and its KL to N(0, 1) known."""
    r, spread, held = np.random.default_rng(0), variance + width**2, []
    kl = (spread + loc**2 - 1 - math.log(spread)) / 2
    for _ in range(100):
        means = (loc + math.sqrt(variance) * r.normal(size=(count, 1))).astype(np.float32)
        z = (means + width * r.normal(size=(count, 1))).astype(np.float32)
        q, normal = Normal(means, np.full_like(means, math.log(width))), scipy.stats.norm
        found = decompose_rate(
            normal.logpdf(z, means, width)[:, 0], normal.logpdf(z)[:, 0], *log_aggregate_posterior(q, z)
        )
        least, most = divergence_bounds(found | {"told_apart": 0.5, "told_apart_stderr": 0.03})
        held.append(least <= kl <= most)
    assert np.mean(held) >= 0.9


def test_neighbours_of_two_kinds_at_one_place_count_half_and_far_ones_one():
    same, far = np.zeros((5, 2), np.float32), np.full((5, 2), 9, np.float32)
    assert nearest_neighbour_test(same, same)[0].tolist() == [0.5] * 10
    assert nearest_neighbour_test(same, far)[0].tolist() == [1.0] * 10


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (dict(posterior="coupling(1, 4)"), {"z", "log_q", "log_p", "prior"}),
        (dict(posterior="vq(8, 2)", prior="codes"), set()),
        (dict(prior="conditional", condition="label"), set()),
        (dict(prior="vamp(3)", likelihood="gaussian('pixel')"), {"z", "log_q", "log_p", "prior", "posterior"}),
        (
            dict(condition="label", likelihood="gaussian(0.5)"),
            {"z", "log_q", "log_p", "prior", "posterior", "square_error", "scale"},
        ),
    ],
)
def test_what_a_model_does_not_have_is_left_out(model, names):
    config = Config(
        data=Data(prepare="dequantize" if "gaussian" in model.get("likelihood", "") else "binarize"),
        model=Model(**(dict(encoder="mlp(4)", decoder="mlp(4)") | model)),
        objective="reconstruction" if "vq" in model.get("posterior", "") else "elbo",
    )
    parts = build(config, SHAPE, condition=10)
    blank = np.zeros((1, *SHAPE), np.float32)
    condition = np.eye(10, dtype=np.float32)[:1] if parts.condition_size else None
    variables = jax.jit(parts.model.init)(random.key(0), random.split(random.key(1), (1, 1)), blank, condition)
    codes = make_collect_codes(parts.model, parts.prepare, key=random.key(2))(variables, in_order(make_split(11), 4))
    assert set(codes) == names
    assert all(len(leaf) == 11 for leaf in jax.tree.leaves(codes))
    assert ("divergence" in compare_to_prior(codes), "told_apart" in compare_to_prior(codes)) == (
        "posterior" in names,
        "z" in names,
    )


def test_of_too_many_values_fewer_examples_are_compared(monkeypatch):
    codes = {name: np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32) for name in ("z", "prior")}
    assert compare_to_prior(codes)["examples"] == 100
    monkeypatch.setattr(aggregate_posterior, "_MAX_PAIR_VALUES", 5 * 30**2)
    assert compare_to_prior(codes)["examples"] == 30
    assert compare_to_prior({name: values[:1] for name, values in codes.items()}) == {}
