"""README's promises that a test can keep."""

import re
import subprocess
import sys
from pathlib import Path

from jaxvae.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_importing_jaxvae_imports_nothing_heavy():
    heavy = "{'jax', 'flax', 'optax', 'numpy', 'matplotlib', 'tensorflow_datasets', 'grain', 'orbax'}"
    code = f"import sys, jaxvae; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_library_example_runs_as_printed(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    small = ["--config.train.steps=20", "--config.train.engine=scan", "--config.evaluate.samples=2"]
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", str(ROOT / "configs" / "digits.py"), "--workdir", "runs/digits", *small]) == 0
    names: dict = {}
    exec(compile(code.replace("import jax, jaxvae", "import jax\nimport jaxvae"), "README.md", "exec"), names)
    assert names["new"].shape == (64, 8, 8, 1)
    assert names["nats"].shape == (8,)


def test_what_readme_names_exists():
    for name in re.findall(r"(?:configs|benchmarks|docs)/\w+\.(?:py|png|md)", README):
        assert (ROOT / name).exists(), name
