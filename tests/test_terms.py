import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from small import SHAPE, binary_images, init, make_conv_vae, make_vae

from jaxvae.model import likelihood
from jaxvae.terms import example_keys


def bits(keys):
    return np.asarray(random.key_data(keys))


def test_the_key_of_an_example_and_a_sample_is_folded_in_twice():
    root, index = random.key(7), np.array([0, 3, 1000, 3])
    keys = bits(example_keys(root, index, 5, first=2))
    for s, b in itertools.product(range(5), range(4)):
        np.testing.assert_array_equal(keys[s, b], bits(random.fold_in(random.fold_in(root, index[b]), 2 + s)))


def test_no_two_examples_or_samples_share_a_key():
    keys = bits(example_keys(random.key(0), np.arange(50), 20)).reshape(1000, -1)
    assert len(np.unique(keys, axis=0)) == 1000


@pytest.mark.parametrize("chunks", [(10,), (7, 3), (1,) * 10, (3, 3, 3, 1)])
def test_keys_at_once_are_the_keys_in_chunks(chunks):
    root, index = random.key(1), np.arange(4)
    starts = np.cumsum((0, *chunks[:-1]))
    parts = [
        bits(example_keys(root, index, count, first=int(first))) for first, count in zip(starts, chunks, strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), bits(example_keys(root, index, 10)))


def test_keys_follow_their_examples_through_any_order_of_the_batch():
    root, index, order = random.key(1), np.arange(10, 16), np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_array_equal(
        bits(example_keys(root, index[order], 3)), bits(example_keys(root, index, 3))[:, order]
    )


def per_example(model, variables, x, index, samples=3):
    terms = jax.jit(model.apply)(variables, example_keys(random.key(5), index, samples), x)
    (level,) = terms.levels
    return jax.tree.map(np.asarray, (terms.log_px, terms.rate, terms.log_weight, level.z))


@pytest.mark.parametrize("make", [make_vae, make_conv_vae])
def test_editing_an_example_changes_its_own_terms_only(make):
    model, x = make(), binary_images(6)
    variables = init(model, x)
    edited = np.where(np.arange(6).reshape(6, 1, 1, 1) == 2, 1 - x, x)
    for before, after in zip(*(per_example(model, variables, data, np.arange(6)) for data in (x, edited)), strict=True):
        np.testing.assert_array_equal(np.delete(before, 2, axis=1), np.delete(after, 2, axis=1))
        assert (before[:, 2] != after[:, 2]).all()


@pytest.mark.parametrize("make", [make_vae, make_conv_vae])
def test_terms_follow_their_examples_through_any_order_of_the_batch(make):
    model, x, order = make(), binary_images(6), np.array([3, 0, 5, 1, 4, 2])
    variables = init(model, x)
    straight, shuffled = per_example(model, variables, x, np.arange(6)), per_example(model, variables, x[order], order)
    for one, other in zip(straight, shuffled, strict=True):
        np.testing.assert_allclose(one[:, order], other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("px", [likelihood.bernoulli(), likelihood.gaussian(0.5), likelihood.gaussian("learned")])
@pytest.mark.parametrize("make", [make_vae, make_conv_vae])
@pytest.mark.parametrize("samples", [1, 3])
def test_every_leaf_of_the_terms_has_the_full_rank(make, px, samples):
    model, x = make(px=px), binary_images(5)

    def run():
        terms, _ = model.init_with_output(random.key(0), example_keys(random.key(1), np.arange(5), samples), x)
        return terms, (terms.rate, terms.distortion, terms.log_weight)

    terms, sums = jax.eval_shape(run)
    (level,) = terms.levels

    def lies_in(leaf, event):
        """Whether a leaf has the rank [S, B, *event], each axis whole or 1."""
        whole = (samples, 5, *event)
        return leaf.ndim == len(whole) and all(size in (1, full) for size, full in zip(leaf.shape, whole, strict=True))

    assert all(lies_in(leaf, (2,)) for leaf in jax.tree.leaves((level.q, level.p, level.z)))
    assert all(lies_in(leaf, SHAPE) for leaf in jax.tree.leaves((terms.px, terms.x)))
    assert level.z.shape == (samples, 5, 2)
    assert all(leaf.shape == (1, 5, 2) for leaf in jax.tree.leaves(level.q))
    assert terms.x.shape == (1, 5, *SHAPE)
    for each in (terms.log_px, level.log_q, level.log_p, *sums):
        assert each.shape == (samples, 5)
    assert level.kl.shape == (1, 5)


def test_rate_distortion_and_weight_are_sums_of_the_named_terms():
    model, x = make_vae(), binary_images(5)
    terms = model.apply(init(model, x), example_keys(random.key(0), jnp.arange(5), 4), x)
    (level,) = terms.levels
    np.testing.assert_array_equal(terms.distortion, -terms.log_px)
    np.testing.assert_array_equal(terms.rate, np.broadcast_to(level.kl, (4, 5)))
    np.testing.assert_allclose(terms.log_weight, terms.log_px + level.log_p - level.log_q, rtol=1e-5)
