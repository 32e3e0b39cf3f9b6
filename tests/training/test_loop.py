"""Which steps the loop stops at, and what it does there."""

import pytest

from jaxvae.training.loop import _Action, next_stop
from jaxvae.training.validation import EARLY_STEPS


def nothing():
    """Does nothing."""


@pytest.mark.parametrize("speed", [None, 0.1, 20.0, 1e6])
def test_the_loop_stops_wherever_an_action_is_due(speed):
    actions = [_Action(nothing, (7,)), _Action(nothing, (60, 90)), _Action(nothing, (60,), EARLY_STEPS)]
    stops, step = [], 0
    while step < 200:
        step = next_stop(step, 200, actions, speed)
        stops.append(step)
    due = {n for n in range(1, 201) if n % 7 == 0 or n % 60 == 0 or n % 90 == 0 or n in EARLY_STEPS} | {200}
    assert due <= set(stops)
    assert stops == sorted(set(stops))
    longest = {None: 10, 0.1: 1, 20.0: 40, 1e6: 100}[speed]
    assert max(b - a for a, b in zip([0, *stops], stops, strict=False)) <= longest
