"""Configs are read, written, compared, and overridden from the command line with their types."""

import dataclasses
import math
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

from jaxvae._checks import UsageError
from jaxvae.config import Config, Data, Evaluate, Train
from jaxvae.config.build import build
from jaxvae.config.command_line import read_config
from jaxvae.config.schema import check_config, field_types
from jaxvae.config.serialization import differences, save_config
from jaxvae.rundir.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]


def test_a_config_comes_back_as_it_was_saved(tmp_path):
    config = Config(
        data=Data(name="mnist", data_dir="somewhere"), train=Train(patience=3), evaluate=Evaluate(splits=("test",))
    )
    save_config(tmp_path / "config.json", config, {"shape": [28, 28, 1]})
    directory = RunDirectory(tmp_path)
    assert (directory.config, directory.data) == (config, {"shape": [28, 28, 1]})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def stored(version="1", data='{"shape": [8, 8, 1]}', objective='"elbo"', **sections):
    """The text of a config.json, of empty sections but for these."""
    empty = dict.fromkeys(("data", "model", "optimizer", "train", "evaluate"), "{}")
    fields = ", ".join(f'"{name}": {text}' for name, text in {**empty, "objective": objective, **sections}.items())
    return f'{{"version": {version}, "data": {data}, "config": {{{fields}}}}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"config\.json is damaged \("),
        ("[]", r"config\.json is damaged \("),
        ('{"version": 99, "data": {}, "config": {}}', "Install a newer jaxvae"),
        ('{"version": 1, "data": {}, "config": {"modle": {}}}', "unknown field 'modle'"),
        ('{"version": 1, "data": {}, "config": {"model": {"latent": 2}}}', "unknown field 'latent'"),
        (stored(version='"1"'), "version '1'"),
        (stored(version="true"), "version True"),
        (stored(version="0"), "is not a jaxvae config: version 0"),
        (stored(data="[]"), r"data \[\]"),
        (stored(data="{}"), r"shape=\(\): expected that of an example"),
        (stored(data='{"shape": [8, 8, -1]}'), r"shape=\[8, 8, -1\]: expected that"),
        (stored(data='{"shape": "888"}'), "shape='888': expected that"),
        (stored(data='{"shape": [8, 8, 1], "condition_size": 0}'), "condition_size=0: expected a whole number"),
        (stored(model="3"), "config.json, model: expected the fields of Model, got 3"),
        (stored(model='{"latent_dim": [2]}'), r"latent_dim=\(2,\): expected a whole number, got tuple"),
        (stored(model='{"latent_dim": null}'), "latent_dim=None: expected a whole number"),
        (stored(model='{"latent_dim": true}'), "latent_dim=True: expected a whole number"),
        (stored(model='{"encoder": {"mlp": 3}}'), "encoder={'mlp': 3}: expected text"),
        (stored(model='{"encoder": "' + 20_000 * "x" + '"}'), "expected text of at most 10,000 characters, got 20,000"),
        (stored(model='{"encoder": "\\u0000"}'), "expected text of characters that a file can hold"),
        (stored(evaluate='{"splits": [["test"]]}'), "splits=.*: expected a tuple of text"),
        (stored(evaluate='{"splits": "test"}'), "splits='test': expected a tuple of text"),
        (stored(train='{"steps": 1e3}'), "steps=1000.0: expected a whole number, got float"),
        (stored().replace('"train": {}, ', ""), "'train' is missing"),
        (stored(train='{"steps": ' + 5000 * "9" + "}"), r"config\.json is damaged \("),
        (stored(train='{"steps": ' + 100_000 * "[" + "}"), r"config\.json is damaged \("),
        ("\x00", r"config\.json is damaged \("),
    ],
    ids=lambda text: text[:60],
)
def test_a_file_that_is_none_of_ours_is_refused_in_words(text, words, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        _ = RunDirectory(tmp_path).config


def test_only_marked_fields_may_change_when_a_run_goes_on():
    old = Config()
    new = dataclasses.replace(
        old, train=dataclasses.replace(old.train, steps=9, log_every=1), evaluate=Evaluate(samples=7)
    )
    new.data = dataclasses.replace(old.data, data_dir="elsewhere")
    assert differences(old, new) == []
    new.objective = "elbo(beta=4.0)"
    new.model = dataclasses.replace(old.model, latent_dim=3)
    assert differences(old, new) == [
        "model.latent_dim: 2 -> 3",
        "objective: 'elbo(beta=1.0)' -> 'elbo(beta=4.0)'",
    ]


def test_overrides_are_typed_by_the_fields():
    overrides = ["--config.optimizer.learning_rate=3e-4", "--config.data.data_dir=x", "--config.train.patience=5"]
    overrides += [
        "--config.optimizer.clip=2.0",
        "--config.evaluate.splits=('test', 'validation')",
        "--config.train.deterministic",
    ]
    config = read_config(str(ROOT / "configs" / "digits.py"), overrides)
    assert config.optimizer.learning_rate == 3e-4
    assert config.data.data_dir == "x"
    assert config.train.patience == 5
    assert config.optimizer.clip == 2.0
    assert config.evaluate.splits == ("test", "validation")
    assert config.train.deterministic is True


@pytest.mark.parametrize("path", sorted(str(path) for path in (ROOT / "configs").glob("*.py")))
def test_every_config_builds_and_says_how_it_is_run(path):
    build(read_config(path, []), (28, 28, 1), condition=10, examples=1000)
    text = Path(path).read_text()
    assert f"python train.py --config configs/{Path(path).name}" in text
    assert "Measured" in text


# ml_collections 1.1.0 loads config files with importlib's old call
@pytest.mark.filterwarnings(r"ignore:the load_module\(\) method is deprecated:DeprecationWarning")
def test_a_program_of_ones_own_reads_configs_by_ml_collections_alike():
    overrides = ["--config.train.steps=7", "--config.model.prior=sphere", "--config.optimizer.learning_rate=1e-2"]
    values, file = flags.FlagValues(), str(ROOT / "configs" / "digits.py")
    arguments = ["program", f"--config={file}", *overrides]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    values(arguments)
    assert values.config == read_config(file, overrides)


def test_every_number_and_choice_refuses_what_is_outside_its_range():
    """Whole numbers below 0, numbers that are not finite, and unknown names; viz/test_figures has evaluate.figures."""
    for name, kind in field_types().items():
        wrong = {int: -1, int | None: -1, float: math.nan, float | None: math.nan}.get(kind)
        if name in ("data.pipeline", "model.condition", "model.precision", "train.engine"):
            wrong = "nothing"
        if wrong is not None:
            with pytest.raises(UsageError, match=rf"^{name}=.*: expected "):
                check_config(changed(Config(), name, wrong))


def changed(config, name, value):
    """The config with another value of 'train.steps', say."""
    section, _, field = name.partition(".")
    inside = dataclasses.replace(getattr(config, section), **{field: value})
    return dataclasses.replace(config, **{section: inside})
