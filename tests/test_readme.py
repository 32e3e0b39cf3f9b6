"""README's promises that a test can keep."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from test_package_order import ORDER

from jaxvae.cli import main
from jaxvae.config import Config, Data, Evaluate, Model
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import first_state, variables_of
from jaxvae.training import scoring
from jaxvae.training.setup import set_up
from jaxvae.viz.figures import draw_figures
from tools.parts_page import catalogue

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_importing_jaxvae_imports_nothing_heavy():
    heavy = "{'jax', 'flax', 'optax', 'numpy', 'matplotlib', 'tensorflow_datasets', 'grain', 'orbax'}"
    code = f"import sys, jaxvae; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_library_example_runs_as_printed(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    small = ["--config.train.steps=20", "--config.train.engine=scan", "--config.evaluate.samples=2"]
    small += ["--config.evaluate.figures=none"]
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", str(ROOT / "configs" / "digits.py"), "--workdir", "runs/digits", *small]) == 0
    names: dict = {}
    exec(compile(code.replace("import jax, jaxvae", "import jax\nimport jaxvae"), "README.md", "exec"), names)
    assert names["new"].shape == (64, 8, 8, 1)
    assert names["nats"].shape == names["strange"].shape == (8,)
    assert names["filled"].shape == (8, 8, 8, 1)


def test_what_readme_names_exists():
    for name in re.findall(r"(?:configs|benchmarks|docs)/\w+\.(?:py|png|md)", README):
        assert (ROOT / name).exists(), name


def blocks(heading):
    """The Python blocks of README's section of that name."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```", section, re.S | re.M)


def test_a_part_of_ones_own_works_as_readme_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    part, library, _ = blocks("A part of your own")
    assert len(part.splitlines()) <= 20
    (tmp_path / "my_parts.py").write_text(part)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), np.uint8)
    scope = {"images": images}
    exec(library, scope)
    assert np.isfinite(scope["metrics"]["loss"])
    assert scope["state"].step == 100
    command = re.search(r"^    python train.py .*my_parts.*$", README, re.M).group()
    posterior = re.search(r"model.posterior=(\S+)", command).group(1)
    config = Config(data=Data(batch_size=16), model=Model(posterior=posterior, encoder="mlp(8)", decoder="mlp(8)"))
    parts = build(config, (8, 8, 1))
    assert type(parts.model.posterior).__name__ == "LaplacePosterior"
    with pytest.raises(ValueError, match="If you trust it, say so: --trust"):
        build(config, (8, 8, 1), trust=False)


def test_a_figure_and_a_number_of_ones_own_work_as_readme_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_results.py").write_text(blocks("A part of your own")[2])
    metrics = re.search(r"evaluate.metrics=(my_\S+) ", README).group(1)
    figure = re.search(r"evaluate.figures=all, (my_.*)\"", README).group(1)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), np.uint8)
    config = Config(data=Data(name="arrays", batch_size=8, validation=0.0), evaluate=Evaluate(samples=1))
    config.model.encoder, config.model.decoder, config.evaluate.metrics = "mlp(8)", "mlp(8)", metrics
    experiment = set_up(config, {"train": images, "test": images}, lambda line: None)
    state = first_state(config, experiment.parts, jax.random.key(0), jax.random.key(1))
    run = Run(config, experiment.parts, variables_of(state), 0)
    results, values = scoring.score(experiment, run.variables, 0)
    assert 0.1 < results["test"]["squared_error"]["value"] < 0.4  # of zeros and ones, of a model that knows none
    assert results["protocol"][f"metric {metrics}"].startswith("Mean squared error")
    draw_figures(run, experiment.data, values, tmp_path, jax.random.key(0), figure)
    assert (tmp_path / "figures" / "elbo_histogram.png").exists()


def test_the_catalogue_is_what_its_command_prints():
    assert (ROOT / "docs" / "parts.md").read_text() == catalogue(), "python -m tools.parts_page > docs/parts.md"


def test_every_part_of_the_catalogue_has_its_words():
    for kind, parts in TABLES.items():
        for name, factory in parts.items():
            assert inspect.getdoc(factory), f"{kind} {name} has no docstring"


def test_every_path_on_the_architecture_page_exists():
    page = (ROOT / "docs" / "architecture.md").read_text()
    paths = {path for path in re.findall(r"`([\w./]+(?:\.py|/))`", page) if path != "my_file.py"}
    assert len(paths) > 40
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "jaxvae" / path).exists(), path


def test_the_architecture_page_lists_the_packages_in_their_order():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", page, re.M)
    assert rows == [name for name in ORDER if name in rows]
    assert {path.stem for path in (ROOT / "jaxvae").iterdir() if not path.name.startswith("__")} == set(rows)
