import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random
from jax.test_util import check_grads

from jaxvae.model import decoder, encoder
from jaxvae.model.convolution import ConvTranspose, convolution, downsampled_sizes, transpose_convolution
from jaxvae.model.layers import (
    ACTIVATIONS,
    DenseStack,
    GroupNorm,
    ResidualBlock,
    SelfAttention,
    Transformer,
    append_condition,
    apply_folded,
    dropout,
    from_patches,
    get_activation,
    group_count,
    layer_keys,
    smooth_bound,
    to_patches,
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
        (small,) = downsampled_sizes((height, width), 1)[1:]
        layer = ConvTranspose(3, (height, width), kernel)
        y = jax.ShapeDtypeStruct((2, *small, 4), jnp.float32)
        out, _ = jax.eval_shape(lambda y, layer=layer: layer.init_with_output(random.key(0), y), y)
        assert out.shape == (2, height, width, 3)


def test_convolution_makes_the_sizes_that_halved_says():
    for size in [(9, 4), (1, 1), (28, 28), (7, 5)]:
        x = jax.ShapeDtypeStruct((1, *size, 2), jnp.float32)
        w = jax.ShapeDtypeStruct((4, 4, 2, 3), jnp.float32)
        assert jax.eval_shape(lambda x, w: convolution(x, w, 2), x, w).shape[1:3] == downsampled_sizes(size, 1)[1]
    assert downsampled_sizes((28, 7), 3) == [(28, 7), (14, 4), (7, 2), (4, 1)]


def test_a_transpose_layer_starts_with_the_variance_of_its_input():
    x = random.normal(random.key(0), (64, 8, 8, 32))
    out, _ = ConvTranspose(16, (16, 16)).init_with_output(random.key(1), x)
    np.testing.assert_allclose(out[:, 4:12, 4:12].std(), 1.0, rtol=0.1)


def test_folded_applies_the_network_to_each_sample_and_example():
    w, z = random.normal(random.key(0), (4, 5)), random.normal(random.key(1), (2, 3, 4))
    np.testing.assert_allclose(apply_folded(lambda z: z @ w, z), np.einsum("sbf,fg->sbg", z, w), rtol=1e-5, atol=1e-6)
    assert apply_folded(lambda z: jnp.zeros((len(z), 7, 8, 1)), z).shape == (2, 3, 7, 8, 1)


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
    out, variables = DenseStack((5, 2), activation=name).init_with_output(random.key(1), x)
    first, second = variables["params"]["Dense_0"], variables["params"]["Dense_1"]
    act = get_activation(name)
    np.testing.assert_allclose(out, act(act(x @ first["kernel"]) @ second["kernel"]), rtol=1e-5, atol=1e-6)
    assert jnp.asarray(act(jnp.array(2.0))) > act(jnp.array(0.5))


def test_an_unknown_activation_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"activation='rellu': expected one of 'relu', 'tanh'"):
        get_activation("rellu")


@pytest.mark.parametrize("widths", [(), (0,), (3, -1), (2.5,), ("8",)])
@pytest.mark.parametrize("make", [encoder.mlp, encoder.conv])
def test_widths_are_positive_whole_numbers(make, widths):
    with pytest.raises(ValueError, match="needs one or more positive whole numbers, such as"):
        make(*widths)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate):
    count = 40_000
    out = np.asarray(dropout(random.split(random.key(0), 4), np.full((4, 100, count // 400), 3, np.float32), rate))
    zeroed = (out == 0).mean()
    assert abs(zeroed - rate) < 5 * np.sqrt(rate * (1 - rate) / count)
    np.testing.assert_allclose(out[out != 0], np.full(int((out != 0).sum()), 3 / (1 - rate)), rtol=1e-6)
    assert abs(float(out.mean()) / 3 - 1) < 5 * np.sqrt(rate / (1 - rate) / count)


def test_an_examples_mask_is_its_keys_alone():
    """Whatever else is in the batch, and however many; without keys there is none."""
    x, keys = jnp.ones((5, 7, 3)), random.split(random.key(0), 5)
    drop = jax.jit(lambda keys, x: dropout(keys, x, 0.5))
    out = drop(random.clone(keys), x)
    np.testing.assert_array_equal(out, drop(random.clone(keys), x))
    order = np.array([4, 2, 0, 1, 3])
    np.testing.assert_array_equal(out[order], drop(random.clone(keys)[order], x))
    np.testing.assert_array_equal(out[order[:2]], drop(random.clone(keys)[order[:2]], x[:2]))
    assert len(np.unique(np.asarray(out).reshape(5, -1), axis=0)) == 5
    assert dropout(None, x, 0.5) is x
    assert layer_keys(None, 3) is None
    bits = np.concatenate([random.key_data(layer_keys(keys, layer)) for layer in range(4)])
    assert len(np.unique(bits, axis=0)) == 20


@pytest.mark.parametrize("places", [(), (3,), (2, 3)])
def test_a_condition_is_further_features_the_same_everywhere(places):
    x, condition = jnp.ones((2, *places, 4)), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    out = np.asarray(append_condition(x, condition)).reshape(2, -1, 6)
    np.testing.assert_array_equal(out[..., :4], np.ones_like(out[..., :4]))
    np.testing.assert_array_equal(out[..., 4:], np.broadcast_to(condition[:, None], out[..., 4:].shape))
    assert append_condition(x, None) is x


@pytest.mark.parametrize(
    ("channels", "most", "groups"),
    [
        (32, 8, 8),
        (64, 8, 8),
        (16, 8, 4),
        (8, 8, 2),
        (12, 8, 3),
        (20, 8, 5),
        (7, 8, 1),
        (3, 8, 1),
        (1, 8, 1),
        (24, 4, 4),
    ],
)
def test_groups_divide_the_channels_four_or_more_each(channels, most, groups):
    assert group_count(channels, most) == groups


@pytest.mark.parametrize("shape", [(3, 5, 4, 8), (2, 6, 8)])
def test_group_norm_and_its_gradients_are_flaxs(shape):
    draw = np.random.default_rng(0).normal
    x, cotangent, scale, bias = (draw(size=size).astype(np.float32) for size in (shape, shape, 8, 8))
    own, flaxs = GroupNorm(), nn.GroupNorm(2, epsilon=1e-5)

    @jax.jit
    def run(variables, x):
        pulled = (jax.vjp(norm.apply, variables, x) for norm in (own, flaxs))
        return [(out, pull_back(cotangent)) for out, pull_back in pulled]

    out = run({"params": {"scale": scale, "bias": bias}}, 2 * x + 1)
    for one, other in zip(*map(jax.tree.leaves, out), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_group_norm_is_exact_where_the_mean_is_large_and_mixes_no_examples(mean):
    """Where E[x^2] - E[x]^2 in float32 is off by a factor of a thousand."""
    x = (mean + np.random.default_rng(0).normal(size=(2, 5, 4, 8))).astype(np.float32)
    wide = np.float64(x).reshape(2, 20, 2, 4)
    expected = (wide - wide.mean((1, 3), keepdims=True)) / np.sqrt(wide.var((1, 3), keepdims=True) + 1e-5)
    norm = jax.jit(GroupNorm().bind({"params": {"scale": np.ones(8), "bias": np.zeros(8)}}).__call__)
    np.testing.assert_allclose(norm(x), expected.reshape(x.shape), atol=5e-3 if mean else 1e-5)
    edited = x.copy()
    edited[1] *= 100
    np.testing.assert_array_equal(norm(edited)[0], norm(x)[0])
    assert np.isfinite(norm(np.full_like(x, mean))).all()


def test_a_residual_block_adds_two_normed_convolutions():
    """Against flax's own layers."""
    draw = np.random.default_rng(0).normal
    x = draw(size=(2, 4, 3, 8)).astype(np.float32)
    block = ResidualBlock(groups=8, activation="silu", dropout=0.0, depth=1)
    shapes = jax.eval_shape(block.init, random.key(1), x)
    variables = jax.tree.map(lambda leaf: draw(size=leaf.shape).astype(np.float32), shapes)

    @jax.jit
    def run(variables, x):
        hidden = x
        for i in range(2):
            norm, conv = ({"params": variables["params"][f"{name}_{i}"]} for name in ("GroupNorm", "Conv"))
            hidden = nn.Conv(8, (3, 3)).apply(conv, nn.silu(nn.GroupNorm(2, epsilon=1e-5).apply(norm, hidden)))
        return block.apply(variables, x), x + hidden

    np.testing.assert_allclose(*run(variables, x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 4])
def test_residual_blocks_that_add_up_start_smaller(depth):
    block = ResidualBlock(groups=8, activation="relu", dropout=0.0, depth=depth)
    init = jax.jit(lambda key: block.init(key, jnp.zeros((1, 1, 1, 32)))["params"]["Conv_1"]["kernel"])
    kernel = init(random.key(1))
    np.testing.assert_allclose(kernel.std() * np.sqrt(depth * 9 * 32), 1.0, rtol=0.05)


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_a_softmax_average_of_values(heads):
    draw, width = np.random.default_rng(0).normal, 4 // heads
    x = draw(size=(2, 5, 4)).astype(np.float32)
    first, last = ({"kernel": draw(size=(4, size)), "bias": draw(size=size)} for size in (12, 4))
    out = SelfAttention(heads).apply({"params": jax.tree.map(np.float32, {"Dense_0": first, "Dense_1": last})}, x)
    expected = np.zeros_like(x)
    for n in range(2):
        three = (x[n] @ first["kernel"] + first["bias"]).reshape(5, 3, heads, width)
        averages = np.zeros((5, heads, width))
        for t, h in np.ndindex(5, heads):
            weights = np.exp([three[t, 0, h] @ three[u, 1, h] / np.sqrt(width) for u in range(5)])
            averages[t, h] = weights / weights.sum() @ three[:, 2, h]
        expected[n] = averages.reshape(5, 4) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_a_transformer_knows_tokens_by_their_positions_alone():
    draw, order = np.random.default_rng(0).normal, np.array([3, 0, 5, 1, 4, 2])
    x = draw(size=(2, 6, 8)).astype(np.float32)
    network = Transformer(blocks=2, heads=2, activation="gelu", dropout=0.0)
    shapes = jax.eval_shape(network.init, random.key(1), x)["params"]
    params = jax.tree.map(lambda leaf: draw(size=leaf.shape).astype(np.float32), shapes)
    run = jax.jit(lambda positions, x: network.apply({"params": params | {"positions": positions}}, x))
    out = run(params["positions"], x)
    np.testing.assert_allclose(run(params["positions"][order], x[:, order]), out[:, order], rtol=1e-3, atol=1e-3)
    assert np.abs(run(params["positions"], x[:, order]) - out[:, order]).max() > 0.1


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (7, 5), (8, 3)])
@pytest.mark.parametrize("patch", [1, 3, 4])
def test_patches_hold_the_images_pixels_and_are_undone(size, patch):
    x = np.arange(2 * np.prod(size) * 2, dtype=np.float32).reshape(2, *size, 2) + 1
    tokens, again = jax.jit(lambda x: (to_patches(x, patch), from_patches(to_patches(x, patch), size, patch)))(x)
    np.testing.assert_array_equal(again, x)
    tokens = np.asarray(tokens)
    rows, columns = -(-size[0] // patch), -(-size[1] // patch)
    assert tokens.shape == (2, rows * columns, patch * patch * 2)
    for i, j in np.ndindex(rows, columns):
        own = x[:, i * patch : (i + 1) * patch, j * patch : (j + 1) * patch]
        square = tokens[:, i * columns + j].reshape(2, patch, patch, 2)
        np.testing.assert_array_equal(square[:, : own.shape[1], : own.shape[2]], own)
        assert square.sum() == own.sum()


@pytest.mark.parametrize(("length", "kernel"), [(1, 3), (7, 3), (8, 4)])
def test_a_transpose_convolution_of_sequences_is_the_adjoint_with_jaxs_gradients(length, kernel):
    draw, sizes = np.random.default_rng(0).normal, ((2, length, 2), (kernel, 2, 3), (2, -(-length // 2), 3))
    x, w, y = (draw(size=size).astype(np.float32) for size in sizes)

    @jax.jit
    def run(x, w, y):
        def jaxs(y, w):
            return jax.vjp(lambda x: convolution(x, w, 2), x)[1](y)[0]

        both = (jax.vjp(f, y, w) for f in (lambda y, w: transpose_convolution(y, w, (length,), 2), jaxs))
        return convolution(x, w, 2), [(out, pull_back(x)) for out, pull_back in both]

    image, out = run(x, w, y)
    np.testing.assert_allclose(np.vdot(out[0][0], x), np.vdot(y, image), rtol=1e-4, atol=1e-4)
    for one, other in zip(*map(jax.tree.leaves, out), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
