"""The report: one file that holds everything, says what is missing, and lets nothing from the run act as HTML."""

import base64
import hashlib
import json
import re

import pytest
from report_pages import RESULTS, TEST, Page, add_figures, read, write

from jaxvae.runtime.files import read_json, write_json
from jaxvae.viz import report
from jaxvae.viz.report import captions
from jaxvae.viz.report.html import format_score


def sha256(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_it_returns_the_path_and_leaves_nothing_else(workdir):
    before = set(workdir.iterdir())
    assert report.write_report(str(workdir)) == workdir / "report.html"
    assert set(workdir.iterdir()) - before == {workdir / "report.html"}


def test_a_failure_keeps_the_old_report_and_no_temporary_file(workdir, monkeypatch):
    report.write_report(workdir)
    before, names = (workdir / "report.html").read_bytes(), set(workdir.iterdir())

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(report.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report.write_report(workdir)
    assert (workdir / "report.html").read_bytes() == before
    assert set(workdir.iterdir()) == names


def test_numbers_stand_with_their_error_and_meaning(workdir):
    text = read(workdir).text
    assert "ELBO−21.10 ± 0.21 nats" in text
    assert "log p(x), K = 100−19.24 ± 0.20 nats" in text
    assert "Active units2Latent" in text
    assert "KL per dimension3.125, 2.875 nats" in text
    assert "Test split, 360 images" in text
    assert "weightsEMA 0.999" in text
    assert "parameters123,456" in text
    assert "for 5,000 steps, scores an ELBO of −21.10 ± 0.21 nats on unseen test images" in text
    assert text.count("summed over the pixels of an image, then averaged over the images") == 1


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"value": -1234.5678, "stderr": 12.3}, "−1,235 ± 12"),
        ({"value": 0.47571, "stderr": 0.00478}, "0.4757 ± 0.0048"),
        ({"value": -5.0, "stderr": 0.0}, "−5"),
        ({"value": -5}, "−5"),
        ({"value": True}, "True"),
        ({"value": 3.14159, "stderr": None}, "3.142"),
        ({"value": float("nan"), "stderr": 0.1}, "nan"),
        ({"value": 1.5, "stderr": float("nan")}, "1.5"),
        ({"value": None}, "None"),
        ({"value": [0.5] * 50}, "50 values, see the figure"),
        ({"value": 123456.7}, "123,457"),
        ({"value": -282715072.0, "stderr": 1.2e6}, "−2.827e+08 ± 1.2e+06"),
        ({"value": 3e-5}, "3e-05"),
        ({"value": "<b>"}, "&lt;b&gt;"),
    ],
)
def test_values_are_rounded_to_their_error(entry, text):
    assert format_score(entry) == text


def test_findings_stand_above_the_numbers_with_their_remedies(workdir):
    ill = {
        "name": "beta",
        "level": "illness",
        "says": "beta < 1.",
        "numbers": {},
        "remedy": "--config.objective='elbo'",
    }
    fine = {
        "name": "holes",
        "level": "fine",
        "says": "None, 1 +- 2.",
        "numbers": {"split": "validation", "rate": 777.5},
    }
    write(workdir, "results", RESULTS | {"diagnosis": [ill, fine]})
    page = read(workdir)
    assert "Illness · beta. beta < 1.Try --config.objective='elbo'Fine · holes. None, 1 ± 2." in page.text
    places = [
        page.text.index(part) for part in ("The numbers", "one standard error", "Illness", "Test split", "Contents")
    ]
    assert places == sorted(places)
    assert "Measured on the validation images" in page.text
    assert [each["class"] for each in page.every("li") if "class" in each] == ["illness", "fine"]
    assert "777" not in page.text
    assert "--workdir of its own" in page.text
    write(workdir, "results", RESULTS | {"diagnosis": "none"})
    assert "What they say" not in read(workdir).text


def test_splits_come_test_first_and_unknown_quantities_generically(workdir):
    write(workdir, "results", {"validation": {"examples": 9, "mystery": {"value": 4, "stderr": 0.1}}, **RESULTS})
    text = read(workdir).text
    assert text.index("Test split") < text.index("Validation split, 9 images")
    assert "mystery4.00 ± 0.10" in text
    assert "mystery4.00 ± 0.10 nats" not in text


def test_missing_parts_are_said(workdir):
    (workdir / "results.json").unlink()
    (workdir / "metrics.jsonl").unlink()
    text = read(workdir).text
    assert "the final evaluation has not been made yet" in text
    assert "There is no metrics.jsonl" in text
    assert "There are no figures" in text
    assert "trained on digits, waits for its final evaluation." in text


def test_without_results_the_steps_so_far_come_from_the_metrics(workdir):
    (workdir / "results.json").unlink()
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 700, "split": "train", "elbo": NaN}\n{"step": 8')
    assert "for 700 steps so far, waits for its final evaluation" in read(workdir).text


def test_nothing_is_said_to_be_missing_when_all_is_there(workdir):
    add_figures(workdir, "samples")
    assert "There is no" not in read(workdir).text
    assert "There are no" not in read(workdir).text


def test_figures_are_embedded_in_order_with_alternative_texts(workdir):
    add_figures(workdir, "zebra", "training", "samples", "curves", "latent_plane", "reconstructions", "apple_<i>")
    add_figures(workdir, "manifold", "kl_per_dimension", ".hidden")
    page = read(workdir)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 9
    assert all(image["src"].startswith("data:image/png;base64,iVBOR") for image in images)
    assert all(len(image["alt"]) > 10 for image in images)
    assert [image["alt"] for image in images[-2:]] == ["Figure: apple <i>", "Figure: zebra"]
    shown = ("reconstructions", "samples", "manifold", "latent_plane", "kl_per_dimension", "curves", "training")
    titles = [captions.CAPTIONS[name].title for name in captions.CAPTIONS if name in shown]
    assert len(titles) == len(shown)
    assert [page.text.index(title) for title in titles] == sorted(page.text.index(title) for title in titles)


def test_numbers_and_pictures_from_corrupted_inputs_say_so(workdir):
    add_figures(workdir, "reconstructions")
    entry = {"value": 12.0, "stderr": 0.5}
    corrupted = {f"{name}_from_corrupted": entry for name in ("elbo", "rate", "distortion")}
    assert captions.CAPTIONS["reconstructions"].title in read(workdir).text
    protocol = {"corruption": "each pixel set to 0"}
    write(workdir, "results", RESULTS | {"test": TEST | corrupted, "protocol": protocol})
    page = read(workdir)
    assert page.text.count("from corrupted inputs12.00 ± 0.50 nats") == 3
    assert "how well the image is restored" in page.text
    assert captions.CAPTIONS["reconstructions"].title not in page.text
    assert captions.describe_figure("reconstructions", corrupted=True).title in page.text
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert "corrupted" in image["alt"]


def test_it_needs_no_network_and_lets_its_own_script_and_style_alone_act(workdir):
    add_figures(workdir, *captions.CAPTIONS)
    text = report.write_report(workdir).read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|<link|url\(", re.sub(r"base64,[^\"]*", "", text), re.IGNORECASE)
    page = Page(text)
    addresses = [each[name] for _, each in page.tags for name in ("src", "href", "srcset") if name in each]
    assert sum(each.startswith("data:image/") for each in addresses) == len(captions.CAPTIONS)
    assert all(each.startswith(("data:image/", "#")) for each in addresses)
    (policy,) = [each["content"] for each in page.every("meta") if "http-equiv" in each]
    digests = {kind: re.findall(rf"{kind}-src '(sha256-[^']+)'", policy) for kind in ("script", "style")}
    assert [each.get("type") for each in page.every("script")] == ["application/json", None]
    assert digests["script"] == [sha256(page.scripts[-1])]
    assert digests["style"] == [sha256(page.styles[0])]
    assert len(page.styles) == 1
    assert "default-src 'none'; connect-src 'none'" in policy
    assert "unsafe" not in policy
    assert all("style" not in each for _, each in page.tags)
    assert "prefers-color-scheme: dark" in text
    assert '<meta name="viewport"' in text


def test_hostile_text_stays_text(workdir):
    evil = "<script>alert(1)</script>\"'&{0}"
    write(
        workdir,
        "config",
        {"config": {"data": {"name": evil}, "model": {"latent_dim": evil}, evil: [evil, {evil: evil}]}},
    )
    write(workdir, "environment", {"command": evil, "jaxvae": evil, evil: {evil: evil}})
    entry = {"value": evil, "stderr": evil, "samples": evil}
    split = {"examples": evil, "elbo": entry, evil: entry, "rate": evil}
    finding = {"name": evil, "level": evil, "says": evil, "numbers": {evil: evil}, "remedy": evil}
    findings = [finding, {"level": [evil], "says": [evil], "remedy": {evil: evil}}, evil, 3]
    results = {"protocol": {evil: evil}, "step": evil, "test": split, evil: split, "diagnosis": findings}
    write(workdir, "results", results | {"parameters": evil})
    records = [{"step": 1, "split": evil, evil: 2, "x": evil}, {"step": 2, "split": [evil], "elbo": {}}, {"step": evil}]
    (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
    folder = workdir.rename(workdir.with_name("<script>&run"))
    add_figures(folder, "<script>&'\"")
    page = read(folder)
    assert not {tag for tag, _ in page.tags} & {"b", "iframe"}
    assert [each.get("type") for each in page.every("script")] == ["application/json", None]
    assert all(each["href"].startswith("#") for each in page.every("a"))
    assert [sorted(each) for each in page.every("img")] == [["alt", "class", "src"]]
    (quantity,) = [each for each in json.loads(page.scripts[0])["quantities"] if each["name"] == evil]
    assert quantity["series"] == [{"split": evil, "step": [1], "value": [2]}]
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == ["Figure: <script>&'\""]
    assert page.text.count("<script>alert(1)") > 20
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_config_command_and_environment_are_shown(workdir):
    page = read(workdir)
    assert "data.namedigits" in page.text
    assert "data.data_dirNone" in page.text
    assert "python train.py --config configs/digits.py" in page.text
    assert "versions.jax0.10.2" in page.text


@pytest.mark.parametrize(
    ("name", "words"),
    [("config.json", "is no run directory"), ("environment.json", "is not finished")],
)
def test_a_folder_that_is_no_run_is_refused(workdir, name, words):
    (workdir / name).unlink()
    with pytest.raises(ValueError, match=rf"first run {words}: it has no {name}"):
        report.write_report(workdir)


def test_broken_files_are_named(workdir):
    (workdir / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is damaged .* Restore it, or run the command"):
        report.write_report(workdir)
    (workdir / "results.json").unlink()
    (workdir / "metrics.jsonl").write_text('{"step"\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged: line 1 is no JSON"):
        report.write_report(workdir)


def test_the_digest_of_results_is_no_number_of_the_run(tmp_path, workdir):
    write_json(workdir / "results.json", read_json(workdir / "results.json"))
    assert "sha256" not in read(workdir).text
