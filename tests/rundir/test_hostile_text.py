"""Names and numbers of a stranger stay text: on a terminal, in a report, in a figure."""

import copy
import io
import json
import sys

import pytest
from made_sets import noise, png
from photo_folders import write
from report_pages import CONFIG, ENVIRONMENT, RESULTS, Page

from jaxvae.cli import main
from jaxvae.runtime import console
from jaxvae.runtime.console import ProgressBar
from jaxvae.viz import report

NAMES = [
    "[red]",
    "[/]",
    "[bold](x)",
    "$\\bad$",
    "<script>alert(1)",
    "\x1b[2J\x1b]0;x\x07",
    "\u202egnp",
    "{0}%s",
    "\r\b",
    "né",
]


pytestmark = pytest.mark.usefixtures("cache_folder")


def test_class_names_are_shown_whole_and_move_no_cursor(tmp_path, capsys):
    images = noise(len(NAMES), (4, 4, 1))[0]
    write(tmp_path / "top", {f"{name}/1.png": png(image) for name, image in zip(NAMES, images, strict=True)})
    write(tmp_path / "top", {"x.\x1b[2J": b"?"})
    assert main(["data", f"folder:{tmp_path / 'top'}"]) == 0
    out = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in out)
    for shown in ("[red]", "$\\bad$", "<script>alert(1)", "\\x1b[2J", "\\u202egnp", "{0}%s", "\\r\\x08", "né"):
        assert shown in out
    assert main(["data", "folder:\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_what_a_terminal_cannot_encode_is_written_out(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console.print_safely("né \ud800 π", stream)
    stream.seek(0)
    assert stream.read() == "n\\xe9 \\ud800 \\u03c0\n"


def test_the_bar_takes_no_text_for_its_markup(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with ProgressBar(10, 0, 1) as bar:
        for text in NAMES:
            bar.bar.console.file = stream = io.StringIO()
            bar.print(text)
            assert console.escape_unprintable(text) in stream.getvalue()


VALUES = [None, [], {}, -(10**400), "\ud800\0\x1b[2J", {"value": []}, "<b>&'\""]


def places(content, above=()):
    yield above
    for name, item in (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    ):
        yield from places(item, (*above, name))


def changed(content, place, value):
    """The content with another value at this place."""
    if not place:
        return value
    content = copy.deepcopy(content)
    owner = content
    for name in place[:-1]:
        owner = owner[name]
    owner[place[-1]] = value
    return content


FILES = {"config": {"version": 1, "config": CONFIG}, "environment": ENVIRONMENT, "results": RESULTS}


@pytest.mark.parametrize("name", FILES)
def test_whatever_stands_in_a_runs_files_the_report_is_written_or_refused_in_words(name, tmp_path):
    for file, content in FILES.items():
        (tmp_path / f"{file}.json").write_text(json.dumps(content))
    written, refused = 0, []
    for place in places(FILES[name]):
        for value in VALUES:
            (tmp_path / f"{name}.json").write_text(json.dumps(changed(FILES[name], place, value)))
            try:
                page = report.write_report(tmp_path).read_text(encoding="utf-8")
            except ValueError as error:
                refused.append((place, "is damaged (" in str(error)))
            else:
                assert "<b>" not in page
                written += 1
    assert written > 25
    assert set(refused) == {((), True)}
    Page(page)


@pytest.mark.parametrize("line", ["[]", "3", '{"step": []}', '{"step": 1e400}', "{}", '{"step": null}', "[" * 10**5])
def test_lines_of_metrics_that_are_none_are_left_or_refused(line, tmp_path):
    for file, content in FILES.items():
        (tmp_path / f"{file}.json").write_text(json.dumps(content))
    (tmp_path / "results.json").unlink()
    (tmp_path / "metrics.jsonl").write_text(f'{line}\n{{"step": 7}}\n')
    try:
        assert "for 7 steps so far" in report.write_report(tmp_path).read_text()
    except ValueError as error:
        words = str(error)
        assert "damaged: line 1 is no JSON" in words
