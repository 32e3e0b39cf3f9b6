"""Whatever somebody types is done, or answered by one message with a next move: never by a traceback."""

import contextlib
import io
import os
import sys
from functools import partial
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxvae.cli import errors, main, run_action
from jaxvae.cli.commands import COMMANDS
from jaxvae.cli.commands import benchmark as benchmark_command
from jaxvae.cli.commands import train as train_command
from jaxvae.config.build import build
from jaxvae.config.command_line import read_config
from jaxvae.config.schema import field_types
from jaxvae.data import dataset, sources
from jaxvae.model import layers
from jaxvae.rundir.state import abstract_state
from jaxvae.training import benchmark

DIGITS = str(Path(__file__).parents[2] / "configs" / "digits.py")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a run directory and a file in it, that is worked in; nothing is trained, scored or read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "file").touch()
    for command in (train_command, benchmark_command):
        monkeypatch.setattr(command, "prepare_jax", lambda *_, **__: None)
    for name in ("train.train_and_evaluate", "ensemble.train.train_and_evaluate_members"):
        monkeypatch.setattr(f"jaxvae.training.{name}", lambda config, *_, **__: build(config, (8, 8, 1), condition=10))
    monkeypatch.setattr(jax.distributed, "initialize", nobody_there)
    monkeypatch.setattr(
        sources, "open_data", lambda *_, **__: dataset.DataSet("none", "1", "0", {"train": Nothing()}, ())
    )
    for name in ("check", "benchmark"):
        monkeypatch.setattr(benchmark, name, lambda *_, **__: None)
    for name in OF_RUNS:
        monkeypatch.setattr(COMMANDS[name], "run", lambda arguments: None)
    return tmp_path


class Nothing:
    image, label = jax.numpy.zeros((0, 8, 8, 1)), None

    def __len__(self):
        return 0


def nobody_there(*_, **__):
    raise RuntimeError("nobody answered")


def answer(argv):
    """(exit code, stderr) of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except SystemExit as stopped:  # argparse's
            code = stopped.code
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return code, err.getvalue()


def refusal(*argv):
    """The one message by which a command line is refused."""
    code, text = answer(list(argv))
    assert code == 2, (code, text)
    assert text.count("error: ") == 1
    assert text.startswith(("error: ", "usage: "))
    return text


OF_RUNS = sorted({*COMMANDS} - {"train", "data", "benchmark"})
BEGIN = "from jaxvae.config import *\ndef get_config():\n    "
CONFIGS = {
    "x = 1 / 0": r"cannot be run: ZeroDivisionError: division by zero \(line 1\)",
    f"{BEGIN}return Cnofig()": r"NameError: name 'Cnofig' .*\(line 3\)",
    "def get_config():\n    return 1 / 0": r"get_config\(\) failed: ZeroDivisionError: division by zero \(line 2\)",
    "def get_config():\n    raise OSError('gone')": r"get_config\(\) failed: OSError: gone \(line 2\)",
    "def get_config():\n    raise ValueError": r"get_config\(\) failed: ValueError \(line 2\)",
    "import sys\ndef get_config():\n    sys.exit()": r"get_config\(\) failed: SystemExit \(line 3\)",
    "def get_config():\n    pass": r"get_config\(\) returned a NoneType; expected a jaxvae.Config",
    "def get_config(size):\n    pass": (
        r"get_config\(size\): missing a required argument: 'size'. It is called .* FILE:TEXT"
    ),
    "def get_config(*, size):\n    pass": r"missing a required",
    "get_config = 3": r"has no function get_config\(\)",
    "": r"has no function get_config\(\)",
    "def get_config(:": r"cannot be run: SyntaxError: .* \(line 1\)",
    "  x = 3": r"cannot be run: IndentationError: unexpected indent \(line 1\)",
    "\0": "cannot be run: (SyntaxError|ValueError): source code string cannot contain null bytes",
    "import no_such_module": r"cannot be run: ModuleNotFoundError: No module named 'no_such_module' \(line 1\)",
    "raise KeyboardInterrupt": None,
    f"{BEGIN}return Config(trian=3)": r"unexpected keyword argument 'trian' \(line 3\)",
    f"{BEGIN}return Config(train=3)": "train=3: expected a jaxvae.config.Train",
    f"{BEGIN}return Config(model=Model(encoder=8))": "model.encoder=8: expected text",
    f"{BEGIN}c = Config()\n    c.train.step = 9\n    return c": ("train.unknown field 'step'; did you mean 'steps'"),
}


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
def test_an_error_of_a_config_file_is_one_message_with_its_line(text, here):
    (here / "mine.py").write_text(text)
    if CONFIGS[text] is None:
        assert answer(["train", "--config", "mine.py"]) == (130, "stopped.\n")
        return
    with pytest.raises(ValueError, match=CONFIGS[text].replace("FILE", "mine.py")):
        read_config("mine.py", [])
    assert "error: --config mine.py: " in refusal("train", "--config", "mine.py")


def test_a_config_is_no_folder_and_no_picture_and_takes_its_text(here):
    (here / "picture.py").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    (here / "sized.py").write_text(
        "from jaxvae.config import *\ndef get_config(size='1'):\n    return Config(model=Model(latent_dim=int(size)))"
    )
    assert "cannot be run: SyntaxError" in refusal("train", "--config", "picture.py")
    assert "run: it is a folder. Configs here: none in ./configs" in refusal("train", "--config", "run")
    assert read_config("sized.py", []).model.latent_dim == 1
    assert read_config("sized.py:5", ["--config.train.steps=3"]).model.latent_dim == 5
    assert "invalid literal for int() with base 10: 'x' (line 3)" in refusal("train", "--config", "sized.py:x")


def test_a_config_changed_within_its_second_is_read_anew(here, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for size in (3, 4):
        (here / "mine.py").write_text(
            f"from jaxvae.config import *\ndef get_config():\n    return Config(model=Model(latent_dim={size}))"
        )
        os.utime("mine.py", (0, 0))
        assert read_config("mine.py", []).model.latent_dim == size


@pytest.mark.parametrize(
    ("override", "words"),
    [
        *(
            (f"train.steps={text}", "expected a whole number.")
            for text in ("abc", "1e-3", "1e30", "", "(1, 2)", "True", "1.0", "0x8", "9" * 5000, "é", "\0", "--5")
        ),
        ("train.steps", "its value is missing; write --config.train.steps=VALUE"),
        ("train.steps=-5", "train.steps=-5: expected a whole number from 1 on"),
        ("train.steps=10000000000", "expected a whole number from 1 to 2,147,483,647"),
        *((f"optimizer.learning_rate={text}", "expected a positive number") for text in ("nan", "inf", "1e400", "-1")),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate=fast: expected a number."),
        ("train.patience=soon", "expected a whole number or None"),
        ("train.deterministic=maybe", "expected True or False"),
        ("evaluate.splits=(1, 2)", "expected a tuple of text"),
        ("evaluate.splits=(", "expected a tuple of text"),
        ("evaluate.splits=", "expected one or more of 'train', 'validation', 'test'"),
        ("evaluate.splits=dev", "('dev',): expected one or more of 'train', 'validation', 'test'"),
        ("data.name=", "data.name='': expected 'digits'"),
        ("model.encoder=" + "x" * 20_000, "expected text"),
        ("train=3", "The fields there are: train.steps, train.samples"),
        ("=3", "there is no such field"),
        ("modle.encoder=mlp(3)", "did you mean '--config.model.encoder'?"),
        ("train.step=3", "error: --config.train.step: there is no such field; did you mean '--config.train.steps'?\n"),
        ("model.likelihood=mse", "'mse' is not a known likelihood; its name here is gaussian, whose -log p(x)"),
        ("model.likelihood=bce", "'bce' is not a known likelihood; its name here is bernoulli; known"),
        ("objective=beta_vae(4)", "'beta_vae' is not a known objective; its name here is elbo(beta=4.0); known"),
        ("optimizer.name=lion", "jaxvae.register('optimizer', 'lion', lambda *, schedule: optax.lion(schedule))"),
    ],
    ids=lambda text: text[:30],
)
def test_a_wrong_override_is_refused_by_what_its_field_holds(override, words, here):
    text = refusal("train", "--config", DIGITS, f"--config.{override}")
    assert words in text
    assert len(text) < 2000


def test_an_override_is_read_as_what_its_field_holds():
    config = read_config(
        DIGITS,
        [
            *(
                "--config.train.patience=5",
                "--config.train.patience=none",
                "--config.train.remat",
                "--config.data.size=8",
            ),
            *("--config.train.fsdp=true", "--config.evaluate.splits=test, train", "--config.optimizer.clip=1"),
            *("--config.data.data_dir=a=b", "--config.optimizer.learning_rate=1e-2", "--config.train.steps=1e4"),
        ],
    )
    assert config.train.patience is None
    assert config.train.remat
    assert config.train.fsdp
    assert config.data.size == 8
    assert config.evaluate.splits == ("test", "train")
    assert config.optimizer.clip == 1.0
    assert config.data.data_dir == "a=b"
    assert config.optimizer.learning_rate == 0.01
    assert config.train.steps == 10_000


def test_a_config_whose_name_is_misspelt_comes_with_the_nearest(here):
    (here / "configs").mkdir()
    for name in ("digits", "mnist", "photos"):
        (here / "configs" / f"{name}.py").touch()
    text = refusal("train", "--config", "configs/digit.py")
    assert text == "error: --config configs/digit.py: there is no such file. Did you mean 'configs/digits.py'?\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("sample run --n 0", "--n=0: expected a whole number from 1 on"),
        ("sample run --n -3", "--n=-3: expected a whole number"),
        ("sample run --n 10000000000", "to 100,000"),
        ("sample run --n x", "invalid int value: 'x'"),
        ("sample run --n", "expected one argument"),
        ("sample run --temperature nan", "--temperature=nan: expected a positive number"),
        ("sample run --temperature 0", "--temperature=0.0: expected a positive number"),
        ("sample run --seed -1", "--seed=-1: expected a whole number from 0 on"),
        (
            f"sample run --seed {2**70}",
            "--seed=1180591620717411303424: expected a whole number from 0 to 4,294,967,295",
        ),
        ("sample run --out run", "--out=run: expected a .png or .npy file"),
        ("sample run --out nowhere/x.png", "there is no folder nowhere"),
        ("sample run --out /proc/x.png", "--out=/proc/x.png: cannot be written (No such file or directory). Try"),
        ("reconstruct run --out x.npy", "expected a .png file"),
        ("benchmark --config DIGITS --out run", "--out=run: expected a file, but it is a folder"),
        ("benchmark --config DIGITS --seconds inf", "--seconds=inf: expected a positive number"),
        ("evaluate run --samples 0", "--samples=0: expected a whole number from 1 on"),
        ("evaluate run --splits dev", "argument --splits: invalid choice: 'dev' (choose from"),
        ("evaluate file", "file is a file, but a run directory is"),
        ("evaluate nowhere", "nowhere is no run directory"),
        ("train --config DIGITS --workdir file", "--workdir=file: expected a folder, but file is a file"),
        ("train --config DIGITS --workdir file/run", "--workdir=file/run: expected a folder, but file is a file"),
        ("train --config DIGITS --workdir=", "--workdir: is empty; leave it out"),
        ("train --config DIGITS --coordinator x --processes 2 --process 0", "expected HOST:PORT"),
        ("train --config DIGITS --processes 2", "come with --coordinator"),
        ("data digits --size 0", "--size=0: expected a whole number from 1 on"),
        ("traverse run --reach nan", "--reach=nan: expected a positive number"),
        ("interpolate run --path through", "invalid choice: 'through'"),
        ("attribute run --strengths x", "invalid float value: 'x'"),
        ("animate run --seconds 0", "--seconds=0.0: expected a positive number"),
        ("compare run nowhere", "nowhere is no run directory"),
        ("compare run --out file", "--out=file: expected a folder, but file is a file"),
        ("explore run --port 70000", "--port=70000: expected a whole number from 0 to 65,535"),
        ("fly", "invalid choice: 'fly'"),
        ("train --config DIGITS extra", "unrecognized arguments: extra"),
        ("train --config DIGITS --config.train.steps 7", "unrecognized arguments: 7"),
        ("train --config DIGITS --model.latent_dim=3", "=3; did you mean --config.model.latent_dim=3?"),
        ("sample run --model.latent_dim=3", "unrecognized arguments: --model.latent_dim=3\n"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(argv, words, here):
    given = [text.replace("DIGITS", DIGITS) for text in argv.split()]
    assert words in refusal(*given)


TYPED = st.one_of(
    st.sampled_from(["0", "-3", "5", "nan", "inf", "1e400", "none", "mlp(8)", "elbo(beta=", "test", "9" * 5000]),
    st.sampled_from(["run", "file", "nowhere/x.png", "a.png", "a.npy", "--", "-", "=", "--n", "x" * 20_000]),
    st.sampled_from(["", "é漢\u202e", "\0", "\ud800"]),
    st.text(max_size=5),
)
OPTIONS = st.one_of(
    st.sampled_from(["--n", "--seed", "--out", "--samples", "--splits", "--temperature", "--workdir", "--config"]),
    st.sampled_from(["--data_dir", "--size", "--trust", "--check", "--coordinator", "--processes", "--process"]),
    st.sampled_from(["--seconds", "--channels", "--manual_dir", "--no", "-h", "--debug_", "--confg"]),
    st.sampled_from(["--images", "--image", "--dimensions", "--steps", "--reach", "--side", "--port", "--format"]),
    st.sampled_from(["--attribute", "--strengths", "--columns", "--method", "--keep", "--a", "--mixed", "--split"]),
)
FIELDS = st.sampled_from([*field_types(), "train", "modle.encoder", "", "train.step", "a.b.c"])
WORDS = st.one_of(
    st.tuples(OPTIONS, TYPED).map(list),
    st.tuples(OPTIONS, TYPED).map(lambda both: ["=".join(both)]),
    st.tuples(FIELDS, TYPED).map(lambda both: [f"--config.{both[0]}={both[1]}"]),
    st.tuples(FIELDS, TYPED).map(lambda both: [f"--config.{both[0]}", both[1]]),
    TYPED.map(lambda text: [text]),
)
BEGUN = st.sampled_from(
    [["train", "--config", DIGITS]] * 4
    + [["benchmark", "--config", DIGITS], ["train"], [], ["fly"], ["data", "digits"], ["data"]]
    + [[verb, "run"] for verb in OF_RUNS]
)


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(begun=BEGUN, words=st.lists(WORDS, max_size=3))
def test_any_command_line_is_done_or_refused_by_one_message(begun, words, here):
    code, text = answer([*begun, *(word for both in words for word in both)])
    assert code in (0, 2), text
    assert text.count("error: ") == (code == 2), text
    assert sorted(path.name for path in here.iterdir()) == ["file", "run"]


def failing(capsys, action, code):
    """What is said of an action that fails with this exit code."""
    assert run_action(action, debug=False)[0] == code
    text = capsys.readouterr().err
    assert text.count("error: ") == 1
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    "wrong",
    [partial(layers.patch_grid, None, 2), partial(layers.to_patches, jax.numpy.zeros((2, 2)), 1)],
    ids=["ours", "value"],
)
def test_what_nobody_foresaw_is_called_a_bug_and_not_a_mistake_of_the_caller(wrong, capsys):
    text = failing(capsys, wrong, 1)
    for words in ("this is a bug of jaxvae", "jaxvae/model/layers.py, line ", "--debug", f"jax {jax.__version__}"):
        assert words in text
    assert run_action(wrong, debug=True)[0] == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")]
)
def test_too_little_memory_says_what_takes_less(error, capsys):
    def action():
        raise error

    text = failing(capsys, action, 1)
    for words in ("too little memory", "data.batch_size", "train.accumulate", "train.remat", "model.precision"):
        assert words in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            jax.errors.JaxRuntimeError("UNAVAILABLE: lost"),
            "JAX's runtime failed: JaxRuntimeError: UNAVAILABLE: lost. Check",
        ),
        (RuntimeError("Unable to initialize backend 'tup'"), "JAX_PLATFORMS names one that exists"),
        (ModuleNotFoundError("No module named 'rich'"), "No module named 'rich'. Install what is missing"),
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory: 'x'"),
        (OSError(28, "No space left on device", "x"), "No space left on device: 'x'"),
    ],
)
def test_what_the_machine_lacks_is_said_as_such(error, words, capsys, monkeypatch):
    monkeypatch.setattr(errors, "_last_user_frame", lambda _: None)  # this file's
    assert words in failing(capsys, partial(fail, error), 2 if isinstance(error, FileNotFoundError) else 1)


def fail(error):
    raise error


def test_a_part_of_ones_own_that_fails_is_named_with_its_line(tmp_path, capsys):
    lines = ["import flax.linen as nn", "class Net(nn.Module):", "    def __call__(self, x, condition=None):"]
    lines += ["        return x / nowhere", "def net():", "    return Net()"]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    config = read_config(DIGITS, [f"--config.model.encoder={tmp_path}/mine.py:net"])
    text = failing(capsys, partial(abstract_state, config, build(config, (8, 8, 1))), 1)
    assert f"{tmp_path}/mine.py failed: NameError: name 'nowhere' is not defined (line 4): return x / nowhere" in text


def test_output_that_nobody_reads_ends_quietly(monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        assert run_action(lambda: print("hello"), debug=False)[0] == 141
    monkeypatch.undo()
    assert capsys.readouterr().err == ""
