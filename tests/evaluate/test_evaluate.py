import dataclasses
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from small import SHAPE, binary_images, init, make_conv_vae, make_split, make_vae

from jaxvae.data.pipeline import in_order
from jaxvae.data.prepare import binarize, dequantize, grey
from jaxvae.evaluate.bounds import (
    active_units,
    bits_per_dim,
    latent_statistics,
    log_weight_sum,
    make_evaluate,
    make_log_likelihood,
    summarize,
)
from jaxvae.model import Traits
from jaxvae.rundir.results import format_split
from jaxvae.terms import example_keys

PIXELS = math.prod(SHAPE)


class CountedEncoder(nn.Module):
    """An encoder that reports each call."""

    inner: nn.Module
    called: Callable

    @nn.compact
    def __call__(self, x, condition=None):
        jax.debug.callback(self.called)
        return self.inner(x, condition)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Uniform:
    """The uniform density on [0, 1)^X: 256 equally likely levels for every dequantized pixel."""

    shape: jax.Array
    event: int = dataclasses.field(default=1, metadata={"static": True})

    def log_prob(self, x):
        inside = ((x >= 0) & (x < 1)).all(tuple(range(-self.event, 0)))
        return jnp.broadcast_to(jnp.where(inside, 0.0, -jnp.inf), self.shape.shape[: -self.event])


class UniformLikelihood(nn.Module):
    traits = Traits(support="real")

    def features(self, channels):
        return channels

    def __call__(self, features):
        return Uniform(features, event=features.ndim - 2)


def without_information(variables):
    """The parameters at zero: q is the prior, every logit is 0."""
    return jax.tree.map(jnp.zeros_like, variables)


@pytest.mark.parametrize("chunk", [1, 7, 50, 64, 1000])
def test_the_samples_at_once_are_the_samples_in_chunks(chunk):
    model, x = make_vae(), binary_images(5)
    variables, index = init(model, x), np.arange(5)
    at_once = make_log_likelihood(model, 50)(variables, random.key(0), x, index, samples=50)
    in_chunks = make_log_likelihood(model, chunk)(variables, random.key(0), x, index, samples=50)
    np.testing.assert_allclose(in_chunks, at_once, atol=1e-4)


def test_a_chunk_that_memory_chooses_changes_nothing(monkeypatch):
    model, x = make_vae(), binary_images(5)
    variables, index = init(model, x), np.arange(5)
    at_once = make_log_likelihood(model)(variables, random.key(0), x, index, samples=20)
    monkeypatch.setattr("jaxvae.evaluate.bounds._CHUNK_VALUES", 3 * x.size)
    np.testing.assert_allclose(
        make_log_likelihood(model)(variables, random.key(0), x, index, samples=20), at_once, atol=1e-4
    )


def test_exactly_k_samples_are_drawn_for_any_k_and_chunk():
    """log mean_k w_k against the weights drawn one by one: K is not rounded to chunks."""
    model, x = make_vae(), binary_images(5)
    variables, index = init(model, x), np.arange(5)
    inferred = model.apply(variables, x, method="infer")
    singles = [log_weight_sum(model, variables, random.key(0), inferred, x, index, first=k, count=1) for k in range(11)]
    for samples in (1, 4, 11):
        expected = np.logaddexp.reduce(np.float64(singles[:samples]), 0) - math.log(samples)
        got = make_log_likelihood(model, 4)(variables, random.key(0), x, index, samples=samples)
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_the_encoder_runs_once_however_many_samples_and_chunks():
    runs = []
    model, x = make_vae(), binary_images(5)
    model = model.clone(encoder=CountedEncoder(model.encoder, lambda: runs.append(1)))
    variables = init(model, x)
    jax.effects_barrier()
    runs.clear()
    make_log_likelihood(model, 10)(variables, random.key(0), x, np.arange(5), samples=100)
    jax.effects_barrier()
    assert len(runs) == 1


@pytest.mark.parametrize("samples", [0, -1])
def test_no_samples_are_refused_in_words(samples):
    with pytest.raises(
        ValueError, match=rf"samples={samples}: the importance-weighted bound needs at least one sample"
    ):
        make_log_likelihood(make_vae())({}, random.key(0), binary_images(2), np.arange(2), samples=samples)


def test_the_bound_with_many_samples_is_the_integral_over_a_grid_of_z():
    """log p(x) = log of the integral of p(x|z) p(z) dz, by brute force in the plane."""
    model, x = make_vae(), binary_images(4)
    params = init(model, x)["params"]
    variables = {
        "params": params | {"decoder": jax.tree.map(lambda a: 1.5 * a, params["decoder"])}
    }  # p(x|z) depends on z
    steps = np.linspace(-7, 7, 281)
    plane = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 1, 2).astype(np.float32)
    z = np.broadcast_to(plane, (len(plane), 4, 2))
    joint = np.float64(jax.jit(lambda z: model.apply(variables, (z,), x, method="log_joint"))(z))
    integral = np.logaddexp.reduce(joint, 0) + 2 * math.log(steps[1] - steps[0])
    at_zero = np.float64(model.apply(variables, (np.zeros((1, 4, 2), np.float32),), method="decode").log_prob(x[None]))[
        0
    ]
    assert np.abs(at_zero - integral).max() > 0.1  # z matters
    got = make_log_likelihood(model)(variables, random.key(0), x, np.arange(4), samples=200_000)
    np.testing.assert_allclose(got, integral, atol=0.01)


@pytest.mark.parametrize(("make", "batch_size"), [(make_vae, 4), (make_vae, 11), (make_conv_vae, 7)])
def test_a_padded_last_batch_changes_no_example(make, batch_size):
    model, split = make(), make_split(11)
    variables = init(model, binary_images(4))
    evaluate = make_evaluate(model, binarize(), key=random.key(0))
    in_batches = evaluate(variables, in_order(split, batch_size), samples=5)
    at_once = evaluate(variables, in_order(split, 11), samples=5)
    assert set(at_once) == {"elbo", "rate", "distortion", "kl_per_dimension", "means", "log_likelihood"}
    for name, values in at_once.items():
        assert values.shape[0] == 11
        np.testing.assert_allclose(in_batches[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def test_every_call_of_an_evaluation_draws_the_same():
    model, split = make_vae(), make_split(6)
    variables = init(model, binary_images(4))
    evaluate = make_evaluate(model, binarize(), key=random.key(0))
    once, again = (evaluate(variables, in_order(split, 3), samples=5) for _ in range(2))
    other = make_evaluate(model, binarize(), key=random.key(1))(variables, in_order(split, 3), samples=5)
    assert all(np.array_equal(once[name], again[name]) for name in once)
    assert (once["log_likelihood"] != other["log_likelihood"]).all()


def test_the_kl_of_the_coordinates_sums_to_the_rate():
    model, x = make_vae(latent_dim=3), binary_images(6)
    terms = jax.jit(model.apply)(init(model, x), example_keys(random.key(0), np.arange(6), 2), x)
    each = latent_statistics(terms)
    assert each["means"].shape == each["kl_per_dimension"].shape == (6, 3)
    np.testing.assert_allclose(each["kl_per_dimension"].sum(-1), terms.rate[0], rtol=1e-5)
    np.testing.assert_array_equal(each["means"], terms.levels[0].q.loc[0])


def test_a_uniform_model_of_256_levels_takes_exactly_8_bits():
    model, split = make_vae(px=UniformLikelihood()), make_split(10)
    variables = without_information(init(model, binary_images(2)))
    values = make_evaluate(model, dequantize(), key=random.key(0))(variables, in_order(split, 4), samples=10)
    for names in (set(values), set(values) - {"log_likelihood"}):
        bits = summarize({name: values[name] for name in names}, bits=(PIXELS, 8.0))["bits_per_dim"]
        np.testing.assert_allclose(bits["value"], 8.0, rtol=1e-7)
        assert bits["of"] == ("log_likelihood" if "log_likelihood" in names else "elbo")


def test_bits_per_dimension_are_given_of_both_bounds_and_named():
    values = {name: np.full(4, value) for name, value in (("elbo", -9.0), ("log_likelihood", -8.0))}
    values |= {"rate": np.ones(4), "distortion": np.full(4, 8.0)}
    summary = summarize(values, samples=100, bits=(4, 0.0))
    assert summary["bits_per_dim"]["value"] == pytest.approx(2 / math.log(2))
    assert summary["bits_per_dim_elbo"]["value"] == pytest.approx(9 / 4 / math.log(2))
    assert summary["bits_per_dim_elbo"]["of"] == "elbo"
    lines = format_split("test", summary, "value", "stderr")
    assert [line.split("(")[1] for line in lines if "bits_per_dim" in line] == [
        "from log_likelihood, K=100)",
        "from elbo)",
    ]
    assert "bits_per_dim_elbo" not in summarize({"elbo": values["elbo"], "distortion": values["rate"]}, bits=(4, 0.0))


def test_a_fair_coin_takes_exactly_1_bit():
    model, split = make_vae(), make_split(10)
    variables = without_information(init(model, binary_images(2)))
    values = make_evaluate(model, binarize(), key=random.key(0))(variables, in_order(split, 4), samples=10)
    bits = summarize(values, samples=10, bits=(PIXELS, 0.0))["bits_per_dim"]
    np.testing.assert_allclose(bits["value"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(values["elbo"], -PIXELS * math.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    ("log_prob", "cell", "bits"),
    [(-PIXELS * math.log(2), 8.0, 9.0), (0.0, 0.0, 0.0), (-PIXELS * math.log(4), 0.0, 2.0)],
)
def test_bits_per_dim_are_nats_over_log_2_and_the_pixels_own_width(log_prob, cell, bits):
    np.testing.assert_allclose(bits_per_dim(np.array([log_prob]), PIXELS, cell), [bits], atol=1e-12)


def test_summaries_are_means_with_standard_errors():
    random_state = np.random.RandomState(0)
    values = {
        name: random_state.normal(-80, 5, 400).astype(np.float32)
        for name in ("elbo", "rate", "distortion", "log_likelihood")
    }
    results = summarize(values, samples=50)
    for name, value in values.items():
        exact = value.astype(np.float64)
        np.testing.assert_allclose(results[name]["value"], exact.mean(), rtol=1e-12)
        np.testing.assert_allclose(results[name]["stderr"], exact.std(ddof=1) / 20, rtol=1e-12)
    assert results["log_likelihood"]["samples"] == 50
    assert results["examples"] == 400
    assert "bits_per_dim" not in results


def test_a_summary_keeps_its_digits_over_many_examples():
    """A sum of a million float32 near -80 loses the third digit; in double precision nothing."""
    values = np.full(1_000_000, -80.1, np.float32)
    assert summarize({"elbo": values, "distortion": values})["elbo"]["value"] == pytest.approx(
        float(np.float32(-80.1)), rel=1e-12
    )


def test_units_are_active_where_their_means_vary_over_the_data():
    random_state = np.random.RandomState(0)
    spread = np.array([1.0, 0.11, 0.09, 0.0])  # variances 1, 0.0121, 0.0081, 0: the threshold is 0.01
    means = random_state.normal(size=(5000, 4)) * spread + 10
    assert active_units(means.astype(np.float32)).tolist() == [True, True, False, False]
    values = {
        "elbo": np.zeros(5000),
        "distortion": np.zeros(5000),
        "means": means,
        "kl_per_dimension": np.tile([[2.0, 1.0, 0.5, 0.0]], (5000, 1)),
    }
    results = summarize(values)
    assert results["active_units"] == {"value": 2, "of": 4}
    assert results["kl_per_dimension"] == {"value": [2.0, 1.0, 0.5, 0.0]}


def test_an_untrained_posterior_without_information_has_no_active_unit():
    model, split = make_vae(), make_split(10)
    variables = without_information(init(model, binary_images(2)))
    results = summarize(make_evaluate(model, grey(), key=random.key(0))(variables, in_order(split, 5)))
    assert results["active_units"] == {"value": 0, "of": 2}
    assert results["rate"]["value"] == 0
