"""Scores of strangeness are the bound's pieces; the area and its error are true; classes left out are nowhere else."""

import dataclasses
import math

import numpy as np
import pytest
from gaussian import images, make_linear_vae
from jax import random
from looked_at import make_data, make_run, make_subject
from opened_data import open_named
from sklearn.metrics import roc_auc_score
from small import grey_images

from jaxvae import latent
from jaxvae.config import Config
from jaxvae.training.scoring import protocol
from jaxvae.training.setup import set_up
from jaxvae.viz.figures.anomaly import compute_anomaly, compute_roc, plot_anomaly


def test_the_scores_are_exact_where_the_posterior_is():
    model, variables, log_px = make_linear_vae()
    x = images(6)
    score = latent.make_anomaly_scores(model)
    found = score(variables, random.key(0), x, np.arange(6), samples=3)
    assert list(found) == ["negative_log_likelihood", "negative_elbo", "rate", "distortion"]
    np.testing.assert_allclose(found["negative_log_likelihood"], -log_px(x), rtol=1e-4)
    np.testing.assert_allclose(found["negative_elbo"], found["rate"] + found["distortion"], rtol=1e-5)
    many = score(variables, random.key(1), np.repeat(x[:1], 200, 0), np.arange(200), samples=1)
    np.testing.assert_allclose(many["negative_elbo"].mean(), -log_px(x)[0], rtol=0.01)
    for name, values in score(variables, random.key(0), x[4:5], np.array([4]), samples=3).items():
        np.testing.assert_allclose(values, found[name][4:5], rtol=1e-5)


def test_an_autoencoder_has_no_likelihood_to_score_with():
    run = make_run(posterior="point")
    assert set(run.anomaly(random.key(0), np.ones((2, 4, 4, 1)))) == {"rate", "distortion"}


def test_the_area_is_the_chance_to_rank_right():
    random_state = np.random.RandomState(0)
    known, novel = random_state.randint(0, 20, 50), random_state.randint(5, 25, 30)  # with ties
    found = compute_roc(known, novel)
    above, equal = novel[:, None] > known[None], novel[:, None] == known[None]
    assert found.area == pytest.approx((above + 0.5 * equal).mean())
    assert np.trapezoid(found.true_positives, found.false_positives) == pytest.approx(found.area)


@pytest.mark.parametrize(
    ("scale", "shift", "known", "novel"), [(1.0, 1.0, 60, 60), (4.0, 2.0, 100, 30), (0.3, 1.0, 30, 100)]
)
def test_the_area_s_error_is_the_spread_of_repeats(scale, shift, known, novel):
    r = np.random.default_rng(1)
    found = [compute_roc(r.normal(size=known), r.normal(shift, scale, novel)) for _ in range(600)]
    spread = np.std([each.area for each in found], ddof=1)
    assert math.sqrt(np.mean([each.error**2 for each in found])) == pytest.approx(spread, rel=0.08)


def test_the_area_s_error_is_the_jackknife_of_both_samples():
    """DeLong's structural components are the values of a delete-one jackknife over scikit-learn's area."""
    r = np.random.default_rng(0)
    known, novel = r.integers(0, 20, 25), r.integers(5, 25, 15)  # with ties

    def area(known, novel):
        return roc_auc_score([0] * len(known) + [1] * len(novel), [*known, *novel])

    without = (
        [area(np.delete(known, i), novel) for i in range(25)],
        [area(known, np.delete(novel, i)) for i in range(15)],
    )
    variance = sum((len(each) - 1) ** 2 / len(each) * np.var(each, ddof=1) for each in without)
    found = compute_roc(known, novel)
    assert found.error == pytest.approx(math.sqrt(variance), rel=1e-10)
    assert math.isnan(compute_roc(known, novel[:1]).error)


def test_classes_left_out_are_in_no_split_but_their_own():
    whole, data = make_data(), make_data(leave_out=(1,))
    assert list(data.splits) == ["train", "validation", "test", "left_out"]
    for name, split in data.splits.items():
        before = whole.splits["test" if name == "left_out" else name]
        here = before.labels(np.arange(len(before))) == 1
        np.testing.assert_array_equal(split.index, before.index[here if name == "left_out" else ~here])
        assert set(split.labels(np.arange(len(split)))) <= ({1} if name == "left_out" else {0, 2})
    assert "classes left out of training, validation and test (1)" in data.source("left_out")
    assert "left_out" not in whole.splits
    assert data.condition_size("label") == 3


UNLABELLED = (grey_images(20), None)


@pytest.mark.parametrize(
    ("arrays", "classes", "words"),
    [
        ((grey_images(20), np.arange(20) % 2), (3,), r"leave_out=\(3,\): arrays has no class 3; it has 0, 1"),
        ((grey_images(20), np.arange(20) % 2), (0, 1), "these are all classes of arrays; leave some to train on"),
        (grey_images(20), (0,), "arrays has no labels; classes can be left out of data labelled by whole numbers"),
        ((grey_images(20), np.ones((20, 2))), (0,), "arrays has labels that are vectors"),
        (
            {"train": (grey_images(9), np.arange(9) % 3), "test": (grey_images(9), np.zeros(9, int))},
            (1,),
            "the test images of arrays must be of these classes and of others",
        ),
        (
            {"train": (grey_images(9), np.arange(9) % 3), "test": (grey_images(9), np.zeros(9, int))},
            (0,),
            "the test images of arrays must be of these classes and of others",
        ),
    ],
)
def test_classes_that_cannot_be_left_out(arrays, classes, words):
    with pytest.raises(ValueError, match=words):
        open_named("arrays", None, 0, arrays, leave_out=classes)


def test_an_experiment_leaves_them_out_and_says_so():
    config = Config()
    config.data.leave_out, config.data.batch_size = (4, 7), 32
    experiment = set_up(config, say=lambda line: None)
    label = experiment.data.splits["train"].labels(np.arange(len(experiment.data.splits["train"])))
    assert set(label) == set(range(10)) - {4, 7}
    assert "(4, 7); a split is scored whole" in protocol(experiment)["split"]
    told = dataclasses.replace(config, model=dataclasses.replace(config.model, condition="label"))
    with pytest.raises(ValueError, match=r"leave_out=\(4, 7\) with model.condition='label'.*condition='none'"):
        set_up(told, say=lambda line: None)
    splits = dataclasses.replace(config, evaluate=dataclasses.replace(config.evaluate, splits=("left_out",)))
    splits.data = dataclasses.replace(config.data, leave_out=())
    with pytest.raises(ValueError, match=r"evaluate.splits: .*, not 'left_out'; see data\.leave_out"):
        set_up(splits, say=lambda line: None)


def test_the_figure_scores_the_known_and_the_novel(tmp_path):
    subject = make_subject(leave_out=(2,))
    found = compute_anomaly(subject, samples=2)
    plot_anomaly(tmp_path / "anomaly.png", found)
    assert (found.known["rate"].shape, found.novel["rate"].shape) == ((20,), (10,))
    assert list(found.curves) == ["negative_log_likelihood", "negative_elbo", "rate", "distortion"]
    assert found.curves["rate"].area == pytest.approx(compute_roc(found.known["rate"], found.novel["rate"]).area)
    assert {path.name for path in tmp_path.iterdir()} == {"anomaly.png", "anomaly.svg"}
    with pytest.raises(ValueError, match=r"trained on all classes; train one with data\.leave_out"):
        compute_anomaly(make_subject(), samples=2)
