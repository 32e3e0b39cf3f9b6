"""Corrupted inputs: their laws, whose keys draw them, and what of a run they reach."""

import dataclasses
import json
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from gaussian import images, make_linear_vae
from jax import random
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from small import SHAPE, grey_images, make_examples, make_split

import jaxvae
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.data.corrupt import Corrupted, Corruption, bits_threshold, blur, mask, noise, salt_and_pepper
from jaxvae.data.pipeline import in_order
from jaxvae.data.prepare import Prepare, binarize, dequantize, static
from jaxvae.distributions import kl
from jaxvae.evaluate.bounds import make_evaluate, summarize_from_corrupted
from jaxvae.rundir import CHECKPOINTS, checkpoint, results
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.state import abstract_state, first_state
from jaxvae.terms import example_keys
from jaxvae.training.setup import set_up, set_up_member
from jaxvae.training.train import train_and_evaluate
from jaxvae.viz.figures.reconstructions import compute_reconstructions

COUNT = 4000
EVERY = [noise(0.5), mask(0.5), salt_and_pepper(0.5), blur(0.8)]
IMAGES = grey_images(60, (4, 4, 1))


def drawn(corruption, x, seed=0):
    """x' of x [B, *X], one key an example."""
    return np.asarray(jax.jit(corruption)(random.split(random.key(seed), len(x)), x))


def within(found, p, count):
    """Whether frequencies are those of a coin of probability p, to five standard deviations of so many throws."""
    return (np.abs(found - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()


def positive(count, shape):
    return np.random.default_rng(0).uniform(0.1, 0.9, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 2, 3), (5, 2)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.75])
def test_a_mask_hides_its_share_of_pixels_with_all_their_channels(shape, share):
    x = positive(COUNT, shape)
    out = drawn(mask(share), x)
    hidden = (out == 0).all(-1)
    np.testing.assert_array_equal(out, np.where(hidden[..., None], 0, x))
    assert within(hidden.mean(0), share, COUNT)
    flat = hidden.reshape(COUNT, -1)
    assert within((flat[:, 1:] & flat[:, :-1]).mean(0), share**2, COUNT)  # neighbours independently


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_salt_and_pepper_is_half_of_each(share):
    x = positive(COUNT, (3, 2, 3))
    out = drawn(salt_and_pepper(share), x)
    pepper, salt = (out == 0).all(-1), (out == 1).all(-1)
    np.testing.assert_array_equal(out, np.select([pepper[..., None], salt[..., None]], [0, 1], x))
    assert within(pepper.mean(0), share / 2, COUNT)
    assert within(salt.mean(0), share / 2, COUNT)


@pytest.mark.parametrize(("share", "expected"), [(0, 0), (2**-32, 1), (0.5, 2**31), (1 - 2**-53, 2**32 - 1)])
def test_so_many_of_all_words_lie_below_the_threshold(share, expected):
    assert int(bits_threshold(share)) == expected


def test_noise_has_the_moments_of_its_normal():
    scale, x = 0.3, positive(COUNT, (3, 2, 2))
    z = ((drawn(noise(scale), x) - np.float64(x)) / scale).reshape(COUNT, -1)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert (np.abs((z**power).mean(0) - moment) < 5 * np.sqrt(variance / COUNT)).all()
    products = (z.T @ z / COUNT)[~np.eye(z.shape[1], dtype=bool)]
    assert (np.abs(products) < 5 / np.sqrt(COUNT)).all()  # of pixels and channels, independent of one another


@pytest.mark.parametrize("shape", [(9, 7, 3), (3, 2, 1), (20, 2), (1, 30, 4)])
@pytest.mark.parametrize("scale", [0.7, 3.0])
def test_a_blur_is_scipys_and_keeps_constants_and_the_mean(shape, scale):
    x = positive(3, shape)
    out = drawn(blur(scale), x)
    expected = [scipy.ndimage.gaussian_filter(np.float64(one), [scale] * (one.ndim - 1) + [0]) for one in x]
    np.testing.assert_allclose(out, expected, atol=1e-6)
    np.testing.assert_allclose(out.mean((*range(1, x.ndim - 1),)), x.mean((*range(1, x.ndim - 1),)), rtol=1e-5)
    np.testing.assert_allclose(drawn(blur(scale), np.full_like(x, 0.7)), 0.7, rtol=1e-6)


def shown(batch, prepare):
    """Every corruption of the batch, each with its preparation."""
    keys = example_keys(random.key(0), batch.index)[0]
    return [Corrupted(prepare, corruption)(random.clone(keys), batch) for corruption in EVERY]


@pytest.mark.parametrize("prepare", [binarize(), dequantize(), static(3)])
def test_the_target_stays_as_it_is_prepared(prepare):
    batch = make_examples(6)
    clean = jax.jit(prepare)(example_keys(random.key(0), batch.index)[0], batch)
    for made in jax.jit(partial(shown, prepare=prepare))(batch):
        np.testing.assert_array_equal(made.target, clean.x)
        np.testing.assert_array_equal(made.index, batch.index)
        assert (np.asarray(made.x) != clean.x).any(axis=(1, 2, 3)).all()
        assert made.x.dtype == jnp.float32


def test_the_bits_are_the_same_on_one_device_and_on_four_and_in_parts():
    """An example's depend on its key alone; parts are those of train.accumulate, every second row."""
    batch = make_examples(16, (5, 7, 2))
    mesh, rows = Mesh(np.asarray(jax.devices()[:4]), ("batch",), axis_types=(AxisType.Auto,)), PartitionSpec("batch")

    def of(batch):
        return [made.x for made in shown(batch, binarize())]

    whole = [np.asarray(x) for x in jax.jit(of)(batch)]
    sharded = jax.jit(of, in_shardings=NamedSharding(mesh, rows))(batch)
    mapped = jax.jit(jax.shard_map(of, mesh=mesh, in_specs=rows, out_specs=rows))(batch)
    part = jax.jit(of)(jax.tree.map(lambda a: a[1::2], batch))
    for one, two, three, half in zip(whole, sharded, mapped, part, strict=True):
        assert len(two.sharding.device_set) == len(three.sharding.device_set) == 4
        np.testing.assert_array_equal(two, one)
        np.testing.assert_array_equal(three, one)
        np.testing.assert_array_equal(half, one[1::2])


@pytest.mark.parametrize("corruption", EVERY[:3])
def test_equal_images_are_corrupted_apart(corruption):
    out = drawn(corruption, np.broadcast_to(positive(1, SHAPE), (20, *SHAPE)))
    assert len(np.unique(out.reshape(20, -1), axis=0)) == 20
    assert (out != drawn(corruption, np.broadcast_to(positive(1, SHAPE), (20, *SHAPE)), seed=1)).any()


def test_no_key_that_prepares_corrupts():
    """Nor is one of the words that it draws: where d is small, word d of a key's bits is made like fold_in(key, d)."""
    used = {}

    def keep(name, x):
        def function(keys, *_):
            used[name] = np.asarray(random.key_data(keys))
            return jnp.asarray(x)

        return function

    batch = make_examples(50)
    x = np.zeros((50, *SHAPE), np.float32)
    keys = example_keys(random.key(0), batch.index)[0]
    words = np.asarray(jax.vmap(partial(random.bits, shape=(1000,)))(random.clone(keys)))
    Corrupted(Prepare(keep("prepare", x), "binary", ""), Corruption(keep("corrupt", x), ""))(keys, batch)
    both = np.concatenate([used["prepare"], used["corrupt"]])
    assert len(np.unique(both, axis=0)) == 100
    assert not np.isin(used["corrupt"][:, 0] ^ used["corrupt"][:, 1], words).any()


def config(corrupt="mask(0.5)", **train) -> Config:
    train = {"steps": 20, "engine": "scan", "log_every": 5, "validate_every": 10, "checkpoint_every": 8} | train
    return Config(
        data=Data(name="arrays", batch_size=16, validation=12, corrupt=corrupt),
        model=Model(encoder="mlp(8)", decoder="mlp(8)"),
        optimizer=Optimizer(name="sgd", learning_rate=1e-2),
        train=Train(**train),
        evaluate=Evaluate(samples=3, splits=("test", "validation"), batch_size=8),
    )


def test_a_run_without_corruption_has_the_preparation_alone():
    for text in ("none", "none()"):
        parts = build(config(text), (4, 4, 1))
        assert parts.corrupted is None
        assert parts.prepare_training is parts.prepare
    parts = build(config("mask(0.5)"), (4, 4, 1))
    assert parts.prepare_training is parts.corrupted
    assert parts.corrupted.prepare is parts.prepare


def test_a_score_from_corrupted_inputs_is_of_the_clean_image_and_of_z_from_the_corrupted_one():
    """In the linear model all is known: the bound misses log p(x) by KL(q(z|x') | p(z|x)), x' all zeros here."""
    model, variables, log_px = make_linear_vae()
    x, zeros = images(30), Corruption(lambda keys, x: jnp.zeros_like(x), "nothing is left")
    prepare = Prepare(lambda keys, image, index: jnp.asarray(x)[index], "real", "")
    score = make_evaluate(model, Corrupted(prepare, zeros), key=random.key(0))
    batches = list(in_order(make_split(30), 30))
    elbo = np.stack([score(variables, batches, key=random.key(seed))["elbo"] for seed in range(100)])
    q, exact = (model.apply(variables, jnp.asarray(each), method="infer") for each in (np.zeros_like(x), x))
    missed = np.asarray(kl(q, exact))[0]
    assert missed.mean() > 1
    assert (np.abs(elbo.mean(0) - (log_px(x) - missed)) < 5 * elbo.std(0) / 10).all()


def go(config, workdir):
    """Trains and evaluates, without figures."""
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        return train_and_evaluate(config, workdir, arrays=IMAGES, say=lambda text: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run on corrupted inputs that was never stopped."""
    return go(config(), tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.slow
def test_all_scores_but_those_that_say_so_are_of_clean_inputs(whole, tmp_path):
    """They are what the same weights have in a run that knows of no corruption."""
    found = results.read_results(whole.workdir)
    run = go(config("none", steps=0, init_from=str(whole.workdir)), tmp_path / "clean")
    clean = results.read_results(run.workdir)
    for split in ("test", "validation"):
        extra = {name for name in found[split] if name not in clean[split]}
        assert extra == {f"{name}_from_corrupted" for name in ("elbo", "rate", "distortion")}
        assert {name: value for name, value in found[split].items() if name not in extra} == clean[split]
        for name in extra:
            assert found[split][name]["stderr"] > 0
            assert found[split][name]["value"] != found[split][name.removesuffix("_from_corrupted")]["value"]
    last = [line for line in read_metrics(whole.workdir) if line["split"] == "validation"][-1]
    assert last["elbo"] == pytest.approx(clean["validation"]["elbo"]["value"], rel=1e-6)
    assert found["protocol"]["corruption"].startswith("each pixel set to 0 with probability 0.5, in what the encoder")
    assert "corruption" not in clean["protocol"]
    assert any("  distortion_from_corrupted  " in line for line in results.format_results(found))
    with pytest.raises(ValueError, match=r"data\.corrupt: 'none' -> 'mask\(0\.5\)'"):
        go(config(), run.workdir)


def test_training_shows_the_encoder_corrupted_inputs_and_nothing_else_does(monkeypatch):
    seen = []

    def watched():
        return Corruption(lambda keys, x: seen.append(keys.shape) or x, "watched")

    monkeypatch.setitem(TABLES["corrupt"], "watched", watched)
    parts = build(config("watched"), (4, 4, 1))
    key, batch = random.key(0), make_examples(16)
    state = jax.eval_shape(partial(first_state, config("watched"), parts), key, key)
    jax.eval_shape(parts.prepare, example_keys(key, batch.index)[0], batch)
    assert not seen
    jax.eval_shape(parts.train_step, state, batch)
    assert set(seen) == {(16,)}


def test_without_a_bound_rate_and_distortion_are_given_from_corrupted_inputs():
    values = np.arange(4.0)
    found = summarize_from_corrupted({"rate": 0 * values, "distortion": values, "codes": values[:, None]})
    assert set(found) == {"rate_from_corrupted", "distortion_from_corrupted"}
    assert found["distortion_from_corrupted"] == {"value": 1.5, "stderr": pytest.approx(values.std(ddof=1) / 2)}


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(whole, tmp_path):
    with mock.patch("jaxvae.training.train.conclude"):
        go(config(steps=13), tmp_path / "broken")
    broken = go(config(), tmp_path / "broken")
    for one, other in zip(*(jax.tree.leaves(final_state(run)) for run in (whole, broken)), strict=True):
        np.testing.assert_array_equal(bits(one), bits(other))
    found = [json.loads((run.workdir / "results.json").read_text())["test"] for run in (whole, broken)]
    assert found[0] == found[1]


def bits(leaf):
    return random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def final_state(run):
    return checkpoint.restore(run.workdir / CHECKPOINTS, abstract_state(run.config, run.parts))


def test_members_and_runs_of_other_seeds_score_corrupted_inputs_on_the_same_draws():
    first, other = (set_up(config(seed=seed), IMAGES, lambda text: None) for seed in (0, 1))
    member = set_up_member(config(seed=1), first)
    state = first_state(config(), first.parts, random.key(0), random.key(1))
    variables = {"params": state.params["model"], **state.variables["model"]}

    def score(experiment):
        return experiment.evaluate_corrupted(variables, in_order(first.data.splits["test"], 8))["elbo"]

    for experiment in (member, other):
        np.testing.assert_array_equal(score(experiment), score(first))


def test_a_loaded_run_corrupts_and_restores_what_no_likelihood_would_take(whole):
    run = jaxvae.load(whole.workdir)
    keys = random.split(random.key(0), 3)
    x = run.prepare(keys[0], IMAGES[:5])
    assert set(np.unique(x)) == {0.0, 1.0}
    broken = run.corrupt(keys[1], x)
    assert (np.asarray(broken) <= x).all()
    assert (np.asarray(broken) != x).any()
    grey = np.asarray(x) - 0.3
    assert run.reconstruct(keys[2], grey).shape == x.shape
    assert (run.encode(grey).mean() != run.encode(x).mean()).all()
    for refused in (lambda: run.log_likelihood(random.key(0), grey), lambda: run.corrupt(random.key(0), grey)):
        with pytest.raises(ValueError, match="this model's likelihood is a density over"):
            refused()
    with pytest.raises(ValueError, match="x holds 80 values that are NaN"):
        run.encode(grey + np.nan)


def test_the_figure_shows_what_is_restored_from_what(whole):
    original, restored, corrupted = compute_reconstructions(whole, make_split(9), 5, random.split(random.key(0)))
    assert original.shape == restored.shape == corrupted.shape == (5, 4, 4, 1)
    assert (corrupted <= original).all()
    assert (corrupted != original).any()
    keys = random.split(random.key(0))
    np.testing.assert_array_equal(restored, whole.reconstruct(keys[1], corrupted))


def test_a_run_on_clean_inputs_has_nothing_to_corrupt_with():
    parts = build(config("none"), (4, 4, 1))
    state = first_state(config("none"), parts, random.key(0), random.key(1))
    run = jaxvae.rundir.run.Run(config("none"), parts, {"params": state.params["model"]}, 0)
    with pytest.raises(ValueError, match=r"trained on clean inputs \(data\.corrupt='none'\).*Train one with"):
        run.corrupt(random.key(0), np.zeros((1, 4, 4, 1)))
    with pytest.raises(ValueError, match="this model's likelihood is a density over"):
        run.encode(np.full((1, 4, 4, 1), 0.5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("noise", r"missing a required argument: 'scale'; expected noise\(scale\)"),
        ("noise(0)", "scale=0: expected a positive number"),
        ("noise(1e999)", "scale=inf: expected a positive number"),
        ("mask(1)", r"share=1: expected a number in \[0, 1\)"),
        ("mask(-0.1)", r"share=-0.1: expected a number in \[0, 1\)"),
        ("mask('half')", r"share='half': expected a number in \[0, 1\)"),
        ("salt_and_pepper(1.5)", r"share=1.5: expected a number in \[0, 1\)"),
        ("blur(17)", "scale=17: expected at most 16 pixels"),
        ("blur(True)", "scale=True: expected a positive number"),
        ("masks(0.5)", "'masks' is not a known corrupt; did you mean 'mask'"),
        ("", "is not a name or a call of literals"),
    ],
)
def test_what_is_no_corruption_is_refused_in_words(text, words):
    with pytest.raises(ValueError, match=rf"data\.corrupt={text!r}".translate({40: r"\(", 41: r"\)"}) + ".*" + words):
        build(config(text), (4, 4, 1))


def test_ones_own_corruption_is_taken_and_what_is_none_is_refused(monkeypatch):
    monkeypatch.setitem(TABLES["corrupt"], "upside_down", lambda: Corruption(lambda keys, x: x[:, ::-1], "upside down"))
    batch = make_examples(3)
    made = build(config("upside_down"), (4, 4, 1)).corrupted(example_keys(random.key(0), batch.index)[0], batch)
    np.testing.assert_array_equal(made.x, np.asarray(made.target)[:, ::-1])
    monkeypatch.setitem(TABLES["corrupt"], "wrong", lambda: dataclasses.replace)
    with pytest.raises(ValueError, match=r"expected a Corruption, as the parts of jaxvae/data/corrupt\.py are"):
        build(config("wrong"), (4, 4, 1))
