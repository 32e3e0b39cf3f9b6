"""What a run writes down survives being cut, torn and read again."""

import json
import math

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jaxvae.rundir import METRICS, TENSORBOARD, TIMING
from jaxvae.rundir.metrics_log import MetricsLog, read_metrics, truncate_after


def written(workdir, steps, start=0):
    with MetricsLog(workdir, start) as book:
        for step in steps:
            book.write(step, "train", {"elbo": -step / 3, "loss": math.nan if step == 20 else 1.0})
            book.write_timing(step, {"seconds": 0.5})


def test_lines_after_the_step_and_a_torn_one_are_cut_and_the_rest_keep_their_bytes(tmp_path):
    written(tmp_path, [10, 20, 30])
    path = tmp_path / METRICS
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(path.read_bytes()[:-5])  # as a crash leaves it
    truncate_after(path, 100)
    assert path.read_bytes() == b"".join(whole[:2])
    truncate_after(path, 10)
    assert path.read_bytes() == whole[0]


def test_going_on_at_a_step_writes_every_line_once(tmp_path):
    written(tmp_path, [10, 20, 30])
    written(tmp_path, [30, 40], start=20)
    assert [line["step"] for line in read_metrics(tmp_path)] == [10, 20, 30, 40]
    assert len((tmp_path / TIMING).read_text().splitlines()) == 4


def test_what_is_not_finite_is_null_in_json_and_nan_again_when_read(tmp_path):
    written(tmp_path, [20])
    assert json.loads((tmp_path / METRICS).read_text(), parse_constant=lambda name: name)["loss"] is None
    assert math.isnan(read_metrics(tmp_path)[0]["loss"])


def test_tensorboard_reads_the_scalars(tmp_path):
    written(tmp_path, [10, 30])
    events = EventAccumulator(str(tmp_path / TENSORBOARD))
    events.Reload()
    assert [(event.step, round(event.value, 4)) for event in events.Scalars("train/elbo")] == [
        (10, -3.3333),
        (30, -10.0),
    ]
