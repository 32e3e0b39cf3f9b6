"""The page of trained models says what the run directories say, and what it cannot say is refused."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Config
from jaxvae.config.build import build
from jaxvae.rundir.results import read_finished_run
from jaxvae.runtime import environment
from jaxvae.runtime.files import read_json, write_json
from tools import zoo_page as zoo
from tools.pythae_models import PYTHAE, pythae_section

OLD = Path(__file__).parents[1] / "old_runs"  # finished runs, of 60 and of 40 steps
VAE, VQ = OLD / "manifest_2_digits", OLD / "manifest_2_vq"


@pytest.fixture(scope="module")
def loaded():
    """A VAE, 'one', and a VQ-VAE, 'two', scored alike, as they were read."""
    return [dataclasses.replace(read_finished_run(path), name=name) for path, name in ((VAE, "one"), (VQ, "two"))]


@pytest.fixture
def found(loaded, tmp_path, monkeypatch):
    """The same, in an empty project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    return loaded


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A copy of the VAE's directory, 'one', in an empty project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    return Path(shutil.copytree(VAE, "one"))


def edit(path, change):
    """Changes one of a run's JSON files as if it had been written so."""
    content = read_json(path)
    change(content)
    write_json(path, content)


def page(found):
    return zoo.page_text(found, Path("zoo.md"))


def told(one, **protocol):
    """The run with another protocol."""
    return dataclasses.replace(one, protocol=one.protocol | protocol)


def tables(text):
    """The rows of every table with an elbo, as {name of the model: {column: cell}}, one a section."""
    found = []
    for section in text.split("\n## ")[1:]:
        lines = [re.split(r"(?<!\\) ?\| ?", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
        rows = [line for line in lines if len(line) == len(zoo.HEAD)]
        found += [{row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}] if rows else []
    return found


def config_text(**model):
    """A config file with the choices of run 'one'."""
    return f"""'''A small model.'''
from jaxvae.config import Config, Evaluate, Model, Optimizer, Train
def get_config():
    return Config(
        model=Model(**{ ({"encoder": "mlp(16)", "decoder": "mlp(16)"} | model)!r}),
        objective="elbo(beta=linear(0.5, 1, steps=30))",
        optimizer=Optimizer(schedule="warmup(10)"),
        train=Train(steps=60),
        evaluate=Evaluate(samples=7),
    )
"""


def test_a_row_says_what_the_run_directory_says(found):
    (table,) = tables(page(found))
    one, results = table["one"], json.loads((VAE / "results.json").read_text())
    for name, column in {"elbo": "elbo", "log_likelihood": "IW-K", "rate": "rate", "distortion": "distortion"}.items():
        number = results["test"][name]
        assert one[column] == f"{number['value']:.2f} ± {number['stderr']:.2f}"
    assert one["q(z\\|x)"] == "`diagonal`"
    assert one["objective"] == "`elbo(beta=linear(0.5, 1, steps=30))`"
    assert one["parameters"] == f"{results['parameters']:,}"
    assert one["in use"] == "2 of 2"
    seconds = [json.loads(line)["seconds"] for line in (VAE / "timing.jsonl").read_text().splitlines()]
    assert one["time"] == f"{round(sum(seconds))} s"


def test_a_model_without_a_bound_has_dashes_and_codes(found):
    two = tables(page(found))[0]["two"]
    assert (two["elbo"], two["IW-K"]) == ("-", "-")
    assert (two["rate"], two["in use"]) == ("16.64 ± 0.00", "37.2 codes")


@pytest.mark.parametrize("name", ["data", "split", "binarization"])
def test_runs_of_different_protocols_stand_in_tables_of_their_own(found, name):
    one, two = found
    text = page([one, told(two, **{name: "another"}), told(one, units="the same")])
    assert [list(table) for table in tables(text)] == [["one"], ["two"]]
    assert text.count(f"- {name}: another\n") == 1


def test_densities_and_probabilities_stand_in_tables_of_their_own():
    one, two = (
        SimpleNamespace(protocol={}, run=SimpleNamespace(parts=SimpleNamespace(bits=bits)))
        for bits in ((64, 0.0), (64, 8.0))
    )
    assert zoo.comparison_key(one) != zoo.comparison_key(two)


def test_what_differs_within_a_table_is_said_with_the_names(found):
    one, _ = found
    number = one.test["log_likelihood"] | {"samples": 50}
    more = dataclasses.replace(one, name="more", test=one.test | {"log_likelihood": number})
    text = page([one, more])
    assert "- K: 10 (one); 50 (more)\n" in text
    assert "- networks: `mlp(16)`, 2 latents, `mlp(16)`\n" in text
    assert "- measured on: 1 cpu, 2 threads, Linux x86\\_64, Python 3.11.7, jax 0.10.2, engine scan\n" in text


def test_what_a_model_bounds_and_what_it_says_of_its_numbers_is_said_with_its_name(found):
    one, two = found
    told_label = dataclasses.replace(one.run.config, model=dataclasses.replace(one.run.config.model, condition="label"))
    run = SimpleNamespace(**{**vars(one.run), "config": told_label})
    text = page([one, two, dataclasses.replace(one, name="more", run=run)])
    assert "- bound on: log p(x) (one); nothing (two); log p(x \\| label), to be compared with its like (more)" in text
    assert "- elbo: one z per image, KL in closed form where there is one (one, more)\n" in text
    assert "- rate: slots x log K, what naming codes costs that are equally probable; of a point 0, by " in text
    assert "(two)\n" in text.split("- rate: ")[1].split("- ")[0]


def test_text_of_a_run_stays_text(found):
    evil = "<script>|\n\n## x ![a](b) `c`"
    one = told(found[0], weights=evil)
    text = page([dataclasses.replace(one, environment=one.environment | {"machine": evil, "devices": [evil]})])
    assert "<script>" not in text
    assert "\n## x" not in text
    assert text.count("\\<script\\>\\| \\#\\# x \\!\\[a\\](b) \\`c\\`") == 3


def test_a_pipe_in_a_string_of_the_config_divides_no_cell():
    assert zoo.format_code("mlp(8, activation='a|b`\n')") == "`mlp(8, activation='a\\|b' ')`"


def test_a_conditional_models_strip_goes_through_the_classes(tmp_path):
    asked = {}

    def generate(keys, condition):
        asked["condition"] = condition
        return None, SimpleNamespace(mean=lambda: np.zeros((len(keys), 8, 8, 1)))

    parts, config = SimpleNamespace(condition_size=3), SimpleNamespace(model=SimpleNamespace(condition="label"))
    run = SimpleNamespace(config=config, parts=parts, shape=(8, 8, 1), generate=generate)
    zoo.draw_samples(SimpleNamespace(run=run), tmp_path / "strip.png")
    np.testing.assert_array_equal(asked["condition"], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


def test_the_config_of_the_runs_name_is_linked(found):
    Path("configs/one.py").write_text(config_text())
    zoo.require_config(found[0])
    text = page(found)
    assert "| [one](configs/one.py) | `diagonal` |" in text
    assert "| [one](configs/one.py) | A small model. |" in text
    assert "| two |" in text


@pytest.mark.parametrize(("old", "new"), [("latent_dim': 2", "latent_dim': 3"), ("steps=60", "steps=61")])
def test_a_config_that_is_not_the_runs_is_refused(found, old, new):
    Path("configs/one.py").write_text(config_text(latent_dim=2).replace(old, new))
    with pytest.raises(ValueError, match=r"not trained as configs/one.py now says \((model.latent_dim|train.steps)"):
        zoo.require_config(found[0])


DAMAGE = [
    (lambda run: (run / "config.json").unlink(), "one is no run directory: it has no config.json"),
    (lambda run: (run / "config.json").write_text("{}"), "one/config.json is not a jaxvae config"),
    (lambda run: (run / "results.json").unlink(), "one is not finished: it has no results.json"),
    (lambda run: (run / "results.json").write_text("{"), r"one/results.json is damaged \(it is not JSON"),
    (lambda run: (run / "environment.json").unlink(), "one is not finished: it has no environment.json"),
    (lambda run: (run / "timing.jsonl").unlink(), "one/timing.jsonl is damaged: expected the seconds of all 60 steps"),
    (lambda run: (run / "timing.jsonl").write_text('{"step": 50, "seconds": 1.0}\n'), "expected the seconds of all 60"),
    (lambda run: (run / "timing.jsonl").write_text('{"step": 60, "seconds": "x"}\n'), "expected the seconds of all 60"),
    (
        lambda run: (run / "timing.jsonl").write_text('{"step": 6'),
        "one/timing.jsonl is damaged: expected the seconds",
    ),
    (lambda run: (run / "metrics.jsonl").write_text("[]\n{}\n"), "one/metrics.jsonl is damaged: line 1 is no JSON"),
    (
        lambda run: shutil.rmtree(run / "checkpoints"),
        "one has no checkpoint: it was stopped before its first",
    ),
    (lambda run: edit(run / "results.json", lambda c: c.update(step=40)), "its numbers are of step 40, its last inta"),
    (lambda run: edit(run / "results.json", lambda c: c.pop("test")), "jaxvae evaluate one --splits test"),
    (lambda run: edit(run / "results.json", lambda c: c["test"].update(elbo={"value": "x"})), "test.elbo={'value'"),
    (lambda run: edit(run / "results.json", lambda c: c.update(protocol=[])), "expected its parameters and its proto"),
    (
        lambda run: edit(run / "config.json", lambda c: c["config"]["train"].update(steps=70)),
        "one is not finished: it has taken 60 of 70 steps",
    ),
    (
        lambda run: edit(run / "config.json", lambda c: c["config"]["model"].update(prior="mine.py:evil")),
        "runs code of mine.py",
    ),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_what_is_missing_unfinished_or_damaged_is_refused_by_name(run, damage, words):
    damage(run)
    with pytest.raises(ValueError, match=words):
        read_finished_run(run)


def test_a_name_that_no_link_can_hold_is_refused(run):
    with pytest.raises(ValueError, match="rename it with letters"):
        read_finished_run(run.rename("a](b)"))


def test_patience_may_end_a_run_before_its_last_step(run):
    edit(run / "config.json", lambda content: content["config"]["train"].update(steps=70, patience=2))
    assert read_finished_run(run).run.step == 60


def test_skipped_steps_are_said(run):
    lines = (run / "metrics.jsonl").read_text().replace('"skipped": 0.0', '"skipped": 3.0')
    (run / "metrics.jsonl").write_text(lines)
    assert tables(page([read_finished_run(run)]))[0]["one"]["besides"] == "3 steps skipped"


def test_the_command_writes_page_and_pictures_the_same_each_time(run, capsys):
    made = []
    for _ in range(2):
        assert zoo.main(["one", "--out", "zoo.md"]) == 0
        made.append((Path("zoo.md").read_bytes(), Path("zoo/one.png").read_bytes()))
    assert made[0] == made[1]
    assert made[0][0].decode() == page([read_finished_run(run)])
    assert b"![samples of one](zoo/one.png)" in made[0][0]
    assert len(made[0][1]) < 6_000
    with Image.open("zoo/one.png") as strip:
        assert strip.size == (7 * (10 * 8 + 9), 7 * 8)


def test_the_page_holds_the_command_that_makes_it(run):
    one = read_finished_run(run)
    text = page([dataclasses.replace(one, name=name) for name in ("b-" * 60, "a", "c" * 100)])
    indented = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    runs = (f"runs/{'b-' * 60}", "runs/a", f"runs/{'c' * 100}")
    assert shlex.split(indented.replace("\\\n", "")) == [
        "python",
        "-m",
        "tools.zoo_page",
        *runs,
        "--out",
        "docs/zoo.md",
    ]


def test_the_command_says_one_sentence_and_writes_nothing_where_a_run_cannot_be_shown(run, capsys):
    assert zoo.main(["one", "three", "--out", "zoo.md"]) == 2
    assert capsys.readouterr().err == (
        "error: three is no run directory: there is no such folder. Give the path of one, such as runs/digits, or "
        "train one: python train.py --config configs/digits.py\n"
    )
    assert zoo.main(["one", "one", "--out", "zoo.md"]) == 2
    assert "2 of the runs are named one" in capsys.readouterr().err
    assert zoo.main(["one", "--out", "nowhere/zoo.md"]) == 2
    assert not Path("zoo.md").exists()
    assert not Path("zoo").exists()


def test_pythae_has_the_models_of_its_release():
    assert len(PYTHAE) == 26
    assert pythae_section(str.upper).count("\n| ") == 26 + 2


CHOICES = {model: row[0] for model, row in PYTHAE.items() if not isinstance(row, str)}


@pytest.mark.parametrize("model", CHOICES)
def test_a_model_of_pythae_that_is_a_row_of_choices_can_be_built(model):
    config = Config()
    for name, text in CHOICES[model].items():
        section, _, field = name.rpartition(".")
        setattr(getattr(config, section) if section else config, field, int(text) if text.isdigit() else text)
    build(config, (8, 8, 1), examples=100)


def test_the_processor_is_named_where_the_system_knows_it(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz \nflags\t: x\n")
    assert environment.processor_name(tmp_path / "cpuinfo") == "Some CPU @ 3 GHz"
    assert isinstance(environment.processor_name(tmp_path / "none"), str)
