"""What steady training must not do, seen without a clock: compile again, talk to the host, compute or move too much."""

import contextlib
import logging
import math

import jax
import numpy as np
import optax
import pytest
from jax import random
from small import make_examples, make_split, make_vae

from jaxvae.data.pipeline import Resident, Streaming
from jaxvae.data.prepare import binarize
from jaxvae.model import decoder, encoder
from jaxvae.objective import elbo
from jaxvae.runtime.sharding import all_devices, one_device
from jaxvae.step import init_state, make_train_step
from jaxvae.training.engine import ENGINES, ONE_DEVICE

BATCH = 8
EPOCH = 20  # steps


def parts():
    return make_vae(), elbo(optax.linear_schedule(0.5, 1.0, 10)), optax.adam(1e-3), binarize()


@contextlib.contextmanager
def nothing_crosses(monkeypatch, array):
    """Within, whatever crosses between host and device without being asked to by name is an error.

    jax.transfer_guard sees what goes to a CPU device, but not what comes from one: there Python's ways to read a number
    are refused besides. jax.device_put and device_get ask by name.
    """

    def refuse(self, *_):
        raise RuntimeError("a value was read from the device")

    with monkeypatch.context() as patch, jax.transfer_guard("disallow"):
        for way in ("__float__", "__int__", "__bool__", "__index__", "__iter__", "__format__", "tolist", "item"):
            patch.setattr(type(array), way, refuse)
        yield


def compilations(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.message.startswith("Compiling ")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("scan", Resident),
        ("dispatch", Resident),
        ("dispatch", Streaming),
        ("sharded", Resident),
        ("sharded", Streaming),
        ("sharded_scan", Resident),
    ],
)
def test_between_log_points_nothing_is_compiled_and_nothing_crosses(name, kind, monkeypatch, caplog):
    """After the first call, over calls of different lengths, into a new epoch and through all of it."""
    layout = one_device() if name in ONE_DEVICE else all_devices()
    pipeline = kind(make_split(EPOCH * BATCH), random.key(2), BATCH, layout)
    begin = jax.jit(lambda first: init_state(*parts(), first, init_key=random.key(0), train_key=random.key(1)))
    state = begin(make_examples(BATCH))
    engine, caught = ENGINES[name](make_train_step(*parts()), pipeline, layout), caplog.at_level(logging.WARNING)
    with caught, jax.log_compiles():
        state, metrics = engine.advance(engine.place(state), 0, 2)
        jax.block_until_ready(metrics)
        steps = [text for text in compilations(caplog) if any(step in text for step in ("(run)", "(train_step)"))]
        assert len(steps) == 1, compilations(caplog)
        caplog.clear()
        done = 2
        for count in (1, 3, EPOCH, 7):
            with nothing_crosses(monkeypatch, metrics["loss"]):
                state, metrics = engine.advance(state, done, count)
            jax.block_until_ready(metrics)
            done += count
    assert compilations(caplog) == []
    assert int(state.step) == done == 33


@pytest.mark.parametrize("careless", [lambda value: value + np.ones(()), float, bool, "{:.1f}".format])
def test_the_guard_sees_what_crosses(careless, monkeypatch):
    value = jax.block_until_ready(jax.jit(lambda: np.float32(1.5))())
    with pytest.raises((RuntimeError, jax.errors.JaxRuntimeError)), nothing_crosses(monkeypatch, value):
        careless(value)
    assert float(value) == 1.5


@pytest.fixture(scope="module")
def compiled():
    """The compiled step of configs/mnist.py's net, 784-400-20-400-784 at batch 128, with its state's shapes."""
    shape, batch = (28, 28, 1), make_examples(128, (28, 28, 1))
    vae = make_vae(shape, 20, encode=encoder.mlp(400), decode=decoder.mlp(400, shape=shape))
    chosen = vae, elbo(), optax.adam(1e-3), binarize()
    state = jax.eval_shape(lambda: init_state(*chosen, batch, init_key=random.key(0), train_key=random.key(1)))
    traced = jax.jit(make_train_step(*chosen), donate_argnums=0).trace(state, batch)
    return state, traced, traced.lower().compile()


def size(tree) -> int:
    return sum(math.prod(leaf.shape) * 4 for leaf in jax.tree.leaves(tree))


def test_a_step_computes_its_matrix_products_once(compiled):
    """Forward, and backward for weights and inputs, but for the images; all else adds some twentieth to that.

    One product too many of a layer of 784 x 400, as of a pass repeated or a gradient nobody reads, would be a fifth.
    """
    state, _, program = compiled
    kernels = [leaf.shape for leaf in jax.tree.leaves(state.params) if leaf.ndim == 2]
    products = 2 * 128 * (3 * sum(map(math.prod, kernels)) - 784 * 400)
    assert len(kernels) == 4
    assert 1 < program.cost_analysis()["flops"] / products < 1.1


def test_a_step_moves_its_weights_as_often_as_it_must(compiled):
    """Weights are read forward and backward, gradients written, and Adam with its average reads 5 and writes 4 trees.

    The images' worth of activations moves as x, logits and their gradients. XLA's own count of the compiled step is
    1.6 times that: both branches of the guard are in it.
    """
    state, _, program = compiled
    must = 12 * size(state.params) + 8 * 128 * 784 * 4
    assert 1 < program.cost_analysis()["bytes accessed"] / must < 1.8


def test_a_step_updates_its_state_in_place_and_calls_nobody(compiled):
    state, traced, program = compiled
    moved = size((state.params, state.ema, state.opt))
    assert program.memory_analysis().alias_size_in_bytes >= moved
    assert program.memory_analysis().temp_size_in_bytes < 2 * size(state.params)
    assert not traced.jaxpr.effects
