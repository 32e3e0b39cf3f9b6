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


def test_speed_is_of_the_time_when_the_step_was_ready_and_not_when_its_line_is_written(clock):
    progress = ProgressBar(1000, 0, 10)
    clock[0] = 9.9  # the line of step 100, ready at 1.0, is written when the device is about to be ready with 200
    assert progress.update(100, {}, 1.0)["steps_per_second"] == pytest.approx(100)
    clock[0] = 10.0
    assert progress.update(200, {}, 10.0)["steps_per_second"] == pytest.approx(100 / 9)


def test_steps_before_a_rest_count_in_the_next_line(clock):
    progress = ProgressBar(1000, 0, 10)
    speed(progress, clock, 1.0, 100)
    clock[0] = 3.0
    progress.rest(150)
    clock[0] = 60.0
    progress.restart_clock(150)
    clock[0] = 61.0
    line = progress.update(200, {})
    assert line["seconds"] == pytest.approx(3.0)
    assert line["steps_per_second"] == pytest.approx(100 / 3)


def test_a_rest_is_left_out(clock):
    progress = ProgressBar(1000, 0, 10)
    speed(progress, clock, 1.0, 100)
    clock[0] = 61.0
    progress.restart_clock(150)  # the steps from 100 to 150 were not timed, nor what followed them
    assert speed(progress, clock, 62.0, 200) == pytest.approx(50)
