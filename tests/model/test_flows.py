import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax import random
from small import binary_images, make_vae

from jaxvae.config.registry import build_part
from jaxvae.distributions import Flow, Normal
from jaxvae.latent import drop_sample_axis
from jaxvae.model import posterior, prior
from jaxvae.model.flows import (
    Autoregressive,
    Coupling,
    CouplingFlow,
    InverseAutoregressiveFlow,
    MaskedAutoregressiveFlow,
    gated_affine,
)
from jaxvae.terms import example_keys

D, N, H = 5, 6, 23
NETWORKS = {
    "coupling": CouplingFlow(D, 4, H, 2),
    "iaf": InverseAutoregressiveFlow(D, 2, H, 2),
    "maf": MaskedAutoregressiveFlow(D, 2, H, 1),
}
CASES = [(name, seen) for name in NETWORKS for seen in (False, True)]
HEADS = {
    "iaf": posterior.iaf(2, 6, latent_dim=3),
    "coupling": posterior.coupling(2, 6, latent_dim=3),
    "realnvp": prior.realnvp(2, 6, 1, latent_dim=3),
    "maf": prior.maf(2, 6, latent_dim=3),
}


def normal(*shape, seed=0, spread=1.0):
    return jnp.asarray(np.random.RandomState(seed).normal(0, spread, shape), jnp.float32)


def drawn_parameters(init, *args, seed=0, spread=1.0):
    """Parameters far from an initialiser's: a flow near the identity would hide its mistakes."""
    shapes = jax.eval_shape(init, random.key(0), *args)
    leaves, tree = jax.tree.flatten(shapes)
    return tree.unflatten(
        [
            normal(*leaf.shape, seed=seed + i, spread=spread / (leaf.shape[0] ** 0.5 if len(leaf.shape) > 1 else 3))
            for i, leaf in enumerate(leaves)
        ]
    )


@functools.cache
def passes(name, seen):
    """(z, x, log_det, z of x, log_det back, Jacobians) of a network at N points, with or without a context."""
    network, z = NETWORKS[name], normal(N, D)
    context = normal(N, network.context_features, seed=1) if seen else None
    variables = drawn_parameters(network.init, z, context)

    def forward(z, context):
        x, log_det = network.apply(variables, z[None], None if context is None else context[None], method="forward")
        return x[0], (x[0], log_det[0])

    @jax.jit
    def all_of(z, context):
        jacobian, (x, log_det) = jax.vmap(jax.jacfwd(forward, has_aux=True))(z, context)
        return x, log_det, *network.apply(variables, x, context, method="inverse"), jacobian

    return z, *all_of(z, context)


def density_of(name, batch=N, seed=0, spread=1.0):
    """A head's density at random parameters, over [1, B, 3]; priors see a condition."""
    head, features = HEADS[name], normal(batch, 4, seed=seed)
    args = (features,) if isinstance(head, posterior.FlowPosterior) else (None, features)
    variables = drawn_parameters(head.init, *args, spread=spread)
    return head.apply(variables, *args)


@pytest.mark.parametrize(("name", "seen"), CASES)
def test_the_inverse_undoes_forward_and_its_log_determinant(name, seen):
    z, x, log_det, back, log_det_back, _ = passes(name, seen)
    assert np.abs(x - z).max() > 0.3
    np.testing.assert_allclose(back, z, atol=1e-4)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-4)


@pytest.mark.parametrize(("name", "seen"), CASES)
def test_the_log_determinant_is_the_jacobians(name, seen):
    _, _, log_det, *_, jacobian = passes(name, seen)
    expected = np.linalg.slogdet(np.float64(jacobian))[1]
    assert expected.std() > 0.005
    np.testing.assert_allclose(log_det, expected, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_of_a_flow_reaches_every_coordinate_from_every_other(name):
    """Two orders, or four ways to halve, leave no pair of coordinates apart."""
    jacobian = passes(name, True)[-1]
    assert (np.abs(jacobian).max(0) > 0).all()


@functools.cache
def step_jacobian(step, context):
    z = normal(N, D)
    variables = drawn_parameters(lambda key: step.init(key, z, None, method="forward"))

    def one(z, h):
        return step.apply(variables, z[None], None if h is None else h[None], method="forward")

    context = normal(N, H, seed=1) if context else None
    return jax.jit(jax.vmap(jax.jacfwd(lambda z, h: one(z, h)[0][0])))(z, context)


@pytest.mark.parametrize("descending", [False, True])
def test_an_autoregressive_step_sees_earlier_coordinates_alone_and_all_of_them(descending):
    jacobian = step_jacobian(Autoregressive(D, H, 2, 4.0, gated_affine, descending), False)
    earlier = np.triu(np.ones((D, D)), 1) if descending else np.tril(np.ones((D, D)), -1)
    np.testing.assert_array_equal(np.abs(jacobian).max(0) > 0, (earlier + np.eye(D)) > 0)


@pytest.mark.parametrize(
    ("interleaved", "swapped", "moved"),
    [(False, False, {2, 3, 4}), (False, True, {0, 1}), (True, False, {1, 3}), (True, True, {0, 2, 4})],
)
def test_a_coupling_moves_one_half_by_the_other_and_leaves_that(interleaved, swapped, moved):
    jacobian = step_jacobian(Coupling(D, H, 1, 4.0, interleaved, swapped), True)
    expected = np.array([[i == j or (i in moved and j not in moved) for j in range(D)] for i in range(D)])
    np.testing.assert_array_equal(np.abs(jacobian).max(0) > 0, expected)
    kept = [i for i in range(D) if i not in moved]
    np.testing.assert_array_equal(jacobian[:, kept], np.broadcast_to(np.eye(D)[kept], (N, len(kept), D)))


def test_iaf_is_the_papers_equations_unit_by_unit():
    """Eq. 10-14 in float64: a hidden unit of degree m sees the m coordinates that come first."""
    network, z = InverseAutoregressiveFlow(D, 2, H, 1), normal(N, D)
    context = normal(N, 2 * H, seed=1)
    variables = drawn_parameters(network.init, z, context)
    x, log_det = network.apply(variables, z, context)
    expected, log_sigma = np.float64(z), 0.0
    for turn, order in enumerate([np.arange(D), np.arange(D)[::-1]]):
        weights = {k: np.float64(a) for k, a in variables["params"][f"turns_{turn}"]["made"].items()}
        hidden = np.zeros((N, H))
        for unit in range(H):
            sees = order[: unit * D // H]
            hidden[:, unit] = expected[:, sees] @ weights["kernel_0"][sees, unit] + weights["bias_0"][unit]
        hidden = np.maximum(hidden + np.float64(context)[:, H * turn : H * turn + H], 0)
        new = expected.copy()
        for place, i in enumerate(order):
            sees = [unit for unit in range(H) if unit * D // H <= place]
            m, s = (hidden[:, sees] @ weights["kernel_1"][sees, k] + weights["bias_1"][k] for k in (i, D + i))
            sigma = scipy.special.expit(2 + 4 * np.tanh(s / 4))
            new[:, i] = sigma * expected[:, i] + (1 - sigma) * m
            log_sigma = log_sigma + np.log(sigma)
        expected = new
    np.testing.assert_allclose(x, expected, atol=1e-5)
    np.testing.assert_allclose(log_det, log_sigma, atol=1e-5)


def test_couplings_are_the_papers_equation_with_halves_taking_turns():
    """Eq. 4-5 in float64, the coordinates that move written out."""
    network, z = CouplingFlow(D, 4, H, 1), normal(N, D)
    context = normal(N, 4 * H, seed=1)
    variables = drawn_parameters(network.init, z, context)
    x, log_det = network.apply(variables, z, context)
    expected, total = np.float64(z), 0.0
    for turn, moved in enumerate(([2, 3, 4], [0, 1], [1, 3], [0, 2, 4])):
        kept = [i for i in range(D) if i not in moved]
        dense = variables["params"][f"turns_{turn}"]["conditioner"]
        (w0, b0), (w1, b1) = ([np.float64(dense[f"Dense_{i}"][k]) for k in ("kernel", "bias")] for i in (0, 1))
        hidden = np.maximum(expected[:, kept] @ w0 + b0 + np.float64(context)[:, H * turn : H * turn + H], 0)
        t, s = np.split(hidden @ w1 + b1, 2, axis=-1)
        s = 4 * np.tanh(s / 4)
        expected[:, moved] = expected[:, moved] * np.exp(s) + t
        total = total + s.sum(-1)
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(log_det, total, atol=1e-4)


@pytest.mark.parametrize("kind", [InverseAutoregressiveFlow, MaskedAutoregressiveFlow])
def test_the_context_reaches_every_coordinate_of_a_step_the_first_too(kind):
    network, z = kind(D, 1, H, 1), normal(1, D)
    context = normal(1, H, seed=1)
    variables = drawn_parameters(network.init, z, context)
    moved, _ = jax.jit(network.apply)(variables, z, context)
    assert (np.abs(moved - jax.jit(network.apply)(variables, z, context + 1.0)[0]) > 1e-3).all()


@pytest.mark.parametrize("factory", [prior.realnvp, prior.maf])
def test_a_flow_prior_in_the_plane_integrates_to_one(factory):
    head = factory(4, 8, latent_dim=2)
    p = head.apply(drawn_parameters(head.init, None), None)
    side, reach = 301, 20.0
    line = jnp.linspace(-reach, reach, side)
    points = jnp.stack(jnp.meshgrid(line, line), -1).reshape(1, -1, 2)
    log_p = np.float64(jax.jit(Flow.log_prob)(p, points))
    assert log_p.std() > 1
    np.testing.assert_allclose(np.exp(log_p).sum() * (2 * reach / (side - 1)) ** 2, 1, atol=0.01)


TRACED = []  # once for every compilation of `draws`


@jax.jit
def draws(density, keys, temperature):
    TRACED.append(density)
    return density.sample(keys, temperature), density.mean()


@pytest.mark.parametrize("name", HEADS)
def test_a_draws_density_is_the_density_at_the_draw_with_and_without_the_samples_axis(name):
    density = density_of(name)
    keys = random.split(random.key(0), (3, N))

    @jax.jit
    def scored(density, keys):
        x, log_prob = density.sample_and_log_prob(keys)
        return x, log_prob, density.log_prob(x)

    x, log_prob, at_draw = scored(density, random.clone(keys))
    assert (x.shape, log_prob.shape) == ((3, N, 3), (3, N))
    np.testing.assert_allclose(log_prob, at_draw, atol=1e-3)
    np.testing.assert_allclose(draws(density, keys, 1.0)[0], x, atol=1e-5)
    alone = drop_sample_axis(density)
    alike = Flow(alone.base, alone.weights, jnp.broadcast_to(alone.context[:1], alone.context.shape), alone.network)
    assert len(np.unique(draws(alike, random.key(0), 1.0)[0], axis=0)) == N
    np.testing.assert_allclose(jax.jit(Flow.log_prob)(alone, x[1]), at_draw[1], atol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_a_cold_draw_is_the_mean_and_a_draw_knows_its_own_key_and_example_alone(name):
    density, other = density_of(name), density_of(name, seed=1)
    one = np.arange(N) == 2
    context = jnp.where(one[None, :, None], density.context, other.context)
    base = jax.tree.map(lambda a, b: jnp.where(one[None, :, None], a, b), density.base, other.base)
    elsewhere = Flow(base, density.weights, context, other.network)  # of another call, yet the same to a compiler
    x, mean = draws(density, random.split(random.key(0), (3, N)), 1.0)
    traced = len(TRACED)
    bits = [random.key_data(random.split(random.key(seed), (3, N))) for seed in (0, 1)]
    same = draws(elsewhere, random.wrap_key_data(jnp.where(one[None, :, None], *bits)), 1.0)[0]
    np.testing.assert_allclose(same[:, 2], x[:, 2], atol=1e-6)
    assert len(TRACED) == traced
    assert (np.abs(same - x).max((0, 2)) > 0)[~one].all()
    cold = draws(density, random.split(random.key(2), (3, N)), 0.0)[0]
    np.testing.assert_allclose(cold, jnp.broadcast_to(mean, cold.shape), atol=1e-6)


@pytest.mark.parametrize("factory", [prior.realnvp, prior.maf])
def test_a_flow_prior_starts_near_the_standard_gaussian(factory):
    head = factory(3, latent_dim=4)
    p, _ = jax.jit(head.init_with_output)(random.key(0), None)
    x = normal(1, 50, 4)
    np.testing.assert_allclose(jax.jit(Flow.log_prob)(p, x), scipy.stats.norm.logpdf(x).sum(-1), atol=0.3)


@pytest.mark.parametrize("name", HEADS)
def test_extreme_networks_and_bases_are_finite_in_value_and_gradient(name):
    density = density_of(name)
    x = normal(1, N, 3, spread=30.0)

    def pushed(weights, far):  # every bias, up and down by turns: what the next layer, or the bound, is given
        return jax.tree_util.tree_map_with_path(
            lambda path, a: a + far * (-1.0) ** jnp.arange(a.size).reshape(a.shape) * ("bias" in path[-1].key), weights
        )

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def total(weights, base, context, far):
        density_far = Flow(base, pushed(weights, far), context, density.network)
        drawn, log_prob = density_far.sample_and_log_prob(random.split(random.key(0), (2, N)))
        values = (drawn, log_prob, density_far.log_prob(x))
        return sum(value.sum() for value in values), values

    for far in (-1e3, 1e3):
        for log_scale in (-7.0, 7.0):
            base = Normal(density.base.loc, jnp.full_like(density.base.log_scale, log_scale))
            for leaf in jax.tree.leaves(total(density.weights, base, density.context, far)):
                assert np.isfinite(leaf).all()


def keys_of_examples(samples=4):
    return example_keys(random.key(5), np.arange(N), samples)


@functools.cache
def small_flow_vae(q, p):
    """(model, params, scored, traced): scored gives the bound, log-weights and gradients; traced, how often it was."""
    model, traced = make_vae(latent_dim=3).clone(posterior=HEADS[q], latent_prior=HEADS[p]), []
    x, condition = binary_images(N), jnp.eye(N)
    variables = drawn_parameters(lambda key: model.init(key, keys_of_examples(), x, condition))

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def scored(params, keys, x, condition):
        traced.append(1)
        log_weight = model.apply({"params": params}, keys, x, condition).log_weight
        return log_weight.mean(), log_weight

    return model, variables["params"], scored, traced


PAIRS = [("iaf", "realnvp"), ("coupling", "maf")]


@pytest.mark.parametrize(("q", "p"), PAIRS)
def test_a_vae_with_flows_has_a_finite_bound_and_every_parameter_a_gradient(q, p):
    _, params, scored, _ = small_flow_vae(q, p)
    (value, _), gradient = scored(params, keys_of_examples(), binary_images(N), jnp.eye(N))
    assert np.isfinite(value)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


@pytest.mark.parametrize(("q", "p"), PAIRS)
def test_editing_an_example_or_its_condition_moves_its_terms_alone_and_compiles_nothing(q, p):
    _, params, scored, traced = small_flow_vae(q, p)
    x, condition = binary_images(N), jnp.eye(N)
    edited = x.copy()
    edited[2] = 1 - edited[2]

    def log_weight(*args, params=params):
        return scored(params, keys_of_examples(), *args)[0][1]

    whole = log_weight(x, condition)
    for args, i in ((edited, condition), 2), ((x, condition.at[4].set(0.0)), 4):
        moved = np.abs(log_weight(*args) - whole)
        np.testing.assert_array_equal(np.flatnonzero(moved.max(0)), [i])
        assert (moved[:, i] > 0).all()
    log_weight(x, condition, params=jax.tree.map(lambda a: a + 0.1, params))
    assert len(traced) == 1


def test_samples_in_chunks_are_the_samples_at_once():
    model, params, scored, _ = small_flow_vae(*PAIRS[0])
    x, condition = binary_images(N), jnp.eye(N)
    (_, whole), _ = scored(params, keys_of_examples(), x, condition)
    terms = jax.jit(model.apply)({"params": params}, keys_of_examples()[1:3], x, condition)
    np.testing.assert_allclose(terms.log_weight, whole[1:3], rtol=1e-5)


@pytest.mark.parametrize("factory", [posterior.iaf, posterior.coupling, prior.realnvp, prior.maf])
def test_a_flow_of_one_coordinate_and_sizes_that_are_none_are_refused_in_words(factory):
    with pytest.raises(ValueError, match=rf"{factory.__name__}\(...\) moves coordinates.*latent_dim=1 has no others"):
        factory(latent_dim=1)
    with pytest.raises(ValueError, match="steps=0: expected a whole number from 1 on"):
        factory(0, latent_dim=2)


def test_a_configs_string_names_the_flows():
    assert build_part("posterior", "iaf(steps=2, hidden=6)", {"latent_dim": 3}) == HEADS["iaf"].clone(
        flow=HEADS["iaf"].flow.clone(layers=1)
    )
    assert build_part("prior", "realnvp(2, 6, 1)", {"latent_dim": 3, "data_shape": (4, 4, 1)}) == HEADS["realnvp"]


@pytest.mark.parametrize(("name", "seen"), CASES)
def test_with_x64_a_flow_keeps_double_precision(name, seen):
    """N10: its networks' outputs were cast to float32."""
    network = NETWORKS[name]
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.RandomState(0).normal(size=(N, D)))
        context = jnp.asarray(np.random.RandomState(1).normal(size=(N, network.context_features))) if seen else None
        variables = drawn_parameters(network.init, z, context)
        variables = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), variables)
        x, log_det = network.apply(variables, z, context, method="forward")
        again, back = network.apply(variables, x, context, method="inverse")
        assert {each.dtype for each in (x, log_det, again, back)} == {jnp.dtype("float64")}
        jacobian = jax.vmap(jax.jacfwd(lambda z, c: network.apply(variables, z[None], c, method="forward")[0][0]))
        exact = jnp.linalg.slogdet(jacobian(z, None if context is None else context[:, None]))[1]
        np.testing.assert_allclose(again, z, atol=1e-9)
        np.testing.assert_allclose(log_det, exact, atol=1e-9)
