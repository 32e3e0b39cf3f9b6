"""The table of figures: what evaluate.figures selects, and figures of a user's own."""

import logging

import numpy as np
import pytest
from jax import random
from looked_at import make_data, make_run
from matplotlib.figure import Figure

import jaxvae
from jaxvae.config.registry import TABLES
from jaxvae.viz import figures
from jaxvae.viz.figures import table
from jaxvae.viz.report import captions

MINE = """
from matplotlib.figure import Figure

def mine(subject, power=1):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot(subject.scored["elbo"] ** power)
    return figure

def broken(subject):
    return subject.scored["nothing"]

def no_figure(subject):
    return 3
"""


@pytest.fixture
def draw(tmp_path):
    """Draws the figures that are named, of a run that gives no posterior means; returns the names of the files."""
    run, data = make_run(), make_data()
    scored = {"test": {"elbo": np.arange(30.0)}}

    def drawn(which):
        figures.draw_figures(run, data, scored, tmp_path, random.key(0), which)
        return sorted(path.name for path in (tmp_path / "figures").iterdir())

    return drawn


def test_every_figure_has_a_caption_and_requirements_that_exist():
    for name, figure in table.FIGURES.items():
        assert (figure.file or name).split(".")[0] in captions.CAPTIONS
        assert set(figure.needs) <= table.REQUIREMENTS.keys()


def test_all_few_and_none_are_sets_that_a_list_may_name():
    assert list(table.select_figures("all")) == list(table.FIGURES)
    few = table.select_figures("few")
    assert list(few) == [name for name, figure in table.FIGURES.items() if figure.few]
    assert list(table.select_figures("few, anomaly")) == [*few, "anomaly"]
    assert table.select_figures("none") == {}


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (
            "sampels",
            r"evaluate\.figures='sampels': 'sampels' is not a known figure; did you mean 'samples'\? .*traversal",
        ),
        ("samples, samples", "'samples' is named twice"),
        ("samples(3)", r"expected samples\(\)"),
        ("nowhere.py:mine", "there is no file nowhere.py"),
    ],
)
def test_what_is_no_figure_is_refused(which, words):
    with pytest.raises(ValueError, match=words):
        figures.check_figures(which)


def test_figures_are_drawn_by_their_names_and_those_of_other_weights_removed(draw, tmp_path, caplog):
    (tmp_path / "figures").mkdir()
    for name in ("denoising.png", "own.png"):
        (tmp_path / "figures" / name).write_text("old")
    assert draw("samples, traversal") == ["own.png", "samples.png", "samples.svg"]
    assert "traversal is not drawn: it needs posterior means" in caplog.text


def test_a_figure_of_a_file_is_drawn_with_its_arguments_and_never_without_trust(draw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_figures.py").write_text(MINE)
    assert draw("my_figures.py:mine(power=2)") == ["mine.png", "mine.svg"]
    squares = (tmp_path / "figures" / "mine.svg").read_text()
    draw("my_figures.py:mine")
    assert (tmp_path / "figures" / "mine.svg").read_text() != squares
    with pytest.raises(ValueError, match=r"runs code of my_figures\.py\. If you trust it"):
        figures.check_figures("samples, my_figures.py:mine", trust=False)


def test_a_figure_that_fails_is_left_out_with_its_line(draw, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_figures.py").write_text(MINE)
    with caplog.at_level(logging.WARNING):
        assert draw("my_figures.py:broken, my_figures.py:no_figure, samples") == ["samples.png", "samples.svg"]
    assert "broken is not drawn: KeyError: 'nothing' (line 10)" in caplog.text
    assert "no_figure is not drawn: UsageError: figure 'no_figure' returned a int" in caplog.text


def test_a_registered_figure_is_one_of_all_and_has_the_style_of_all(draw, monkeypatch, tmp_path):
    monkeypatch.setitem(TABLES, "figure", {})
    seen = []

    def mine(subject):
        figure = Figure(figsize=(2, 1))
        seen.append(figure.subplots().xaxis.label.get_color())
        return figure

    jaxvae.register("figure", "mine", mine)
    assert list(table.select_figures("all"))[-1] == "mine"
    assert "mine.png" in draw("samples, mine")
    assert seen == ["#5b6670"]
    with pytest.raises(ValueError, match="did you mean 'mine'"):
        figures.check_figures("mime")
