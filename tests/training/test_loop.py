"""Which steps the loop stops at, and what it does there."""

import time
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from jaxvae.config import Data, Train
from jaxvae.runtime.signals import Shutdown
from jaxvae.training.engine import Engine
from jaxvae.training.loop import _Action, next_stop, take_steps
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


STEP_SECONDS = 0.006


class Late:
    """A number that a device has computed at a set time."""

    def __init__(self, value, at):
        self.value, self.at = value, at

    def is_ready(self):
        return time.perf_counter() >= self.at

    def block_until_ready(self):
        time.sleep(max(0.0, self.at - time.perf_counter()))
        return self

    def __array__(self, *_, **__):
        return np.asarray(self.block_until_ready().value)


def slow_device():
    """An engine that returns shortly before its device is done, as one does whose queue of programs is short."""
    ends = [0.0]

    def advance(state, step, count):
        ends[0] = max(time.perf_counter(), ends[0]) + count * STEP_SECONDS
        time.sleep(max(0.0, ends[0] - 0.5 * STEP_SECONDS - time.perf_counter()))
        numbers = {"elbo": -1.0, "streak": 0.0, "scale": 1.0}
        return state, {name: Late(value, ends[0]) for name, value in numbers.items()}

    return Engine("slow", advance, place=lambda states: states, collect=lambda states: states)


def test_every_line_has_the_speed_of_the_device_those_before_a_validation_included():
    train = Train(steps=70, log_every=10, validate_every=25, checkpoint_every=70)
    lines = {}
    run = SimpleNamespace(
        config=SimpleNamespace(train=train, data=Data(batch_size=2)),
        streak=None,
        logbook=None,
        early_stopping=SimpleNamespace(stops=False, record=lambda score: False),
        open=lambda *_: None,
        write_line=lambda step, numbers, clock: lines.update({step: clock}),
        experiment=None,
        workdir=None,
        saver=mock.Mock(),
    )
    with (
        mock.patch("jaxvae.training.loop.save_snapshot"),
        mock.patch("jaxvae.training.loop.validate", side_effect=lambda *_: time.sleep(0.1) or {}),
    ):
        take_steps([run], slow_device(), lambda: [SimpleNamespace(step=0)], Shutdown())
    assert list(lines) == [10, 20, 30, 40, 50, 60, 70]
    speeds = [clock["steps_per_second"] * STEP_SECONDS for clock in lines.values()]
    assert 0.4 < min(speeds) <= max(speeds) < 1.5, speeds
    assert 0.9 < sum(clock["seconds"] for clock in lines.values()) / (70 * STEP_SECONDS) < 2
