"""The report's page for whoever reads it otherwise: contrast, headings, landmarks, names of all that can be seen."""

import itertools
import re

import pytest
from report_pages import RESULTS, TEST, add_dots, add_figures, read, write

from jaxvae.viz.report import captions, html, results_tables

TEXT = ("ink", "soft", "accent", "ill")  # colours of letters
LINES = ("train", "validation", "accent", "soft")  # colours of curves, and of borders of what can be pressed


def colours(scheme):
    """The style's named colours {name: (r, g, b)} in light or dark."""
    light, dark = re.findall(r":root \{(.*?)\}", html.read_static("report.css"), re.DOTALL)
    found = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", light))
    found |= dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else {}
    return {name: tuple(int(value[i : i + 2], 16) for i in (1, 3, 5)) for name, value in found.items()}


def luminance(colour):
    """The relative luminance of a colour (WCAG 2.2)."""
    linear = [(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in (each / 255 for each in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """The contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_its_definition_says():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_and_lines_stand_out_from_what_is_behind_them(scheme):
    found = colours(scheme)
    for ground in ("page", "card"):
        assert all(contrast(found[name], found[ground]) >= 4.5 for name in TEXT)
        assert all(contrast(found[name], found[ground]) >= 3 for name in LINES)
    named = set(re.findall(r"var\(--([a-z]+)\)", html.read_static("report.css")))
    assert named <= set(found)


@pytest.fixture
def whole(workdir):
    """The page of a run that has everything."""
    entry = {"value": 2.5, "stderr": 0.1}
    both = TEST | {"rate": entry, "distortion": {"value": 18.0, "stderr": 0.2}}
    finding = {"name": "beta", "level": "note", "says": "So.", "remedy": "--x"}
    write(workdir, "results", RESULTS | {"test": both, "validation": both, "diagnosis": [finding]})
    add_figures(workdir, *captions.CAPTIONS, "zebra")
    add_dots(workdir)
    return read(workdir)


def test_headings_go_down_by_one_and_each_section_has_its_own(whole):
    levels = [int(tag[1]) for tag, _ in whole.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert levels.count(2) == len(whole.every("section"))


def test_contents_lead_to_every_section_in_the_order_of_the_questions(whole):
    ids = [each["id"] for _, each in whole.tags if "id" in each]
    assert len(ids) == len(set(ids))
    links = [each["href"] for each in whole.every("a")]
    assert links[0] == "#main"
    questions = [question.anchor for question in captions.QUESTIONS]
    assert links[1:] == [f"#{name}" for name in (*questions, "protocol", "config", "command", "environment")]
    assert [f"#{each['id']}" for each in whole.every("section")] == ["#numbers", *links[1:]]
    titles = [question.title for question in captions.QUESTIONS]
    assert all(whole.text.count(title) == 2 for title in titles)
    assert whole.text.rindex(captions.QUESTIONS[-1].title) < whole.text.index("zebra")


def test_landmarks_and_names(whole):
    tags = [tag for tag, _ in whole.tags]
    assert {name: tags.count(name) for name in ("main", "header", "footer", "nav")} == dict.fromkeys(
        ("main", "header", "footer", "nav"), 1
    )
    assert whole.every("html") == [{"lang": "en"}]
    assert tags[tags.index("body") + 1] == "a"  # what a keyboard comes to first leads past the head
    assert tags.count("table") == tags.count("caption")
    assert all(len(each["alt"]) > 10 for each in whole.every("img"))
    assert all(len(each["aria-label"]) > 10 and each["role"] == "img" for each in whole.every("svg"))
    assert all("scope" in each for each in whole.every("th"))


def test_every_figure_that_a_caption_knows_answers_a_question():
    listed = [name for question in captions.QUESTIONS for name in question.figures.split()]
    assert len(listed) == len(set(listed))
    lost = [name for name in captions.CAPTIONS if captions.place_figure(name)[0] == len(captions.QUESTIONS) - 1]
    assert not lost, f"append {lost} to the question that they answer, in captions.QUESTIONS"


def test_a_figure_of_a_longer_name_stands_with_its_kind():
    assert captions.place_figure("samples_first")[0] == captions.place_figure("samples")[0] == 1
    stems = ["zebra", "samples_b", "samples", "temperatures", "samples_a", "reconstructions"]
    ordered = sorted(stems, key=captions.place_figure)
    assert ordered == ["reconstructions", "samples", "samples_a", "samples_b", "temperatures", "zebra"]


def test_what_can_be_touched_waits_for_the_script_and_its_still_is_there(whole):
    hidden = [each["id"] for _, each in whole.tags if "hidden" in each]
    assert sorted(hidden) == ["interactive-curves", "interactive-latent_plane"]
    stills = [each["id"] for each in whole.every("figure") if each.get("id", "").startswith("still-")]
    assert sorted(stills) == ["still-curves", "still-latent_plane"]


def test_scores_are_drawn_where_their_errors_are_known():
    row = {"value": -10.0, "stderr": 0.5}
    better = {"value": -8.0, "stderr": 0.5}
    results = {"test": {"examples": 9, "elbo": row, "log_likelihood": better}}
    text = results_tables.numbers_section(results, [1])
    low, high = re.findall(r"M([\d.]+) \d+H([\d.]+)", text)
    (one, two) = re.findall(r"<circle class='dot' cx='([\d.]+)'", text)
    scale = (float(two) - float(one)) / 2  # of one nat
    assert float(low[0]) == 14
    assert float(high[1]) == 306
    assert float(low[1]) - float(one) == pytest.approx(2 * 0.5 * scale, abs=0.2)
    assert "ELBO, test: −10.00 ± 0.50; log p(x), test: −8.00 ± 0.50" in text
    for entry in (
        {"value": -10.0},
        {"value": 1e300, "stderr": 1.0},
        {"value": "x", "stderr": 1.0},
        {"value": True},
        {"value": -8.0, "stderr": 0.0},
    ):
        assert "whisker" not in results_tables.numbers_section(
            {"test": {"examples": 9, "elbo": row, "log_likelihood": entry}}, [1]
        )


def test_rate_and_distortion_share_one_bar():
    def bars(rate, distortion):
        entries = {"examples": 9, "rate": {"value": rate}, "distortion": {"value": distortion}}
        html = results_tables.numbers_section({"test": entries}, [1])
        return [float(width) for width in re.findall(r"<rect class='\w+' x='[-\d.]+' y='30' width='([-\d.]+)'", html)]

    assert bars(1.0, 3.0) == [72.0, 216.0]
    assert bars(0, 2.0) == bars(-1.0, 3.0) == bars(float("nan"), 3.0) == bars(True, 2.0) == bars("x", 2.0) == []


def test_a_card_shows_the_error_and_of_how_many():
    entries = {"examples": 9, "elbo": {"value": -2.0, "stderr": 0.1}, "active_units": {"value": 3, "of": 20}}
    html = results_tables.numbers_section({"test": entries, "validation": entries}, [1])
    assert html.count("<ul class='cards'>") == 1
    assert "<strong>−2.00 <small>± 0.10</small></strong><span>nats</span>" in html
    assert "<strong>3</strong><span>of 20</span>" in html
