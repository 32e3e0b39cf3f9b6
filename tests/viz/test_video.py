"""Films: what is in each frame and for how long, and what is kept of a training to be filmed."""

import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from matplotlib.colors import to_rgb
from PIL import Image
from small import make_split

from jaxvae.config import Config, Data, Model, build
from jaxvae.data.dataset import DataSet
from jaxvae.rundir import snapshots
from jaxvae.rundir.run import Run
from jaxvae.terms import example_keys
from jaxvae.viz.figures import animation, reconstructions
from jaxvae.viz.figures.animation import TrainingData, UnfoldingData
from jaxvae.viz.figures.images import CURVE, residuals
from jaxvae.viz.figures.reconstructions import TemperatureData
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots import style, video


def read(path):
    """(frames uint8 [T,H,W,3], seconds [T]) of a GIF, as a viewer shows them."""
    shots, seconds = [], []
    with Image.open(path) as film:
        for index in range(film.n_frames):
            film.seek(index)
            shots.append(np.asarray(film.convert("RGB")))
            seconds.append(film.info["duration"] / 1000)
        assert film.info["loop"] == 0
    return np.stack(shots), seconds


def moving_squares(count=5):
    shots = np.full((count, 40, 60, 3), 255, np.uint8)
    for index in range(count):
        shots[index, 10:20, 8 * index : 8 * index + 10] = np.round(255 * np.array(to_rgb(style.VERMILION)))
        shots[index, 30, :] = 40 * index
    return list(shots)


def test_a_gif_shows_its_frames_as_long_as_it_is_told(tmp_path):
    shots = moving_squares()
    video.write_film(tmp_path / "a.gif", shots, [0.5, 0.1, 0.1, 0.1, 1.0], still=tmp_path / "a.png")
    found, seconds = read(tmp_path / "a.gif")
    assert np.abs(found.astype(int) - np.stack(shots)).max() <= 8  # five bits of each colour
    assert seconds == [0.5, 0.1, 0.1, 0.1, 1.0]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), shots[0])


def test_the_colours_of_the_style_are_there_however_few_pixels_have_them():
    shots = [np.random.default_rng(0).integers(0, 256, (50, 50, 1)).astype(np.uint8).repeat(3, -1)]
    palette = video._palette(shots, 16)
    wanted = np.round(255 * np.array(to_rgb(style.VERMILION)))
    assert (palette == wanted).all(1).any()
    assert len(palette) < 256


def test_what_stays_takes_no_room(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    video.write_film(tmp_path / "one.gif", [noise], [0.1])
    several = [noise.copy() for _ in range(10)]
    for index, shot in enumerate(several):
        shot[[0, -1], index] = 0  # in opposite corners, so that no smaller frame holds them
    video.write_film(tmp_path / "ten.gif", several, [0.1] * 10)
    assert (tmp_path / "ten.gif").stat().st_size < 1.5 * (tmp_path / "one.gif").stat().st_size


def test_a_film_of_training_begins_with_its_end_and_shows_each_moment(tmp_path):
    moments = np.array([0.0, 0.25, 0.75])[:, None, None, None, None] * np.ones((3, 4, 8, 8, 1))
    animation.plot_training_film(tmp_path / "a.gif", TrainingData([0, 10, 20], moments), seconds=4)
    found, seconds = read(tmp_path / "a.gif")
    shown = found[:, 120, 60, 0] / 255  # within the first tile
    np.testing.assert_allclose(shown, [0.75, 0.0, 0.25, 0.75], atol=0.04)
    assert sum(seconds) == pytest.approx(4, abs=0.05)
    assert seconds[0] == seconds[-1] == pytest.approx(0.5)


def test_dots_go_straight_from_moment_to_moment_slowly_at_both_ends():
    points = np.array([[[0.0, 0.0]], [[1.0, 2.0]], [[1.0, -2.0]]])
    track, steps = animation._interpolate(points, np.array([0, 5, 9]), 20)
    assert track.shape == (21, 1, 2)
    np.testing.assert_array_equal(track[[0, 10, 20]], points)
    assert [steps[0], steps[9], steps[10], steps[19], steps[20]] == [0, 0, 5, 5, 9]
    np.testing.assert_allclose(track[:11, 0, 1], 2 * track[:11, 0, 0])
    moved = np.diff(track[:11, 0, 0])
    assert moved[0] < moved[4] > moved[9] > 0
    np.testing.assert_allclose(track[5, 0], [0.5, 1.0])


def unfolding(steps, points):
    return UnfoldingData(steps, points, points, None, ("z1", "z2"), True)


def test_a_film_of_the_plane_takes_what_is_not_finite_and_no_labels(tmp_path):
    points = np.random.default_rng(0).normal(size=(2, 30, 2))
    points[0, 0] = np.nan
    animation.plot_unfolding_film(tmp_path / "a.gif", unfolding([0, 1], points), seconds=1)
    assert len(read(tmp_path / "a.gif")[0]) > 5


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda path: animation.plot_training_film(path, TrainingData([1], np.zeros((2, 1, 8, 8, 1)))),
            "1 steps for 2 means",
        ),
        (
            lambda path: animation.plot_unfolding_film(path, unfolding([1], np.zeros((2, 3, 2)))),
            "1 steps for 2 points",
        ),
        (
            lambda path: animation.plot_unfolding_film(path, unfolding([1, 2], np.zeros((2, 3, 3)))),
            r"expected \[T,N,2\]",
        ),
        (
            lambda path: reconstructions.plot_temperatures(path, TemperatureData((1,), np.zeros((2, 1, 8, 8, 1)))),
            "1 temperatures for 2 rows",
        ),
        (lambda path: video.write_film(path.with_suffix(".avi"), [], []), r"expected a file \.gif or \.mp4"),
    ],
)
def test_refusals_say_what_was_given(tmp_path, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_without_its_encoder_an_mp4_is_refused_with_the_command_that_installs_it(tmp_path):
    with mock.patch.dict(sys.modules, {"av": None}), pytest.raises(ValueError, match="Try pip install av, or"):
        video.write_film(tmp_path / "a.mp4", moving_squares(), [0.1] * 5)
    assert not list(tmp_path.iterdir())


def test_an_mp4_lasts_as_long_as_it_is_told(tmp_path):
    av = pytest.importorskip("av")
    video.write_film(tmp_path / "a.mp4", [shot[:39] for shot in moving_squares()], [0.5, 0.25, 0.25, 0.5, 0.5])
    with av.open(str(tmp_path / "a.mp4")) as film:
        shots = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(shots) == 2 * video.MP4_RATE
    assert shots[0].shape == (38, 60, 3)  # both sides even, as H.264 has them
    assert np.abs(shots[-1][:20, :30].astype(int) - 255).max() < 12


# what is kept of a training


def test_codes_are_kept_read_and_forgotten_with_their_classes(tmp_path):
    means = np.random.default_rng(0).normal(size=(3, 6, 2)).astype(np.float32)
    means[2, 0, 0] = 1e6
    for step, each in zip((0, 4, 16), means, strict=True):
        snapshots.save_codes(tmp_path, step, each, np.arange(6))
    codes, labels = snapshots.read_codes(tmp_path)
    assert list(codes) == [0, 4, 16]
    np.testing.assert_allclose(codes[4], means[1], rtol=1e-3)
    assert np.isinf(codes[16][0, 0])
    np.testing.assert_array_equal(labels, np.arange(6))
    snapshots.remove_snapshots_after(tmp_path, 4)
    assert list(snapshots.read_codes(tmp_path)[0]) == [0, 4]
    assert snapshots.read_codes(tmp_path / "none") == ({}, None)


@pytest.mark.parametrize("name", ["000000004.npy", "labels.npy"])
def test_codes_that_are_none_are_refused_by_name(tmp_path, name):
    snapshots.save_codes(tmp_path, 0, np.zeros((6, 2)), np.arange(6))
    for content in (np.zeros((5, 2), np.float16), np.zeros(5, np.int32), np.array([{}], object)):
        np.save(tmp_path / "codes" / name, content, allow_pickle=True)
        with pytest.raises(ValueError, match=rf"{name} .*remove it"):
            snapshots.read_codes(tmp_path)


# what is computed for a picture


def test_residuals_are_signed_means_over_colours_and_bars_of_sequences():
    x, means = np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 3))
    x[0, 0, 0], means[0, 1, 1] = (0.9, 0.3, 0.0), (0.0, 0.0, 0.6)
    found = residuals(x, means)[0, ..., 0]
    np.testing.assert_allclose(found, [[0.4, 0], [0, -0.2]], atol=1e-6)
    bars = residuals(np.array([[[0.5], [0.0], [1.0]]]), np.array([[[0.0], [0.0], [2.0]]]))[0, ..., 0]
    middle = CURVE // 2
    assert bars.shape == (CURVE, CURVE)
    assert (bars[middle // 2 : middle, 0] == 0.5).all()
    assert not bars[: middle // 2, 0].any()
    assert not bars[middle:, 0].any()
    assert not bars[:, CURVE // 2].any()
    assert (bars[middle:, -1] == -1).all()


def test_residuals_are_white_where_there_is_none_and_two_colours_elsewhere():
    colours = reconstructions.signed_colours(np.array([-1.0, -0.1, 0.0, 0.1, 1.0, np.nan]), 0.1)
    np.testing.assert_allclose(colours[[0, 1]], np.broadcast_to(to_rgb(style.BLUE), (2, 3)))
    np.testing.assert_allclose(colours[[3, 4]], np.broadcast_to(to_rgb(style.VERMILION), (2, 3)))
    np.testing.assert_array_equal(colours[[2, 5]], 1.0)
    assert reconstructions._limit_of(np.full(100, 0.07)) == 0.1
    assert reconstructions._limit_of(np.full(100, 7.0)) == 1.0
    assert reconstructions._limit_of(np.zeros(100)) == 0.05


@pytest.fixture(scope="module")
def make_subject():
    def make(latent_dim, objective="elbo", **model):
        model = Model(latent_dim=latent_dim, encoder="mlp(8)", decoder="mlp(8)", **model)
        config = Config(data=Data(name="digits"), model=model, objective=objective)
        size = None if model.condition == "none" else 10
        parts = build.build(config, (4, 4, 1), condition=size, examples=40)
        condition = None if size is None else jnp.zeros((1, size))
        keys = example_keys(random.key(1), np.arange(1))
        variables = jax.jit(parts.model.init)(random.key(0), keys, jnp.zeros((1, 4, 4, 1)), condition)
        split = make_split(40)
        data = DataSet("digits", "1", "0" * 64, {"train": split, "test": split}, ())
        return Subject(Run(config, parts, variables, 0), data, "test", random.key(0))

    return make


def test_a_walk_goes_from_code_to_code_of_different_classes(make_subject):
    subject = make_subject(3)
    found = animation.compute_path(subject, seconds=1)
    stops = subject.means[:6]  # whose classes are 0 to 5
    np.testing.assert_allclose(found.z[found.stops], stops, atol=1e-5)
    np.testing.assert_allclose(found.images[found.stops], subject.run.decode(stops).mean(), atol=1e-5)
    assert found.told[0] == "image 0 (0) → image 1 (1)"
    assert found.told[-1] == "image 5 (5) → image 0 (0)"
    assert found.track.shape == (len(found.z), 2)


def test_a_conditional_walk_stays_within_a_class(make_subject):
    found = animation.compute_path(make_subject(3, condition="label"), seconds=1)
    assert found.told[0] == "image 0 (0) → image 10 (0)"


def test_on_a_plane_with_a_prior_a_walk_goes_round_it_beside_what_is_decoded_there(make_subject):
    subject = make_subject(2)
    found = animation.compute_path(subject, seconds=1)
    np.testing.assert_allclose(np.linalg.norm(found.z, axis=1), animation.RADIUS, rtol=1e-5)
    assert found.manifold.shape == (20, 20, 4, 4, 1)
    assert ((found.track > 0) & (found.track < 1)).all()


def test_without_a_density_to_draw_from_a_walk_on_a_plane_goes_from_image_to_image(make_subject):
    subject = make_subject(2, "reconstruction", posterior="point")
    found = animation.compute_path(subject, seconds=1)
    np.testing.assert_allclose(found.z[found.stops], subject.means[:6], atol=1e-5)


def test_temperatures_show_the_same_draws_nearer_to_the_middle(make_subject):
    subject = make_subject(2)
    found = reconstructions.compute_temperatures(subject.run, subject.data, random.key(0), 8)
    zs, _ = subject.run.generate(random.split(random.key(0), 8))
    means = np.asarray(subject.run.decode(1.25 * zs).mean())
    np.testing.assert_allclose(found.means[-1], means, atol=1e-5)
    alone = reconstructions.compute_temperatures(subject.run, subject.data, random.key(0), 8, (1.0,))
    np.testing.assert_array_equal(alone.means[0], found.means[3])
    assert found.temperatures == reconstructions.TEMPERATURES
