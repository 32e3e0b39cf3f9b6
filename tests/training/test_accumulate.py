"""Gradients accumulated over parts of a batch: the step of the whole batch, with less memory, on any devices."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax, random
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from small import make_examples, make_vae

from jaxvae.config import Config, Data, Model, Optimizer, Train
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.objective import Needs, elbo
from jaxvae.rundir.state import first_state
from jaxvae.step import make_train_step
from jaxvae.training.engine import choose_engine

BATCH, STEPS = 16, 3
DENSE = Model(encoder="mlp(8)", decoder="mlp(8)")
CODES = Model(posterior="vq(codes=5, dim=2)", prior="codes", encoder="mlp(8, dropout=0.3)", decoder="mlp(8)")


def config(model, accumulate=1, batch_size=BATCH, objective="elbo", prepare="binarize"):
    return Config(
        data=Data(batch_size=batch_size, prepare=prepare),
        model=model,
        objective="reconstruction" if "vq" in model.posterior else objective,
        optimizer=Optimizer(name="sgd", learning_rate=1e-2),
        train=Train(accumulate=accumulate),
    )


def mesh():
    return Mesh(np.asarray(jax.devices()), ("batch",), axis_types=(AxisType.Auto,))


def under_jit(step):
    return jax.jit(step)


def sharded(step):
    whole, rows = (NamedSharding(mesh(), spec) for spec in (PartitionSpec(), PartitionSpec("batch")))
    return jax.jit(step, in_shardings=(whole, rows), out_shardings=(whole, whole))


def mapped(step):
    specs = PartitionSpec(), PartitionSpec("batch")
    of_share = functools.partial(step, axis_name="batch")
    return jax.jit(jax.shard_map(of_share, mesh=mesh(), in_specs=specs, out_specs=(specs[0], specs[0])))


def run(step, state):
    """(state, metrics) after some steps, each on a batch of its own."""
    for t in range(STEPS):
        state, metrics = step(state, make_examples(BATCH, seed=t, first=BATCH * t))
        jax.block_until_ready(metrics)
    return jax.device_get(state.replace(key=random.key_data(state.key))), jax.device_get(metrics)


def as_on_an_accelerator(monkeypatch):
    monkeypatch.setattr(lax, "platform_dependent", lambda *args, cpu, default: default(*args))


@functools.cache
def whole(of):
    """The first state, and what steps over whole batches make of it."""
    model = {"dense": DENSE, "codes": CODES}[of]
    parts = build(config(model), (4, 4, 1))
    state = first_state(config(model), parts, random.key(0), random.key(1))
    return model, state, run(jax.jit(parts.train_step), state)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of", "drive", "loops"), [("dense", sharded, False), ("codes", mapped, False), ("codes", under_jit, True)]
)
def test_parts_of_a_batch_move_as_the_whole(monkeypatch, of, drive, loops):
    """With a codebook's averages and dropout's masks; by the loop of an accelerator as well, which a CPU can run."""
    model, state, (expected, expected_metrics) = whole(of)
    if loops:
        as_on_an_accelerator(monkeypatch)
    step = drive(build(config(model, accumulate=2), (4, 4, 1)).train_step)
    got, metrics = run(step, state)
    assert optax.tree.norm(jax.tree.map(jnp.subtract, expected.params, state.params)) > 1e-2
    chex.assert_trees_all_close(got, expected, rtol=0, atol=STEPS * 1e-6)
    chex.assert_trees_all_close(metrics, expected_metrics, rtol=1e-5)
    if drive is sharded:  # blocks of rows lie on their devices: nothing but sums may cross between these
        text = step.lower(state, make_examples(BATCH)).compile().as_text()
        assert "all-reduce" in text
        assert not any(other in text for other in ("all-to-all", "all-gather", "collective-permute"))


def test_the_loop_of_an_accelerator_fits_a_mapped_step(monkeypatch):
    """What it carries varies over devices, or tracing refuses it."""
    model, state, _ = whole("codes")
    as_on_an_accelerator(monkeypatch)
    step = mapped(build(config(model, accumulate=2), (4, 4, 1)).train_step)
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(step, state, make_examples(BATCH))[0], state)


def test_parts_that_do_not_fit_are_refused_in_words():
    step = make_train_step(make_vae(), elbo(), None, None, accumulate=3)
    state = whole("dense")[1]
    with pytest.raises(ValueError, match=r"accumulate=3 cuts a batch .* 16 examples .* are no multiple of 3"):
        jax.eval_shape(step, state, make_examples(BATCH))
    with pytest.raises(ValueError, match=r"train.accumulate=0: expected a whole number from 1 on"):
        build(config(DENSE, accumulate=0), (4, 4, 1))
    with pytest.raises(ValueError, match=r"data.batch_size=16 is no multiple of it. Choose data.batch_size=15"):
        build(config(DENSE, accumulate=3), (4, 4, 1))
    known = {"devices": 4, "batch_size": 40, "convolutions": True, "platform": "cpu", "pipeline": "resident"}
    with pytest.raises(ValueError, match=r"over train.accumulate=4 parts; .*=40 is no .* Choose data.batch_size=32"):
        choose_engine("pmap", accumulate=4, **known)
    assert choose_engine("auto", accumulate=4, **known) == "dispatch"
    assert choose_engine("auto", accumulate=5, **known) == "sharded"


def test_what_looks_at_the_whole_batch_is_refused_in_words(monkeypatch):
    optimal = dataclasses.replace(DENSE, likelihood="gaussian('optimal')")
    with pytest.raises(ValueError, match=r"fits its scale to the whole batch .* Choose train.accumulate=1, or"):
        build(config(optimal, accumulate=2, prepare="dequantize"), (4, 4, 1))
    build(config(optimal, prepare="dequantize"), (4, 4, 1))
    monkeypatch.setitem(TABLES["objective"], "comparing", lambda: elbo()._replace(needs=Needs(engine={"batch"})))
    with pytest.raises(ValueError, match=r"objective='comparing' compares the examples .* Choose train.accumulate=1"):
        build(config(DENSE, accumulate=2, objective="comparing"), (4, 4, 1))


def test_many_parts_are_compiled_once_and_few_each():
    """128 parts, each compiled for itself, did not compile within minutes; up to 8 keep their bits and their speed."""
    state = whole("dense")[1]

    def products(parts):
        step = jax.jit(build(config(DENSE, accumulate=parts, batch_size=128), (4, 4, 1)).train_step)
        return step.lower(state, make_examples(128)).as_text().count("dot_general")

    assert products(8) == 8 * products(2) / 2
    assert products(128) == products(16) < products(8)


def test_many_parts_move_as_the_whole():
    model, state, (expected, expected_metrics) = whole("dense")
    got, metrics = run(jax.jit(build(config(model, accumulate=16), (4, 4, 1)).train_step), state)
    chex.assert_trees_all_close(got, expected, rtol=0, atol=STEPS * 1e-6)
    chex.assert_trees_all_close(metrics, expected_metrics, rtol=1e-5)
