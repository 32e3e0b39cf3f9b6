"""Weights that change with the step, at the steps where their values are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config.optim import cyclical, linear, sigmoid


def at(schedule, steps):
    return [float(schedule(jnp.asarray(step))) for step in steps]


def test_linear_climbs_once():
    np.testing.assert_allclose(at(linear(0.0, 2.0, steps=10), [0, 5, 10, 99]), [0, 1, 2, 2])


def test_cyclical_climbs_in_every_cycle_for_its_share_and_ends_at_its_end():
    schedule = cyclical(0.0, 1.0, steps=40, cycles=2, rising=0.5)
    np.testing.assert_allclose(
        at(schedule, [0, 5, 10, 19, 20, 25, 30, 39, 40, 1000]), [0, 0.5, 1, 1, 0, 0.5, 1, 1, 1, 1]
    )
    np.testing.assert_allclose(at(cyclical(1.0, 3.0, steps=8, cycles=1, rising=0.0), [0, 1, 9]), [1, 3, 3])


def test_sigmoid_is_a_logistic_curve_stretched_to_its_two_values():
    schedule = sigmoid(1.0, 3.0, steps=100, steepness=8.0)
    logistic = 1 / (1 + np.exp(-8.0 * (np.array([0, 30, 50, 80, 100]) / 100 - 0.5)))
    expected = 1 + 2 * (logistic - logistic[0]) / (logistic[-1] - logistic[0])
    np.testing.assert_allclose(at(schedule, [0, 30, 50, 80, 100]), expected, rtol=1e-5)
    assert at(schedule, [500]) == pytest.approx([3.0])


@pytest.mark.parametrize("make", [linear, cyclical, sigmoid])
def test_a_schedule_needs_steps_and_numbers_from_0_on(make):
    with pytest.raises(ValueError, match="steps=0: expected a whole number from 1 on"):
        make(0.0, 1.0, steps=0)
    with pytest.raises(ValueError, match="end=-1: expected a finite number from 0 on"):
        make(0.0, -1, steps=5)
