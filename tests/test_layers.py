import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random
from jax.test_util import check_grads

from jaxvae import decoder, encoder
from jaxvae.layers import (
    ACTIVATIONS,
    ConvTranspose,
    DenseStack,
    activation_named,
    convolution,
    folded,
    halved,
    smooth_bound,
    transpose_convolution,
)

SIZES = [(1, 1), (1, 2), (7, 5), (8, 6)]


def arrays(size, kernel, stride, channels=2, features=3):
    """x [2, *size, channels], y as the convolution of x is shaped, and the kernel between them."""
    keys = random.split(random.key(0), 3)
    small = [-(-n // stride) for n in size]
    shapes = ((2, *size, channels), (2, *small, features), (kernel, kernel, channels, features))
    return [random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def jaxs_transpose(y, kernel, size, stride):
    """The adjoint by jax's own rules, which also differentiate it."""
    x = jnp.zeros((y.shape[0], *size, kernel.shape[2]))
    (adjoint,) = jax.vjp(lambda x: convolution(x, kernel, stride), x)[1](y)
    return adjoint


def scattered(y, kernel, size, stride):
    """The adjoint by its definition: each y lays the kernel, times itself, over the pixels it was computed from."""
    k, low = kernel.shape[0], [max((-(-n // stride) - 1) * stride + kernel.shape[0] - n, 0) // 2 for n in size]
    x = np.zeros((y.shape[0], *(n + 2 * k + 2 * stride for n in size), kernel.shape[2]))
    for i, j in np.ndindex(*y.shape[1:3]):
        top, left = i * stride - low[0] + k, j * stride - low[1] + k
        x[:, top : top + k, left : left + k] += np.einsum("ng,abfg->nabf", y[:, i, j], kernel)
    return x[:, k : k + size[0], k : k + size[1]]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_transpose_convolution_is_the_adjoint_of_the_convolution(size, kernel):
    x, y, w = arrays(size, kernel, 2)
    adjoint = transpose_convolution(y, w, size, 2)
    np.testing.assert_allclose(jnp.vdot(adjoint, x), jnp.vdot(y, convolution(x, w, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(adjoint, scattered(np.asarray(y), np.asarray(w), size, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_transpose_convolution_is_laxs_where_the_size_is_a_multiple_of_the_stride(kernel, stride):
    _, y, w = arrays((4, 6), kernel, stride)
    expected = lax.conv_transpose(y, w, (stride, stride), "SAME", transpose_kernel=True)
    np.testing.assert_allclose(transpose_convolution(y, w, (4, 6), stride), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_both_gradients_of_the_transpose_convolution_are_jaxs_own(size, kernel):
    cotangent, y, w = arrays(size, kernel, 2)

    def gradients(transpose):
        return jax.jit(lambda y, w: jax.vjp(lambda y, w: transpose(y, w, size, 2), y, w)[1](cotangent))(y, w)

    for got, expected in zip(gradients(transpose_convolution), gradients(jaxs_transpose), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "kernel", "stride"), [((5, 3), 4, 2), ((1, 1), 3, 2), ((4, 4), 5, 1), ((7, 7), 3, 3)])
def test_gradients_of_the_transpose_convolution_are_its_differences(size, kernel, stride):
    _, y, w = arrays(size, kernel, stride)
    check_grads(lambda y, w: transpose_convolution(y, w, size, stride), (y, w), order=1, modes=["rev"], eps=1e-2)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_a_transpose_convolution_gives_exactly_the_size_asked_for(kernel):
    for size in np.ndindex(9, 9):
        height, width = size[0] + 1, size[1] + 1
        (small,) = halved((height, width), 1)[1:]
        layer = ConvTranspose(3, (height, width), kernel)
        y = jax.ShapeDtypeStruct((2, *small, 4), jnp.float32)
        out, _ = jax.eval_shape(lambda y, layer=layer: layer.init_with_output(random.key(0), y), y)
        assert out.shape == (2, height, width, 3)


def test_convolution_makes_the_sizes_that_halved_says():
    for size in [(9, 4), (1, 1), (28, 28), (7, 5)]:
        x = jax.ShapeDtypeStruct((1, *size, 2), jnp.float32)
        w = jax.ShapeDtypeStruct((4, 4, 2, 3), jnp.float32)
        assert jax.eval_shape(lambda x, w: convolution(x, w, 2), x, w).shape[1:3] == halved(size, 1)[1]
    assert halved((28, 7), 3) == [(28, 7), (14, 4), (7, 2), (4, 1)]


def test_a_transpose_layer_starts_with_the_variance_of_its_input():
    x = random.normal(random.key(0), (64, 8, 8, 32))
    out, _ = ConvTranspose(16, (16, 16)).init_with_output(random.key(1), x)
    np.testing.assert_allclose(out[:, 4:12, 4:12].std(), 1.0, rtol=0.1)


def test_folded_applies_the_network_to_each_sample_and_example():
    w, z = random.normal(random.key(0), (4, 5)), random.normal(random.key(1), (2, 3, 4))
    np.testing.assert_allclose(folded(lambda z: z @ w, z), np.einsum("sbf,fg->sbg", z, w), rtol=1e-5, atol=1e-6)
    assert folded(lambda z: jnp.zeros((len(z), 7, 8, 1)), z).shape == (2, 3, 7, 8, 1)


@pytest.mark.parametrize("bound", [1.0, 7.0])
def test_smooth_bound_stays_inside_and_is_the_identity_near_zero(bound):
    x = jnp.linspace(-20 * bound, 20 * bound, 401)
    y = smooth_bound(x, bound)
    assert (jnp.abs(y) <= bound).all()
    assert (jnp.diff(y) > -1e-6 * bound).all()
    small = jnp.linspace(-0.01, 0.01, 11) * bound
    np.testing.assert_allclose(smooth_bound(small, bound), small, rtol=1e-4)
    assert (jax.vmap(jax.grad(lambda x: smooth_bound(x, bound)))(jnp.array([-3.0, 0.0, 3.0]) * bound) > 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (28, 28)])
def test_convolutional_networks_take_and_give_any_size(size, channels):
    def run(x, z):
        features, _ = encoder.conv(4, 5, 6, kernel=3, dense=8).init_with_output(random.key(0), x)
        image, _ = decoder.conv(6, 5, 4, shape=(*size, channels), kernel=3, dense=8).init_with_output(random.key(1), z)
        return features, image

    shapes = jax.ShapeDtypeStruct((2, *size, channels), jnp.float32), jax.ShapeDtypeStruct((2, 3), jnp.float32)
    features, image = jax.eval_shape(run, *shapes)
    assert (features.shape, image.shape) == ((2, 8), (2, *size, channels))


@pytest.mark.parametrize("channels", [1, 3])
def test_dense_networks_take_and_give_any_size(channels):
    features, _ = encoder.mlp(8, 7).init_with_output(random.key(0), jnp.zeros((2, 5, 3, channels)))
    image, _ = decoder.mlp(7, 8, shape=(5, 3, channels)).init_with_output(random.key(1), jnp.zeros((2, 3)))
    assert (features.shape, image.shape) == ((2, 7), (2, 5, 3, channels))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_dense_stack_is_affine_maps_and_activations(name):
    x = random.normal(random.key(0), (3, 4))
    out, variables = DenseStack((5, 2), name).init_with_output(random.key(1), x)
    first, second = variables["params"]["Dense_0"], variables["params"]["Dense_1"]
    act = activation_named(name)
    np.testing.assert_allclose(out, act(act(x @ first["kernel"]) @ second["kernel"]), rtol=1e-5, atol=1e-6)
    assert jnp.asarray(act(jnp.array(2.0))) > act(jnp.array(0.5))


def test_an_unknown_activation_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"activation='rellu' is not known; choose one of relu, tanh"):
        activation_named("rellu")


@pytest.mark.parametrize("widths", [(), (0,), (3, -1), (2.5,), ("8",)])
@pytest.mark.parametrize("make", [encoder.mlp, encoder.conv])
def test_widths_are_positive_whole_numbers(make, widths):
    with pytest.raises(ValueError, match="needs one or more positive whole numbers, such as"):
        make(*widths)
