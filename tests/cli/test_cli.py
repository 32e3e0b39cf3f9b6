"""The command line as a user meets it: verbs, refusals, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxvae.cli import commands, main
from jaxvae.viz.figures import table

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "configs" / "digits.py")
SMALL = [
    "--config.model.encoder=mlp(16)",
    "--config.model.decoder=mlp(16)",
    "--config.train.engine=scan",
    "--config.train.log_every=10",
    "--config.train.validate_every=40",
    "--config.train.checkpoint_every=40",
    "--config.evaluate.samples=3",
    "--config.evaluate.figures=few",
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A small trained run."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "--config", DIGITS, "--workdir", str(folder), "--config.train.steps=40", *SMALL]) == 0
    return folder


def test_evaluate_renews_the_numbers(workdir, capsys):
    assert main(["evaluate", str(workdir), "--samples", "7", "--splits", "validation"]) == 0
    assert "(K=7)" in capsys.readouterr().out
    results = json.loads((workdir / "results.json").read_text())
    assert results["validation"]["log_likelihood"]["samples"] == 7
    assert results["test"]["log_likelihood"]["samples"] == 3


def test_sample_and_reconstruct_write_pictures(workdir, tmp_path):
    assert main(["sample", str(workdir), "--n", "9", "--out", str(tmp_path / "s.png")]) == 0
    assert main(["sample", str(workdir), "--n", "9", "--out", str(tmp_path / "s.npy"), "--temperature", "0.7"]) == 0
    assert main(["reconstruct", str(workdir), "--n", "5", "--out", str(tmp_path / "r.png")]) == 0
    assert np.load(tmp_path / "s.npy").shape == (9, 8, 8, 1)
    assert (tmp_path / "s.png").read_bytes()[:4] == (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_report_is_written_again_with_all_figures(workdir, monkeypatch):
    (workdir / "report.html").unlink()
    few = {name: each for name, each in table.FIGURES.items() if each.few or name == "manifold"}
    monkeypatch.setattr(table, "FIGURES", few)  # test_run has all
    assert main(["report", str(workdir)]) == 0
    assert (workdir / "report.html").stat().st_size > 50_000
    assert (workdir / "figures" / "manifold.png").exists()


def test_data_says_what_is_in_a_data_set(capsys):
    assert main(["data", "digits"]) == 0
    out = capsys.readouterr().out
    assert "8 x 8 x 1" in out
    assert "train: 1,437 images, labels 0 to 9" in out


def test_check_trains_nothing(tmp_path, capsys):
    assert main(["train", "--config", DIGITS, "--workdir", str(tmp_path / "run"), "--check", *SMALL]) == 0
    out = capsys.readouterr().out
    assert "x [128, 8, 8, 1] -> features [128, 16] -> z [1, 128, 2] -> p(x|z) [1, 128, 8, 8, 1]" in out
    for word in ("parameters", "MFLOP", "an epoch", "nothing was trained"):
        assert word in out
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_benchmark_prints_and_writes_its_numbers(tmp_path, capsys):
    out = tmp_path / "numbers.json"
    assert main(["benchmark", "--config", DIGITS, "--seconds", "0.5", "--out", str(out), *SMALL]) == 0
    numbers = json.loads(out.read_text())
    gemms = 3 * 2 * (64 * 16 + 16 * 4 + 2 * 16 + 16 * 64)  # forward and twice backward
    assert 0.6 * gemms < numbers["flops_per_image"] < 3 * gemms + 64 * 60
    assert numbers["products_flops_per_image"] == gemms - 2 * 64 * 16  # nobody asks for the images' gradient
    assert numbers["share_of_matmul_peak"] > 0
    parts = dict(numbers["step_seconds"])
    np.testing.assert_allclose(parts.pop("step"), sum(parts.values()))
    assert (
        numbers["images_per_second"]["least"]
        <= numbers["images_per_second"]["median"]
        <= numbers["images_per_second"]["most"]
    )
    assert "images/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--config", "configs/nothing.py"], "there is no such file"),
        (["train", "--config", DIGITS, "--config.model.latnt_dim=3"], "did you mean '--config.model.latent_dim'?"),
        (["train", "--config", DIGITS, "--config.model.latent_dim=x"], "latent_dim=x: expected a whole number"),
        (["train", "--config", DIGITS, "--config.model.encoder=mpl(3)"], "did you mean 'mlp'?"),
        (["train", "--config", DIGITS, "--config.data.prepare=grey"], "Either binarize the images"),
        (["train", "--config", DIGITS, "--config.data.batch_size=5000"], "expected at most 1293"),
        (
            ["train", "--config", DIGITS, "--config.train.engine=scan", "--config.data.pipeline=streaming"],
            "choose data.pipeline='resident'",
        ),
        (["train", "--config", DIGITS, "--config.data.name=no_such_set"], "no_such_set"),
        (
            ["train", "--config", DIGITS, "--config.data.validation=0.0", "--config.train.patience=3"],
            "needs validation images",
        ),
        (["evaluate", "no/such/run"], "is no run directory"),
        (["sample", "no/such/run"], "is no run directory"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err + captured.out
    assert not any(tmp_path.iterdir())  # nothing was written before the refusal


@pytest.mark.parametrize(
    "arguments", [[], ["train"], ["train", "--confg", DIGITS], ["fly"], ["sample", "x", "--config.train.steps=3"]]
)
def test_a_wrong_command_line_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: jaxvae" in capsys.readouterr().err


def test_help_and_parsing_import_no_jax():
    code = "import sys; from jaxvae.cli.commands import make_parser; make_parser().parse_args(['manifold', 'x'])\n"
    code += "make_parser().format_help(); assert not {'jax', 'flax', 'matplotlib', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_module_of_a_verb_is_in_the_table():
    folder = Path(commands.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == {*commands.COMMANDS}


def test_a_config_file_must_return_a_config(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("def get_config():\n    return {'a': 1}\n")
    assert main(["train", "--config", str(tmp_path / "mine.py")]) == 2
    assert "expected a jaxvae.Config" in capsys.readouterr().err


# signals: real processes


def command(folder: Path, steps: int) -> list[str]:
    seldom = [text.replace("every=40", "every=500") for text in SMALL]
    arguments = ["--config", DIGITS, "--workdir", str(folder), f"--config.train.steps={steps}", *seldom]
    return [sys.executable, str(ROOT / "train.py"), *arguments]


def environment() -> dict[str, str]:
    """One device, the tests' data and compilation caches."""
    import jax

    return {**os.environ, "XLA_FLAGS": "", "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}


def started(folder: Path, steps: int) -> subprocess.Popen:
    """A training process that has written some metrics."""
    process = subprocess.Popen(
        command(folder, steps), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and len(lines_of(folder)) < 20:
        time.sleep(0.02)
    return process


def lines_of(folder: Path) -> list[str]:
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_the_same_command_goes_on(signum, code, tmp_path):
    process = started(tmp_path / "run", 10_000_000)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopped and saved at step" in errors
    step = int(errors.split("at step ")[1].split(".")[0].replace(",", ""))
    assert (tmp_path / "run" / "checkpoints" / str(step) / "manifest.json").exists()
