"""The whole product of the parts: every combination is accepted or refused in words, and what is accepted trains.

Judged here are posterior x prior x likelihood x encoder, and posterior x prior x what is minimised: what that needs of
the others, `pair_fits` says. The whole product: python tests/product.py --whole
"""

import functools

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
AIM_PARTS = [part for aim in aims() for part in aim.items()]


@functools.cache
def judgements():
    """(accepted, refusals) of the product, and (accepted, refusals) of that with what is minimised."""
    return judged(CHOICES), judged(WITH_AIMS)


@functools.cache
def cover():
    """Combinations that hold every accepted pair; all of it trained: python tests/product.py --train."""
    (accepted, _), (with_aims, _) = judgements()
    return pairwise_cover(aimed(accepted, with_aims))


def light(aim):
    """The combination of the cover that minimises this, and is the fastest to compile."""
    return min((c for c in cover() if aim_of(c) == aim), key=lambda choice: LIGHT.index(choice["encoder"]))


def test_every_combination_is_accepted_or_refused_by_a_sentence_that_names_two_fields_and_a_move():
    for (accepted, refusals), choices in zip(judgements(), (CHOICES, WITH_AIMS), strict=True):
        vague = [sentence for sentence in refusals if not names_two_fields(sentence)]
        assert not vague, vague[:3]
        assert 0.1 < len(accepted) / len(choices) < 0.9


def test_every_part_is_in_some_accepted_combination():
    (accepted, _), (with_aims, _) = judgements()
    for kind in KINDS:
        assert {choice[kind].split("(")[0] for choice in accepted} == set(TABLES[kind])
    for kind in AIMS:
        assert {choice[kind].split("(")[0] for choice in with_aims if kind in choice} == set(TABLES[kind])


def test_the_cover_holds_every_pair():
    (accepted, _), (with_aims, _) = judgements()
    everyone = set().union(*map(pairs, [*accepted, *with_aims]))
    assert set().union(*map(pairs, cover())) >= everyone
    assert len(cover()) < len(accepted) / 10


@pytest.mark.parametrize("aim", [("objective", "ms_ssim"), ("objective", "elbo"), ("term", "gan")])
def test_of_data_an_objective_compares_pictures_or_anything(aim):
    choice = {"posterior": "diagonal", "prior": "standard", "likelihood": "bernoulli", "encoder": "conv1d"}
    sentence = verdict({**choice, **dict([aim])})
    assert pair_fits(choice, aim) == (sentence is None)
    if sentence:
        assert names_two_fields(sentence)
        assert "objective='ms_ssim' compares images [H, W, C], but data.name='digits' has examples [8, 1]" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("aim", AIM_PARTS, ids="-".join)
def test_it_trains_by_each_objective(aim):
    choice = light(aim)
    assert verdict(choice) is None
    train(choice)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", LIGHT[3:])
def test_it_trains_with_each_network_of_images(encoder):
    train(next(choice for choice in cover() if choice["encoder"] == encoder))
