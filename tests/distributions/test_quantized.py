"""Densities of codes and points, and the codebook: the nearest code, how it is kept, rounded vectors."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random
from small import SHAPE

from jaxvae.distributions import FiniteScalarQuantized, Normal, Point, UniformCodes, VectorQuantized, kl
from jaxvae.distributions.quantized import code_grid
from jaxvae.evaluate.bounds import perplexity
from jaxvae.model.codebook import CodebookState, code_vectors, init_codebook, revive_dead_code, update_codebook
from jaxvae.model.prior import codes

SLOTS, DIM, K = 3, 2, 5


def normal(seed, *shape):
    return np.random.RandomState(seed).normal(size=shape).astype(np.float32)


def some_codes(batch=4):
    usage = np.float32([1, 1, 1, 1, 4])[None, None, :, None] / 8
    return VectorQuantized(normal(0, 1, batch, SLOTS, DIM), normal(1, 1, 1, K, DIM), usage)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3])
def test_the_nearest_code_is_the_nearest(spread):
    q = dataclasses.replace(some_codes(50), vectors=spread * normal(0, 1, 50, SLOTS, DIM))
    distance = np.linalg.norm(np.float64(q.vectors)[:, :, :, None] - np.float64(q.codebook)[:, :, None], axis=-1)
    codes = np.asarray(jax.jit(VectorQuantized.codes)(q))
    assert codes.shape == (1, 50, SLOTS)
    np.testing.assert_array_equal(codes, distance.argmin(-1))
    np.testing.assert_array_equal(q.mean(), q.codebook[0, 0][codes])


def test_the_gradient_goes_straight_through_to_the_vectors_and_not_to_the_codebook():
    q, weights = some_codes(), normal(3, 1, 4, SLOTS, DIM)
    gradient = jax.grad(lambda q: (weights * q.sample(random.split(random.key(0), (1, 4)))).sum(), allow_int=True)(q)
    np.testing.assert_array_equal(gradient.vectors, weights)
    np.testing.assert_array_equal(gradient.codebook, np.zeros_like(q.codebook))
    pull = jax.grad(lambda q: q.extra()["commitment"].sum())(q)
    np.testing.assert_allclose(pull.vectors, 2 * (q.vectors - q.mean()), rtol=1e-5)
    np.testing.assert_array_equal(pull.codebook, np.zeros_like(q.codebook))


def test_commitment_and_perplexity_are_those_of_the_papers():
    q = some_codes()
    extra = q.extra()
    nearest = np.asarray(q.codebook)[0, 0][np.asarray(q.codes())]
    np.testing.assert_allclose(extra["commitment"], ((q.vectors - nearest) ** 2).sum((-2, -1)), rtol=1e-5)
    share = np.float64([1, 1, 1, 1, 4]) / 8
    np.testing.assert_allclose(extra["perplexity"], [[np.exp(-(share * np.log(share)).sum())]], rtol=1e-6)


@pytest.mark.parametrize(
    ("usage", "expected"), [([1, 1, 1, 1, 1], 5.0), ([0.3, 0, 0, 0, 0], 1.0), ([0, 2, 0, 2, 0], 2.0)]
)
def test_perplexity_counts_the_codes_in_use(usage, expected):
    q = dataclasses.replace(some_codes(), usage=np.float32(usage)[None, None, :, None])
    np.testing.assert_allclose(q.extra()["perplexity"], [[expected]], rtol=1e-6)
    drawn = np.repeat(np.arange(5), np.int64(np.float64(usage) * 10))
    np.testing.assert_allclose(perplexity(drawn.reshape(-1, 1)), expected, rtol=1e-6)


def some_book():
    counts = np.float32([0.1, 0.3, 0.2, 0.25, 0.15])
    return CodebookState(counts, normal(4, K, DIM) * counts[:, None], np.abs(normal(5, K, DIM)), np.float32(0))


def test_the_codebook_is_the_moving_average_of_the_paper():
    """Appendix A.1 written out, in numbers of vectors: N <- g N + (1 - g) n, m <- g m + (1 - g) sum, e = m / N."""
    book, vectors, codes, decay = some_book(), normal(6, 40, DIM), np.random.RandomState(0).randint(0, K, 40), 0.9
    n, m = 40 * np.float64(book.counts), 40 * np.float64(book.sums)
    for code in range(K):
        chosen = np.float64(vectors[codes == code])
        n[code] = decay * n[code] + (1 - decay) * len(chosen)
        m[code] = decay * m[code] + (1 - decay) * chosen.sum(0)
    after = update_codebook(book, vectors, codes, decay)
    np.testing.assert_allclose(code_vectors(after), m / n[:, None], rtol=1e-5)
    np.testing.assert_allclose(after.counts, n / 40, rtol=1e-5)
    before = np.float64(code_vectors(book))
    squares = np.stack([((vectors - before[codes]) ** 2 * (codes == c)[:, None]).mean(0) for c in range(K)])
    np.testing.assert_allclose(after.errors, decay * book.errors + (1 - decay) * squares, rtol=1e-4)


def test_a_code_that_is_never_chosen_stays_where_it_is_forever():
    """Its count would underflow after 10,000 steps, and its place become 0 / 0."""
    book = init_codebook(random.key(0), K, DIM)
    vectors, codes = np.ones((4, DIM), np.float32), np.zeros(4, np.int32)
    later = jax.jit(lambda book: lax.fori_loop(0, 20_000, lambda _, b: update_codebook(b, vectors, codes, 0.99), book))(
        book
    )
    np.testing.assert_allclose(code_vectors(later)[1:], code_vectors(book)[1:], rtol=1e-2)
    np.testing.assert_allclose(code_vectors(later)[0], np.ones(DIM), rtol=1e-5)


def dead_book():
    """Code 2 stands for nothing; code 3 makes the largest error, most of it along its dimension 1."""
    counts = np.float32([0.3, 0.3, 0.001, 0.2, 0.2])
    errors = np.float32([[0.01, 0.01], [0.02, 0.0], [0.0, 0.0], [0.03, 0.08], [0.01, 0.02]])
    return CodebookState(counts, normal(4, K, DIM) * counts[:, None], errors, np.float32(7))


def test_a_dead_code_is_revived_beside_the_one_of_the_largest_error():
    book = dead_book()
    after, before = jax.jit(revive_dead_code)(book), np.float64(code_vectors(book))
    step = np.float64([0, np.sqrt(2 / np.pi * 0.08 / 0.2)])
    expected = before.copy()
    expected[2], expected[3] = before[3] + step, before[3] - step
    np.testing.assert_allclose(code_vectors(after), expected, rtol=1e-5)
    np.testing.assert_allclose(after.counts, [0.3, 0.3, 0.1, 0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(after.errors[2] + after.errors[3], [0.03, 0.08 * (1 - 2 / np.pi)], rtol=1e-5)
    assert after.revived == 8


def test_a_split_halves_a_gaussians_error_as_it_says():
    vectors = normal(8, 20_000, 1) * np.float32([3.0])
    zeros = jnp.zeros((2, 1))
    one = CodebookState(jnp.array([1.0, 0.0]), zeros, zeros.at[0].set(9.0), jnp.zeros(()))
    two = revive_dead_code(one)
    distance = np.abs(vectors - np.asarray(code_vectors(two))[:, 0][None])
    error = (distance.min(1) ** 2).mean()
    np.testing.assert_allclose(two.errors.sum(), error, rtol=0.05)
    np.testing.assert_allclose((distance.argmin(1) == 0).mean(), 0.5, atol=0.02)


def test_codes_in_use_are_left_alone():
    for book in (some_book(), dead_book()._replace(errors=np.zeros((K, DIM), np.float32))):
        for after, before in zip(jax.jit(revive_dead_code)(book), book, strict=True):
            np.testing.assert_array_equal(after, before)


def test_every_code_of_a_codebook_that_starts_far_off_comes_into_use():
    """All of it beside 32 clusters that are 1000 times as far away as its codes from each other."""
    centres = 1000 + normal(0, 32, 2) * 30
    vectors = (centres[:, None] + normal(1, 32, 8, 2)).reshape(-1, 2)

    @jax.jit
    def run(book):
        def step(_, book):
            q = VectorQuantized(vectors[None, None], code_vectors(book)[None, None], book.counts[None, None, :, None])
            return update_codebook(revive_dead_code(book), vectors, q.codes().reshape(-1), 0.9)

        book = lax.fori_loop(0, 300, step, book)
        return book, VectorQuantized(
            vectors[None, None], code_vectors(book)[None, None], book.counts[None, None, :, None]
        )

    book, q = run(init_codebook(random.key(0), 32, 2))
    assert 25 < q.extra()["perplexity"][0, 0] <= 32
    error = ((vectors - np.asarray(q.nearest())[0, 0]) ** 2).sum(-1).mean()
    assert error < 60  # one code leaves 1800, the clusters' own spread is 2
    assert book.revived >= 25


@pytest.mark.parametrize("levels", [(2,), (3,), (4, 3), (8, 5, 5), (7, 6, 2)])
def test_rounded_vectors_are_the_levels_and_their_numbers_a_bijection(levels):
    q = FiniteScalarQuantized(8 * normal(0, 1, 4000, 2, len(levels)), levels)
    z, codes = np.asarray(q.mean()), np.asarray(q.codes())
    for axis, count in enumerate(levels):
        expected = (np.arange(count) - count // 2) / (count // 2)
        np.testing.assert_array_equal(np.unique(z[..., axis]), np.float32(expected))
    table = np.asarray(code_grid(levels))
    assert len(np.unique(table, axis=0)) == len(table) == math.prod(levels)
    assert set(np.unique(codes)) <= set(range(len(table)))
    np.testing.assert_array_equal(table[codes], z)


def test_a_rounded_vector_is_the_papers():
    """Its appendix, in float64: bound, round, divide by half the levels."""
    levels = np.array([8, 5, 4, 2])
    vectors = normal(0, 1, 50, SLOTS, 4)
    half = (levels - 1) * (1 - 1e-3) / 2
    offset = np.where(levels % 2 == 1, 0.0, 0.5)
    bounded = np.tanh(np.float64(vectors) + np.tan(offset / half)) * half - offset
    q = FiniteScalarQuantized(vectors, tuple(levels.tolist()))
    np.testing.assert_allclose(q.mean(), np.round(bounded) / (levels // 2), atol=1e-6)
    gradient = jax.grad(lambda v: FiniteScalarQuantized(v, q.levels).mean().sum())(vectors)
    slope = half * (1 - np.tanh(np.float64(vectors) + np.tan(offset / half)) ** 2) / (levels // 2)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(
        FiniteScalarQuantized(np.zeros((1, 1, 1, 4), np.float32), q.levels).mean(), np.zeros((1, 1, 1, 4))
    )


@pytest.mark.parametrize("far", [1e4, -1e4, 1e30])
def test_far_vectors_have_finite_codes_and_gradients(far):
    for make in (
        lambda v: FiniteScalarQuantized(v, (8, 5)),
        lambda v: VectorQuantized(v, normal(1, 1, 1, K, 2), np.ones((1, 1, K, 1))),
    ):
        value, gradient = jax.value_and_grad(lambda v, make=make: make(v).mean().sum())(jnp.full((1, 1, 1, 2), far))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_a_uniform_choice_of_codes():
    p = UniformCodes(normal(1, 1, 1, K, DIM), SLOTS)
    z = np.asarray(p.sample(random.split(random.key(0), (2, 2000)), 0.5))
    assert z.shape == (2, 2000, SLOTS, DIM)
    counts = [(z == np.asarray(p.codebook)[0, 0, code]).all(-1).mean() for code in range(K)]
    np.testing.assert_allclose(counts, np.full(K, 1 / K), atol=5 * np.sqrt(0.16 / 12_000))
    np.testing.assert_allclose(p.log_prob(z), np.full((2, 2000), -SLOTS * math.log(K)), rtol=1e-6)
    np.testing.assert_allclose(p.mean()[0, 0, 0], np.asarray(p.codebook)[0, 0].mean(0), rtol=1e-5)
    alone = p.sample(random.split(random.key(0), (2, 2000))[1:, 7:8])
    np.testing.assert_array_equal(alone[0, 0], z[1, 7])
    assert np.unique(z[0, :, 0] @ np.ones(DIM) - z[0, :, 1] @ np.ones(DIM)).size > 1  # slots differ


def test_a_point_has_a_rate_of_zero_whatever_the_prior():
    q = Point(normal(0, 1, 4, SLOTS))
    p = Normal(jnp.ones((1, 1, SLOTS)), jnp.ones((1, 1, SLOTS)))
    np.testing.assert_array_equal(kl(q, p), np.zeros((1, 4)))
    z, log_q = q.sample_and_log_prob(random.split(random.key(0), (3, 4)))
    np.testing.assert_array_equal(z, np.broadcast_to(q.loc, (3, 4, SLOTS)))
    np.testing.assert_array_equal(log_q, np.zeros((3, 4)))


@pytest.mark.parametrize("condition", [None, np.ones((7, 3), np.float32)])
def test_the_prior_takes_the_codebook_of_a_blank_image_under_a_blank_condition(condition):
    asked = []

    def infer(x, condition=None):
        asked.append((x, condition))
        return some_codes()

    p = codes(data_shape=SHAPE).apply({}, infer, condition)
    ((x, of),) = asked
    np.testing.assert_array_equal(x, np.zeros((1, *SHAPE)))
    assert of is None if condition is None else (of.shape == (1, 3) and not of.any())
    np.testing.assert_array_equal(p.codebook, some_codes().codebook)
