"""docs/gallery.md: its commands are ones that there are, and its pictures are there, small and told in words."""

import re
import shlex
from pathlib import Path

import pytest

from jaxvae.cli import commands
from jaxvae.config.command_line import read_config
from tools.gallery_page import PICTURES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "gallery.md").read_text()
LINES = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)).splitlines()
SET = dict(line.split("=", 1) for line in LINES if re.match(r"[A-Z]+=", line))
COMMANDS = [line for line in LINES if line.startswith(("jaxvae ", "python train.py "))]
LARGEST = 2**20


def words(command):
    """The command's arguments, the page's variables in their places."""
    for name, value in SET.items():
        command = command.replace(f"${name}", value.strip('"'))
    program, *rest = shlex.split(command)
    return rest if program == "jaxvae" else ["train", *rest[1:]]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_one(command, monkeypatch):
    monkeypatch.chdir(DOCS.parent)
    options, overrides = commands.make_parser().parse_known_args(words(command))
    assert bool(overrides) <= (options.verb == "train")
    if options.verb == "train":
        read_config(options.config, overrides)


def test_every_verb_that_explores_is_shown():
    shown = {words(command)[0] for command in COMMANDS}
    assert {*commands.COMMANDS} - {"evaluate", "sample", "reconstruct", "report", "data", "benchmark"} <= shown


def test_every_picture_is_there_small_and_in_words():
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", PAGE)
    assert len(pictures) > 20
    for text, name in pictures:
        assert len(text) > 20, name
        assert 0 < (DOCS / name).stat().st_size <= LARGEST, name
    named = {name.removeprefix("gallery/").rsplit(".")[0] for _, name in pictures if name.startswith("gallery/")}
    assert named == {*PICTURES, "explore"}
