"""Models without a bound, with codes or points for z: trained, scored by rate and distortion, refused the rest."""

import dataclasses
import functools
import json
import math
from functools import partial
from unittest import mock

import jax
import numpy as np
import pytest
from jax import random
from small import SHAPE, binary_images, make_examples, make_split

import jaxvae
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.config.build import build
from jaxvae.data.pipeline import in_order
from jaxvae.evaluate.bounds import elbo_parts, latent_statistics, make_evaluate, make_log_likelihood, summarize
from jaxvae.latent import encode, generate, reconstruct
from jaxvae.model.codebook import fsq, vq
from jaxvae.objective import reconstruction
from jaxvae.rundir.manifest import best_step
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.step import init_state
from jaxvae.terms import example_keys
from jaxvae.training.initial_state import copy_weights_from
from jaxvae.training.train import train_and_evaluate
from jaxvae.training.validation import score_of

SLOTS = 3
VQ = "vq(codes=5, dim=2, decay=0.9)"
POSTERIORS = {  # string -> (prior, rate, shape of z)
    VQ: ("codes", SLOTS * math.log(5), (SLOTS, 2)),
    "fsq((4, 3, 2))": ("codes", SLOTS * math.log(24), (SLOTS, 3)),
    "point": ("standard", 0.0, (SLOTS,)),
}


def config(posterior, prior, objective="reconstruction"):
    return Config(
        data=Data(prepare="static", batch_size=8),
        model=Model(latent_dim=SLOTS, encoder="mlp(16)", decoder="mlp(16)", posterior=posterior, prior=prior),
        objective=objective,
        optimizer=Optimizer(learning_rate=1e-2),
    )


@functools.cache
def made(posterior):
    """(parts, state, compiled step) of a small model with that posterior."""
    parts = build(config(posterior, POSTERIORS[posterior][0]), SHAPE)
    all_parts = (parts.model, parts.objective, parts.optimizer, parts.prepare)
    state = jax.jit(lambda batch: init_state(*all_parts, batch, init_key=random.key(0), train_key=random.key(1)))(
        make_examples(1)
    )
    return parts, state, jax.jit(parts.train_step)


@pytest.fixture(params=POSTERIORS)
def case(request):
    """(parts, state, compiled step, rate, shape of z)."""
    return *made(request.param), *POSTERIORS[request.param][1:]


def variables_of(state):
    return {"params": state.params["model"], **state.variables["model"]}


def test_the_terms_have_their_shapes_and_the_rate_of_naming_the_codes(case):
    parts, state, _, rate, shape = case
    x, variables = binary_images(6), variables_of(state)
    apply, keys = jax.jit(parts.model.apply), example_keys(random.key(0), np.arange(6), 2)
    terms = apply(variables, keys, x)
    assert terms.levels[0].z.shape == (2, 6, *shape)
    assert not terms.bound
    np.testing.assert_allclose(terms.rate, np.full((2, 6), rate), rtol=1e-6)
    assert all(value.shape == (2, 6) for value in terms.extra.values())
    edited = np.where(np.arange(6).reshape(6, 1, 1, 1) == 2, 1 - x, x)
    other = apply(variables, keys, edited)
    np.testing.assert_array_equal(np.delete(terms.log_px, 2, 1), np.delete(other.log_px, 2, 1))
    z, px = generate(parts.model, variables, random.split(random.key(0), 4))
    assert z.shape == (4, *shape)
    assert px.mean().shape == (4, *SHAPE)
    q = encode(parts.model, variables, x)
    assert q.mean().shape == q.sample(random.key(0)).shape == (6, *shape)
    assert reconstruct(parts.model, variables, random.key(0), x).shape == x.shape
    if "codes" in latent_statistics(terms, parts.model.posterior.traits.space):
        table = np.asarray(parts.model.apply(variables, method="prior").codebook)[0, 0]
        np.testing.assert_allclose(table[np.asarray(q.codes())], q.mean(), rtol=1e-6)


def test_the_gradient_reaches_every_parameter(case):
    parts, state, *_ = case
    x, keys = binary_images(6), example_keys(random.key(0), np.arange(6))

    def loss(params):
        terms = parts.model.apply({"params": params, **state.variables["model"]}, keys, x)
        return reconstruction().apply({}, {}, terms, key=None, step=0, gather=None).value.mean()

    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(state.params["model"])):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


def test_what_has_no_bound_is_scored_by_rate_and_distortion_and_refuses_the_rest_in_words(case):
    parts, state, _, rate, _ = case
    variables = variables_of(state)
    values = make_evaluate(parts.model, parts.prepare, key=random.key(0))(
        variables, in_order(make_split(7), 4), samples=9
    )
    assert not {"elbo", "log_likelihood", "kl_per_dimension"} & set(values)
    summary = summarize(values, samples=9, bits=(16, 0.0))
    assert not {"elbo", "log_likelihood", "bits_per_dim", "active_units"} & set(summary)
    np.testing.assert_allclose(summary["rate"]["value"], rate, rtol=1e-6)
    words = r"chooses z instead of drawing it.*Report its rate and distortion"
    with pytest.raises(ValueError, match=words):
        make_log_likelihood(parts.model)(variables, random.key(0), binary_images(2), np.arange(2), samples=3)
    terms = jax.eval_shape(parts.model.apply, variables, example_keys(random.key(0), np.arange(2)), binary_images(2))
    with pytest.raises(ValueError, match=words):
        elbo_parts(terms)


@pytest.mark.slow
@pytest.mark.parametrize("posterior", [VQ, "fsq((4, 3, 2))"])  # a point's training: see test_baselines.py
def test_training_lowers_the_distortion_and_evaluation_leaves_the_codebook(posterior):
    parts, state, step = made(posterior)
    first, batch = None, make_examples(8)
    for _ in range(100):
        state, metrics = step(state, batch)
        first = metrics if first is None else first
    assert metrics["distortion"] < 0.8 * first["distortion"]
    assert set(metrics) >= {"rate", "distortion", "loss"}
    assert "elbo" not in metrics
    before = state.variables["model"]
    assert ("codebook" in before) == ("perplexity" in metrics)
    _, after = parts.model.apply(
        variables_of(state), example_keys(random.key(0), np.arange(4)), binary_images(4), mutable=list(before)
    )
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_two_halves_on_two_devices_renew_the_codebook_as_the_whole_batch():
    parts, state, step = made(VQ)
    batch = make_examples(8)
    book = state.variables["model"]["codebook"]["posterior"]
    dead = book | {"counts": book["counts"].at[3].multiply(1e-3), "errors": book["errors"].at[1].add(1e-6)}
    state = state.replace(variables={**state.variables, "model": {"codebook": {"posterior": dead}}})
    halves = jax.tree.map(lambda a: a.reshape(2, 4, *a.shape[1:]), batch)
    over_devices = jax.pmap(partial(parts.train_step, axis_name="batch"), axis_name="batch", in_axes=(None, 0))
    shared, _ = over_devices(state.replace(key=random.clone(state.key)), halves)
    whole, _ = step(state, batch)
    for name, value in whole.variables["model"]["codebook"]["posterior"].items():
        both = shared.variables["model"]["codebook"]["posterior"][name]
        np.testing.assert_allclose(both[0], value, rtol=1e-4, atol=1e-9, err_msg=name)
        np.testing.assert_array_equal(both[0], both[1], err_msg=name)
        assert (value != dead[name]).all() if name == "counts" else (value != dead[name]).any()
        assert value.dtype == book[name].dtype
    assert whole.variables["model"]["codebook"]["posterior"]["revived"] == 1


@pytest.mark.parametrize(
    ("posterior", "prior", "objective", "words"),
    [
        ("vq", "codes", "elbo", r"has none: its rate would be a constant\. Choose objective='reconstruction'"),
        ("point", "standard", "elbo", r"needs the density of what is drawn.*Choose objective='reconstruction'"),
        ("fsq", "standard", "reconstruction", r"draws codes of a codebook.*Choose model\.prior='codes'"),
        ("diagonal", "codes", "elbo", r"is a density of codes of a codebook"),
        ("vq(codes=1)", "codes", "reconstruction", r"codes=1: expected a whole number from 2"),
        ("vq(dim=0)", "codes", "reconstruction", r"dim=0: expected a whole number from 1"),
        ("vq(decay=1)", "codes", "reconstruction", r"decay=1: expected a number in \[0, 1\)"),
        ("fsq((5, 1))", "codes", "reconstruction", r"expected whole numbers from 2 on"),
        ("fsq(5)", "codes", "reconstruction", r"expected whole numbers from 2 on"),
        ("fsq((1024, 1025))", "codes", "reconstruction", r"of a product up to"),
    ],
)
def test_what_cannot_work_is_refused_in_words(posterior, prior, objective, words):
    with pytest.raises(ValueError, match=words):
        build(config(posterior, prior, objective), SHAPE)


@pytest.mark.slow
def test_a_run_without_a_bound_is_trained_judged_resumed_and_loaded(tmp_path):
    said, images = [], make_split(60).image
    whole = dataclasses.replace(
        config(VQ, "codes"),
        train=Train(steps=30, engine="dispatch", validate_every=10, checkpoint_every=30, patience=2),
        evaluate=Evaluate(samples=3, batch_size=20),
    )
    whole = dataclasses.replace(whole, data=dataclasses.replace(whole.data, name="arrays", validation=20))
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        for _ in range(2):
            run = train_and_evaluate(whole, tmp_path, arrays={"train": images, "test": images[:20]}, say=said.append)
    assert any("already trained" in line for line in said)
    numbers = json.loads((tmp_path / "results.json").read_text())
    assert set(numbers["test"]) == {"examples", "rate", "distortion", "code_perplexity"}
    assert "rate + distortion" in numbers["protocol"]["weights"]
    lines = [line for line in read_metrics(tmp_path) if line["split"] == "validation"]
    scores = {line["step"]: -(line["rate"] + line["distortion"]) for line in lines}
    assert best_step(tmp_path / "checkpoints") == max(scores, key=scores.get) == run.step
    loaded = jaxvae.load(tmp_path)
    x = loaded.prepare(random.key(0), images[:5])
    np.testing.assert_array_equal(loaded.encode(x).codes(), run.encode(x).codes())
    assert loaded.reconstruct(random.key(0), x).shape == loaded.sample(random.key(0), 5).shape == (5, *SHAPE)
    with pytest.raises(ValueError, match="Report its rate and distortion"):
        loaded.log_likelihood(random.key(0), x)
    fresh = copy_weights_from(str(tmp_path), made(VQ)[1])
    jax.tree.map(np.testing.assert_array_equal, variables_of(fresh), loaded.variables)


@pytest.mark.parametrize(
    ("line", "score"),
    [
        ({"elbo": -3.0, "rate": 1.0, "distortion": 2.5}, -3.0),
        ({"rate": 1.0, "distortion": 2.5}, -3.5),
        ({"rate": 1.0, "distortion": None}, None),
        ({"elbo": None, "rate": 1.0, "distortion": 2.5}, None),
    ],
)
def test_a_validation_is_judged_by_its_elbo_or_by_rate_and_distortion(line, score):
    assert score_of(line) == score


def test_heads_say_what_they_are():
    for head in (vq(latent_dim=2), fsq(latent_dim=2)):
        assert (head.traits.space, head.traits.offers) == ("codes", frozenset())
