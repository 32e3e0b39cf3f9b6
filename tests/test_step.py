import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from small import make_examples, make_vae

from jaxvae.config import Config, Data, Model, Optimizer
from jaxvae.config.build import build
from jaxvae.data.prepare import Prepare, binarize, grey
from jaxvae.model import likelihood
from jaxvae.objective import Loss, Objective, elbo
from jaxvae.step import MODEL, PREPARE, Guard, apply_update, init_state, make_train_step, update_guard
from jaxvae.terms import example_keys

RATE = 1e-3
BAD = 1000  # an image with this index or a larger one is made of NaN


def spoiled():
    """Grey values, but NaN for the images numbered BAD and up."""

    def image(keys, image, index):
        bad = (index >= BAD)[:, None, None, None]
        return jnp.where(bad, jnp.nan, image.astype(jnp.float32) / 255)

    return Prepare(image, "real", "spoiled")


def start(batch, *, prepare=None, objective=None, optimizer=None, px=None, samples=1, ema=0.999, seed=0):
    """(state, compiled step) of a small VAE."""
    prepare, objective, optimizer = prepare or grey(), objective or elbo(), optimizer or optax.sgd(RATE)
    parts = (make_vae(px=px or likelihood.gaussian(0.5)), objective, optimizer, prepare)
    state = jax.jit(
        lambda batch: init_state(
            *parts, batch, init_key=random.key(seed), train_key=random.key(seed + 1), samples=samples, ema=ema
        )
    )(batch)
    return state, jax.jit(make_train_step(*parts, samples=samples, ema=ema))


def same(one, other):
    """Whether two trees hold the same bits, keys included."""

    def plain(leaf):
        return random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(plain(a), plain(b), equal_nan=False) for a, b in pairs)


def part(batch, rows):
    return jax.tree.map(lambda leaf: leaf[rows], batch)


def by_hand(params, x, index, key, beta=1.0, scale=0.5):
    """The negative elbo of one step, written out: no library, one example and one draw at a time."""

    def one(x, index):
        p = params["model"]
        hidden = jax.nn.relu(
            x.ravel() @ p["encoder"]["DenseStack_0"]["Dense_0"]["kernel"]
            + p["encoder"]["DenseStack_0"]["Dense_0"]["bias"]
        )
        mean, raw = jnp.split(hidden @ p["posterior"]["Dense_0"]["kernel"] + p["posterior"]["Dense_0"]["bias"], 2)
        sigma = jnp.exp(7 * jnp.tanh(raw / 7))
        of_sample = random.fold_in(random.fold_in(random.fold_in(key, 1), index), 0)
        z = mean + sigma * random.normal(of_sample, (2,))
        hidden = jax.nn.relu(
            z @ p["decoder"]["DenseStack_0"]["Dense_0"]["kernel"] + p["decoder"]["DenseStack_0"]["Dense_0"]["bias"]
        )
        image = hidden @ p["decoder"]["Dense_0"]["kernel"] + p["decoder"]["Dense_0"]["bias"]
        distortion = jnp.sum(0.5 * ((x.ravel() - image) / scale) ** 2 + jnp.log(scale) + 0.5 * jnp.log(2 * jnp.pi))
        rate = jnp.sum(0.5 * (mean**2 + sigma**2 - 1) - jnp.log(sigma))
        return distortion + beta * rate

    return jax.vmap(one)(x, index).mean()


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_a_step_of_sgd_is_the_one_written_by_hand(beta):
    batch = make_examples(6)
    state, step = start(batch, objective=elbo(beta))
    for _ in range(3):
        key = random.fold_in(state.key, state.step)
        x = batch.image.astype(np.float32) / 255
        with jax.numpy_rank_promotion("allow"):
            value, gradient = jax.jit(jax.value_and_grad(by_hand))(state.params, x, batch.index, key, beta)
        new, metrics = step(state, batch)
        expected = jax.tree.map(lambda p, g: p - RATE * g, state.params, gradient)
        np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
        np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(gradient), rtol=1e-4)
        chex.assert_trees_all_close(new.params, expected, rtol=1e-4, atol=1e-5)
        state = new
    assert (PREPARE, MODEL) == (0, 1)
    assert state.step == 3


def test_binarization_has_keys_of_its_own_at_every_step():
    """x of step t is drawn with fold_in(fold_in(fold_in(key, t), PREPARE), index)."""
    batch, seen = make_examples(6), []

    def watch(keys, image, index):
        x = binarize().image(keys, image, index)
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
        return x

    state, step = start(batch, prepare=Prepare(watch, "binary", "watched"), px=likelihood.bernoulli())
    jax.effects_barrier()
    seen.clear()
    for t in range(2):
        key = random.fold_in(random.fold_in(state.key, t), PREPARE)
        expected = binarize().image(example_keys(key, batch.index)[0], jnp.asarray(batch.image), batch.index)
        state, _ = step(state, batch)
        jax.effects_barrier()
        np.testing.assert_array_equal(seen[t], expected)
    assert (seen[0] != seen[1]).any()


def test_the_same_state_and_batch_give_the_same_bits_and_another_key_others():
    batch = make_examples(6)
    state, step = start(batch)
    once, twice = step(state, batch)[0], step(state, batch)[0]
    assert same(once, twice)
    assert not same(once.params, step(state.replace(key=random.key(99)), batch)[0].params)
    assert not same(once.params, step(state.replace(step=jnp.int32(5)), batch)[0].params)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_batch_moves_as_the_mean_of_its_halves(samples):
    batch = make_examples(8)
    state, step = start(batch, samples=samples)

    def moved(batch):
        return jax.tree.map(jnp.subtract, step(state, batch)[0].params, state.params)

    halves = jax.tree.map(lambda a, b: (a + b) / 2, moved(part(batch, slice(4))), moved(part(batch, slice(4, 8))))
    chex.assert_trees_all_close(moved(batch), halves, rtol=1e-4, atol=2e-6)


def test_more_samples_move_as_the_mean_over_their_draws():
    """Given the batch, the gradient over S draws has the mean of the gradient over one, and less spread."""
    batch = make_examples(4)
    moves = {}
    for samples in (1, 16):
        state, step = start(batch, samples=samples)
        one = jax.vmap(lambda t, state=state, step=step: step(state.replace(step=t), batch)[1]["distortion"])
        moves[samples] = np.asarray(jax.jit(one)(jnp.arange(200)))
    error = np.sqrt(sum(m.var() for m in moves.values()) / 200)
    assert abs(moves[1].mean() - moves[16].mean()) < 5 * error
    np.testing.assert_allclose(moves[1].std() / moves[16].std(), 4, rtol=0.3)


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_follows_its_formula(decay):
    batch = make_examples(6)
    state, step = start(batch, ema=decay)
    assert same(state.ema, state.params)
    average = jax.tree.map(np.float64, state.params)
    for t in range(6):
        state, _ = step(state, batch)
        d = min(decay, (1 + t) / (10 + t))
        average = jax.tree.map(lambda a, p, d=d: d * a + (1 - d) * np.float64(p), average, state.params)
    chex.assert_trees_all_close(jax.tree.map(np.float64, state.ema), average, rtol=1e-5, atol=1e-6)
    assert state.weights is state.ema


def test_without_an_average_the_weights_are_the_parameters():
    batch = make_examples(6)
    state, step = start(batch, ema=0)
    state, _ = step(state, batch)
    assert state.ema == {}
    assert state.weights is state.params


def test_the_average_owns_its_memory():
    parts = (make_vae(px=likelihood.gaussian()), elbo(), optax.sgd(RATE), grey())
    state = init_state(*parts, make_examples(6), init_key=random.key(0), train_key=random.key(1))
    pairs = zip(jax.tree.leaves(state.ema), jax.tree.leaves(state.params), strict=True)
    assert all(a.unsafe_buffer_pointer() != p.unsafe_buffer_pointer() for a, p in pairs)


def nan_gradient():
    """A loss that is finite, with a gradient that is not: sqrt at 0."""

    def apply(params, memory, terms, *, key, step, gather):
        value = terms.distortion.mean(0) + jnp.sqrt(0.0 * terms.rate.mean(0))
        return Loss(value, memory, {"elbo": -value})

    return Objective(elbo().init, apply)


def test_a_step_that_is_not_finite_keeps_everything_but_the_step_and_the_guard():
    good, bad = make_examples(6), make_examples(6, first=BAD - 2)
    state, step = start(good, prepare=spoiled(), optimizer=optax.adam(RATE))
    state, _ = step(state, good)
    skipped, streaks = [], []
    for t, batch in enumerate([bad, bad, good, bad, good], start=2):
        before = state
        state, metrics = step(before, batch)
        skipped.append(int(metrics["skipped"]))
        streaks.append(int(state.guard.streak))
        kept = [same(getattr(before, name), getattr(state, name)) for name in ("params", "ema", "opt")]
        assert kept == [batch is bad] * 3
        assert np.isfinite(metrics["loss"]) == (batch is good)
        assert same(before.key, state.key)
        assert state.step == t
    assert skipped == [1, 2, 2, 3, 3]
    assert streaks == [1, 2, 0, 1, 0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.params, state.ema)))


def test_a_gradient_that_is_not_finite_is_skipped_though_the_loss_is():
    batch = make_examples(6)
    state, step = start(batch, objective=nan_gradient())
    new, metrics = step(state, batch)
    assert np.isfinite(metrics["loss"])
    assert not np.isfinite(metrics["grad_norm"])
    assert same((state.params, state.ema, state.opt), (new.params, new.ema, new.opt))
    assert (int(new.guard.skipped), int(new.guard.streak)) == (1, 1)


def test_whatever_is_not_finite_in_what_a_step_found_it_is_skipped():
    """NaN and infinities in the loss, in one number of a gradient, of a new variable; one compiled update."""
    state, _ = start(make_examples(6), ema=0)
    state = state.replace(variables={"model": {"codes": jnp.ones(3)}, "objective": {"count": jnp.ones((), jnp.int32)}})
    found = jax.tree.map(jnp.ones_like, (state.params, state.variables, {"loss": jnp.ones(())}))
    take = jax.jit(lambda found: apply_update(state, optax.sgd(RATE), found[0], found[1], found[2], 0.0))
    leaves, structure = jax.tree.flatten(found)
    assert int(take(found)[0].guard.skipped) == 0
    for place, leaf in enumerate(leaves):
        for bad in (np.nan, np.inf, -np.inf) if jnp.issubdtype(leaf.dtype, jnp.floating) else ():
            spoiled = np.array(leaf)
            spoiled.flat[-1] = bad
            new, metrics = take(jax.tree.unflatten(structure, [*leaves[:place], spoiled, *leaves[place + 1 :]]))
            assert (int(metrics["skipped"]), int(metrics["streak"])) == (1, 1)
            assert same((state.params, state.opt, state.variables), (new.params, new.opt, new.variables))


@jax.jit
def guard_after(losses):
    """The guard's history over such losses, of which the finite ones were good."""

    def one(guard, loss):
        guard = update_guard(guard, loss, jnp.isfinite(loss))
        return guard, guard

    zero = jnp.zeros((), jnp.int32)
    return jax.lax.scan(one, Guard(zero, zero, jnp.ones(())), losses)[1]


def test_a_spike_of_the_loss_is_counted_and_does_not_become_the_usual():
    losses = 100 + np.random.default_rng(0).normal(size=300).astype(np.float32)
    calm = guard_after(losses)
    assert int(calm.spikes[-1]) == 0
    assert float(calm.usual[-1]) == pytest.approx(100, abs=0.5)
    assert float(calm.spread[-1]) == pytest.approx(np.sqrt(2 / np.pi), rel=0.25)  # of a normal distribution
    losses[[100, 200, 201]] = 1e30, 200, 150
    losses[250] = -500  # far below is no spike
    losses[[260, 261]] = np.nan, np.inf  # nor is what is skipped
    seen = guard_after(losses)
    assert np.flatnonzero(np.diff(seen.spikes)).tolist() == [99, 199, 200]
    assert float(seen.usual[201]) < 103
    assert (int(seen.skipped[-1]), int(seen.seen[-1])) == (2, 298)
    losses[:2] = 3e38, -3e38  # nothing is usual yet, and nothing overflows
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(guard_after(losses)))


def test_a_loss_that_stays_higher_becomes_the_usual_soon():
    spikes = guard_after(np.repeat(np.float32([1, 50]), [100, 200])).spikes
    assert 1 < int(spikes[-1]) < 100
    assert int(spikes[-1]) == int(spikes[200])


def test_spikes_change_no_weight_and_stand_in_the_metrics():
    batch = make_examples(6)
    state, step = start(batch)
    warned = dataclasses.replace(state.guard, seen=jnp.int32(50), usual=jnp.float32(-1e6), spread=jnp.float32(1.0))
    (one, metrics), (other, _) = step(state.replace(guard=warned), batch), step(state, batch)
    assert same((one.params, one.ema, one.opt), (other.params, other.ema, other.opt))
    assert (int(metrics["spikes"]), int(one.guard.spikes), float(metrics["scale"])) == (1, 1, 1.0)


def test_the_guards_scale_multiplies_the_updates():
    batch = make_examples(6)
    state, step = start(batch)
    half = state.replace(guard=dataclasses.replace(state.guard, scale=jnp.float32(0.5)))
    whole_move = jax.tree.map(jnp.subtract, step(state, batch)[0].params, state.params)
    half_move = jax.tree.map(jnp.subtract, step(half, batch)[0].params, state.params)
    chex.assert_trees_all_close(half_move, jax.tree.map(lambda m: m / 2, whole_move), rtol=1e-4, atol=1e-6)


def test_the_state_is_a_pytree_that_a_step_gives_back_as_it_was():
    batch = make_examples(6)
    state, step = start(batch, optimizer=optax.adam(RATE))
    leaves, structure = jax.tree.flatten(state)
    assert same(jax.tree.unflatten(structure, leaves), state)
    new, metrics = step(state, batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, new)
    assert set(state.params) == set(state.variables) == {"model", "objective"}
    assert all(value.shape == () for value in metrics.values())


def config(clip=None, learning_rate=1.0, **model):
    return Config(
        data=Data(prepare="grey"),
        model=Model(encoder="mlp(8)", decoder="mlp(8)", likelihood="gaussian(0.1)", **model),
        optimizer=Optimizer(name="sgd", learning_rate=learning_rate, clip=clip),
    )


@pytest.mark.parametrize("clip", [0.01, 1.0, 1e6])
def test_clipping_shortens_the_gradient_to_its_global_norm(clip):
    batch = make_examples(6)
    parts = build(config(clip, 1e-3), (4, 4, 1))
    built = (parts.model, parts.objective, parts.optimizer, parts.prepare)
    state = init_state(*built, batch, init_key=random.key(0), train_key=random.key(1))
    new, metrics = jax.jit(parts.train_step)(state, batch)
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, new.params, state.params))
    assert metrics["grad_norm"] > 1
    np.testing.assert_allclose(moved, 1e-3 * min(clip, metrics["grad_norm"]), rtol=0.01)


def test_a_donated_step_is_traced_once():
    batch = make_examples(6)
    parts = (make_vae(px=likelihood.gaussian()), elbo(optax.linear_schedule(0.0, 1.0, 3)), optax.adam(RATE), grey())
    state = init_state(*parts, batch, init_key=random.key(0), train_key=random.key(1))
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(make_train_step(*parts), n=1), donate_argnums=0)
    betas = []
    for t in range(5):
        state, metrics = step(state, make_examples(6, seed=t, first=6 * t))
        betas.append(float(metrics["beta"]))
    np.testing.assert_allclose(betas, [0, 1 / 3, 2 / 3, 1, 1], rtol=1e-6)


def test_the_loss_falls():
    batch = make_examples(6)
    state, step = start(batch, optimizer=optax.adam(1e-2))
    losses = []
    for _ in range(60):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1


def test_an_accelerator_selects_where_a_cpu_branches():
    batch = make_examples(4)
    state, step = start(batch)
    traced = step.trace(state, batch)
    texts = {platform: traced.lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "cuda")}
    # the choice of a platform is a case as well, of a constant: the branch on the guard is the one that differs
    branches = {platform: text.count("stablehlo.case") for platform, text in texts.items()}
    assert branches["cpu"] == branches["cuda"] + 1
