"""One step over many devices is the step of one: objectives that compare examples, a cut state, each trap of jax's."""

import functools
import itertools
import logging
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax, random
from small import SHAPE, make_conv_vae, make_split, make_vae

from jaxvae.data.pipeline import Resident, Streaming
from jaxvae.data.prepare import binarize
from jaxvae.model import decoder, encoder, posterior, prior
from jaxvae.model.codebook import vq
from jaxvae.objective import Loss, Needs, Objective, elbo, reconstruction
from jaxvae.rundir.checkpoint import Saver, restore
from jaxvae.runtime.sharding import MIN_SHARDED_SIZE, all_devices, one_device
from jaxvae.step import init_state, make_train_step, mean_over_devices
from jaxvae.terms import example_keys
from jaxvae.training.engine import ENGINES, ONE_DEVICE, SYNC_EVERY, choose_engine

BATCH = 16
SPREAD = [name for name in ENGINES if name not in ONE_DEVICE]


def uncorrelated(weight: float = 1.0) -> Objective:
    """The elbo and a penalty on the covariance of z over the batch: it compares examples, as TC, DIP and MMD do."""
    bound = elbo()

    def apply(params, memory, terms, *, key, step, gather) -> Loss:
        loss = bound.apply(params, memory, terms, key=key, step=step, gather=gather)
        z = gather(terms.levels[0].z)[0]
        centred = z - z.mean(axis=0, keepdims=True)
        penalty = jnp.square(centred.T @ centred / len(z) - jnp.eye(z.shape[1])).sum()
        return Loss(loss.value + weight * penalty, loss.memory, {**loss.metrics, "penalty": penalty})

    return Objective(bound.init, apply, Needs(posterior={"samples"}, engine={"batch"}))


def steps_of(name, chosen, count=3, layout=None):
    """(first state, last state, metrics) after so many steps of that engine, each waited for."""
    layout = layout or (one_device() if name in ONE_DEVICE else all_devices())
    pipeline = Resident(make_split(36), random.key(2), BATCH, layout)
    batch = next(Resident(make_split(36), random.key(2), BATCH).batches(0))
    keys = {"init_key": random.key(0), "train_key": random.key(1)}
    first = jax.jit(functools.partial(init_state, *chosen))(batch, **keys)
    engine = ENGINES[name](make_train_step(*chosen), pipeline, layout)
    state, metrics = engine.place(first), {}
    for step in range(count):
        state, metrics = engine.advance(state, step, 1)
        jax.block_until_ready((state, metrics))
    return first, engine.collect(state), metrics


def assert_same_steps(name, chosen, expected, *, layout=None):
    _, state, metrics = steps_of(name, chosen, layout=layout)
    first, last, known = expected
    assert optax.tree.norm(jax.tree.map(jnp.subtract, last.params, first.params)) > 1e-3
    chex.assert_trees_all_close(state.params, last.params, rtol=0, atol=3e-6)
    chex.assert_trees_all_close(state.variables, last.variables, rtol=1e-5, atol=3e-6)
    for metric, value in known.items():
        np.testing.assert_allclose(metrics[metric], value, rtol=1e-4, atol=1e-5, err_msg=metric)


@pytest.fixture(scope="module")
def compared():
    chosen = (make_vae(), uncorrelated(), optax.sgd(1e-3), binarize())
    return chosen, steps_of("dispatch", chosen)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPREAD)
def test_an_objective_that_compares_examples_sees_the_whole_batch_on_every_engine(name, compared):
    chosen, expected = compared
    assert expected[2]["penalty"] > 0.1
    assert_same_steps(name, chosen, expected)


MODELS = {
    "a gradient of our own (the transpose convolution)": (make_conv_vae, elbo),
    "running sums (a codebook's)": (
        lambda: make_vae().clone(posterior=vq(8, 3, latent_dim=4), latent_prior=prior.codes(data_shape=SHAPE)),
        reconstruction,
    ),
    "derivatives of our own (of Bessel functions)": (
        lambda: make_vae().clone(posterior=posterior.vmf(latent_dim=3), latent_prior=prior.sphere(latent_dim=3)),
        elbo,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", MODELS)
def test_shard_map_gives_the_gradient_of_one_device(what):
    """Traps A and D of shard_map: a mean D times too large; helper arrays that do not vary with the data."""
    make, objective = MODELS[what]
    chosen = (make(), objective(), optax.sgd(1e-3), binarize())
    assert_same_steps("shard_map", chosen, steps_of("dispatch", chosen))


def counting(state, batch, *, axis_name=None):
    """A step of next to nothing, with one sum over devices."""
    return state + 1, {"mean": mean_over_devices(axis_name, batch.index.astype(jnp.float32).mean())}


@pytest.mark.parametrize("name", ["sharded", "shard_map", "pmap"])
def test_fake_devices_never_run_further_ahead_than_they_can(name):
    """Trap B: hundreds of unsynchronised steps end in an abort on jax 0.10 and 0.11."""
    layout = all_devices()
    engine = ENGINES[name](counting, Resident(make_split(36), random.key(2), BATCH, layout), layout)
    state = engine.place(jnp.zeros((), jnp.int32))
    with mock.patch("jax.block_until_ready", wraps=jax.block_until_ready) as waited:
        engine.advance(state, 0, 2 * SYNC_EVERY + 5)
    assert waited.call_count == 2


def wide():
    """A VAE with layers large enough to be cut."""
    return make_vae(encode=encoder.mlp(512), decode=decoder.mlp(512, shape=SHAPE)), elbo(), optax.adam(1e-3), binarize()


@pytest.fixture(scope="module")
def cut():
    return steps_of("sharded", wide(), layout=all_devices(fsdp=True))


@pytest.mark.slow
def test_a_cut_state_takes_the_steps_of_a_whole_one():
    model, objective, _, prepare = wide()
    chosen = (model, objective, optax.sgd(1e-3), prepare)
    expected = steps_of("dispatch", chosen)
    for name in ("sharded", "sharded_scan"):
        assert_same_steps(name, chosen, expected, layout=all_devices(fsdp=True))


def test_a_cut_state_lies_in_parts_on_the_devices(cut):
    """Parameters, their average and both of Adam's moments: each device holds its share and the small leaves."""
    _, state, _ = cut
    devices = jax.device_count()
    for tree in (state.params, state.ema, state.opt):
        large = [leaf for leaf in jax.tree.leaves(tree) if leaf.size >= MIN_SHARDED_SIZE]
        assert large
        for leaf in large:
            shards = leaf.addressable_shards
            assert len({str(shard.index) for shard in shards}) == devices
            assert {shard.data.size for shard in shards} == {leaf.size // devices}
    assert state.step.is_fully_replicated


def test_what_is_gathered_again_is_not_compiled_again(cut, caplog):
    """At every frame and validation: a program made anew for each would take longer than the steps between."""
    _, state, _ = cut
    layout = all_devices(fsdp=True)
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        first = layout.to_first_device(state.params)
        assert any("Compiling" in record.message for record in caplog.records)
        caplog.clear()
        again = layout.to_first_device(state.params)
    assert not any("Compiling" in record.message for record in caplog.records)
    for one, other, leaf in zip(*map(jax.tree.leaves, (first, again, state.params)), strict=True):
        assert len(one.devices()) == 1
        np.testing.assert_array_equal(np.asarray(one), np.asarray(leaf))
        np.testing.assert_array_equal(np.asarray(other), np.asarray(leaf))


def test_a_cut_state_is_saved_and_restored_onto_other_devices(cut, tmp_path):
    """From all devices onto one, and back, cut again: the same bits."""
    _, state, _ = cut
    with Saver(tmp_path) as saver:
        saver.save(3, state)
    abstract = jax.eval_shape(lambda: jax.tree.map(jnp.zeros_like, state.replace(key=random.key(0))))
    alone = restore(tmp_path, abstract)
    assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(alone))
    again = restore(tmp_path, all_devices(fsdp=True).abstract(abstract))
    for one, other, first in zip(*map(jax.tree.leaves, (alone, again, state)), strict=True):
        assert other.sharding.is_equivalent_to(first.sharding, first.ndim)
        if not jnp.issubdtype(first.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(first))
            np.testing.assert_array_equal(np.asarray(other), np.asarray(first))
    np.testing.assert_array_equal(random.key_data(alone.key), random.key_data(random.key(1)))


def test_key_bits_and_data_order_do_not_depend_on_the_devices():
    """A step that returns its batch's indices and the bits of its keys."""

    def step(state, batch, *, axis_name=None):
        keys = example_keys(random.fold_in(random.key(7), state), batch.index)[0]
        seen = {"index": batch.index, "bits": jax.vmap(random.bits)(keys)}
        if axis_name is not None:
            seen = jax.tree.map(lambda a: lax.all_gather(a, axis_name, tiled=True), seen)
        return state + 1, seen

    def seen_by(layout, pipeline):
        batches = itertools.islice(pipeline(make_split(36), random.key(2), BATCH, layout).batches(1), 3)
        return [jax.tree.map(np.asarray, jax.jit(step)(count, batch)[1]) for count, batch in enumerate(batches)]

    expected = seen_by(one_device(), Resident)
    for pipeline in (Resident, Streaming):
        for layout in (one_device(), all_devices()):
            jax.tree.map(np.testing.assert_array_equal, seen_by(layout, pipeline), expected)


@pytest.mark.parametrize(
    ("name", "known", "words"),
    [
        ("pmap", {"fsdp": True}, "train.engine='pmap' holds the state whole on each device"),
        ("shard_map", {"fsdp": True}, "train.fsdp=False"),
        ("dispatch", {"fsdp": True}, "Choose train.engine='auto' or 'sharded'"),
        ("pmap", {"processes": 2}, "train.engine='pmap' uses the devices of one process; these are 2"),
        ("scan", {"processes": 2}, "Choose train.engine='auto', 'sharded' or 'shard_map'"),
        (
            "auto",
            {"processes": 2, "batch_size": 30},
            r"over 4 devices; data.batch_size=30 .* Choose data.batch_size=28\.",
        ),
        ("auto", {"fsdp": True, "batch_size": 30}, "data.batch_size=30 is no multiple"),
        ("sharded_scan", {"pipeline": "streaming"}, "choose data.pipeline='resident'"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_in_words(name, known, words):
    known = {"pipeline": "resident", "batch_size": 32} | known
    with pytest.raises(ValueError, match=words):
        choose_engine(name, devices=4, convolutions=False, platform="gpu", **known)
