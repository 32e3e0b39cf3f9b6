import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from small import make_conv_vae, make_split, make_vae

from jaxvae.config import schema
from jaxvae.data.pipeline import Resident, Streaming
from jaxvae.data.prepare import Examples, binarize, grey
from jaxvae.model import likelihood
from jaxvae.model.convolution import ConvTranspose
from jaxvae.objective import elbo
from jaxvae.runtime.sharding import all_devices, one_device
from jaxvae.step import init_state, make_train_step
from jaxvae.training.engine import ENGINES, ONE_DEVICE, choose_engine, has_convolutions

N, BATCH = 36, 8  # 4 steps an epoch, 4 images left out of each
RATE = 1e-3


def bits(tree):
    """A tree's leaves as numpy arrays, keys as their bits."""
    leaves = jax.tree.leaves(tree)
    return [np.asarray(random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a) for a in leaves]


def assert_same_bits(one, other):
    for a, b in zip(bits(one), bits(other), strict=True):
        np.testing.assert_array_equal(a, b)


def parts(make=make_vae):
    return make(), elbo(optax.linear_schedule(0.5, 1.0, 10)), optax.sgd(RATE), binarize()


@functools.cache
def first_of(make):
    """The jitted function of a batch that gives the state before the first step."""
    return jax.jit(lambda batch: init_state(*parts(make), batch, init_key=random.key(0), train_key=random.key(1)))


def start(pipeline, make=make_vae):
    """The state before the first step."""
    return first_of(make)(next(pipeline.batches(0)))


def layout_of(name):
    return one_device() if name in ONE_DEVICE else all_devices()


def pipelines(layout=None):
    known = (make_split(N), random.key(2), BATCH, layout)
    return Resident(*known), Streaming(*known)


def resident_engine(name, step):
    """The engine over resident data, where it wants them."""
    layout = layout_of(name)
    return ENGINES[name](step, Resident(make_split(N), random.key(2), BATCH, layout), layout)


@functools.cache
def usual_engine(name):
    """That engine with the usual step: compiled once for all tests, as an engine remembers no state."""
    return resident_engine(name, make_train_step(*parts()))


def run(engine, state, counts, first=0):
    """(state, metrics) after the steps, so many in each call."""
    state, metrics = engine.place(state), {}
    for count in counts:
        state, metrics = engine.advance(state, first, count)
        jax.block_until_ready((state, metrics))
        first += count
    return engine.collect(state), metrics


@pytest.fixture(scope="module")
def reference():
    """20 steps written without an engine, each on the batch that the definition of the order names."""
    resident, _ = pipelines()
    step, state, split = jax.jit(make_train_step(*parts())), start(resident), make_split(N)
    for t in range(20):
        epoch, position = divmod(t, N // BATCH)
        permutation = np.asarray(random.permutation(random.fold_in(random.key(2), epoch), N))
        rows = permutation[position * BATCH : (position + 1) * BATCH]
        batch = Examples(split.image[rows], split.label[rows], split.index[rows])
        state, metrics = step(state, batch)
    return state, metrics


@pytest.mark.parametrize(
    ("name", "which", "counts"),
    [
        ("dispatch", 0, (1,) * 20),
        ("dispatch", 1, (20,)),
        ("scan", 0, (20,)),
        ("sharded", 0, (1,) * 20),
        ("sharded", 1, (1,) * 20),
        ("sharded_scan", 0, (4, 1, 15)),
        ("shard_map", 0, (1,) * 20),
        ("shard_map", 1, (1,) * 20),
        ("pmap", 0, (1,) * 20),
        ("pmap", 1, (1,) * 20),
    ],
)
def test_every_engine_takes_the_same_twenty_steps(reference, name, which, counts):
    """SGD, whose updates show a gradient too large by the number of devices; Adam's would hide it."""
    expected, expected_metrics = reference
    layout = layout_of(name)
    engine = ENGINES[name](make_train_step(*parts()), pipelines(layout)[which], layout)
    state, metrics = run(engine, start(pipelines()[0]), counts)
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, expected.params, start(pipelines()[0]).params))
    assert moved > 1e-2
    chex.assert_trees_all_close(state.params, expected.params, rtol=0, atol=20 * 1e-6)
    chex.assert_trees_all_close(state.ema, expected.ema, rtol=0, atol=20 * 1e-6)
    assert (int(state.step), int(state.guard.skipped)) == (20, 0)
    np.testing.assert_array_equal(random.key_data(state.key), random.key_data(expected.key))
    assert set(metrics) == set(expected_metrics)
    for metric, value in metrics.items():
        np.testing.assert_allclose(value, expected_metrics[metric], rtol=1e-4, err_msg=metric)


def test_pmap_gives_every_device_the_same_state():
    resident, _ = pipelines()
    engine = usual_engine("pmap")
    state = engine.place(start(resident))
    for t in range(3):
        state, metrics = engine.advance(state, t, 1)
        jax.block_until_ready(metrics)
    for leaf in bits(state):
        assert leaf.shape[0] == jax.local_device_count() > 1
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))


@pytest.mark.parametrize("first", [0, 2, 4, 7, 9])
def test_resident_and_streaming_give_the_same_batches_wherever_they_start(first):
    resident, streaming = pipelines()
    straight = list(itertools.islice(resident.batches(0), first, first + 6))
    for pipeline in (resident, streaming):
        for one, other in zip(straight, itertools.islice(pipeline.batches(first), 6), strict=True):
            assert_same_bits(one, other)


def test_an_epoch_shows_no_example_twice_and_its_own_labels():
    for pipeline in pipelines():
        split = make_split(N)
        for epoch in range(2):
            batches = list(itertools.islice(pipeline.batches(epoch * 4), 4))
            index = np.concatenate([batch.index for batch in batches])
            assert len(np.unique(index)) == 32
            np.testing.assert_array_equal(np.concatenate([batch.image for batch in batches]), split.image[index])
            np.testing.assert_array_equal(np.concatenate([batch.label for batch in batches]), split.label[index])


@pytest.mark.parametrize("name", ["dispatch", "scan"])
@pytest.mark.parametrize("counts", [(7, 13), (1, 2, 17), (4, 8, 8)])
def test_the_calls_that_steps_are_grouped_into_do_not_matter(name, counts):
    resident, _ = pipelines()
    engine = usual_engine(name)
    whole, grouped = run(engine, start(resident), (20,)), run(engine, start(resident), counts)
    assert_same_bits(whole, grouped)


@pytest.mark.parametrize("name", ENGINES)
def test_a_state_collected_in_the_middle_goes_on_to_the_same_bits(name):
    resident, _ = pipelines()
    straight, _ = run(usual_engine(name), start(resident), (5, 4))
    middle, _ = run(usual_engine(name), start(resident), (5,))
    resumed, _ = run(resident_engine(name, make_train_step(*parts())), middle, (4,), first=5)
    assert_same_bits(straight, resumed)


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_placed_and_collected_outlives_the_next_step(name):
    """Donation deletes what an engine is given: never the caller's own arrays."""
    resident, _ = pipelines()
    engine, state = usual_engine(name), start(resident)
    placed, _ = engine.advance(engine.place(state), 0, 1)
    collected = engine.collect(placed)
    _, metrics = engine.advance(placed, 1, 1)
    jax.block_until_ready(metrics)
    _, metrics = engine.advance(engine.place(collected), 1, 1)  # it lies where the engine wants it already
    jax.block_until_ready(metrics)
    # not read before: a numpy view of an array keeps it from being donated
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((state, collected)))
    assert_same_bits(state, start(resident))
    assert (int(state.step), int(collected.step)) == (0, 1)


@pytest.mark.parametrize("name", ["shard_map", "pmap"])  # the others are watched in test_steady
def test_different_counts_compile_once(name):
    resident, _ = pipelines()
    traces = []
    inner = make_train_step(*parts())

    def counted(state, batch, **axis):
        traces.append(1)
        return inner(state, batch, **axis)

    engine = resident_engine(name, counted)
    state, _ = engine.advance(engine.place(start(resident)), 0, 1)
    once = len(traces)
    for first, count in ((1, 2), (3, 5), (8, 4)):
        state, metrics = engine.advance(state, first, count)
        jax.block_until_ready(metrics)
    assert len(traces) == once


@pytest.mark.parametrize(
    ("pipeline", "devices", "batch_size", "convolutions", "platform", "expected"),
    [
        ("resident", 1, 128, False, "cpu", "scan"),
        ("resident", 1, 128, True, "cpu", "dispatch"),
        ("resident", 1, 128, True, "gpu", "scan"),
        ("streaming", 1, 128, False, "cpu", "dispatch"),
        ("streaming", 1, 128, True, "gpu", "dispatch"),
        ("resident", 4, 128, True, "gpu", "sharded_scan"),
        ("resident", 4, 128, False, "cpu", "sharded"),
        ("streaming", 4, 128, False, "cpu", "sharded"),
        ("streaming", 4, 128, False, "gpu", "sharded"),
        ("resident", 4, 126, False, "gpu", "scan"),
        ("streaming", 4, 126, False, "gpu", "dispatch"),
    ],
)
def test_auto_chooses_the_fastest_engine_that_works(pipeline, devices, batch_size, convolutions, platform, expected):
    known = {"devices": devices, "batch_size": batch_size, "convolutions": convolutions, "platform": platform}
    assert choose_engine("auto", pipeline=pipeline, **known) == expected


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_asked_for_by_name_is_taken(name):
    known = {"devices": 4, "batch_size": 128, "convolutions": True, "platform": "cpu"}
    assert choose_engine(name, pipeline="resident", **known) == name


@pytest.mark.parametrize(
    ("name", "pipeline", "batch_size", "words"),
    [
        (
            "pmap",
            "resident",
            126,
            "over 4 devices; data.batch_size=126 is no multiple of that. Choose data.batch_size=124, or",
        ),
        (
            "pmap",
            "resident",
            3,
            "data.batch_size=3 is no multiple of that. Choose data.batch_size=4, or train.engine='dispatch'",
        ),
        (
            "scan",
            "streaming",
            128,
            "train.engine='scan' gathers .*: choose data.pipeline='resident' or train.engine='auto'",
        ),
    ],
)
def test_an_engine_that_cannot_work_is_refused_in_words(name, pipeline, batch_size, words):
    with pytest.raises(ValueError, match=words):
        choose_engine(name, pipeline=pipeline, devices=4, batch_size=batch_size, convolutions=False, platform="cpu")


@pytest.mark.parametrize(("make", "expected"), [(make_vae, False), (make_conv_vae, True)])
def test_a_train_step_convolves_if_its_networks_do(make, expected):
    resident, _ = pipelines()
    batch = next(resident.batches(0))
    assert has_convolutions(make_train_step(*parts(make)), start(resident, make), batch) == expected


def test_a_transpose_convolution_and_its_gradient_convolve():
    layer, y = ConvTranspose(2, (4, 4)), jnp.ones((1, 2, 2, 3))
    variables = layer.init(random.key(0), y)
    assert has_convolutions(layer.apply, variables, y)
    assert has_convolutions(jax.grad(lambda v: layer.apply(v, y).sum()), variables)
    assert not has_convolutions(lambda v: v @ v, jnp.ones((2, 2)))


@pytest.mark.slow
def test_a_gaussian_over_grey_values_takes_the_same_steps_over_devices():
    """No binarization, a learned scale: its scalar parameter is averaged over devices too."""
    resident, _ = pipelines()
    chosen = (make_vae(px=likelihood.gaussian("learned")), elbo(), optax.sgd(RATE), grey())
    state = init_state(*chosen, next(resident.batches(0)), init_key=random.key(0), train_key=random.key(1))
    step = make_train_step(*chosen)
    ends = [run(resident_engine(name, step), state, (1,) * 5)[0] for name in ("dispatch", "sharded")]
    chex.assert_trees_all_close(ends[0].params, ends[1].params, rtol=0, atol=5 * 1e-6)
    assert ends[0].params["model"]["likelihood"]["log_scale"] != 0


def test_the_config_names_the_engines():
    assert set(schema.ENGINE_NAMES) == set(ENGINES)
