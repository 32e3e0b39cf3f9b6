"""What tests of the report share: a run directory without figures."""

import pytest
from report_pages import CONFIG, ENVIRONMENT, RESULTS, write


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "first run"
    (folder / "figures").mkdir(parents=True)
    write(folder, "config", {"version": 1, "config": CONFIG})
    write(folder, "environment", ENVIRONMENT)
    write(folder, "results", RESULTS)
    (folder / "metrics.jsonl").write_text('{"step": 1, "split": "train", "elbo": -30.5}\n')
    return folder
