"""Walks through the latent space: where they pass, and the pictures of a run's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from opened_data import from_arrays
from small import grey_images

from jaxvae import latent
from jaxvae.cli import main
from jaxvae.config import Config, Data, Model
from jaxvae.config.build import build
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import first_state, variables_of
from jaxvae.viz.figures import interpolation
from jaxvae.viz.figures.images import curves_of, pictures
from jaxvae.viz.figures.subject import Subject


def make_subject(shape=(6, 5, 1), count=40, labels=True, **model):
    """An untrained model with the images that it is looked at with."""
    model = {"latent_dim": 4, "encoder": "mlp(8)", "decoder": "mlp(8)"} | model
    objective = "reconstruction" if model.get("posterior") == "point" else "elbo"
    config = Config(data=Data(), model=Model(**model), objective=objective)
    images = grey_images(count, shape)
    label = np.arange(count, dtype=np.int32) % 3
    data = from_arrays((images, label) if labels else images, 0.0)
    parts = build(config, data.shape, condition=data.condition_size(config.model.condition), examples=count)
    state = first_state(config, parts, random.key(0), random.key(1))
    return Subject(Run(config, parts, variables_of(state), 0), data, "train", random.key(2))


@pytest.fixture(scope="module")
def subject():
    return make_subject()


@pytest.mark.parametrize("way", [latent.line, latent.great_circle])
def test_a_walk_begins_and_ends_where_it_is_told(way):
    a, b = random.normal(random.key(0), (2, 7))
    z = jax.jit(way, static_argnums=2)(a, b, 5)
    np.testing.assert_allclose(z[0], a, atol=1e-5)
    np.testing.assert_allclose(z[-1], b, atol=1e-5)
    np.testing.assert_allclose(way(b, a, 5), z[::-1], atol=1e-5)


def test_a_line_is_even_and_a_great_circle_turns_evenly():
    a, b = random.normal(random.key(1), (2, 9))
    straight, turned = np.diff(latent.line(a, b, 6), axis=0), np.asarray(latent.great_circle(a, b, 6))
    np.testing.assert_allclose(straight, np.tile(straight[:1], (5, 1)), atol=1e-6)
    lengths = np.linalg.norm(turned, axis=1)
    np.testing.assert_allclose(np.diff(lengths), np.diff(lengths)[0], atol=1e-5)
    cosines = (turned[1:] * turned[:-1]).sum(1) / lengths[1:] / lengths[:-1]
    np.testing.assert_allclose(cosines, cosines[0], atol=1e-5)
    whole = np.arccos(turned[0] @ turned[-1] / lengths[0] / lengths[-1])
    np.testing.assert_allclose(5 * np.arccos(cosines[0]), whole, rtol=1e-3)


def test_a_great_circle_between_draws_of_many_dimensions_stays_as_long_as_they_are():
    a, b = random.normal(random.key(2), (2, 200))
    middle, on_line = (np.linalg.norm(way(a, b, 3)[1]) for way in (latent.great_circle, latent.line))
    assert abs(middle - np.sqrt(200)) < 1.5
    assert on_line < 0.8 * middle


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0, 1.0], ids=["same way", "opposite", "zero", "same point"])
def test_a_great_circle_that_is_none_is_the_line(factor):
    a = random.normal(random.key(3), (5,))
    z = latent.great_circle(a, factor * a, 4)
    np.testing.assert_allclose(z, latent.line(a, factor * a, 4), atol=1e-5)
    gradient = jax.grad(lambda a: latent.great_circle(a, factor * a, 4).sum())(a)
    assert np.isfinite(gradient).all()


def test_nearly_the_same_direction_loses_no_digits():
    a = random.normal(random.key(4), (20,))
    b = a + 1e-3 * random.normal(random.key(5), (20,))
    np.testing.assert_allclose(latent.great_circle(a, b, 9), latent.line(a, b, 9), atol=1e-5)


def test_traversals_planes_and_moves_change_what_they_say_alone():
    z, values = random.normal(random.key(6), (5,)), jnp.array([-1.0, 0.0, 2.0])
    row = np.asarray(latent.traversal(z, 3, values))
    np.testing.assert_array_equal(row[:, 3], values)
    np.testing.assert_array_equal(np.delete(row, 3, 1), np.tile(np.delete(z, 3), (3, 1)))
    grid = np.asarray(latent.plane(z, (4, 1), values))
    assert grid.shape == (3, 3, 5)
    np.testing.assert_array_equal(grid[:, :, 4], np.tile(values, (3, 1)))
    np.testing.assert_array_equal(grid[:, :, 1], np.tile(values[::-1, None], (1, 3)))
    np.testing.assert_array_equal(grid[:, :, [0, 2, 3]], np.broadcast_to(np.asarray(z)[[0, 2, 3]], (3, 3, 3)))
    codes, way = random.normal(random.key(7), (2, 5)), jnp.arange(5.0)
    moved = latent.move_along(codes, way, values)
    np.testing.assert_allclose(
        moved - codes[None], np.asarray(values)[:, None, None] * np.tile(way, (3, 2, 1)), atol=1e-5
    )
    steps = latent.perturb(z, random.normal(random.key(8), (6, 5)), 0.3) - z[None]
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.3, rtol=1e-5)


def test_a_quantile_grid_is_the_prior_s_equal_parts():
    grid = latent.quantile_grid(4)
    np.testing.assert_allclose(grid[0, :, 0], [-1.15035, -0.31864, 0.31864, 1.15035], atol=1e-4)
    np.testing.assert_allclose(grid[:, 0, 1], grid[0, ::-1, 0])


def test_the_same_image_is_prepared_alike_in_any_company(subject):
    few, one = subject.examples([7, 3, 9]), subject.examples([3])
    np.testing.assert_array_equal(few.x[1], one.x[0])
    np.testing.assert_array_equal(few.image[1], one.image[0])
    assert set(np.unique(few.x)) == {0.0, 1.0}


def test_what_dimensions_say_is_their_kl(subject):
    q = subject.run.encode(subject.examples(np.arange(len(subject.split))).x)
    kl = 0.5 * (q.scale() ** 2 + q.mean() ** 2 - 1) - jnp.log(q.scale())
    np.testing.assert_allclose(subject.dimension_kl, kl.mean(0), rtol=1e-4, atol=1e-6)
    assert interpolation.largest_dimensions(subject, 2) == list(np.argsort(-subject.dimension_kl)[:2])


def test_an_interpolation_shows_the_library_s_own(subject, tmp_path):
    got = interpolation.compute_interpolation(subject, [(3, 8)], steps=5)
    interpolation.plot_interpolation(tmp_path / "a.png", got)
    np.testing.assert_array_equal(np.concatenate([got.starts, got.ends]), subject.examples([3, 8]).x)
    q = subject.run.encode(subject.examples([3, 8]).x)
    z = latent.line(*q.mean(), 5)
    np.testing.assert_allclose(got.z[0], z, atol=1e-5)
    np.testing.assert_allclose(got.images[0], subject.run.decode(z).mean(), atol=1e-5)
    assert (tmp_path / "a.svg").exists()


def test_pairs_are_of_differing_classes_and_of_one_where_the_model_is_given_it(subject):
    label = subject.classes
    assert all(label[a] != label[b] for a, b in interpolation.choose_pairs(subject))
    given = make_subject(condition="label")
    assert all(given.classes[a] == given.classes[b] for a, b in interpolation.choose_pairs(given))
    used = np.ravel(interpolation.choose_pairs(subject))
    assert len(set(used.tolist())) == len(used) == 16


def test_a_traversal_starts_from_an_image_and_says_how_far(subject):
    got = interpolation.compute_traversal(subject, [2], image=5, steps=3, reach=1.5)
    np.testing.assert_allclose(got.z[0, :, 2], [-1.5, 0, 1.5], atol=1e-6)
    np.testing.assert_allclose(np.delete(got.z[0], 2, 1), np.tile(np.delete(subject.means[5], 2), (3, 1)))
    codes = make_subject(posterior="point")
    got = interpolation.compute_traversal(codes, [1], steps=3, reach=2.0)
    expected = codes.means[:, 1].mean() + codes.means[:, 1].std() * np.array([-2.0, 0, 2])
    np.testing.assert_allclose(got.z[0, :, 1], expected, rtol=1e-4)


@pytest.mark.parametrize(
    "made",
    [{"shape": (5, 4, 3)}, {"condition": "label"}, {"labels": False}, {"shape": (20, 1), "encoder": "mlp(8)"}],
    ids=["colour", "conditional", "no labels", "sequences"],
)
def test_walks_of_every_kind_of_data_are_drawn(made, tmp_path):
    subject = make_subject(**made)
    path = interpolation.compute_interpolation(subject, [(0, 3)], steps=2)
    interpolation.plot_interpolation(tmp_path / "a.png", path)
    assert path.images.shape[:2] == (1, 2)
    got = interpolation.compute_traversal_plane(subject, steps=2)
    interpolation.plot_traversal_plane(tmp_path / "b.png", got)
    assert got.images.shape[:2] == (2, 2)
    np.testing.assert_allclose(np.sort(got.z[0, 0])[[0, -1]], [-2.5, 2.5], atol=1e-6)
    manifold = interpolation.compute_manifold(subject, side=2)
    interpolation.plot_traversal_plane(tmp_path / "c.png", manifold)
    assert manifold.z.shape == (2, 2, 4)


def test_a_sequence_is_its_curve():
    ramp = np.linspace(0, 1, 48)[None, :, None]
    picture = curves_of(ramp)
    assert picture.shape == (1, 48, 48, 1)
    np.testing.assert_array_equal(picture[0, ..., 0].argmax(0)[1:], 47 - np.arange(1, 48))
    both = pictures(np.concatenate([ramp, 1 - ramp], -1))
    assert both.shape[-1] == 3
    assert both[0, 47, 0, 0] > both[0, 47, 0, 2]  # orange rises
    assert both[0, 0, 0, 2] > both[0, 0, 0, 0]  # blue falls


def test_what_cannot_be_walked_is_refused_in_words(subject):
    with pytest.raises(ValueError, match="a plane has two dimensions; 1 of this model's 4 were given"):
        interpolation.compute_traversal_plane(subject, [1])
    with pytest.raises(ValueError, match="walks, directions and maps are for a flat z"):
        make_subject(posterior="relaxed(3)", prior="categorical").means  # noqa: B018


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("interpolate RUN --images 3", "expected an even number of them"),
        ("interpolate RUN --images 3 4000", "image 4000: the test images are numbered from 0 to 359"),
        ("traverse RUN --dimensions 3", "--dimensions=3: expected 1 to 2, as this model has z1 to z2"),
        ("traverse RUN --dimensions 1 1", "--dimensions=1 1: expected each dimension once"),
        ("traverse RUN --steps 1", "--steps=1: expected a whole number from 2"),
        ("manifold RUN --side 2 --split dev", "invalid choice: 'dev'"),
        ("manifold RUN --out x.jpg", "expected a .png file"),
    ],
)
def test_a_walk_that_cannot_be_is_refused_by_one_message(argv, words, digits_run, capsys):
    try:
        code = main(argv.replace("RUN", str(digits_run)).split())
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert words in capsys.readouterr().err


def test_verbs_write_a_picture_its_vectors_and_its_arrays(digits_run, capsys):
    assert main(["interpolate", str(digits_run), "--images", "1", "2", "--steps", "3"]) == 0
    written = [digits_run / "explored" / f"interpolate.{kind}" for kind in ("png", "svg", "npz")]
    assert capsys.readouterr().out.split() == [str(path) for path in written]
    with np.load(written[-1]) as arrays:
        assert arrays["images"].shape == (1, 3, 8, 8, 1)
        np.testing.assert_array_equal(arrays["pairs"], [[1, 2]])
    assert main(["traverse", str(digits_run), "--together", "--steps", "2"]) == 0
