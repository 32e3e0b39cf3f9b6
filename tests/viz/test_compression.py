"""Codes of real length, errors that add up, images that do not know each other in a mosaic."""

import dataclasses
import math
from itertools import product

import numpy as np
import pytest
from gaussian import COLUMN_NORMS, SIGMA, images, make_linear_vae
from jax import random
from looked_at import make_data, make_subject

from jaxvae import latent
from jaxvae.latent import compression
from jaxvae.viz.figures import compression as figure
from jaxvae.viz.figures.table import FIGURES


def test_the_ideal_cost_is_the_rate_in_bits():
    model, variables, _ = make_linear_vae()
    x = images(5)
    mean = latent.encode(model, variables, x).mean()
    variance = 1 / (1 + COLUMN_NORMS**2 / SIGMA**2)
    kl = 0.5 * (variance + np.square(mean) - 1 - np.log(variance)).sum(1)
    found = compression.ideal_compression(model, variables, random.key(0), x, np.arange(5))
    np.testing.assert_allclose(found.bits, kl / math.log(2), rtol=1e-4)
    z = (found.x.reshape(5, -1) - variables["params"]["decoder"]["Dense_0"]["bias"][None]) @ (
        variables["params"]["decoder"]["Dense_0"]["kernel"] / COLUMN_NORMS[:, None] ** 2
    ).T
    assert 0.3 < (np.square(z - mean) / variance).mean() < 3  # a draw of z, not its mean
    one = compression.ideal_compression(model, variables, random.key(0), x[3:4], np.array([3]))
    np.testing.assert_allclose(one.x, found.x[3:4], rtol=1e-5)


def test_code_lengths_are_those_of_a_code_that_exists():
    training = np.random.RandomState(0).geometric(0.3, (300, 2)) - np.array([4, 0])
    training.sort(axis=0)
    for column in training.T[:, :, None]:
        every = np.arange(column.min(), column.max() + 1)
        lengths = [compression.code_lengths(column, np.array([[symbol]]))[0] for symbol in every]
        assert sum(2.0 ** -np.array(lengths)) == pytest.approx(1)  # Kraft's inequality, met exactly
        assert compression.code_lengths(column, every[:, None])[0] == pytest.approx(np.mean(lengths))
    assert compression.code_lengths(training, training[:1]).shape == (2,)


def test_code_lengths_approach_the_entropy():
    random_state, share = np.random.RandomState(1), np.array([0.5, 0.25, 0.125, 0.125])
    training, others = (random_state.choice(4, (20000, 1), p=share) for _ in range(2))
    np.testing.assert_allclose(compression.code_lengths(np.sort(training, axis=0), others), 1.75, rtol=0.01)


@pytest.fixture(scope="module")
def principal():
    """(components of training examples in [0, 1], others like them)."""
    random_state = np.random.RandomState(2)
    mixing = random_state.normal(size=(3, 3)) * 0.08

    def draw(count):
        return (0.5 + random_state.uniform(-1, 1, (count, 3)) @ mixing).astype(np.float32)

    return figure.fit_components(draw(4000)), draw(4000)


def test_halving_a_small_step_costs_a_bit_for_each_component_and_quarters_the_error(principal):
    fitted, x = principal
    bits, errors = compression.transform_coding_curves(fitted, x, np.array([0.02, 0.01, 0.005]))
    assert bits.shape == errors.shape == (3, 4)
    np.testing.assert_allclose(np.diff(bits, axis=0)[:, 1:], np.array([[1, 2, 3]] * 2), atol=0.08)
    np.testing.assert_allclose(errors[:, 3], np.array([0.02, 0.01, 0.005]) ** 2 / 12, rtol=0.05)
    np.testing.assert_array_equal(bits[:, 0], 0)
    np.testing.assert_allclose(errors[:, 0], np.square(x - fitted.mean).mean(), rtol=1e-5)


@pytest.mark.parametrize(("count", "step"), [(0, 0.02), (1, 0.02), (2, 0.1), (3, 0.3)])
def test_what_is_decoded_is_off_by_what_was_reckoned(principal, count, step):
    fitted, x = principal
    _, errors = compression.transform_coding_curves(fitted, x, np.array([step]))
    decoded = compression.transform_coding_reconstruction(fitted, x, count, step)
    assert np.square(decoded - x).mean() == pytest.approx(errors[0, count], rel=1e-3)


def test_the_frontier_is_what_nothing_beats():
    random_state = np.random.RandomState(3)
    bits, errors = random_state.uniform(size=(2, 5, 8))
    flat = list(zip(bits.ravel(), errors.ravel(), strict=True))
    best = {i for i, a in enumerate(flat) if not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in flat)}
    found = compression.pareto_frontier(bits, errors)
    assert set(found) == best
    assert (np.diff(bits.ravel()[found]) > 0).all()


@pytest.mark.parametrize(("size", "channels", "quality"), list(product([12, 16], [1, 3], [10, 90])))
def test_an_image_s_jpeg_knows_no_other(size, channels, quality):
    x = np.random.RandomState(4).uniform(size=(40, size, size, channels)).astype(np.float32)
    x[1:] = np.round(x[1:] * 3) / 3
    cost, decoded = figure.jpeg(x, quality)
    other = np.concatenate([x[:1], 1 - x[1:]])
    inner = slice(size - 1)  # a decoder smooths the colours of the last pixels with their neighbours'
    np.testing.assert_array_equal(figure.jpeg(other, quality)[1][0, inner, inner], decoded[0, inner, inner])
    assert decoded.shape == x.shape
    assert figure.jpeg(x[:1], quality)[0] > cost + 1000  # its header alone


def test_jpeg_gets_closer_for_more_bits_and_black_is_free():
    x = np.random.RandomState(5).uniform(size=(30, 8, 8, 1)).astype(np.float32)
    curve = figure.jpeg_curve(x, np.arange(4), bits=150.0)
    assert (np.diff(curve.bits) >= 0).all()
    assert curve.error[-1] < 1e-3 < curve.error[0]
    assert curve.used == curve.bits[curve.bits <= 150].max()
    assert curve.decoded.shape == (4, 8, 8, 1)
    assert figure.jpeg_curve(x, np.arange(4), bits=1.0).used == curve.bits[0]


@pytest.mark.parametrize(("shape", "likelihood"), [((4, 4, 1), "bernoulli"), ((4, 4, 3), "gaussian(0.3)")])
def test_the_figure_puts_the_model_beside_the_others(tmp_path, shape, likelihood):
    found = figure.compute_compression(make_subject(shape, likelihood), n=3)
    figure.plot_compression(tmp_path / "a.png", found)
    assert found.bits.shape == found.error.shape == (30,)
    np.testing.assert_allclose(
        np.square(found.decoded - found.images).mean((1, 2, 3)), found.error[[0, 14, 29]], rtol=1e-4
    )
    pca, jpeg = found.curves["pca"], found.curves["jpeg"]
    assert (np.diff(pca.bits) > 0).all()
    assert (np.diff(pca.error) < 0).all()
    assert pca.decoded.shape == jpeg.decoded.shape == (3, *shape)
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg"}


def test_principal_components_are_fitted_to_all_training_images_as_the_model_was():
    """N10: the report's were fitted to 2,000."""
    subject = dataclasses.replace(make_subject(), data=make_data(count=3000))
    found = FIGURES["compression"].compute(subject)
    assert found.fitted == len(subject.data.splits["train"]) > 2000


def test_a_point_costs_no_number_of_bits():
    with pytest.raises(ValueError, match="code of an autoencoder is a point without a density"):
        figure.compute_compression(make_subject(posterior="point"))
