"""The diagnosis in words: which numbers are an illness, what they are said to be, and remedies that can be typed."""

import dataclasses
import inspect
import math
import shlex

import pytest

from jaxvae import objective
from jaxvae.config import Config, Model, Train
from jaxvae.config.build import build
from jaxvae.training.diagnosis_rules import apply_rules

NUMBERS = {
    "elbo": {"value": -100.0},
    "rate": {"value": 20.0},
    "distortion": {"value": 80.0, "stderr": 1.0},
    "active_units": {"value": 8, "of": 8},
    "kl_per_dimension": {"value": [2.5] * 8},
}
CLOSED = {"examples": 1000, "told_apart": 0.505, "told_apart_stderr": 0.011}
DENSITY = {"rate": 3.0, "information": 2.9, "divergence": 0.1, "divergence_stderr": 0.02, "divergence_least": 0.05}
DENSITY |= {"divergence_least_stderr": 0.02}
GAP = {"value": 0.5, "stderr": 0.3, "score": -100.0, "train_examples": 1000, "examples": 1000}
HEALTHY = {"split": "test", "meeting": CLOSED | DENSITY, "gap": GAP}
COLLAPSED = NUMBERS | {
    "rate": {"value": 1e-3},
    "active_units": {"value": 0, "of": 8},
    "kl_per_dimension": {"value": [1e-4] * 8},
}
PLAIN = {"rate": {"value": 16.6}, "distortion": {"value": 10.0, "stderr": 1.0}}  # of a model without a bound


def config(**fields):
    model = fields.pop("model", {})
    train = Train(steps=1000, **fields.pop("train", {}))
    return dataclasses.replace(Config(model=Model(latent_dim=8, **model), train=train), **fields)


def named(name, cfg=None, numbers=NUMBERS, betas=(1.0, 1.0), **measured):
    """The finding of that name; None where there is none."""
    found = apply_rules(cfg or config(), numbers, HEALTHY | measured, betas)
    order = [("illness", "note", "fine").index(each["level"]) for each in found]
    assert order == sorted(order)
    return next((each for each in found if each["name"] == name), None)


def meeting(**values):
    return CLOSED | DENSITY | values


def test_a_healthy_model_has_neither_illness_nor_note():
    found = apply_rules(config(), NUMBERS, HEALTHY, [1.0, 1.0])
    assert [(each["name"], each["level"], each["remedy"]) for each in found] == [
        (name, "fine", None) for name in ("collapse", "beta", "holes", "overfitting")
    ]
    numbers = [each["numbers"] for each in found]
    assert all(math.isfinite(number) for each in numbers for name, number in each.items() if name != "split")
    assert {each["split"] for each in numbers} == {"test"}


@pytest.mark.parametrize(
    ("rate", "distortion", "betas", "objective", "diverged"),
    [
        (0.0, 2.8e8, [1.0], "elbo", True),
        (4659.4, 27.0, [1.0], "elbo", True),
        (400.0, 27.0, [0.01], "elbo(beta=0.01)", False),  # its rate was nearly free
        (400.0, 27.0, [], "reconstruction() + aae()", False),
        (400.0, 27.0, [], "iwae()", True),
        (0.5, 46.0, [1.0], "elbo", False),  # 1.5 nats worse, of 45
    ],
)
def test_weights_worse_than_untrained_ones_diverged(rate, distortion, betas, objective, diverged):
    numbers = NUMBERS | {"rate": {"value": rate}, "distortion": {"value": distortion, "stderr": 0.2}}
    untrained = {"rate": 0.5, "distortion": 44.5}
    cfg = config(objective=objective)
    cfg.optimizer.learning_rate = 0.5
    found = apply_rules(cfg, numbers, HEALTHY | {"untrained": untrained}, betas)
    assert (found[0]["name"] == "divergence") == diverged
    if diverged:
        assert (found[0]["level"], found[0]["remedy"]) == ("illness", "--config.optimizer.learning_rate=0.001")
        assert f"{rate + distortion:.4g} nats" in found[0]["says"]
        assert not any(each["remedy"] for each in found[1:])


def history(*scores):
    return list(zip(range(100, 1100, 100), scores, strict=True))


RISING = history(-50, -40, -36, -33, -31, -29, -27.5, -26, -25, -24)
FLAT = history(-50, -40, -33, -30, -29, -28.4, -28.2, -28.1, -28.05, -28.0)
FALLING = history(-50, -40, -33, -30, -29, -30, -31, -32, -33, -34)


@pytest.mark.parametrize(("scores", "level"), [(RISING, "note"), (FLAT, "fine"), (FALLING, "fine")])
def test_a_validation_score_that_still_rises_asks_for_more_steps(scores, level):
    found = named("steps", validation=scores)
    assert (found["level"], found["remedy"]) == (level, "--config.train.steps=2000" if level == "note" else None)
    assert found["numbers"]["best_step"] == (500 if scores is FALLING else 1000)
    assert named("steps", validation=scores[:3]) is None


def test_early_stopping_is_no_remedy_where_validation_rose_to_the_end():
    gap = GAP | {"value": 5.0}
    rising, falling, unknown = (named("overfitting", gap=gap, validation=each) for each in (RISING, FALLING, []))
    assert (rising["level"], rising["remedy"]) == ("note", None)
    assert "early stopping would not help" in rising["says"]
    assert (falling["level"], falling["remedy"]) == ("illness", "--config.train.patience=5")
    assert "best at step 500 of 1,000" in falling["says"]
    assert (unknown["level"], unknown["remedy"]) == ("illness", "--config.train.patience=5")


def test_a_collapse_is_an_illness_and_unused_dimensions_are_a_note():
    ill = named("collapse", numbers=COLLAPSED)
    assert (ill["level"], ill["numbers"]["rate"], ill["numbers"]["active_units"]) == ("illness", 1e-3, 0)
    assert "0 of 8 latent dimensions are active" in ill["says"]
    few = NUMBERS | {"kl_per_dimension": {"value": [5.0, 0.0099, 0.011, 0]}}
    note = named("collapse", numbers=few)
    assert (note["level"], note["remedy"], note["numbers"]["unused"]) == ("note", None, 2)
    assert "2 of 4 latent dimensions" in note["says"]


def test_a_rate_that_tells_nothing_apart_is_a_collapse_too():
    """As free nats leave it: every posterior is the same, and far from the prior."""
    found = named("collapse", meeting=meeting(rate=20.0, information=1e-3, divergence=20.0, divergence_least=20.0))
    assert (found["level"], found["numbers"]["information"]) == ("illness", 1e-3)
    assert "for a rate of 20" in found["says"]


@pytest.mark.parametrize(
    ("beta", "measured", "expected"),
    [
        ((100.0, 100.0), {}, "--config.objective='elbo(beta=1.0)'"),
        ((1.0, 1.0), {}, "--config.objective='elbo(beta=linear(0, 1, steps=250))'"),
        ((0.5, 1.0, 1.0), {}, """--config.objective="elbo(free_nats=0.5, per='dimension')\""""),
        ((1.0,), {"sigma": {"used": 1.0, "implied": 0.2}}, """--config.model.likelihood="gaussian('optimal')\""""),
    ],
)
def test_the_remedy_of_a_collapse_is_its_cause(beta, measured, expected):
    assert named("collapse", numbers=COLLAPSED, betas=beta, **measured)["remedy"] == expected


def test_a_warm_up_that_did_not_end_is_an_illness_and_another_beta_a_note():
    objective = "elbo(beta=linear(0, 1, steps=50000))"
    found = named("beta", config(objective=objective), betas=[0.01, math.nan, 0.02])
    assert (found["level"], found["numbers"]) == ("illness", {"split": "test", "beta": 0.02})
    assert found["remedy"] == "--config.objective='elbo(beta=linear(0, 1, steps=500))'"
    assert "more than pays" in found["says"]
    found = named("beta", config(objective="elbo(beta=4.0)"), betas=[4.0, 4.0])
    assert (found["level"], found["remedy"]) == ("note", None)
    assert "less than pays" in found["says"]
    assert named("beta", betas=[]) is named("beta", config(objective="geco(distortion=80.0)"), betas=[0.1, 0.3]) is None
    assert named("beta", config(objective="elbo() + 10 * mmd('imq')"), betas=[1.0])["level"] == "fine"


@pytest.mark.parametrize(
    ("used", "implied", "level", "factor"),
    [(1.0, 0.25, "illness", 16.0), (0.3, 0.2, "note", 2.25), (0.2, 0.2, "fine", 1.0), (0.1, 0.25, "illness", 0.16)],
)
def test_the_factor_of_a_wrong_sigma_is_its_square(used, implied, level, factor):
    found = named("sigma", sigma={"used": used, "implied": implied})
    assert (found["level"], found["numbers"]["factor"]) == (level, pytest.approx(factor))
    assert (found["remedy"] is None) == (level == "fine")
    if level == "illness":
        assert f"{max(factor, 1 / factor):.3g} times too {'much' if factor > 1 else 'little'}" in found["says"]
    assert named("sigma") is None
    assert named("sigma", numbers=PLAIN, sigma={"used": 1.0, "implied": 0.1}) is None


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({"told_apart": 0.65}, "note"),
        ({"told_apart": 0.8}, "illness"),
        ({"told_apart": 0.72}, "illness"),  # of samples that are noise
        ({"told_apart": 0.8, "told_apart_stderr": 0.2}, "fine"),  # within three standard errors of chance
        ({"divergence_least": 0.4, "divergence": 0.6, "divergence_least_stderr": 0.1}, "fine"),  # 0.2 at the least
        ({"divergence_least": 0.4, "divergence": 0.6}, "note"),
        ({"divergence_least": 1.2, "divergence": 1.5}, "illness"),
        ({"divergence": 18.0, "divergence_least": -25.0}, "fine"),
    ],
)
def test_holes_are_what_is_sure_of_the_estimates(values, level):
    found = named("holes", meeting=meeting(**values))
    assert (found["level"], found["remedy"]) == (level, None if level == "fine" else "--config.model.prior='realnvp()'")


def test_holes_are_argued_by_the_number_that_decided():
    by_kl = named("holes", meeting=meeting(told_apart=0.5, divergence_least=1.2, divergence=1.5))["says"]
    assert by_kl.startswith("Samples come from where codes are rare, and look worse than reconstructions: KL(q(z)")
    assert "is between 1.2 and 1.5 nats" in by_kl
    assert "The two-sample test does not show this: " in by_kl
    by_test = named("holes", meeting=meeting(told_apart=0.65))["says"]
    assert "reconstructions: a nearest-neighbour classifier separates" in by_test
    assert "The KL does not show this: " in by_test
    both = named("holes", meeting=meeting(told_apart=0.9, divergence_least=1.2, divergence=1.5))["says"]
    assert "does not show this" not in both + named("holes")["says"]


def test_what_few_images_cannot_say_is_said():
    found = named("holes", meeting=meeting(rate=26.0, information=6.9, divergence=19.1, divergence_least=-20.0))
    assert "is between 0 and 19 nats, of a rate of 26; 1,000 images are too few for closer bounds" in found["says"]
    assert "too few" not in named("holes")["says"]


@pytest.mark.parametrize(
    ("model", "betas", "remedy"),
    [
        ({"posterior": "point"}, [], "--config.model.posterior=diagonal --config.objective='elbo(beta=1.0)'"),
        ({}, [0.1, 0.1], "--config.objective='elbo(beta=1.0)'"),
        ({"prior": "vamp(50)"}, [1.0], None),
    ],
)
def test_the_remedy_of_holes_is_their_cause(model, betas, remedy):
    numbers = PLAIN if model.get("posterior") == "point" else NUMBERS
    found = named("holes", config(model=model), numbers, betas, meeting=CLOSED | {"told_apart": 0.9})
    assert (found["level"], found["remedy"]) == ("illness", remedy)
    assert "KL" not in found["says"]


@pytest.mark.parametrize(
    ("gap", "level"),
    [
        ({"value": 5.0}, "illness"),
        ({"value": 0.95}, "fine"),  # more than 3 errors, less than 1%
        ({"value": 5.0, "stderr": 2.0}, "fine"),  # more than 1%, less than 3 errors
        ({"value": -5.0}, "fine"),
    ],
)
def test_overfitting_is_sure_and_large(gap, level):
    found = named("overfitting", gap=GAP | {"stderr": 0.3} | gap)
    assert (found["level"], found["remedy"]) == (level, "--config.train.patience=5" if level == "illness" else None)
    patient = named("overfitting", config(train={"patience": 3}), gap=GAP | gap)
    assert patient["remedy"] is None


def test_a_dead_codebook_is_told_from_few_images():
    def level(used, expected):
        book = {"codes": 512, "used": used, "expected": expected}
        found = named("dead codes", numbers=PLAIN, betas=[], codebook=book, meeting={})
        return found["level"]

    assert [level(300, 512.0), level(100, 110.0), level(100, 512.0), level(20, 512.0)] == [
        *("fine", "fine", "note", "illness"),
    ]
    assert named("holes", numbers=PLAIN, codebook={"codes": 8, "used": 8, "expected": 8.0}, meeting={}) is None


SICK = {"split": "test", "gap": GAP | {"value": 50.0}, "meeting": CLOSED | {"told_apart": 0.9}}
CASES = [
    (config(), COLLAPSED, SICK | {"sigma": {"used": 1.0, "implied": 0.1}}, [1.0]),
    (config(), COLLAPSED, SICK, [1.0]),
    (config(), COLLAPSED, SICK, [0.5, 1.0, 1.0]),
    (config(model={"posterior": "iaf"}), COLLAPSED, SICK, [9.0]),
    (config(objective="elbo(beta=linear(0, 1, steps=9999))"), NUMBERS, SICK, [0.1, 0.2]),
    (config(model={"posterior": "point"}, objective="reconstruction"), PLAIN, SICK, []),
    (
        config(model={"posterior": "vq(512)", "prior": "codes"}, objective="reconstruction"),
        PLAIN,
        SICK | {"codebook": {"codes": 512, "used": 3, "expected": 512.0}},
        [],
    ),
    (dataclasses.replace(config(), model=Model(latent_dim=1)), NUMBERS, SICK, [1.0]),
]


@pytest.mark.parametrize(("cfg", "numbers", "measured", "betas"), CASES)
def test_every_remedy_can_be_typed_and_built(cfg, numbers, measured, betas):
    remedies = [each["remedy"] for each in apply_rules(cfg, numbers, measured, betas) if each["remedy"]]
    assert remedies
    for remedy in remedies:
        treated = dataclasses.replace(
            cfg, **{part: dataclasses.replace(getattr(cfg, part)) for part in ("model", "train")}
        )
        for option in shlex.split(remedy):
            field, _, value = option.removeprefix("--config.").partition("=")
            part, _, name = field.rpartition(".")
            setattr(getattr(treated, part) if part else treated, name, int(value) if value.isdigit() else value)
        if "free_nats" in remedy and "free_nats" not in inspect.signature(objective.elbo).parameters:
            continue
        if "likelihood" in remedy:
            treated.data = dataclasses.replace(treated.data, prepare="dequantize")
        build(treated, (8, 8, 1))
