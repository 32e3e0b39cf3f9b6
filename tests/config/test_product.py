"""The whole product of the parts: every combination is accepted or refused in words, and what is accepted trains.

Judged here are posterior x prior x likelihood x encoder, and posterior x prior x what is minimised: what that needs of
the others, `pair_fits` says. The whole product: python tests/product.py --whole
"""

import pytest
from product import (
    AIMS,
    KINDS,
    aim_of,
    aimed,
    aims,
    judged,
    names_two_fields,
    pair_fits,
    pairs,
    pairwise_cover,
    product,
    product_of_aims,
    train,
    verdict,
)

from jaxvae.config.registry import TABLES

LIGHT = ("linear", "mlp", "conv1d", "conv", "resnet", "attention")  # encoders, the fastest to compile first
CHOICES, WITH_AIMS = product(), product_of_aims()
ACCEPTED, REFUSALS = judged(CHOICES)
AIMED, MORE = judged(WITH_AIMS)
COVER = pairwise_cover(aimed(ACCEPTED, AIMED))  # all of it trained: python tests/product.py --train


def light(aim):
    """The combination of the cover that minimises this, and is the fastest to compile."""
    return min((c for c in COVER if aim_of(c) == aim), key=lambda choice: LIGHT.index(choice["encoder"]))


EVERY_AIM = [light(part) for aim in aims() for part in aim.items()]
EVERY_NETWORK = [next(c for c in COVER if c["encoder"] == name) for name in LIGHT[3:]]
TRAINED = EVERY_AIM + [choice for choice in EVERY_NETWORK if choice not in EVERY_AIM]


def test_every_combination_is_accepted_or_refused_by_a_sentence_that_names_two_fields_and_a_move():
    vague = [sentence for sentence in [*REFUSALS, *MORE] if not names_two_fields(sentence)]
    assert not vague, vague[:3]
    for accepted, choices in ((ACCEPTED, CHOICES), (AIMED, WITH_AIMS)):
        assert 0.1 < len(accepted) / len(choices) < 0.9


def test_every_part_is_in_some_accepted_combination():
    for kind in KINDS:
        assert {choice[kind].split("(")[0] for choice in ACCEPTED} == set(TABLES[kind])
    for kind in AIMS:
        assert {choice[kind].split("(")[0] for choice in AIMED if kind in choice} == set(TABLES[kind])


def test_the_cover_holds_every_pair():
    everyone = set().union(*map(pairs, [*ACCEPTED, *AIMED]))
    assert set().union(*map(pairs, COVER)) >= everyone
    assert len(COVER) < len(ACCEPTED) / 10


def test_what_is_trained_here_is_accepted_and_minimises_each_thing_once():
    assert {aim_of(choice) for choice in TRAINED} == {part for aim in aims() for part in aim.items()}
    assert [verdict(choice) for choice in TRAINED] == len(TRAINED) * [None]


@pytest.mark.parametrize("aim", [("objective", "ms_ssim"), ("objective", "elbo"), ("term", "gan")])
def test_of_data_an_objective_compares_pictures_or_anything(aim):
    choice = {"posterior": "diagonal", "prior": "standard", "likelihood": "bernoulli", "encoder": "conv1d"}
    sentence = verdict({**choice, **dict([aim])})
    assert pair_fits(choice, aim) == (sentence is None)
    if sentence:
        assert names_two_fields(sentence)
        assert "objective='ms_ssim' compares images [H, W, C], but data.name='digits' has examples [8, 1]" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("choice", TRAINED, ids=lambda choice: "-".join(choice.values()))
def test_it_trains(choice):
    train(choice)
