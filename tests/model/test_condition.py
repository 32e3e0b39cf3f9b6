"""A model of images given labels, or vectors: from the data to what is sampled."""

import json
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from opened_data import from_arrays
from small import binary_images, init, make_vae

import jaxvae
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.terms import example_keys

SHAPE = (4, 4, 1)
CLASSES = 3


def conditional_config(kind):
    return Config(
        data=Data(batch_size=12, validation=0.1),
        model=Model(encoder="mlp(8)", decoder="mlp(16)", condition=kind),
        optimizer=Optimizer(learning_rate=5e-3),
        train=Train(steps=1000, engine="scan", validate_every=500, checkpoint_every=500),
        evaluate=Evaluate(samples=3),
    )


def striped(count=120):
    """Images of three kinds: class c has column c white, the others black."""
    label = np.arange(count, dtype=np.int32) % CLASSES
    image = np.zeros((count, *SHAPE), np.uint8)
    image[np.arange(count), :, label] = 255
    return image, label


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A conditional VAE that knows which column a class has."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        return jaxvae.train(conditional_config("label"), folder, arrays=striped())


@pytest.mark.slow
def test_what_is_sampled_is_of_the_class_asked_for(run):
    labels = np.array([0, 1, 2, 2, 1, 0])
    _, px = run.generate(random.split(random.key(0), 6), condition=labels)
    columns = np.asarray(px.mean())[..., 0].mean(1)  # [6, 4]
    np.testing.assert_array_equal(columns.argmax(-1), labels)
    assert run.sample(random.key(1), 6, condition=labels).shape == (6, *SHAPE)


def test_a_loaded_run_knows_its_condition(run):
    vae = jaxvae.load(run.workdir)
    assert json.loads((run.workdir / "config.json").read_text())["data"]["condition_size"] == CLASSES
    x = vae.prepare(random.key(0), striped()[0][:6])
    labels = np.arange(6) % CLASSES
    right = vae.log_likelihood(random.key(1), x, samples=20, condition=labels)
    wrong = vae.log_likelihood(random.key(1), x, samples=20, condition=(labels + 1) % CLASSES)
    assert (right > wrong + 1).all()
    z = vae.encode(x, labels).mean()
    assert np.abs(vae.decode(z, labels).mean() - vae.decode(z, (labels + 1) % CLASSES).mean()).max() > 0.1
    assert vae.reconstruct(random.key(2), x, labels).shape == x.shape


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (None, r"depends on a condition, model.condition='label': pass the classes, whole numbers in \[0, 3\)"),
        (np.array([0.0]), "condition is float64 shaped"),
        (np.array([3]), r"expected the classes, whole numbers in \[0, 3\) shaped \[1\]"),
        (np.array([-1]), "expected the classes"),
        (np.array([0, 1]), r"shaped \[2\]; expected the classes"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused_in_words(run, condition, words):
    with pytest.raises(ValueError, match=words):
        run.decode(np.zeros((1, 2)), condition)


def test_a_vector_conditions_as_labels_do(tmp_path):
    image, label = striped()
    vectors = np.eye(CLASSES, dtype=np.float32)[label]
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        run = jaxvae.train(conditional_config("vector"), tmp_path / "run", arrays=(image, vectors))
    _, px = run.generate(random.split(random.key(0), 3), condition=np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(np.asarray(px.mean())[..., 0].mean(1).argmax(-1), np.arange(3))
    with pytest.raises(ValueError, match=r"expected vectors shaped \[2, 3\]"):
        run.decode(np.zeros((2, 2)), np.zeros((2, 4)))


def test_a_model_without_condition_takes_none_and_data_without_labels_give_none(tmp_path):
    image, label = striped()
    assert from_arrays(image, 0).condition_size("label") is None
    assert from_arrays((image, label), 0).condition_size("label") == CLASSES
    assert from_arrays((image, label), 0).condition_size("vector") is None
    with pytest.raises(ValueError, match=r"model.condition='label' needs labels, but data.name='arrays' has none"):
        jaxvae.train(conditional_config("label"), tmp_path / "run", arrays=image)


def test_another_examples_condition_does_not_matter():
    model, x = make_vae(), binary_images(6)
    condition = jax.nn.one_hot(jnp.arange(6) % 3, 3)
    keys = example_keys(random.key(2), np.arange(6))
    variables = jax.jit(model.init)(random.key(1), keys, x, condition)
    apply = jax.jit(model.apply)
    before, after = (
        apply(variables, example_keys(random.key(0), np.arange(6), 2), x, given)
        for given in (condition, condition.at[2].set(jnp.array([1.0, 0.0, 0.0])))
    )
    changed = np.asarray(before.log_weight != after.log_weight).any(0)
    np.testing.assert_array_equal(changed, np.arange(6) == 2)
    assert jax.tree.structure(variables) == jax.tree.structure(init(model, x))
