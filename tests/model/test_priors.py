"""Priors that are learned, mixed, conditional or discrete."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax import random
from small import SHAPE, binary_images, make_vae

from jaxvae.distributions import Normal
from jaxvae.model import encoder, posterior, prior

SIZE, COUNT = 2, 4000


def never(*_):
    pytest.fail("asked the posterior")


def random_params(head, *args, seed=0):
    shapes = jax.eval_shape(lambda: head.init(random.key(0), *args))["params"]
    state = np.random.RandomState(seed)
    return jax.tree.map(lambda leaf: state.normal(size=leaf.shape).astype(np.float32), shapes)


def blurred(x, condition=None):
    """A posterior made by hand: means of the two halves of the image, scales from its corner."""
    means = x.reshape(x.shape[0], SIZE, -1).mean(-1)
    return Normal(4 * means[None], jnp.broadcast_to(-x[None, :, :1, 0, 0], (1, x.shape[0], SIZE)))


def test_vamp_is_the_mixture_of_the_posterior_at_its_pseudo_inputs():
    head, asked = prior.vamp(5, data_shape=SHAPE), []

    def infer(x):
        asked.append(x)
        return blurred(x)

    free = random_params(head, infer)["pseudo_inputs"]
    asked.clear()
    p = head.apply({"params": {"pseudo_inputs": free}}, infer)
    assert [x.shape for x in asked] == [(5, *SHAPE)]
    np.testing.assert_allclose(asked[0], scipy.special.expit(free), rtol=1e-5)
    q = blurred(scipy.special.expit(free))
    z = np.random.RandomState(1).normal(1, 2, (3, 4, SIZE)).astype(np.float32)
    by_hand = scipy.stats.norm(q.loc[0], np.exp(q.log_scale[0])).logpdf(z[:, :, None]).sum(-1)
    expected = scipy.special.logsumexp(by_hand, axis=-1) - np.log(5)
    np.testing.assert_allclose(jax.jit(type(p).log_prob)(p, z), expected, rtol=1e-4)
    assert {leaf.shape[:3] for leaf in jax.tree.leaves(p)} == {(1, 1, 5)}


HEADS = {
    "gaussian": prior.gaussian(latent_dim=SIZE),
    "mixture": prior.mixture(4, latent_dim=SIZE),
    "vamp": prior.vamp(5, data_shape=SHAPE),
    "conditional": prior.conditional(latent_dim=SIZE),
}


@pytest.mark.parametrize("name", HEADS)
def test_draws_for_keys_of_many_examples_have_the_priors_mean_and_follow_the_temperature(name):
    head, condition = HEADS[name], np.full((COUNT, 3), 0.5, np.float32) if name == "conditional" else None
    params = random_params(head, blurred, condition)

    @jax.jit
    def draw(keys, temperature):
        p = head.apply({"params": params}, blurred, condition)
        return p.sample(keys, temperature), p.mean()

    z, mean = draw(random.split(random.key(0), (1, COUNT)), 1.0)
    assert z.shape == (1, COUNT, SIZE)
    assert (np.abs((z - mean).mean(1)) < 5 * np.asarray(z).std(1) / np.sqrt(COUNT)).all()
    cold, _ = draw(random.split(random.key(0), (1, COUNT)), 0.0)
    assert len(np.unique(np.asarray(cold)[0], axis=0)) == {"mixture": 4, "vamp": 5}.get(name, 1)


def test_a_conditional_prior_depends_on_its_own_examples_condition_alone():
    head = prior.conditional(5, latent_dim=SIZE)
    conditions = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    params = random_params(head, never, conditions)
    apply = jax.jit(lambda c: head.apply({"params": params}, never, c))
    before, after = apply(conditions), apply(conditions[[0, 2, 2, 1]])
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert one.shape == (1, 4, SIZE)
        np.testing.assert_array_equal(np.delete(one, 1, axis=1), np.delete(other, 1, axis=1))
        np.testing.assert_array_equal(one[:, 1], one[:, 3])  # of the same class
        assert (one[:, 1] != other[:, 1]).all()
        assert (one[:, 0] != one[:, 2]).all()


def test_a_conditional_prior_without_widths_is_linear():
    head = prior.conditional(latent_dim=SIZE)
    params = random_params(head, never, np.eye(3))
    c = np.float32([[0.2, -1.0, 3.0]])
    dense = params["Dense_0"]
    p = head.apply({"params": params}, never, c)
    np.testing.assert_allclose(p.loc[0], (c @ dense["kernel"] + dense["bias"])[:, :SIZE], rtol=1e-5)


@pytest.mark.parametrize("width", [None, 3])
def test_a_categorical_prior_has_the_posteriors_classes(width):
    """Whatever condition the posterior is given besides: of the blank example it has one row of the same width."""
    q, conditions = posterior.relaxed(7, latent_dim=SIZE), []
    condition = None if width is None else np.ones((4, width), np.float32)

    def infer(x, blank=None):
        conditions.append(None if blank is None else blank.shape)
        features = encoder.mlp(3).init_with_output(random.key(0), x)[0]
        return q.init_with_output(random.key(1), features)[0]

    uniform = jax.eval_shape(
        lambda: prior.categorical(data_shape=SHAPE).init_with_output(random.key(0), infer, condition)
    )
    assert uniform[0].logits.shape == (1, 1, SIZE, 7)
    assert conditions == [None if width is None else (1, width)]
    assert uniform[1] == {}


def test_a_learned_categorical_prior_takes_the_frequencies_of_its_parameters():
    head = prior.categorical(True, data_shape=SHAPE)
    logits = np.random.RandomState(0).normal(size=(SIZE, 3)).astype(np.float32)
    blank = posterior.RelaxedOneHot(jnp.zeros((1, 1, SIZE, 3)))
    p = head.apply({"params": {"logits": logits}}, lambda *_: blank)
    np.testing.assert_allclose(p.mean()[0, 0], scipy.special.softmax(logits, -1), rtol=1e-5)


def test_the_model_asks_its_own_posterior_with_a_condition_and_generates():
    """relaxed with categorical, and vamp: z of as many examples as keys, of the right event."""
    keys, x = random.split(random.key(0), 7), binary_images(3)
    for q, p, event in (
        (posterior.relaxed(3, latent_dim=SIZE), prior.categorical(data_shape=SHAPE), (SIZE, 3)),
        (posterior.full(latent_dim=SIZE), prior.vamp(5, data_shape=SHAPE), (SIZE,)),
    ):
        model = make_vae().clone(posterior=q, latent_prior=p)

        def run(keys, model=model):
            variables = model.init(random.key(1), random.split(random.key(2), (1, 3)), x)
            return model.apply(variables, keys, method="generate", temperature=0.5)

        (z,), px = jax.eval_shape(run, keys)
        assert z.shape == (1, 7, *event)
        assert px.logits.shape == (1, 7, *SHAPE)


@pytest.mark.parametrize("name", ["gaussian", "mixture", "conditional"])
def test_a_learned_priors_density_is_finite_at_extreme_parameters(name):
    """Log-scales of -30 and 30, means of 1e4."""
    head, condition = HEADS[name], np.ones((2, 3), np.float32) if name == "conditional" else None
    z = np.float32([[[0.0, 1e4], [-3.0, 2.0]]])

    def extreme(path, leaf):
        if "kernel" in str(path):
            return np.zeros(leaf.shape, np.float32)
        if "bias" in str(path):
            return np.float32([1e4, -1e4, -30, 30])
        signs = np.resize([1.0, -1.0, -1.0], leaf.shape)
        return np.float32(signs * (1e4 if "'loc'" in str(path) else 30))

    params = jax.tree_util.tree_map_with_path(extreme, random_params(head, never, condition))

    def total(params):
        return head.apply({"params": params}, never, condition).log_prob(z).sum()

    for leaf in jax.tree.leaves(jax.jit(jax.value_and_grad(total))(params)):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: prior.mixture(0, latent_dim=3), "components=0: expected a whole number from 1 on"),
        (lambda: prior.vamp(2.5, data_shape=SHAPE), "components=2.5: expected a whole number from 1 on"),
        (lambda: prior.categorical("yes", data_shape=SHAPE), "learned='yes'.*expected True or False"),
        (lambda: prior.conditional(8, 0, latent_dim=3), "needs one or more positive whole numbers"),
        (lambda: prior.conditional(8, activation="rellu", latent_dim=3), "activation='rellu': expected one of"),
    ],
)
def test_a_wrong_argument_is_refused_in_words(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()
