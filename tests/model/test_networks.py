"""Encoders and decoders, all of them alike: shapes, examples apart from each other, conditions, dropout."""

import functools
import itertools
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from small import binary_images, make_vae

from jaxvae.config import Config, Data, Model
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES, build_part
from jaxvae.model import decoder, encoder, layers
from jaxvae.model.traits import traits_of
from jaxvae.terms import example_keys
from jaxvae.training.engine import has_convolutions

SMALL = {
    "linear": ((), {}),
    "mlp": ((8, 7), {}),
    "conv": ((3, 4), {"kernel": 3, "dense": 8}),
    "resnet": ((4, 8), {"groups": 2, "dense": 8}),
    "attention": ((), {"patch": 3, "width": 8, "heads": 2, "blocks": 1, "dense": 8}),
    "conv1d": ((3, 4), {"kernel": 3, "dense": 8}),
}
NAMES = list(SMALL)
DROPPING = [name for name in NAMES if name != "linear"]
CLASSES, LATENT, COUNT = 4, 3, 5


def shape_for(name, shape=(7, 5, 3)):
    """(H, W, C), or for a network of sequences (H, C)."""
    return (shape[0], shape[2]) if name == "conv1d" else shape


def both(name, shape, **more):
    """A small encoder of that name, and a decoder."""
    args, options = SMALL[name]
    return (
        TABLES["encoder"][name](*args, **options, **more),
        TABLES["decoder"][name](*args, **options, **more, shape=shape),
    )


def outputs(networks, variables, x, z, condition, *keys):
    """Features and image, from the variables of both networks."""
    return [
        network.apply(v, data, condition, *keys) for network, v, data in zip(networks, variables, (x, z), strict=True)
    ]


@functools.cache
def small(name):
    """Small networks with variables and data, and what they compute, compiled once for all tests.

    `run(x, z, condition)` is [features, image] and a gradient with respect to the variables.
    """
    shape, draw = shape_for(name), np.random.default_rng(NAMES.index(name)).normal
    networks, data = both(name, shape), [draw(size=(COUNT, *event)).astype(np.float32) for event in (shape, (LATENT,))]
    condition = np.eye(CLASSES, dtype=np.float32)[np.arange(COUNT) % CLASSES]

    def variables_of(network, x):
        shapes = jax.eval_shape(network.init, random.key(0), x, condition)
        return jax.tree.map(lambda leaf: 0.5 * draw(size=leaf.shape).astype(np.float32), shapes)

    variables = [variables_of(network, x) for network, x in zip(networks, data, strict=True)]

    def looked_at(variables, x, z, condition):
        out = outputs(networks, variables, x, z, condition)
        return sum((o * jnp.cos(jnp.arange(o.size)).reshape(o.shape)).sum() for o in out), out

    run = jax.jit(lambda *args: jax.grad(looked_at, has_aux=True)(variables, *args)[::-1])
    return SimpleNamespace(networks=networks, variables=variables, data=data, condition=condition, run=run)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (28, 28, 1), (32, 32, 3)])
def test_networks_take_and_give_any_size(name, shape):
    shape = shape_for(name, shape)
    images = [shape, (1, *shape)] if name == "conv1d" else [shape]
    for event in images:
        encode, decode = both(name, event)
        for condition in (None, jax.ShapeDtypeStruct((2, CLASSES), jnp.float32))[: 2 if shape[0] == 7 else 1]:
            x, z = (jax.ShapeDtypeStruct((2, *each), jnp.float32) for each in (event, (2, LATENT)))
            features, _ = jax.eval_shape(encode.init_with_output, random.key(0), x, condition)
            image, _ = jax.eval_shape(decode.init_with_output, random.key(0), z, condition)
            flat = math.prod(event) + (CLASSES if condition else 0)
            assert features.shape == (2, {"linear": flat, "mlp": 7}.get(name, 8))
            assert image.shape == (2, *event)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name):
    case = small(name)
    for path, leaf in jax.tree_util.tree_leaves_with_path(case.run(*case.data, case.condition)[1]):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e3, -1e3])
def test_blank_and_huge_inputs_give_finite_outputs_and_gradients(name, value):
    case = small(name)
    for data in ([np.full_like(d, value) for d in case.data], [d * np.float32(value) for d in case.data]):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(case.run(*data, case.condition)))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_and_its_condition_change_only_its_own_output(name):
    case = small(name)
    before, _ = case.run(*case.data, case.condition)
    edited, other = [d.copy() for d in case.data], case.condition.copy()
    for array in edited:
        array[1] *= -1
    other[1] = np.roll(other[1], 1)
    for after in (case.run(*edited, case.condition)[0], case.run(*case.data, other)[0]):
        for one, new in zip(before, after, strict=True):
            only_moves(one, new, 1, by=1e-2)


def only_moves(before, after, example, by):
    """Asserts that of the outputs [N, ...] only that example's differs, by so much, and the others by no bit."""
    moved = np.abs(before - after).reshape(len(before), -1).max(1)
    assert moved[example] > by
    np.testing.assert_array_equal(np.delete(moved, example), np.zeros(len(moved) - 1))


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_follows_each_examples_own_key(name):
    """Also to another place in the batch."""
    case, keys = small(name), random.split(random.key(7), COUNT)
    networks = both(name, shape_for(name), dropout=0.5)
    train = jax.jit(functools.partial(outputs, networks, case.variables))
    some = train(*case.data, case.condition, random.clone(keys))
    others = train(*case.data, case.condition, random.clone(keys).at[1].set(random.key(8)))
    turned = train(*(d[::-1] for d in case.data), case.condition[::-1], random.clone(keys)[::-1])
    plain, _ = case.run(*case.data, case.condition)
    for one, other, back, without in zip(some, others, turned, plain, strict=True):
        only_moves(one, other, 1, by=1e-2)
        np.testing.assert_allclose(one, back[::-1], rtol=1e-4, atol=1e-4)
        assert np.abs(one - without).reshape(COUNT, -1).max(1).min() > 1e-2


@pytest.mark.parametrize("name", DROPPING)
def test_in_evaluation_a_network_with_dropout_is_the_one_without(name):
    case = small(name)
    dropping = both(name, shape_for(name), dropout=0.5)
    assert [traits_of(network).dropout for network in (*case.networks, *dropping)] == [0.0, 0.0, 0.5, 0.5]
    without, with_it = (
        jax.make_jaxpr(functools.partial(outputs, networks))(case.variables, *case.data, case.condition)
        for networks in (case.networks, dropping)
    )
    assert str(without) == str(with_it)


@pytest.mark.parametrize("name", DROPPING)
def test_no_two_layers_drop_by_the_same_key(name, monkeypatch):
    """With paths of folded numbers in place of keys."""
    used = []
    monkeypatch.setattr(layers, "layer_keys", lambda path, layer: (*path, layer))
    monkeypatch.setattr(layers, "dropout", lambda path, x, rate: used.append(path) or x)
    (args, options), shape = SMALL[name], shape_for(name)
    deep = {"resnet": {"blocks": 2}, "attention": {"blocks": 2}}.get(name, {})
    for kind, own, event in (("encoder", {}, shape), ("decoder", {"shape": shape}, (LATENT,))):
        network, data = TABLES[kind][name](*args, **options | deep, **own), np.zeros((COUNT, *event), np.float32)
        used.clear()
        jax.eval_shape(lambda key, x, network=network: network.init(key, x, None, ()), random.key(0), data)
        expected = {"mlp": (2, 2), "conv": (3, 3), "conv1d": (3, 3), "resnet": (5, 5), "attention": (5, 5)}[name]
        assert len(used) == expected[kind == "decoder"]
        assert not any(one == other[: len(one)] for one, other in itertools.permutations(used, 2))


def dropping_vae(**rates):
    networks = encoder.mlp(8, dropout=rates["encode"]), decoder.mlp(8, shape=(4, 4, 1), dropout=rates["decode"])
    return make_vae(encode=networks[0], decode=networks[1])


def test_a_model_in_training_drops_out_for_every_sample_on_its_own():
    """Samples drawn at once are those drawn one by one, and the encoder's mask is one per example."""
    x, keys, condition = binary_images(6), example_keys(random.key(1), np.arange(6), 3), jnp.eye(2)[np.arange(6) % 2]
    model = dropping_vae(encode=0.0, decode=0.5)
    variables = jax.jit(model.init)(random.key(0), random.clone(keys), x, condition)
    train = jax.jit(model.clone(training=True).apply)
    whole = train(variables, random.clone(keys), x, condition)
    for s in range(3):
        one = train(variables, random.clone(keys)[s : s + 1], x, condition)
        np.testing.assert_allclose(whole.log_px[s : s + 1], one.log_px, rtol=1e-5)
    scored = jax.jit(model.apply)(variables, random.clone(keys), x, condition)
    np.testing.assert_allclose(whole.levels[0].z, scored.levels[0].z, rtol=1e-6)
    assert np.abs(whole.log_px - scored.log_px).min() > 1e-4
    masked = jax.jit(dropping_vae(encode=0.5, decode=0.0).clone(training=True).apply)
    edited = random.clone(keys).at[0, 2].set(random.key(9))
    one, other = (masked(variables, k, x, condition).levels[0].q.loc for k in (keys, edited))
    assert one.shape == (1, 6, 2)
    only_moves(one[0], other[0], 2, by=1e-3)


def test_linear_networks_are_affine_maps():
    x, z, condition = (np.arange(math.prod(shape)).reshape(shape) + 0.5 for shape in ((2, 2, 3, 2), (2, 2), (2, 2)))
    np.testing.assert_array_equal(encoder.linear().apply({}, x), x.reshape(2, 12))
    kernel, bias = np.cos(np.arange(24, dtype=np.float32)).reshape(4, 6), np.arange(6, dtype=np.float32)
    variables = {"params": {"Dense_0": {"kernel": kernel, "bias": bias}}}
    image = decoder.linear(shape=(2, 3, 1)).apply(variables, z, condition)
    expected = np.concatenate([z, condition], axis=1) @ kernel + bias
    np.testing.assert_allclose(image.reshape(2, 6), expected, rtol=1e-5)


def test_conv1d_is_conv_on_images_of_height_one():
    """Of a kernel [k, k] on height 1 only the row (k - 1) // 2 meets pixels."""
    case = small("conv1d")
    networks = both("conv", (1, *shape_for("conv1d")))

    def lifted(leaf):
        return jnp.zeros((len(leaf), *leaf.shape)).at[(len(leaf) - 1) // 2].set(leaf) if leaf.ndim == 3 else leaf

    variables = [{"params": jax.tree.map(lifted, v["params"]["network"])} for v in case.variables]
    x, z = case.data
    features, image = jax.jit(functools.partial(outputs, networks))(variables, x[:, None], z, case.condition)
    (expected, sequence), _ = case.run(x, z, case.condition)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(image[:, 0], sequence, rtol=1e-4, atol=1e-4)
    flat = jax.jit(functools.partial(outputs, both("conv1d", (1, *shape_for("conv1d"))), case.variables))
    features, image = flat(x[:, None], z, case.condition)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(image[:, 0], sequence, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "takes", "convolves"),
    [
        ("linear", "any", False),
        ("mlp", "any", False),
        ("conv", "images", True),
        ("resnet", "images", True),
        ("attention", "images", False),
        ("conv1d", "sequences", True),
    ],
)
def test_a_network_says_what_it_takes_and_its_convolutions_are_seen(name, takes, convolves):
    case = small(name)
    assert [traits_of(network).takes for network in case.networks] == [takes, takes]
    for network, variables, data in zip(case.networks, case.variables, case.data, strict=True):
        assert has_convolutions(network.apply, variables, data, case.condition) == convolves
    assert has_convolutions(case.run, *case.data, case.condition) == convolves


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mlp(8, dropout=1.0)", r"dropout=1.0: expected a number in \[0, 1\)"),
        ("conv(8, dropout=-0.1)", r"dropout=-0.1: expected a number in \[0, 1\)"),
        ("conv1d(8, dropout=True)", r"dropout=True: expected a number in \[0, 1\)"),
        ("resnet(8, dropout='a')", r"dropout='a': expected a number in \[0, 1\)"),
        ("attention(dropout=2)", r"dropout=2: expected a number in \[0, 1\)"),
        ("resnet()", r"resnet\(\) needs one or more positive whole numbers"),
        ("conv1d(0)", r"conv1d\(0,\) needs one or more positive whole numbers"),
        ("resnet(8, blocks=0)", "blocks=0: expected a whole number from 1 on"),
        ("resnet(8, groups=1.5)", "groups=1.5: expected a whole number from 1 on"),
        ("conv1d(8, kernel=0)", "kernel=0: expected a whole number from 1 on"),
        ("attention(patch=0)", "patch=0: expected a whole number from 1 on"),
        ("attention(width=30, heads=4)", "width=30 is no multiple of heads=4, which share it. Choose width=28"),
        ("attention(width=3, heads=4)", "width=3 is no multiple of heads=4, which share it. Choose width=4"),
        ("attention(activation='rellu')", "activation='rellu': expected one of"),
        ("resnet(8, activation='rellu')", "activation='rellu': expected one of"),
        ("conv1d(8, activation='rellu')", "activation='rellu': expected one of"),
        ("linear(8)", r"too many positional arguments; expected linear\(\)"),
    ],
)
def test_a_wrong_argument_is_refused_in_words(kind, text, words):
    with pytest.raises(ValueError, match=words):
        build_part(kind, text, {"shape": (4, 4, 1), "dtype": "float32", "remat": False})


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("conv1d(4)", (4, 4, 1), r"reads sequences \[L, C\], but data.name='digits' has images \[4, 4, 1\]"),
        *((name, (6, 1), r"reads images \[H, W, C\].*has examples \[6, 1\]") for name in ("conv(4)", "resnet(4)")),
        ("attention", (6, 1), r"reads images \[H, W, C\].*has examples \[6, 1\]"),
    ],
)
def test_a_network_of_other_data_is_refused_in_words(name, shape, words):
    for kind in ("encoder", "decoder"):
        with pytest.raises(ValueError, match=rf"model.{kind}=.*{words}"):
            build(Config(data=Data(), model=Model(**{kind: name})), shape)
    build(Config(data=Data(), model=Model(encoder="conv1d(4)", decoder="conv1d(4)")), (6, 1))
    build(Config(data=Data(), model=Model(encoder="conv1d(4)", decoder="conv1d(4)")), (1, 6, 1))
