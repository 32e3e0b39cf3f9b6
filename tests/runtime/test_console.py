"""The speed that is shown, on a clock of the test's own."""

import pytest

from jaxvae.runtime.console import ProgressBar


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    times = [0.0]
    monkeypatch.setattr("jaxvae.runtime.console.time.perf_counter", lambda: times[0])
    return times


def speed(progress, clock, at, step):
    clock[0] = at
    return progress.update(step, {"elbo": -1.0})["steps_per_second"]


def test_speed_is_steps_over_seconds_since_the_last_update(clock, capsys):
    progress = ProgressBar(1000, 0, 10)
    assert speed(progress, clock, 2.0, 100) == pytest.approx(50)
    assert speed(progress, clock, 3.0, 200) == pytest.approx(100)
    assert progress.update(300, {})["images_per_second"] > 0


def test_a_rest_is_left_out(clock):
    progress = ProgressBar(1000, 0, 10)
    speed(progress, clock, 1.0, 100)
    clock[0] = 61.0
    progress.restart_clock(150)  # the steps from 100 to 150 were not timed, nor what followed them
    assert speed(progress, clock, 62.0, 200) == pytest.approx(50)
