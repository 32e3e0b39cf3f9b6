"""The plane of a latent space: its axes, the ellipses that posteriors cast on it, closed walks, and t-SNE's map."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from jaxvae import latent
from jaxvae.distributions import LowRankNormal, MultivariateNormal, Normal
from jaxvae.distributions.quantized import Point
from jaxvae.viz import plots
from jaxvae.viz.figures.latent_plane import LEAST_ELLIPSES, MOST_ELLIPSES, count_ellipses, embed, plane_axes

Z = 5


def orthonormal(seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(Z, 2)))[0]


def full(count=3, seed=0):
    rng = np.random.default_rng(seed)
    tril = np.tril(rng.normal(size=(count, Z, Z)))
    return MultivariateNormal(jnp.asarray(rng.normal(size=(count, Z)), jnp.float32), jnp.asarray(tril, jnp.float32))


def test_ellipses_are_those_of_draws_seen_on_the_plane():
    q, axes = full(), orthonormal()
    half_axes, angles = latent.covariance_ellipses(q, axes)
    keys = random.split(random.key(0), (20_000, 3))
    draws = np.asarray(MultivariateNormal(q.loc[None], q.scale_tril[None]).sample(keys)) @ axes
    for n in range(3):
        variances, directions = np.linalg.eigh(np.cov(draws[:, n].T))
        np.testing.assert_allclose(half_axes[n], np.sqrt(variances[::-1]), rtol=0.03)
        longer = np.array([np.cos(angles[n]), np.sin(angles[n])])
        assert abs(longer @ directions[:, 1]) > 0.999
    assert (half_axes[:, 0] > half_axes[:, 1]).all()


def test_of_a_diagonal_q_they_are_parallel_to_the_axes():
    q = Normal(jnp.zeros((2, 2)), jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.3]])))
    half_axes, angles = latent.covariance_ellipses(q, np.eye(2))
    np.testing.assert_allclose(half_axes, [[0.5, 0.1], [0.3, 0.2]], rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.cos(angles)), [1, 0], atol=1e-6)


def test_of_a_low_rank_q_they_are_those_of_its_covariance():
    rng = np.random.default_rng(1)
    factor, log_diagonal = rng.normal(size=(2, Z, 2)), rng.normal(size=(2, Z))
    covariances = np.stack([np.diag(np.exp(d)) + f @ f.T for d, f in zip(log_diagonal, factor, strict=True)])
    as_full = MultivariateNormal(jnp.zeros((2, Z)), jnp.asarray(np.linalg.cholesky(covariances)))
    low_rank = LowRankNormal(jnp.zeros((2, Z)), jnp.asarray(log_diagonal), jnp.asarray(factor))
    for one, other in zip(
        latent.covariance_ellipses(low_rank, orthonormal()),
        latent.covariance_ellipses(as_full, orthonormal()),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_there_are_none_of_what_is_no_gaussian_and_no_numbers_of_what_is_not_finite():
    assert latent.covariance_ellipses(Point(jnp.zeros((2, Z))), orthonormal()) is None
    q = Normal(jnp.zeros((2, 2)), jnp.array([[0.0, jnp.nan], [0.0, -1.0]]))
    half_axes, _ = latent.covariance_ellipses(q, np.eye(2))
    assert np.isnan(half_axes[0]).all()
    assert np.isfinite(half_axes[1]).all()


def test_principal_axes_span_the_plane_that_means_lie_in():
    truth, rng = orthonormal(2), np.random.default_rng(0)
    means = rng.normal(size=(300, 2)) * [3.0, 1.0] @ truth.T + 7
    middle, axes, shares = latent.principal_axes(np.concatenate([means, np.full((1, Z), np.nan)]))
    np.testing.assert_allclose(axes @ axes.T, truth @ truth.T, atol=1e-9)
    np.testing.assert_allclose(middle, means.mean(0))
    np.testing.assert_allclose(shares.sum(), 1.0)
    assert shares[0] > 0.8
    np.testing.assert_allclose((means - middle) @ axes @ axes.T + middle, means, atol=1e-9)
    assert all(axes[np.abs(axes).argmax(0), [0, 1]] > 0)


@pytest.mark.parametrize(("size", "name"), [(1, "(the latent has one dimension)"), (2, "z2"), (5, "second principal")])
def test_a_view_is_two_numbers_of_any_latent(size, name):
    means = np.random.default_rng(0).normal(size=(50, size))
    middle, axes, names = plane_axes(means)
    assert ((means - middle) @ axes).shape == (50, 2)
    assert names[1].startswith(name)
    if size <= 2:
        np.testing.assert_array_equal(((means - middle) @ axes)[:, :size], means)


def test_fewer_ellipses_are_readable_where_they_are_wide():
    centres = np.random.default_rng(0).uniform(-2, 2, (60, 2))
    assert count_ellipses(centres, np.full((60, 2), 0.05)) == MOST_ELLIPSES
    assert count_ellipses(centres, np.full((60, 2), 3.0)) == LEAST_ELLIPSES
    assert count_ellipses(np.full((60, 2), np.nan), np.full((60, 2), 3.0)) == LEAST_ELLIPSES
    assert LEAST_ELLIPSES < count_ellipses(centres, np.full((60, 2), 0.35)) < MOST_ELLIPSES


def test_ellipses_are_drawn_where_they_are_in_the_colour_of_their_class_and_whole(tmp_path, drawn):
    centres, half_axes = np.array([[0.0, 4.0], [1.0, 0.0], [np.nan, 0.0]]), np.array([[2.0, 1.0], [0.5, 0.2], [1, 1]])
    ellipses = plots.Ellipses(centres, half_axes, np.array([0.0, np.pi / 4, 0.0]), np.array([7, 3, 3]))
    plots.latent_plane(tmp_path / "a.png", np.array([[0.0, 1.0], [1.0, 0.0]]), [7, 3], ellipses=ellipses)
    axes = drawn[0].axes[0]
    dots, fills, lines, _ = axes.collections
    np.testing.assert_allclose(fills.get_widths(), [4.0, 1.0])
    np.testing.assert_allclose(fills.get_heights(), [2.0, 0.4])
    np.testing.assert_allclose(fills.get_angles(), [0, 45])
    np.testing.assert_array_equal(fills.get_offsets(), centres[:2])
    of_dots = {
        tuple(place): tuple(colour[:3]) for place, colour in zip(dots.get_offsets(), dots.get_facecolors(), strict=True)
    }
    assert [tuple(colour[:3]) for colour in fills.get_facecolors()] == [of_dots[0.0, 1.0], of_dots[1.0, 0.0]]
    assert axes.get_ylim()[1] >= 6.0  # the first reaches no higher than 5; a square about it does
    assert not len(lines.get_facecolors())


def test_names_of_classes_do_not_lie_on_each_other(tmp_path, drawn):
    points = np.array([[0.0, 0.0], [0.01, 0.0], [2.0, 0.0]])
    plots.latent_plane(tmp_path / "a.png", points, [0, 1, 2], circles=False)
    assert [text.get_text() for text in drawn[0].axes[0].texts if text.get_text() in "012"] == ["0", "2"]


def test_a_tour_passes_its_stops_slowly_and_closes():
    stops = jnp.asarray(np.random.default_rng(0).normal(size=(4, Z)), jnp.float32)
    stops = stops / jnp.linalg.norm(stops, axis=1, keepdims=True)
    walk = np.asarray(latent.closed_path(stops, 10, latent.great_circle))
    assert walk.shape == (40, Z)
    np.testing.assert_allclose(walk[::10], stops, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(walk, axis=1), 1, atol=1e-5)
    lengths = np.linalg.norm(np.roll(walk, -1, 0) - walk, axis=1).reshape(4, 10)
    assert (lengths[:, 0] < 0.5 * lengths[:, 4]).all()
    assert (lengths[:, -1] < 0.5 * lengths[:, 5]).all()
    straight = np.asarray(latent.closed_path(stops, 2))
    np.testing.assert_allclose(straight[1], (stops[0] + stops[1]) / 2, atol=1e-6)


def test_a_circle_is_round_and_closes():
    walk = np.asarray(latent.circle(1.5, 12))
    np.testing.assert_allclose(np.linalg.norm(walk, axis=1), 1.5, rtol=1e-6)
    steps = np.linalg.norm(np.roll(walk, -1, 0) - walk, axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)


def test_a_map_keeps_groups_together_and_is_the_same_each_time():
    group = np.arange(30) % 3
    means = np.random.default_rng(0).normal(size=(30, Z)) + 20 * np.eye(Z)[group]
    points = embed(means)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(30)
    np.testing.assert_array_equal(group[apart.argmin(1)], group)
    np.testing.assert_array_equal(points, embed(means))
