"""Missing pixels: exact where the posterior has a closed form, biased where they must be; denoising by an average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import COLUMN_NORMS, PIXELS, SIGMA, images, make_linear_vae
from jax import random
from looked_at import make_run, make_subject
from small import SHAPE, binary_images, init, make_vae

from jaxvae import latent
from jaxvae.viz.figures import inpainting

CHAINS, STEPS = 3000, 60
KNOWN = np.zeros(PIXELS, bool)
KNOWN[::2] = True


def exact(variables, x):
    """(mean, covariance) of the missing pixels of x [*X] given the known: those of N(b, W W' + sigma^2 I)."""
    w, b = (np.float64(variables["params"]["decoder"]["Dense_0"][name]) for name in ("kernel", "bias"))
    covariance = w.T @ w + SIGMA**2 * np.eye(PIXELS)
    gain = covariance[np.ix_(~KNOWN, KNOWN)] @ np.linalg.inv(covariance[np.ix_(KNOWN, KNOWN)])
    mean = b[~KNOWN] + gain @ (x.ravel()[KNOWN] - b[KNOWN])
    return mean, covariance[np.ix_(~KNOWN, ~KNOWN)] - gain @ covariance[np.ix_(KNOWN, ~KNOWN)]


def completed(chain, model, variables, x):
    """What CHAINS chains make of one x [*X]."""
    many = jnp.broadcast_to(x, (CHAINS, *SHAPE))
    known = jnp.asarray(KNOWN.reshape(SHAPE))
    run = jax.jit(lambda key: latent.inpaint(model, variables, key, many, known, STEPS, chain=chain))
    return run(random.key(3))


def off(done, mean, covariance):
    """How far the chains' mean is from the exact one, the largest of its coordinates' distances in standard errors."""
    drawn = np.asarray(done.x, np.float64).reshape(CHAINS, -1)[:, ~KNOWN]
    return np.abs((drawn.mean(0) - mean) / np.sqrt(np.diag(covariance) / CHAINS)).max()


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "widen", "biased"), [(0.0, 0.0, False), (0.6, 0.3, True)])
def test_the_chains_draw_from_the_exact_conditional_and_pseudo_gibbs_only_with_the_exact_posterior(
    shift, widen, biased
):
    model, variables, _ = make_linear_vae(shift, widen)
    x = images(1)[0]
    mean, covariance = exact(variables, x)
    exactly = completed(latent.metropolis_within_gibbs, model, variables, x)
    nearly = completed(latent.pseudo_gibbs, model, variables, x)
    assert off(exactly, mean, covariance) < 4
    assert (off(nearly, mean, covariance) > 12) == biased
    drawn = np.asarray(exactly.x).reshape(CHAINS, -1)[:, ~KNOWN]
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1)
    # the chains' averages of E[x|z] are less scattered than draws: the mean over them is the exact mean, closely
    np.testing.assert_allclose(exactly.mean.reshape(CHAINS, -1).mean(0)[~KNOWN], mean, atol=0.02)
    np.testing.assert_array_equal(nearly.accepted, 1.0)
    assert (exactly.accepted.mean() < 0.9) == biased
    assert 0 < exactly.accepted.min() <= exactly.accepted.max() <= 1


def test_an_exact_posterior_given_all_pixels_takes_every_proposal():
    model, variables, _ = make_linear_vae()
    x = images(4)
    chain = latent.metropolis_within_gibbs
    done = latent.inpaint(model, variables, random.key(0), x, jnp.ones(SHAPE, bool), 40, chain=chain)
    assert 0.95 < done.accepted.min() <= done.accepted.max() <= 1  # but for float32's rounding
    np.testing.assert_array_equal(done.x, x)
    np.testing.assert_array_equal(done.mean, x)


@pytest.fixture(scope="module")
def binary():
    model = make_vae()
    return model, init(model, binary_images(2))


def test_a_chain_knows_neither_the_others_nor_what_is_hidden(binary):
    model, variables = binary
    x, known = binary_images(5), np.random.default_rng(1).uniform(size=(5, *SHAPE)) < 0.5
    run = jax.jit(lambda x, known, index: latent.inpaint(model, variables, random.key(7), x, known, 2, index=index))
    together = run(x, known, np.arange(5))
    alone = run(np.where(known, x, np.nan)[3:4], known[3:4], np.arange(3, 4))
    for all_of_it, one in zip(together, alone, strict=True):
        np.testing.assert_allclose(all_of_it[3:4], one, atol=1e-5)
    assert set(np.unique(together.x)) == {0.0, 1.0}
    np.testing.assert_array_equal(np.asarray(together.x)[known], x[known])
    assert ((together.mean > 0) & (together.mean < 1))[~known].all()


def test_too_short_a_chain_is_refused(binary):
    with pytest.raises(ValueError, match="steps=1: expected a whole number from 2 on"):
        latent.inpaint(*binary, random.key(0), binary_images(2), jnp.ones(SHAPE, bool), 1)


def test_denoising_is_the_exact_posterior_s_mean_picture():
    model, variables, _ = make_linear_vae()
    x = images(3)
    mean = latent.decode(model, variables, latent.encode(model, variables, x).mean()).mean()  # linear: E of a mean
    found = jax.jit(lambda x: latent.denoise(model, variables, random.key(2), x, 4000))(x)
    np.testing.assert_allclose(found, mean, atol=0.05)
    np.testing.assert_allclose(
        latent.denoise(model, variables, random.key(2), x[2:], 4000, index=jnp.array([2])), found[2:], atol=1e-5
    )


def test_denoising_by_one_draw_is_as_scattered_as_the_posterior():
    model, variables, _ = make_linear_vae()
    many = jnp.broadcast_to(images(1)[0], (CHAINS, *SHAPE))
    found = np.asarray(jax.jit(lambda x: latent.denoise(model, variables, random.key(2), x, 1))(many))
    w = np.asarray(variables["params"]["decoder"]["Dense_0"]["kernel"])
    expected = (w**2 / (1 + COLUMN_NORMS**2 / SIGMA**2)[:, None]).sum(0)
    np.testing.assert_allclose(found.reshape(CHAINS, -1).var(0), expected, rtol=0.12)


@pytest.fixture(scope="module")
def run():
    return make_run()


def test_a_run_completes_what_is_not_known_whatever_stands_there(run):
    x, known = binary_images(2), np.ones(SHAPE, bool)
    known[2:] = False
    done = run.inpaint(random.key(0), np.where(known, x, np.nan), known, steps=2)
    expected = latent.inpaint(run.model, run.variables, random.key(0), x, known, 2)
    np.testing.assert_allclose(done.mean, expected.mean, atol=1e-5)
    grey = x * 0.7 + 0.1  # no binary image, as noise makes none
    expected = latent.denoise(run.model, run.variables, random.key(0), grey, 4)
    np.testing.assert_allclose(run.denoise(random.key(0), grey, draws=4), expected, atol=1e-5)


X = binary_images(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda run, known: run.inpaint(random.key(0), X, known, steps=1),
            "steps=1: expected a whole number from 2 on",
        ),
        (lambda run, known: run.denoise(random.key(0), np.uint8(X)), "pass them through prepare first"),
        (lambda run, known: run.inpaint(random.key(0), X, known[..., 0]), r"known is bool shaped \[4, 4\]; expected"),
        (
            lambda run, known: run.inpaint(random.key(0), X, known + 0),
            r"known is int64 shaped .*: True where x is known",
        ),
        (
            lambda run, known: run.inpaint(random.key(0), X, np.stack([known] * 3)),
            "known is for 3 examples and x holds 2",
        ),
        (lambda run, known: run.inpaint(random.key(0), X[0], known), r"takes batches \[B, 4, 4, 1\]. One image is x"),
        (lambda run, known: run.inpaint(random.key(0), X / 2, known), "the values 0 and 1 only"),
        (lambda run, known: run.denoise(random.key(0), X + np.nan), "x holds 32 values that are NaN"),
        (lambda run, known: run.denoise(random.key(0), X, draws=0), "draws=0: expected a whole number from 1 on"),
    ],
)
def test_the_words_of_a_run(call, words, run):
    with pytest.raises(ValueError, match=words):
        call(run, np.ones(SHAPE, bool))


def test_half_known_pixels_of_channels_that_hang_together_are_refused():
    run = make_run((4, 4, 3), "logistic_mixture(2)")
    known = np.ones((4, 4, 3), bool)
    known[0, 0, 1] = False
    with pytest.raises(ValueError, match="hides some channels of a pixel, which this likelihood couples"):
        run.inpaint(random.key(0), np.zeros((1, 4, 4, 3)), known)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 4, 1), (6, 1)])
def test_the_figures_hide_what_they_say_and_keep_the_rest(tmp_path, shape):
    subject = make_subject(shape, "gaussian(0.3)")
    found = inpainting.compute_inpainting(subject, n=4, completions=2, steps=4)
    inpainting.plot_inpainting(tmp_path / "a.png", found)
    known = found.known
    assert not known[:2, shape[0] // 2 :].any()
    assert known[:2, : shape[0] // 2].all()
    assert (known == known[..., :1]).all()
    assert 0 < known[2:].mean() < 0.6
    for each in (*found.completions, found.means):
        np.testing.assert_array_equal(each[known], found.images[known])
        assert (each != found.images)[~known].all()
    found = inpainting.compute_denoising(subject, n=4, draws=3)
    inpainting.plot_denoising(tmp_path / "b.png", found)
    assert 0.1 < (found.noisy - found.images).std() < 0.3
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg"}
