"""Numbers made bad at every place of a step, and what is said of it."""

import dataclasses
from types import SimpleNamespace
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from small import make_examples, make_split, make_vae

from jaxvae.data.corrupt import Corrupted, Corruption
from jaxvae.data.pipeline import epoch_order
from jaxvae.data.prepare import Prepare, grey
from jaxvae.model import likelihood, vae
from jaxvae.objective import Loss, Objective, elbo
from jaxvae.step import init_state, make_forward, make_train_step
from jaxvae.training.find_nonfinite import find_first_nonfinite, inspect_step

BATCH = make_examples(4)
VAE = make_vae(px=likelihood.gaussian(0.5))


@pytest.fixture(scope="module")
def state():
    """The first state of a small VAE, with the elbo."""
    make = jax.jit(
        lambda batch: init_state(
            *(VAE, elbo(), optax.sgd(1e-3), grey(), batch), init_key=random.key(0), train_key=random.key(1), ema=0
        )
    )
    return make(BATCH)


def with_leaf(state, bad, *path):
    """The state whose model has this number throughout the parameter at a path."""
    params = jax.tree.map(lambda a: a, state.params)
    layer = params["model"]
    for name in path[:-1]:
        layer = layer[name]
    layer[path[-1]] = jnp.full_like(layer[path[-1]], bad)
    return state.replace(params=params)


def finding(state, *, objective=None, prepare=None):
    return inspect_step(make_forward(VAE, objective or elbo(), prepare or grey()), state, jax.device_put(BATCH))


def spoiled(bad):
    return Prepare(
        lambda keys, image, index: jnp.where(index[:, None, None, None] == 2, bad, image / 255.0), "real", ""
    )


def of_loss(change, memory=lambda terms: {}):
    """The elbo's loss, changed."""
    plain = elbo()

    def apply(params, old, terms, *, key, step, gather):
        out = plain.apply(params, old, terms, key=key, step=step, gather=gather)
        return Loss(change(out.value, terms), memory(terms), out.metrics)

    return Objective(plain.init, apply)


def level(**bad):
    """A draw whose level has these numbers in place of its own."""
    plain = vae.draw

    def draw(keys, q, p):
        found = plain(keys, q=q, p=p)
        return dataclasses.replace(found, **{name: getattr(found, name) * bad for name, bad in bad.items()})

    return mock.patch("jaxvae.model.vae.draw", draw)


def test_nothing_is_found_where_all_is_finite(state):
    assert finding(state) is None


@pytest.mark.parametrize(
    ("path", "term", "bad"),
    [
        # not -inf, which the units of a hidden layer pass on as 0
        *((("encoder", "DenseStack_0", "Dense_0"), "q", bad) for bad in (np.nan, np.inf)),
        *((("posterior", "Dense_0"), "q", bad) for bad in (np.nan, np.inf, -np.inf)),
        *((("decoder", "DenseStack_0", "Dense_0"), "px", bad) for bad in (np.nan, np.inf)),
        *((("decoder", "Dense_0"), "px", bad) for bad in (np.nan, np.inf, -np.inf)),
    ],
)
def test_a_layer_is_named_with_the_first_term_that_it_spoils(state, path, term, bad):
    found = finding(with_leaf(state, bad, *path, "bias"))
    assert (found.layer, found.words.endswith("whose bias is not finite itself")) == ("/".join(path), True)
    assert found.term == term


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_the_preparation_made_is_named(state, bad):
    found = finding(state, prepare=spoiled(bad))
    assert (found.term, found.layer) == ("x", None)


def test_what_the_corruption_made_is_named(state):
    spoiling = Corruption(lambda keys, x: x + jnp.nan, "")
    found = finding(state, prepare=Corrupted(grey(), spoiling))
    assert found == ("x", None, "x, as data.corrupt makes it")
    assert finding(state, prepare=spoiled(np.nan)).words == "x, as data.prepare makes it"


def test_a_layer_whose_own_numbers_are_finite_is_named_where_they_overflow(state):
    large = with_leaf(
        with_leaf(state, 1e30, "encoder", "DenseStack_0", "Dense_0", "bias"), 1e30, "posterior", "Dense_0", "kernel"
    )
    found = finding(large)
    assert (found.term, found.layer, found.words) == ("q", "posterior/Dense_0", "q, in the layer posterior/Dense_0")


def test_a_density_that_overflows_is_named_after_its_last_layer(state):
    found = finding(with_leaf(state, 1e30, "decoder", "Dense_0", "bias"))
    assert (found.term, found.layer) == ("log_px", "likelihood")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "layer"), [("z", "posterior"), ("log_q", "posterior"), ("log_p", "latent_prior"), ("kl", "posterior")]
)
def test_a_piece_of_the_bound_is_named(state, name, layer, bad):
    with level(**{name: bad}):
        found = finding(state)
    # a bad z spoils the decoder as well, but later
    assert (found.term, found.layer) == (name, layer)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_of_finite_terms_is_the_objectives(state, bad):
    found = finding(state, objective=of_loss(lambda value, terms: value + bad))
    assert (found.term, found.layer) == ("loss", None)


def test_a_gradient_alone_is_named_with_the_parameter_that_has_it_first(state):
    found = finding(state, objective=of_loss(lambda value, terms: value + jnp.sqrt(0.0 * terms.rate.mean(0))))
    assert (found.term, found.layer) == ("gradient", "posterior/Dense_0")
    assert "though the loss is finite" in found.words


def test_a_gradient_whose_norm_alone_overflows_is_named(state):
    found = finding(state, objective=of_loss(lambda value, terms: 1e22 * value))
    assert found.term == "gradient"
    assert "the gradient's norm" in found.words


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_new_variables_are_named(state, bad):
    found = finding(state, objective=of_loss(lambda value, terms: value, lambda terms: {"mean": bad * jnp.ones(3)}))
    assert (found.term, found.layer, found.words) == ("variables", None, "the new mean of the objective")


def test_the_step_skips_and_counts_what_is_named(state):
    """One compiled step; weights and an image are bad one after the other."""

    def image(keys, image, index):
        given = jnp.asarray([jnp.nan, jnp.inf, -jnp.inf])[index[:, None, None, None] - 97]
        return jnp.where(index[:, None, None, None] >= 97, given, image / 255.0)

    step = jax.jit(make_train_step(VAE, elbo(), optax.sgd(1e-3), Prepare(image, "real", ""), ema=0))
    numbers = np.arange(94, 98, dtype=np.int32)
    cases = [(state, dataclasses.replace(BATCH, index=numbers + more)) for more in range(3)]
    cases += [(with_leaf(state, bad, "encoder", "DenseStack_0", "Dense_0", "bias"), BATCH) for bad in (np.nan, np.inf)]
    for path in (("posterior", "Dense_0", "bias"), ("decoder", "Dense_0", "bias")):
        cases += [(with_leaf(state, bad, *path), BATCH) for bad in (np.nan, np.inf, -np.inf)]
    for start, batch in cases:
        end, metrics = step(start, batch)
        assert (int(end.step), int(metrics["skipped"]), int(metrics["streak"])) == (1, 1, 1)
        jax.tree.map(np.testing.assert_array_equal, end.params, start.params)
    assert int(step(state, BATCH)[1]["skipped"]) == 0


def experiment(prepare, split, accumulate=1):
    train = SimpleNamespace(samples=1, accumulate=accumulate)
    config = SimpleNamespace(data=SimpleNamespace(batch_size=4 * accumulate), train=train)
    data, parts = (
        SimpleNamespace(splits={"train": split}),
        SimpleNamespace(model=VAE, objective=elbo(), prepare_training=prepare),
    )
    return SimpleNamespace(config=config, parts=parts, data=data, data_key=random.key(5))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_examples_are_those_of_the_step(state, accumulate):
    """Only one image is bad: it is found in the step whose batch holds it, and in no other."""
    split, steps = make_split(24), 6 // accumulate
    place = int(np.flatnonzero(np.asarray(epoch_order(random.key(5), 1, 24)) == 2)[0])  # in the second epoch
    bad = steps + place // (4 * accumulate)
    for step in (bad, steps + (bad - steps + 1) % steps):
        found = find_first_nonfinite(
            experiment(spoiled(np.nan), split, accumulate), state.replace(step=jnp.int32(step))
        )
        assert found.term == ("x" if step == bad else None)
    assert "replayed alone it was finite" in found.words


def test_what_cannot_be_replayed_is_said_and_raises_nothing(state):
    def image(keys, image, index):
        raise MemoryError("too large")

    found = find_first_nonfinite(experiment(Prepare(image, "real", ""), make_split(12)), state)
    assert found == (None, None, "it could not be replayed alone (MemoryError: too large)")
