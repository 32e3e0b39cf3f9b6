"""The whole product of the parts: every combination is accepted or refused in words, and what is accepted trains."""

import pytest
from product import KINDS, names_two_fields, pairs, pairwise_cover, product, train, verdict

from jaxvae.build import TABLES

IN_CI = 30  # the whole cover: python tests/product.py --train
CHOICES = product()
VERDICTS = [verdict(choice) for choice in CHOICES]
ACCEPTED = [choice for choice, sentence in zip(CHOICES, VERDICTS, strict=True) if sentence is None]


def test_every_combination_is_accepted_or_refused_by_a_sentence_that_names_two_fields_and_a_move():
    vague = [sentence for sentence in VERDICTS if sentence is not None and not names_two_fields(sentence)]
    assert not vague, vague[:3]
    assert 0.1 < len(ACCEPTED) / len(CHOICES) < 0.9


def test_every_part_is_in_some_accepted_combination():
    for kind in KINDS:
        assert {choice[kind].split("(")[0] for choice in ACCEPTED} == set(TABLES[kind])


def test_the_cover_holds_every_pair():
    cover = pairwise_cover(ACCEPTED)
    assert set().union(*map(pairs, cover)) == set().union(*map(pairs, ACCEPTED))
    assert len(cover) < len(ACCEPTED) / 10


@pytest.mark.parametrize("choice", pairwise_cover(ACCEPTED)[:IN_CI], ids=lambda choice: "-".join(choice.values()))
def test_it_trains(choice):
    train(choice)
