"""docs/from-autoencoder-to-vae.md: its commands name configs that build, and its pictures are there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from jaxvae.cli.commands import make_parser
from jaxvae.config.build import build
from jaxvae.config.command_line import read_config
from jaxvae.config.schema import is_ensemble
from jaxvae.training.ensemble.members import members_of
from tools import story_page

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "from-autoencoder-to-vae.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)
COMMANDS = [line for line in BLOCKS[0].replace("\\\n", " ").splitlines() if line]
TRAINING = [command for command in COMMANDS if "train.py" in command]
SHAPES = {"digits": ((8, 8, 1), 1293), "mnist": ((28, 28, 1), 55_000)}
LARGEST = 150_000  # bytes of a picture


def configured(command, monkeypatch):
    """(the options, the config) that the command stands for, run from the repository's root."""
    monkeypatch.chdir(DOCS.parent)
    program, script, *arguments = shlex.split(command)
    assert (program, script) == ("python", "train.py")
    options, overrides = make_parser().parse_known_args(["train", *arguments])
    return options, read_config(options.config, overrides)


def judge(config):
    """The verdict on the config, and on each of its members."""
    shape, examples = SHAPES[config.data.name]
    for each in [member.config for member in members_of(config)] if is_ensemble(config) else [config]:
        build(each, shape, examples=examples)


@pytest.mark.parametrize("command", TRAINING)
def test_each_command_builds(command, monkeypatch):
    options, config = configured(command, monkeypatch)
    assert options.workdir.parent == Path("runs/story")
    judge(config)


def test_the_list_atop_is_all_commands_of_the_chapters_and_the_script():
    chapters = [line for block in BLOCKS[1:] for line in block.replace("\\\n", " ").splitlines()]
    refused = [line for line in chapters if "--workdir" not in line]
    assert len(refused) == 1
    assert sorted(set(chapters) - set(refused)) == sorted(TRAINING)
    assert [command for command in COMMANDS if command not in TRAINING] == ["python -m tools.story_page"]


def test_the_refusal_reads_as_printed(monkeypatch):
    (command,) = re.findall(r"^python train.py .*grey$", PAGE, re.M)
    _, config = configured(command, monkeypatch)
    with pytest.raises(ValueError, match=r"model.likelihood='bernoulli'") as refusal:
        judge(config)
    assert f"error: {refusal.value}" in " ".join(re.sub("^> ", "", PAGE, flags=re.M).split())


def test_every_picture_is_there_small_and_has_words():
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", PAGE, re.S)
    for words, path in pictures:
        assert len(words) > 40, path
        assert (DOCS / path).stat().st_size < LARGEST, path
    assert {path for _, path in pictures} == {f"story/{path.name}" for path in (DOCS / "story").iterdir()}


def test_sharpness_is_the_mean_squared_step_between_neighbours_relative_to_that_of_the_images():
    edge = np.zeros((1, 4, 4, 1))
    edge[:, :, 2:] = 1.0
    ramp = np.broadcast_to(np.linspace(0, 1, 4)[None, None, :, None], edge.shape)
    assert story_page.sharpness(edge, edge) == 1.0
    np.testing.assert_allclose(story_page.sharpness(ramp, edge), 1 / 3)  # three steps of 1/3 in place of one of 1
