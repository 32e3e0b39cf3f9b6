"""Metrics of a user's own: of the inputs that are scored, example by example, with errors and protocol."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from small import grey_images

import jaxvae
from jaxvae.config import Config, Data, Evaluate, Model
from jaxvae.config.registry import TABLES
from jaxvae.evaluate.bounds import active_units
from jaxvae.rundir.results import is_complete
from jaxvae.training import scoring
from jaxvae.training.setup import set_up, set_up_member

MINE = '''
import jax
import jax.numpy as jnp

def ink(model, variables, keys, batch, power=1.0):
    """Mean of x, to a power."""
    return {"ink": batch.x.mean((1, 2, 3)) ** power, "noise": jax.vmap(jax.random.normal)(keys)}
'''


ARRAYS = {"train": grey_images(20, (4, 4, 1)), "test": grey_images(11, (4, 4, 1))}


def make_experiment(metrics, **evaluate):
    config = Config(
        data=Data(name="arrays", batch_size=8, validation=0.0),
        model=Model(encoder="mlp(4)", decoder="mlp(4)"),
        evaluate=Evaluate(samples=1, batch_size=8, metrics=metrics, **evaluate),
    )
    return set_up(config, ARRAYS, lambda line: None)


def variables_of(experiment):
    keys = jaxvae.terms.example_keys(random.key(1), np.arange(1))
    return experiment.parts.model.init(random.key(0), keys, jnp.zeros((1, 4, 4, 1)), None)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_metrics.py").write_text(MINE)
    return "my_metrics.py"


def test_a_metric_is_in_the_results_with_its_error_and_its_protocol(file):
    experiment = make_experiment(f"{file}:ink(power=2.0)")
    results, values = scoring.score(experiment, variables_of(experiment), 3)
    ink = values["test"]["ink"]
    assert ink.shape == (11,)
    assert results["test"]["ink"] == {
        "value": pytest.approx(ink.mean()),
        "stderr": pytest.approx(ink.std(ddof=1) / np.sqrt(11)),
    }
    assert results["protocol"][f"metric {file}:ink(power=2.0)"] == "Mean of x, to a power."
    plain = make_experiment(f"{file}:ink")
    np.testing.assert_allclose(scoring.score(plain, variables_of(plain), 3)[1]["test"]["ink"] ** 2, ink, rtol=1e-6)
    assert is_complete(results, experiment.config, 3)
    assert not is_complete(results, plain.config, 3)


def test_runs_of_other_seeds_are_scored_on_the_same_draws():
    def of_seed(seed):
        experiment = make_experiment("")
        train = dataclasses.replace(experiment.config.train, seed=seed)
        return set_up(dataclasses.replace(experiment.config, train=train), ARRAYS, lambda line: None)

    experiments = [of_seed(0), of_seed(7)]
    variables = variables_of(experiments[0])
    experiments.append(set_up_member(experiments[1].config, experiments[0]))
    first, *others = [scoring.score(experiment, variables, 3) for experiment in experiments]
    for results, values in others:
        np.testing.assert_array_equal(values["test"]["elbo"], first[1]["test"]["elbo"])
        assert results["protocol"]["draws"] == first[0]["protocol"]["draws"]
    assert not np.array_equal(*(random.key_data(each.train_key) for each in experiments[:2]))


def test_x_is_what_the_bound_scores_and_keys_are_each_example_s(file, monkeypatch):
    def code(model, variables, keys, batch):
        return {"code": model.apply(variables, batch.x, batch.condition, method="infer").mean()[0, :, 0]}

    monkeypatch.setitem(TABLES["metric"], "code", code)
    experiment = make_experiment(f"{file}:ink, code")
    variables = variables_of(experiment)
    _, values = scoring.score(experiment, variables, 0)
    np.testing.assert_allclose(values["test"]["code"], values["test"]["means"][:, 0], rtol=1e-5)
    assert len(set(values["test"]["noise"].tolist())) == 11
    config = dataclasses.replace(experiment.config.evaluate, batch_size=5)
    other = dataclasses.replace(experiment, config=dataclasses.replace(experiment.config, evaluate=config))
    for name in ("ink", "noise", "elbo"):
        np.testing.assert_allclose(scoring.score(other, variables, 0)[1]["test"][name], values["test"][name], rtol=1e-5)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda batch: batch.x.mean(), r"metric 'mine' returned \(\): expected \{name: array\}, each \[8\]"),
        (lambda batch: {"a": batch.x}, r"\(8, 4, 4, 1\).*expected"),
        (lambda batch: {"elbo": batch.x.mean((1, 2, 3))}, "'elbo' is a number of ours; rename"),
    ],
)
def test_what_is_no_metric_is_refused(returned, words, monkeypatch):
    monkeypatch.setitem(TABLES, "metric", {})
    jaxvae.register("metric", "mine", lambda model, variables, keys, batch: returned(batch))
    experiment = make_experiment("mine")
    with pytest.raises(ValueError, match=words):
        scoring.score(experiment, variables_of(experiment), 0)


def test_an_unknown_metric_and_an_untrusted_file_are_refused_before_training(file):
    with pytest.raises(ValueError, match=r"evaluate\.metrics='mine': 'mine' is not a known metric"):
        make_experiment("mine")
    config = Config(data=Data(name="arrays"), evaluate=Evaluate(metrics=f"{file}:ink"))
    with pytest.raises(ValueError, match=r"runs code of my_metrics\.py\. If you trust it"):
        set_up(config, grey_images(20, (4, 4, 1)), trust=False)


def test_the_protocol_names_a_scale_that_was_fitted_with_dropout():
    """N3: sigma-VAE's sigma was 0.135 with dropout 0.2, where validation without it implies 0.126."""

    def texts(encoder, likelihood):
        experiment = make_experiment("")
        model = dataclasses.replace(experiment.config.model, encoder=encoder, likelihood=likelihood)
        data = dataclasses.replace(experiment.config.data, prepare="dequantize")
        config = dataclasses.replace(experiment.config, model=model, data=data)
        return scoring.protocol(set_up(config, ARRAYS, lambda line: None))

    assert "dropout" in texts("mlp(4, dropout=0.2)", "gaussian('optimal')")["scale"]
    for encoder, likelihood in (("mlp(4)", "gaussian('optimal')"), ("mlp(4, dropout=0.2)", "gaussian(0.3)")):
        assert "scale" not in texts(encoder, likelihood)


def test_a_categorical_latent_is_one_unit():
    """N10: every class probability was counted."""
    experiment = make_experiment("")
    relaxed = {"posterior": "relaxed(3)", "prior": "categorical", "latent_dim": 2}
    model = dataclasses.replace(experiment.config.model, **relaxed)
    experiment = set_up(dataclasses.replace(experiment.config, model=model), ARRAYS, lambda line: None)
    results, values = scoring.score(experiment, variables_of(experiment), 0)
    variance = values["test"]["means"].reshape(11, 2, 3).var(0).sum(-1)
    assert results["test"]["active_units"] == {"value": (variance > 0.01).sum(), "of": 2}
    means = np.repeat([[1.0, 0.0], [0.0, 1.0]], 50, axis=0) @ np.array([[0.07, 0.07, 1, 0], [0, 0, 1, 0]])
    assert active_units(means, 2).tolist() == [False, False]
    assert active_units(3 * means, 2).tolist() == [True, False]  # by both coordinates together
