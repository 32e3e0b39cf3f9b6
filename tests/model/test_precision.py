"""model.precision='bfloat16': products in encoder and decoder take bfloat16, and nothing else is rounded to it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from small import binary_images

from jaxvae.config import Config, Data, Model
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.model.encoder import MLPEncoder
from jaxvae.model.layers import GroupNorm
from jaxvae.rundir.state import abstract_batch, abstract_state
from jaxvae.terms import example_keys

SMALL = {
    "linear": "linear",
    "mlp": "mlp(8)",
    "conv": "conv(4, 3, kernel=3, dense=8)",
    "resnet": "resnet(4, 8, dense=8)",
    "attention": "attention(patch=2, width=8, heads=2, blocks=1, dense=8)",
    "conv1d": "conv1d(4, 3, kernel=3, dense=8)",
}
# products that are not of two bfloat16 operands, at the most: a last transpose convolution with its two gradients;
# attention's scores, whose gradients jax makes of float32 and bfloat16
WIDE = {"conv": 3, "conv1d": 3, "resnet": 3, "attention": 4}


def parts_of(name, precision="bfloat16"):
    """(config, parts) of a small VAE with such an encoder and decoder."""
    model = Model(encoder=SMALL[name], decoder=SMALL[name], precision=precision)
    config = Config(data=Data(batch_size=4), model=model)
    return config, build(config, (6, 1) if name == "conv1d" else (4, 4, 1))


def equations(jaxpr):
    """All equations, those of inner functions too."""
    for equation in jaxpr.eqns:
        yield equation
        inner = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: hasattr(value, "jaxpr"))
        for value in inner:
            value = getattr(value, "jaxpr", value)
            yield from equations(value) if hasattr(value, "eqns") else ()


def operands(function, *args, of=("dot_general", "conv_general_dilated")):
    """The dtypes that meet in each product (or other primitive) of the function, [("bfloat16", "bfloat16"), ...]."""
    found = equations(jax.make_jaxpr(function)(*args).jaxpr)
    return [tuple(str(v.aval.dtype) for v in each.invars) for each in found if each.primitive.name in of]


@pytest.mark.parametrize("name", SMALL)
def test_networks_multiply_in_bfloat16_and_keep_their_sums_in_float32(name):
    _, parts = parts_of(name)
    model, both = parts.model, ("bfloat16", "bfloat16")
    x, z = jnp.zeros((4, *parts.shape)), jnp.zeros((4, 2))
    for network, data, last in ((model.encoder, x, "bfloat16"), (model.decoder, z, "float32")):
        variables = jax.eval_shape(network.init, random.key(0), data)
        out = jax.eval_shape(network.apply, variables, data)
        assert out.dtype == ("float32" if name == "linear" else last)
        gradient = jax.grad(lambda v, data, network=network: network.apply(v, data).astype(jnp.float32).sum())
        for function, wide in ((network.apply, min(1, WIDE.get(name, 0))), (gradient, WIDE.get(name, 0))):
            products = operands(function, variables, data)
            assert len(products) - products.count(both) <= (
                0 if network is model.encoder and name != "attention" else wide
            )
        means = operands(network.apply, variables, data, of=("reduce_sum",))
        assert set(means) <= {("float32",)}
        chex.assert_trees_all_equal_dtypes(jax.eval_shape(gradient, variables, data), variables)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} <= {np.dtype("float32")}


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_terms_and_state_stay_in_float32(name):
    config, parts = parts_of(name)
    state, batch = abstract_state(config, parts), abstract_batch(config, parts, 4)
    x, keys = jax.ShapeDtypeStruct((4, *parts.shape), jnp.float32), example_keys(random.key(0), jnp.arange(4))
    variables = {"params": state.params["model"], **state.variables["model"]}
    new, metrics = jax.eval_shape(parts.train_step, state, batch)
    for tree in (jax.eval_shape(parts.model.apply, variables, keys, x), new.params, new.ema, new.opt, metrics):
        found = {leaf.dtype for leaf in jax.tree.leaves(tree)}
        assert found <= {np.dtype("float32"), np.dtype("int32")}
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "attention"])
def test_bound_and_gradient_are_those_of_float32_to_a_few_hundredths(name):
    models = [parts_of(name, precision)[1].model for precision in ("float32", "bfloat16")]
    x, keys = binary_images(4), example_keys(random.key(1), np.arange(4))
    shapes = jax.eval_shape(models[0].init, random.key(0), random.clone(keys), x)
    draw = np.random.default_rng(0).normal
    variables = jax.tree.map(lambda leaf: (0.3 * draw(size=leaf.shape)).astype(np.float32), shapes)

    def loss(variables, model):
        terms = model.apply(variables, random.clone(keys), x)
        return (terms.distortion + terms.rate).mean()

    both = jax.jit(lambda variables: [jax.value_and_grad(loss)(variables, model) for model in models])
    (value, gradient), (rounded, its_gradient) = both(variables)
    assert value != rounded
    np.testing.assert_allclose(rounded, value, rtol=0.02)
    for path, leaf in jax.tree_util.tree_leaves_with_path(its_gradient):
        assert np.abs(leaf).max() > 0, path
    apart = optax.tree.norm(jax.tree.map(jnp.subtract, gradient, its_gradient))
    assert 0 < apart < 0.05 * optax.tree.norm(gradient)


def test_a_norm_finds_small_differences_beside_a_large_mean():
    """What it is given is rounded, but no mean and no difference from it."""
    x = jnp.asarray(50 + np.random.default_rng(0).normal(size=(2, 3, 3, 8)), jnp.bfloat16)
    variables = GroupNorm().init(random.key(0), x)
    got = np.float32(GroupNorm(dtype=jnp.bfloat16).apply(variables, x))
    expected = GroupNorm().apply(variables, x.astype(jnp.float32))
    assert expected.std() > 0.9
    np.testing.assert_allclose(got, expected, rtol=2**-8)


def test_a_network_without_dtype_stays_in_float32(monkeypatch):
    """A user's own, whose factory does not ask for it."""
    monkeypatch.setitem(TABLES["encoder"], "mine", lambda width: MLPEncoder((width,)))
    model = build(Config(model=Model(encoder="mine(8)", precision="bfloat16")), (4, 4, 1)).model
    assert (model.encoder.dtype, model.decoder.dtype) == (jnp.float32, jnp.bfloat16)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Model(precision="float16"), "model.precision='float16': expected one of 'float32', 'bfloat16'"),
        (Model(encoder="mlp(8, dtype='bfloat16')"), r"'dtype' follows from other fields; expected mlp\(\*widths, "),
    ],
)
def test_another_precision_is_refused_in_words(model, words):
    with pytest.raises(ValueError, match=words):
        build(Config(model=model), (4, 4, 1))


@pytest.mark.parametrize(
    "changed",
    [
        {"posterior": "vq(4, 3)", "prior": "codes", "likelihood": "gaussian('optimal')"},
        {"posterior": "iaf(steps=1, hidden=4)", "prior": "gaussian", "likelihood": "gaussian('learned')"},
        {"posterior": "vmf", "prior": "sphere"},
        {"encoder": SMALL["attention"], "decoder": SMALL["conv"]},
    ],
)
def test_where_float64_is_enabled_the_state_still_has_none(changed):
    data = Data(batch_size=4, prepare="dequantize" if "likelihood" in changed else "binarize")
    objective = "reconstruction" if changed.get("prior") == "codes" else "elbo"
    config = Config(data=data, model=Model(**changed), objective=objective)
    with jax.enable_x64(True):
        parts = build(config, (4, 4, 1))
        state = abstract_state(config, parts)
        after, _ = jax.eval_shape(parts.train_step, state, abstract_batch(config, parts, 4))
    for found in (state, after):
        assert not [path for path, leaf in jax.tree_util.tree_leaves_with_path(found) if leaf.dtype.name.endswith("64")]
