"""The scores of every image: what is kept, what is trusted, and paired differences."""

import numpy as np
import pytest

from jaxvae.rundir import SCORES
from jaxvae.rundir.scores import paired_difference, read_scores, write_scores

VALUES = {
    "elbo": np.linspace(-9, -7, 11, dtype=np.float32),
    "rate": np.arange(11, dtype=np.float32),
    "means": np.zeros((11, 2)),
}


def numbers(values):
    return {name: {"value": float(array.mean(dtype=float))} for name, array in values.items() if array.ndim == 1}


def test_splits_scored_one_after_another_are_all_kept_at_one_step_and_none_of_another(tmp_path):
    write_scores(tmp_path, 5, {"test": VALUES})
    write_scores(tmp_path, 5, {"train": {"elbo": VALUES["elbo"] + 1}})
    found = read_scores(tmp_path, "test", numbers(VALUES))
    assert list(found) == ["elbo", "rate"]
    np.testing.assert_array_equal(found["elbo"], VALUES["elbo"])
    write_scores(tmp_path, 6, {"train": VALUES})
    assert read_scores(tmp_path, "test", numbers(VALUES)) == {}
    assert list(read_scores(tmp_path, "train", numbers(VALUES))) == ["elbo", "rate"]


def test_scores_of_other_weights_than_the_results_are_left_out(tmp_path):
    write_scores(tmp_path, 5, {"test": VALUES})
    results = numbers(VALUES) | {"elbo": {"value": -8.01}}
    assert list(read_scores(tmp_path, "test", results)) == ["rate"]


@pytest.mark.parametrize("content", [b"", b"PK no zip", None])
def test_a_damaged_file_is_a_warning_and_not_an_error(content, tmp_path, caplog):
    write_scores(tmp_path, 5, {"test": VALUES})
    path = tmp_path / SCORES
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    assert read_scores(tmp_path, "test", numbers(VALUES)) == {}
    assert "scores.npz is damaged" in caplog.text


def test_a_paired_difference_has_the_error_of_the_differences():
    draw = np.random.RandomState(0)
    common, own = 10 * draw.normal(size=4000), 0.1 * draw.normal(size=4000)
    difference = paired_difference(common + own + 0.5, common)
    assert abs(difference["value"] - 0.5) < 4 * 0.1 / np.sqrt(4000)
    assert difference["stderr"] == pytest.approx(0.1 / np.sqrt(4000), rel=0.05)
    unpaired = np.sqrt(2 * 100 / 4000)
    assert difference["stderr"] < unpaired / 50
