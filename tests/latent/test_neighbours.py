"""Neighbours are the nearest there are; a decoder stretches as it does; classes stand in their columns."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import COLUMN_NORMS, SIGMA, images, make_linear_vae
from jax import random
from looked_at import make_subject
from small import binary_images, init, make_conv_vae, make_vae

from jaxvae import latent
from jaxvae.latent import neighbours, sensitivity
from jaxvae.terms import example_keys
from jaxvae.viz.figures import neighbours as figure
from jaxvae.viz.figures.neighbours import Neighbours, NeighboursData, compute_neighbours, plot_neighbours
from jaxvae.viz.figures.reconstructions import compute_conditional, plot_conditional
from jaxvae.viz.figures.sensitivity import compute_sensitivity, flip_pixels, plot_sensitivity
from jaxvae.viz.figures.subject import evenly_spaced
from jaxvae.viz.plots import style


@pytest.mark.parametrize(("places", "chunk", "count"), [(50, 2048, 3), (50, 7, 50), (50, 10, 4), (1, 5, 1)])
def test_neighbours_are_those_of_all_distances(places, chunk, count, monkeypatch):
    monkeypatch.setattr(neighbours, "_CHUNK", chunk)
    random_state = np.random.RandomState(0)
    queries, among = (random_state.normal(5, 1, (n, 6)).astype(np.float32) for n in (9, places))
    distances = np.sqrt(np.square(queries[:, None].astype(float) - among[None]).sum(2))
    found = latent.nearest.__wrapped__(jnp.asarray(queries), jnp.asarray(among), count)
    np.testing.assert_array_equal(found.indices, distances.argsort(1)[:, :count])
    np.testing.assert_allclose(found.distances, np.sort(distances, 1)[:, :count], rtol=1e-5)


def test_neighbours_a_hair_apart_keep_their_order_and_one_at_home_is_at_no_distance():
    far = np.array([[1000.0, 0.0, 0.0]], np.float32)
    among = far + np.array([[0, 3e-3, 0], [0, 1e-3, 0], [0, 2e-3, 0], [50, 0, 0]], np.float32)
    found = latent.nearest(far, among, 3)
    assert found.indices.tolist() == [[1, 2, 0]]
    np.testing.assert_allclose(found.distances, [[1e-3, 2e-3, 3e-3]], rtol=1e-3)
    np.testing.assert_array_equal(latent.nearest(among, among, 1).distances, 0)


@pytest.mark.parametrize("count", [0, 5])
def test_as_many_neighbours_as_there_are(count):
    with pytest.raises(ValueError, match=f"count={count} neighbours of .*from 1 to M neighbours"):
        latent.nearest(jnp.ones((2, 3)), jnp.ones((4, 3)), count)


def test_the_commonest_label_wins_and_the_nearest_of_equals():
    labels = np.array([[1, 2, 2, 3, 1], [3, 2, 2, 0, 0], [5, 1, 2, 3, 4], [0, 7, 7, 7, 0]])
    assert neighbours.majority_label(labels).tolist() == [1, 2, 5, 7]


def test_a_linear_decoder_stretches_by_its_columns():
    model, variables, _ = make_linear_vae()
    found = latent.decoder_jacobian_svd(model, variables, jnp.array([[0.0, 0.0], [3.0, -1.0]]))
    np.testing.assert_allclose(found.singular_values, np.broadcast_to(COLUMN_NORMS, (2, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.abs(found.directions), np.broadcast_to(np.eye(2), (2, 2, 2)), atol=1e-5)


@pytest.mark.parametrize("make", [make_vae, lambda: make_conv_vae()], ids=["mlp", "convolutions"])
def test_a_step_moves_the_picture_by_its_length(make):
    model = make()
    variables = init(model, binary_images(2))
    z = random.normal(random.key(1), (3, 2))
    found = jax.jit(lambda z: latent.decoder_jacobian_svd(model, variables, z))(z)
    assert (found.singular_values[:, 0] > found.singular_values[:, 1]).all()
    step = 1e-2
    for which in range(2):
        ends = [latent.decode(model, variables, z + s * step * found.directions[:, which]).mean() for s in (1, -1)]
        moved = jnp.sqrt(jnp.square(ends[0] - ends[1]).reshape(3, -1).sum(1)) / (2 * step)
        np.testing.assert_allclose(moved, found.singular_values[:, which], rtol=1e-2)


def test_of_fewer_pixels_than_latents_some_directions_are_flat():
    model = make_vae((1, 2, 1), latent_dim=4)
    found = latent.decoder_jacobian_svd(model, init(model, binary_images(1, (1, 2, 1))), jnp.ones((1, 4)))
    assert found.singular_values.shape == (1, 4)
    assert found.directions.shape == (1, 4, 4)
    assert (found.singular_values[0, :2] > 1e-5).all()
    np.testing.assert_allclose(found.singular_values[0, 2:], 0, atol=1e-6)


def test_codes_move_by_the_encoder_s_slope_and_are_spread_as_the_posterior():
    model, variables, _ = make_linear_vae()
    x = images(3)
    kernel = variables["params"]["posterior"]["Dense_0"]["kernel"][:, :2]
    moved = sensitivity.code_displacement(model, variables, x, jnp.stack([x + 0.1, x - 0.2]))
    length = np.linalg.norm(0.1 * kernel.sum(0))
    np.testing.assert_allclose(moved, np.broadcast_to([[length], [2 * length]], (2, 3)), rtol=1e-4)
    wide = sensitivity.posterior_spread(model, variables, example_keys(random.key(0), np.arange(3), 4000), x)
    np.testing.assert_allclose(wide, np.sqrt((1 / (1 + COLUMN_NORMS**2 / SIGMA**2)).sum()), rtol=0.03)


def test_flipped_pixels_are_so_many():
    x = binary_images(200)
    changed = flip_pixels(random.split(random.key(0), 200), x, np.array([0.1, 0.3])) != x[None]
    np.testing.assert_allclose(changed.mean((1, 2, 3, 4)), [0.1, 0.3], atol=0.02)
    assert (changed[1] | ~changed[0]).all()


def test_positions_are_spread_over_sorted_data():
    assert evenly_spaced(4, 9).tolist() == [0, 1, 2, 3]
    assert evenly_spaced(101, 5).tolist() == [0, 25, 50, 75, 100]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "model"), [((4, 4, 1), {"condition": "label"}), ((4, 4, 3), {"latent_dim": 1})])
def test_figures_of_neighbours_and_small_changes(tmp_path, shape, model):
    subject = make_subject(shape, "bernoulli" if shape[-1] == 1 else "gaussian(0.3)", **model)
    near = compute_neighbours(subject, n=3, count=2)
    plot_neighbours(tmp_path / "a.png", near)
    one, place = near.images[1], near.pixels.images[1, 0]
    assert near.pixels.distances[1, 0] == pytest.approx(np.sqrt(np.square(one - place).sum()), rel=1e-4)
    assert 0 <= near.codes.accuracy <= 1
    found = compute_sensitivity(subject, n=2, steps=3)
    plot_sensitivity(tmp_path / "b.png", found)
    assert found.pictures.shape == (2, 2, 3, *shape)
    np.testing.assert_allclose(found.pictures[:, 0, 1], found.pictures[:, 1, 1], atol=1e-6)
    assert found.moved.shape == (5, 30)
    assert found.moved[0].mean() < found.moved[-1].mean()
    assert {path.name for path in tmp_path.glob("*.png")} == {"a.png", "b.png"}


def test_neighbours_of_the_image_s_class_are_told_from_others(tmp_path):
    with mock.patch.object(figure, "Rectangle", wraps=figure.Rectangle) as frame:
        images, places = np.zeros((1, 2, 8, 8, 1)), np.zeros((1, 2), int)
        pixels = Neighbours(images, places, places, np.array([[False, True]]), 0.5)
        plot_neighbours(tmp_path / "a.png", NeighboursData(images[:, 0], pixels, pixels._replace(same=None)))
    (other, own), places = [call.kwargs for call in frame.call_args_list], [c.args[0] for c in frame.call_args_list]
    assert (own["edgecolor"], own["ls"]) == (style.BLUE, "-")
    assert (other["edgecolor"], other["ls"] == "-") == (style.VERMILION, False)
    assert places[0][0] < places[1][0]


def test_the_grid_decodes_one_code_a_row_as_every_class_a_column(tmp_path):
    subject = make_subject(condition="label")
    found = compute_conditional(subject, n=4)
    plot_conditional(tmp_path / "a.png", found)
    z, grid = found.z, found.pictures
    assert grid.shape == (4, 3, 4, 4, 1)
    np.testing.assert_array_equal(z, np.broadcast_to(z[:, :1], z.shape))
    assert len(np.unique(z[:, 0, 0])) == 4
    px = subject.run.decode(z[:, 2], np.full(4, 2))
    np.testing.assert_allclose(grid[:, 2], px.mean(), atol=1e-6)
    with pytest.raises(ValueError, match=r"model\.condition='none': expected 'label'"):
        compute_conditional(make_subject())


def test_what_has_no_flat_latent_is_refused():
    subject = make_subject(posterior="vq(codes=4, dim=2)", prior="codes")
    with pytest.raises(ValueError, match="small steps from a code are for a z that is a flat vector"):
        compute_sensitivity(subject)
    assert compute_neighbours(subject).codes.positions.shape == (6, 6)  # by the vectors chosen
