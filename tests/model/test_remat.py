"""train.remat: activations computed again in the backward pass; the same numbers from less memory."""

import math

import chex
import jax
import numpy as np
import optax
import pytest
from jax import random
from small import binary_images

from jaxvae.config import Config, Model, Train
from jaxvae.config.build import build
from jaxvae.terms import example_keys

BATCH = 64
DEEP = {
    "mlp": "mlp(32, 32, 32, 32, dropout=0.2)",
    "conv": "conv(4, 8, dense=8, dropout=0.2)",
    "resnet": "resnet(4, blocks=2, dense=8, dropout=0.2)",
    "attention": "attention(patch=2, width=8, heads=2, blocks=2, dense=8, dropout=0.2)",
}


def model_of(encoder, decoder, remat):
    config = Config(model=Model(encoder=encoder, decoder=decoder), train=Train(remat=remat))
    return build(config, (4, 4, 1)).model.clone(training=True)


def abstract(model, count):
    """Shapes of variables, keys and x."""
    keys = jax.eval_shape(example_keys, random.key(0), jax.ShapeDtypeStruct((count,), np.int32))
    x = jax.ShapeDtypeStruct((count, 4, 4, 1), np.float32)
    return jax.eval_shape(model.init, random.key(0), keys, x), keys, x


def loss_of(model):
    def loss(variables, keys, x):
        terms = model.apply(variables, keys, x)
        return (terms.distortion + terms.rate).mean()

    return loss


def kept(model, *args):
    """How many values the forward pass hands to the backward pass, an average over examples."""

    def backward(variables, keys, x):
        return jax.vjp(lambda variables: loss_of(model)(variables, keys, x), variables)[1]

    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(backward, *args))) / BATCH


@pytest.mark.parametrize("name", DEEP)
def test_less_is_kept_for_the_backward_pass_of_the_same_parameters(name):
    plain, remat = (model_of(DEEP[name], DEEP[name], remat) for remat in (False, True))
    args = abstract(plain, BATCH)
    chex.assert_trees_all_equal_shapes_and_dtypes(args[0], abstract(remat, BATCH)[0])
    assert kept(remat, *args) < 0.4 * kept(plain, *args)


@pytest.mark.slow
def test_values_and_gradients_are_the_same():
    """Block by block in the encoder, the decoder as a whole, both with dropout, whose masks are drawn again."""
    models = [model_of(DEEP["attention"], DEEP["mlp"], remat) for remat in (False, True)]
    draw = np.random.default_rng(0).normal
    variables = jax.tree.map(lambda a: (0.3 * draw(size=a.shape)).astype(np.float32), abstract(models[0], 3)[0])
    keys, x = example_keys(random.key(1), np.arange(3)), binary_images(3)
    run = jax.jit(lambda v: [jax.value_and_grad(loss_of(model))(v, random.clone(keys), x) for model in models])
    (value, gradient), (again, its_gradient) = run(variables)
    np.testing.assert_allclose(again, value, rtol=1e-6)
    chex.assert_trees_all_close(its_gradient, gradient, rtol=1e-5, atol=1e-6)
    assert optax.tree.norm(gradient) > 0.1


def test_a_wrong_value_is_refused_in_words():
    with pytest.raises(ValueError, match=r"train.remat='yes': expected True or False"):
        build(Config(train=Train(remat="yes")), (4, 4, 1))
