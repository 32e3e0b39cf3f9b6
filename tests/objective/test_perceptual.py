"""MS-SSIM against its formulas written out with scipy."""

import jax
import numpy as np
import pytest
import scipy.ndimage
from small import binary_images, init, make_vae

from jaxvae.objective import ms_ssim
from jaxvae.objective.perceptual import SCALE_WEIGHTS, multiscale_ssim
from jaxvae.terms import example_keys


def by_hand(x, y, scales):
    """MS-SSIM of two pictures [H, W]: Wang et al. 2003, eq. 7, with Gaussian windows where they fit whole."""
    window = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    shares, product = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales]), 1.0

    def blurred(a):
        return scipy.ndimage.correlate(a, window, mode="constant")[5:-5, 5:-5]

    for scale in range(scales):
        mean_x, mean_y = blurred(x), blurred(y)
        spread = blurred(x * x) - mean_x**2 + blurred(y * y) - mean_y**2
        structure = (2 * (blurred(x * y) - mean_x * mean_y) + 0.03**2) / (spread + 0.03**2)
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        value = (structure if scale < scales - 1 else structure * luminance).mean()
        product *= max(value, 1e-6) ** shares[scale]
        x, y = (a.reshape(a.shape[0] // 2, 2, -1, 2).mean((1, 3)) for a in (x, y))
    return product


@pytest.mark.parametrize(("shape", "scales"), [((28, 28), 2), ((48, 32), 2), ((64, 64), 3)])
def test_similarity_is_its_formula(shape, scales):
    generator = np.random.default_rng(0)
    x = scipy.ndimage.gaussian_filter(generator.random(shape), 1.0)
    y = np.clip(x + 0.1 * generator.normal(size=shape), 0, 1)
    found = jax.jit(multiscale_ssim)(*(np.float32(a)[None, None, ..., None] for a in (x, y)))
    assert float(found[0, 0]) == pytest.approx(by_hand(x, y, scales), rel=1e-4)


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 9, 3), (28, 28, 1), (1, 6, 1)])
def test_the_same_picture_is_alike_and_another_less_at_any_size(shape):
    x = np.random.default_rng(0).random((1, 2, *shape), np.float32)
    np.testing.assert_allclose(jax.jit(multiscale_ssim)(x, x), 1.0, rtol=1e-5)
    assert (np.asarray(jax.jit(multiscale_ssim)(x, x[:, ::-1])) < 0.9).all()


def test_the_loss_is_the_weight_times_what_is_not_alike_and_has_a_gradient_at_blank_pictures():
    model, x = make_vae(), binary_images(4)
    variables = init(model, x)

    def loss(variables):
        terms = model.apply(variables, example_keys(jax.random.key(1), np.arange(4)), 0 * x)
        return ms_ssim(7.0).apply({}, {}, terms, key=None, step=0, gather=None).value.mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(variables)
    assert 0 < float(value) < 7
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
