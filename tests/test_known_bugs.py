"""What has gone wrong in other VAE systems, a test for each: named after what would go wrong here.

The numbers are those of a survey of their code as it was published in 2026. Two have nothing here to go wrong in: B12
(a mutual information gap that transposes by `view`; but its likelihoods off by a scale are below) and B13 (a FID of
decoder means), for neither score is computed.
"""

import collections
import dataclasses
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
from gaussian import images, make_linear_vae
from jax import random
from small import SHAPE, binary_images, grey_images, init, make_examples, make_split, make_vae

from jaxvae import latent
from jaxvae.config import Config, Data, Model, Optimizer
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.data.pipeline import Resident, in_order
from jaxvae.data.prepare import Prepare
from jaxvae.evaluate.bounds import make_evaluate, make_log_likelihood, summarize
from jaxvae.model import likelihood, prior
from jaxvae.model.critic import ConvCritic, MLPCritic
from jaxvae.objective import aae, elbo, factor, gan, iwae, tc
from jaxvae.objective.aggregate_posterior import self_mask, stratified_log_weights
from jaxvae.rundir import checkpoint, manifest
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.state import abstract_state, first_state
from jaxvae.runtime.sharding import one_device
from jaxvae.terms import example_keys
from jaxvae.training.engine import ENGINES
from jaxvae.training.setup import set_up
from jaxvae.training.validation import validate
from tools.parts_page import config_of


def trainable(objective):
    """(parts, first state, compiled step) of a small model with this objective."""
    model = Model(encoder="mlp(8)", decoder="mlp(8)", likelihood="gaussian('learned')")
    optimizer = Optimizer(schedule="warmup(100)", ema=0.0)
    config = Config(Data(batch_size=6, prepare="dequantize"), model, objective, optimizer)
    parts = build(config, SHAPE, examples=10)
    return parts, first_state(config, parts, *random.split(random.key(0))), jax.jit(parts.train_step)


@pytest.fixture(scope="module")
def warming():
    """(parts, first state, compiled step) with a warm-up of beta over eight steps."""
    return trainable("elbo(beta=linear(0, 1, steps=8))")


def terms_of(model, variables, x, samples=1):
    return jax.jit(model.apply)(variables, example_keys(random.key(5), np.arange(len(x)), samples), x)


def apply(objective, terms, params=None, step=0):
    """The objective's Loss on one device, its state fresh where none is given."""
    fresh, memory = objective.init(random.key(1), terms)
    return objective.apply(
        fresh if params is None else params,
        *(memory, terms),
        key=random.key(2),
        step=jnp.asarray(step),
        gather=lambda tree, axis=1: tree,
    )


@pytest.fixture(scope="module")
def wide():
    """Eight draws for each of six images, of a posterior four times too wide."""
    model, variables, _ = make_linear_vae(widen=1.5)
    return terms_of(model, variables, images(6), samples=8)


def with_kl(terms, kl):
    """The terms with another KL of each example, [B]."""
    (level,) = terms.levels
    return dataclasses.replace(terms, levels=(dataclasses.replace(level, kl=jnp.asarray(kl)[None]),))


# B1, B2: importance weights


def test_the_worst_sample_does_not_get_the_largest_importance_weight(wide):
    """B1: PyTorch-VAE weighs draws by a softmax of their losses."""
    loss = jax.grad(lambda log_px: apply(iwae(), dataclasses.replace(wide, log_px=log_px)).value.sum())
    weights, log_w = -np.asarray(loss(wide.log_px)), np.asarray(wide.log_weight)
    np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(weights.argmax(0), log_w.argmax(0))
    np.testing.assert_array_equal(weights.argmin(0), log_w.argmin(0))


def test_the_importance_weighted_bound_weighs_draws_by_densities_and_not_by_a_closed_kl(wide):
    """B1: PyTorch-VAE puts the analytic KL into the weight of each draw."""
    other = apply(iwae(), with_kl(wide, np.full(6, 1e3, np.float32)))
    np.testing.assert_array_equal(other.value, apply(iwae(), wide).value)


def test_k_samples_are_k_samples():
    """B2: pythae's get_nll takes 100 draws for fewer, rounds others down, and returns minus what it is named after."""
    model, variables, log_px = make_linear_vae(shift=0.5)
    x, index = images(3), np.arange(3)
    each = np.float64(jax.jit(model.apply)(variables, example_keys(random.key(0), index, 30), x).log_weight)
    score = make_log_likelihood(model, chunk=20)
    for count in (1, 30):
        found = score(variables, random.key(0), x, index, samples=count)
        np.testing.assert_allclose(found, np.logaddexp.reduce(each[:count], 0) - np.log(count), rtol=1e-5)
        assert np.abs(found - log_px(x)).max() < 3 < np.abs(log_px(x)).min()  # the log-likelihood, its sign too


# B3: the total correlation


def test_the_diagonal_of_stratified_weights_is_the_examples_own():
    """B3: beta-TCVAE's code, pythae and others write 1/N into a column that is no diagonal."""
    weights = np.exp(stratified_log_weights(self_mask(jnp.zeros((1, 5, 2)), lambda tree: tree), 100))
    expected = np.full((5, 5), 99 / (100 * 4))
    np.fill_diagonal(expected, 1 / 100)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)


def test_a_log_weight_counts_once_however_many_latents_there_are():
    """B3: two of them add it to every latent dimension before the sum, and find a negative total correlation.

    Of examples that are all the same q(z) is their posterior, whose coordinates are independent.
    """
    model = make_vae(latent_dim=5)
    x = np.repeat(binary_images(1), 6, axis=0)
    metrics = jax.jit(partial(apply, tc(examples=1000)))(terms_of(model, init(model, x), x)).metrics
    np.testing.assert_allclose(metrics["total_correlation"], 0, atol=1e-4)
    np.testing.assert_allclose(metrics["mutual_information"], 0, atol=1e-4)


# B4, B5: the VampPrior


@pytest.fixture(scope="module")
def vamp():
    """(model, variables, p(z), draws [4000, 2]) of a VampPrior: four components far apart, far from 0, unlike."""
    model = make_vae().clone(latent_prior=prior.vamp(4, data_shape=SHAPE))
    variables = jax.tree.map(np.asarray, init(model, binary_images(2)))
    head, inputs = variables["params"]["posterior"]["Dense_0"], variables["params"]["latent_prior"]
    inputs["pseudo_inputs"] = 4 * inputs["pseudo_inputs"]
    head["kernel"] = head["kernel"] * np.array([100, 100, 1, 1], np.float32)
    head["bias"] = head["bias"] + np.array([50, 50, -2, 0], np.float32)
    z, _ = jax.jit(partial(latent.generate, model))(variables, random.split(random.key(0), 4000))
    return model, variables, jax.jit(partial(model.apply, method="prior"))(variables), np.asarray(z)


def test_vamp_samples_come_from_all_components_in_random_order_with_the_trained_scales(vamp):
    """B4: pythae's VAMPSampler takes the first pseudo-inputs in their order, with scales of tanh(log-variance)."""
    model, variables, _, z = vamp
    u = scipy.special.expit(variables["params"]["latent_prior"]["pseudo_inputs"])
    q = jax.device_get(model.apply(variables, u, method="infer"))
    scale = np.exp(q.log_scale[0])
    standard = (z[:, None] - q.loc[0]) / scale
    chosen = np.square(standard).sum(-1).argmin(-1)
    np.testing.assert_allclose(np.bincount(chosen, minlength=4), 1000, atol=150)
    np.testing.assert_allclose((chosen[1:] == chosen[:-1]).mean(), 1 / 4, atol=0.04)
    assert scale.std() > 0.1
    for k in range(4):
        np.testing.assert_allclose(standard[chosen == k, k].std(0), 1, atol=0.12)


def test_vamp_is_sampled_from_the_learned_prior(vamp):
    """B5: PyTorch-VAE's VampVAE draws from N(0, I), whatever prior was trained."""
    _, _, p, z = vamp
    mean = np.asarray(p.components.loc).mean((0, 1, 2))
    assert np.abs(mean).min() > 10
    np.testing.assert_allclose(z.mean(0), mean, atol=5 * (z.std(0) / np.sqrt(4000)).max())


def test_vamp_scores_z_as_the_mixture_of_its_gaussians(vamp):
    """B5: there the log-variance is divided by the variance, too."""
    _, _, p, _ = vamp
    loc, scale = np.float64(p.components.loc[0, 0]), np.exp(np.float64(p.components.log_scale[0, 0]))
    z = loc.mean(0) + 5 * np.random.RandomState(0).normal(size=(20, 2))
    each = scipy.stats.norm(loc, scale).logpdf(z[:, None]).sum(-1)
    expected = scipy.special.logsumexp(each, axis=1) - np.log(4)
    np.testing.assert_allclose(p.log_prob(np.float32(z)[None])[0], expected, rtol=1e-4)


# B6, B7, B8, B11, B14, B17: data and scores


def test_each_epoch_has_another_order_of_the_same_examples():
    """B6, B8: pythae's distributed sampler repeats one order; flax's example shuffles epochs into one another."""
    batches = Resident(make_split(12), random.key(0), 4).batches(0)
    epochs = [np.concatenate([next(batches).index for _ in range(3)]) for _ in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(12))
    for one, other in itertools.combinations(epochs, 2):
        assert (one != other).any()


@pytest.fixture(scope="module")
def scores():
    """(evaluate, how often Python ran it); the image of index 1000 is made of NaN."""
    ran = collections.Counter()

    def image(keys, image, index):
        ran["evaluate"] += 1
        return jnp.where((index == 1000)[:, None, None, None], jnp.nan, image.astype(jnp.float32) / 255)

    model = make_vae(px=likelihood.gaussian(0.5))
    evaluate = make_evaluate(model, Prepare(image, "real", "in part"), key=random.key(0))
    return partial(evaluate, init(model, images(3))), ran


def test_a_ragged_last_batch_weighs_no_more_than_its_examples(scores):
    """B6: pythae averages the means of batches. Here are the same five in two orders, whose last batches differ."""
    evaluate, _ = scores
    split = make_split(5)
    turned = dataclasses.replace(split, rows=split.rows[::-1])
    means = [summarize(evaluate(in_order(each, 3)))["elbo"]["value"] for each in (split, turned)]
    assert means[0] == pytest.approx(means[1], rel=1e-6)


def test_scoring_drops_no_example_and_hides_none_that_is_not_finite(scores):
    """B14: VDVAE drops the last batch, and reports an elbo of the batches that were finite."""
    evaluate, _ = scores
    values = evaluate(in_order(dataclasses.replace(make_split(5), offset=997), 3))
    np.testing.assert_array_equal(np.isnan(values["elbo"]), np.arange(5) == 3)
    assert summarize(values)["examples"] == 5
    assert np.isnan(summarize(values)["elbo"]["value"])


def test_every_validation_batch_has_its_own_keys(scores):
    """B17: numpyro's VAE scores every test batch with one key. Here the images are all the same."""
    evaluate, _ = scores
    split = make_split(6)
    split = dataclasses.replace(split, image=np.repeat(split.image[:1], 6, axis=0))
    values = evaluate(in_order(split, 3))["distortion"]
    assert len(set(values.tolist())) == 6
    np.testing.assert_array_equal(values, evaluate(in_order(split, 3))["distortion"])


def test_an_evaluation_is_compiled_and_not_run_by_python(scores):
    """B8: flax's example jits neither its step nor its evaluation."""
    evaluate, ran = scores
    evaluate(in_order(make_split(9), 3))
    evaluate(in_order(make_split(30), 3))
    assert ran["evaluate"] == 1


def test_validation_uses_the_loss_scale_of_training_whatever_beta(warming):
    """B11: PyTorch-VAE trains with 0.00025 times the KL, and validates with 1. Here beta is 0 at the first step."""
    parts, state, step = warming
    model = state.params["model"]
    still = {"kernel": 0 * model["posterior"]["Dense_0"]["kernel"], "bias": jnp.array([1.0, 1.0, -20.0, -20.0])}
    params = {**state.params, "model": {**model, "posterior": {"Dense_0": still}}}  # z moves by e^-7: no draw matters
    _, training = step(state.replace(params=params), make_examples(6))
    evaluate = make_evaluate(parts.model, parts.prepare, key=random.key(9))
    scored = evaluate({"params": params["model"]}, [(make_examples(6), 6)])
    for name in ("elbo", "rate", "distortion"):
        assert training[name] == pytest.approx(scored[name].mean(), rel=0.01), name
    assert training["beta"] == 0


def test_validation_images_are_held_out_training_images_and_the_test_split_is_left_alone():
    """B8, B11: flax's example looks at the test set every epoch; PyTorch-VAE validates on it, flipped at random."""
    marked = np.arange(40, dtype=np.uint8).reshape(-1, 1, 1, 1) + np.arange(0, 160, 40, dtype=np.uint8)[:, None]
    marked = np.broadcast_to(marked, (40, *SHAPE))
    config = Config(Data("arrays", batch_size=6, validation=8), Model(encoder="mlp(8)", decoder="mlp(8)"))
    experiment = set_up(config, {"train": marked[:30], "test": marked[30:]}, lambda text: None)
    experiment.data.splits["test"] = None
    seen = []

    def evaluate(variables, batches):
        seen.extend(batch.image[:real] for batch, real in batches)
        return {"elbo": np.zeros(8)}

    validate(dataclasses.replace(experiment, evaluate=evaluate), abstract_state(config, experiment.parts))
    trained = experiment.data.splits["train"].take(np.arange(22))[0]
    both = np.concatenate([trained, *seen])
    np.testing.assert_array_equal(both[np.argsort(both[:, 0, 0, 0])], marked[:30])


def test_without_validation_images_nothing_is_best():
    """B7: pythae keeps the best by the training loss where there is nothing to validate on."""
    config = Config(Data("arrays", validation=0.0, batch_size=6))
    config.train.patience = 3
    with pytest.raises(ValueError, match=r"train\.patience=3 needs validation images; data\.validation=0 holds out"):
        set_up(config, grey_images(20), lambda text: None)


# B7, B8, B14: the engine


def test_the_best_weights_come_with_their_own_optimizers_state_and_go_on_as_if_never_stopped(warming, tmp_path):
    """B7, B14: pythae stores the best weights beside another step's optimizer; VDVAE's warm-up starts again."""
    _, state, step = warming
    batch, states = make_examples(6), [state]
    for _ in range(3):
        states.append(step(states[-1], batch)[0])
    with Saver(tmp_path) as saver:
        for number, score in ((1, 5.0), (2, 1.0)):
            saver.save(number, states[number], score, regular=True)
    found = checkpoint.restore(tmp_path, jax.eval_shape(lambda: state), prefer=manifest.best_step(tmp_path))
    assert int(found.step) == 1
    for one, other in ((found, states[1]), (step(found, batch)[0], states[2])):
        jax.tree.map(np.testing.assert_array_equal, one.replace(key=None), other.replace(key=None))


def test_low_precision_is_the_networks_whatever_the_likelihood():
    """B7: pythae's mixed precision turns itself off where the likelihood is a Bernoulli."""
    for name, precision in itertools.product(TABLES["likelihood"], ("bfloat16", "float32")):
        config = config_of(likelihood=name)
        config.model.precision = precision
        model, x = build(config, SHAPE).model, binary_images(2)
        keys = jax.eval_shape(lambda: example_keys(random.key(0), np.arange(2)))
        program = jax.make_jaxpr(lambda keys, model=model, x=x: model.init_with_output(random.key(0), keys, x))(keys)
        assert ("bf16" in str(program)) == (precision == "bfloat16"), name


@pytest.mark.parametrize("engine", ["dispatch", "scan"])
def test_a_step_is_compiled_and_not_run_by_python(engine):
    """B8: the same of training."""
    ran = collections.Counter()

    def step(state, batch):
        ran["step"] += 1
        return state + 1, {"loss": batch.index.sum()}

    made = ENGINES[engine](step, Resident(make_split(12), random.key(0), 6), one_device())
    state, _ = made.advance(made.place(jnp.int32(0)), 0, 5)
    once = ran["step"]
    state, _ = made.advance(state, 5, 5)
    assert state == 10
    assert ran["step"] == once <= 2


def test_pictures_are_probabilities_not_logits():
    """B8: flax's example saves its logits as pictures."""
    model, x = make_vae(), binary_images(4)
    variables = jax.tree.map(np.asarray, init(model, x))
    variables["params"]["decoder"]["Dense_0"]["bias"] = np.full(16, 3.0, np.float32)
    again = latent.reconstruct(model, variables, random.key(0), x)
    _, px = latent.generate(model, variables, random.split(random.key(1), 4))
    for picture in (again, px.mean()):
        assert 0.5 < picture.min() <= picture.max() < 1  # of logits about 3


# B9, B12: likelihoods


@pytest.mark.parametrize("logit", [-200.0, -90.0, 90.0, 200.0])
def test_large_logits_give_a_finite_loss_and_gradient(logit):
    """B9, B17: flax's log(-expm1(log sigmoid)) is NaN from 90 on; probabilities in place of logits round to 0 and 1."""
    model = make_vae()
    x, logits = binary_images(2), np.full((1, 2, *SHAPE), logit, np.float32)

    def loss(logits):
        return -model.likelihood.apply({}, logits).log_prob(jnp.asarray(x)[None]).sum()

    value, gradient = jax.value_and_grad(loss)(logits)
    wrong = (x != (logit > 0)).sum()
    np.testing.assert_allclose(value, abs(logit) * wrong, rtol=1e-5)
    np.testing.assert_allclose(gradient[0], scipy.special.expit(logit) - x, atol=1e-6)


@pytest.mark.parametrize(("name", "density"), [("gaussian", scipy.stats.norm), ("laplace", scipy.stats.laplace)])
def test_a_distortion_is_minus_a_log_density_without_a_scale_of_its_own(name, density):
    """B12: YannDubs' Gaussian is 255 times a square error, the Laplace 3 times an absolute one."""
    x, features = images(3), images(3, seed=1)
    px = TABLES["likelihood"][name](0.7).apply({}, features[None])
    expected = density(features, 0.7).logpdf(x).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(px.log_prob(x[None])[0], expected, rtol=1e-5)


def test_a_learned_scale_moves(warming):
    """B10: latent diffusion's log-variance of the decoder is in no optimizer."""
    _, state, step = warming
    for _ in range(2):  # of a warm-up the first learning rate is 0
        before, (state, _) = state, step(state, make_examples(6))
    assert before.params["model"]["likelihood"]["log_scale"] != state.params["model"]["likelihood"]["log_scale"]


# B10, B18: critics


CRITICS = {  # the critic's objective, the model's part of its loss off, and on in each of its ways
    gan: ({"weight": 0.0, "perceptual": 0.0}, {"weight": 0.0}, {"perceptual": 0.0}),
    factor: ({"gamma": 0.0}, {}),
    aae: ({"weight": 0.0}, {}),
}


@pytest.mark.parametrize("factory", CRITICS)
def test_critic_and_model_learn_each_by_its_own_loss_alone(factory):
    """B10: diffusers' perceptual loss has no gradient, and its critic's loss has one in the autoencoder."""
    sizes = {"channels": (4,), "image_critic": ConvCritic}
    if factory is not gan:
        sizes = {"width": 8, "layers": 2, "critic": MLPCritic}
    objectives = [factory(**options, **sizes) for options in CRITICS[factory]]
    model, x = make_vae(px=likelihood.gaussian(0.3)), images(6)

    @jax.jit
    def gradients():
        terms, variables = model.init_with_output(random.key(0), example_keys(random.key(5), np.arange(6)), x)
        params, _ = objectives[0].init(random.key(1), terms)

        def losses(variables, params):
            training = model.clone(objective_needs=frozenset({"generated"}))
            terms = training.apply(variables, example_keys(random.key(5), np.arange(6)), x)
            return jnp.stack([apply(objective, terms, params).value.mean() for objective in objectives])

        return jax.jacrev(losses, argnums=(0, 1))(variables, params)

    of_model, of_critic = jax.device_get(gradients())
    for number in range(len(objectives)):
        mine = jax.tree.map(lambda leaf, i=number: leaf[i], of_model["params"])
        learns = {name: optax.tree.norm(mine[name]) > 1e-4 for name in ("encoder", "decoder")}
        # of factor and aae the decoder learns nothing: they look at z alone
        assert learns == {"encoder": number > 0, "decoder": number > 0 and factory is gan}
        assert number > 0 or optax.tree.norm(mine) == 0
    assert optax.tree.norm(of_critic) > 1e-3
    for leaf in jax.tree.leaves(of_critic):
        np.testing.assert_allclose(leaf, np.broadcast_to(leaf[:1], leaf.shape), rtol=1e-4, atol=1e-6)


def test_the_critic_moves_at_every_step():
    """B10: the discriminator of diffusers' first release was in no optimizer's step."""
    _, state, step = trainable("elbo + gan(channels=(4,))")
    for _ in range(3):
        before, (state, _) = state.params["objective"], step(state, make_examples(6))
        for path, moved in jax.tree_util.tree_leaves_with_path(
            jax.tree.map(lambda a, b: bool((a != b).any()), before, state.params["objective"])
        ):
            assert moved, jax.tree_util.keystr(path)


def test_the_critic_of_the_total_correlation_sees_the_whole_batch():
    """B18: pythae's FactorVAE cuts the batch in half: one half is reconstructed, the other permuted."""
    model, x = make_vae(), binary_images(6)
    terms = terms_of(model, init(model, x), x)
    objective = factor(width=8, layers=2, critic=MLPCritic)

    def loss(z, log_px):
        (level,) = terms.levels
        both = dataclasses.replace(terms, log_px=log_px, levels=(dataclasses.replace(level, z=z),))
        first, second = apply(objective, both), apply(elbo(), both)
        assert first.value.shape == second.value.shape == (6,)
        return (first.value + second.value).mean(), first.metrics["critic_loss"]

    z, log_px = terms.levels[0].z, terms.log_px
    found = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    ((_, losses), (of_z, of_log_px)), ((_, moved), _) = found(z, log_px), found(z + 1, log_px)
    assert (np.abs(of_z).sum(axis=(0, 2)) > 0).all()
    np.testing.assert_allclose(of_log_px, -1 / 6, rtol=1e-6)
    assert (losses != moved).all()


# B15, B16: the rate


def test_a_warm_up_counts_steps_and_reaches_its_end(warming):
    """B15: scvi-tools' warm-up of 400 epochs shrinks with the data set, and training ends at a weight below 1."""
    _, state, step = warming
    betas = []
    for _ in range(11):
        state, metrics = step(state, make_examples(6))
        betas.append(float(metrics["beta"]))
    np.testing.assert_allclose(betas, np.minimum(np.arange(11) / 8, 1), rtol=1e-6)


@pytest.mark.parametrize("raw", [-30.0, 4.0])
def test_the_draw_and_the_kl_have_the_same_scale(raw):
    """B16, B17: Artifex clips the log-variance for the draw alone; numpyro calls a deviation a variance."""
    model, x = make_vae(), binary_images(1)
    variables = jax.tree.map(np.asarray, init(model, x))
    head = variables["params"]["posterior"]["Dense_0"]
    head["kernel"], head["bias"] = np.zeros_like(head["kernel"]), np.array([1, 1, raw, raw], np.float32)
    (level,) = terms_of(model, variables, x, samples=2000).levels
    spread = np.float64(level.z).std(axis=(0, 1))
    np.testing.assert_allclose(level.q.scale()[0, 0], spread, rtol=0.1)
    expected = (0.5 * (1 + spread**2 - 1) - np.log(spread)).sum()
    np.testing.assert_allclose(level.kl, expected, rtol=0.2)


def test_free_nats_are_the_batch_means_and_not_each_examples(wide):
    """B16: Artifex frees every example below the threshold, though the mean rate lies above."""
    terms = with_kl(wide, np.array([0, 0, 0, 12, 12, 12], np.float32))
    free, whole = (np.asarray(apply(objective, terms).value) for objective in (elbo(free_nats=4.0), elbo()))
    np.testing.assert_allclose(free, whole, rtol=1e-6)
    held = apply(elbo(free_nats=8.0), terms)
    np.testing.assert_allclose(held.value.mean() - terms.distortion.mean(), 8, rtol=1e-4)
