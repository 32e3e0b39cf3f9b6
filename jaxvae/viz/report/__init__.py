"""The report of a run: one self-contained HTML file; text of unknown origin is escaped, or JSON by `embed_json`."""

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.viz.report import captions, html, image_embedding, interactive_data, results_tables
from jaxvae.viz.report.captions import Caption
from jaxvae.viz.report.image_embedding import Picture, Pictures
from jaxvae.viz.report.results_tables import PageSection

__all__ = ["MAX_BYTES", "PREFERRED_BYTES", "REPORT", "write_report"]

REPORT = "report.html"
PREFERRED_BYTES, MAX_BYTES = 3_000_000, 10_000_000  # of the page: if no picture then looks different, and at most
_FIGURES = "figures"
_INTERACTIVE = ("curves", "latent_plane")  # figures that the script replaces


def write_report(workdir: str | Path) -> Path:
    """Writes report.html of the run directory from its JSON files and figures; returns the file's path."""
    workdir = Path(workdir).resolve()
    path, temporary = workdir / REPORT, workdir / ".report.html.tmp"  # one name: that of a killed process is replaced
    temporary.unlink(missing_ok=True)  # a link would be followed, and opening a FIFO would wait for its reader
    try:
        # encoding errors are surrogates, which JSON can hold
        temporary.write_text(_make_page(RunDirectory(workdir)), encoding="utf-8", errors="backslashreplace")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _make_page(directory: RunDirectory) -> str:
    """Returns the page, its pictures repacked so that it takes at most MAX_BYTES."""
    style, script = html.read_static("report.css"), html.read_static("report.js")
    folder = directory.workdir / _FIGURES
    paths = [path for path in folder.glob("*") if path.suffix in (".png", ".gif") and not path.name.startswith(".")]
    pictures = {path: image_embedding.load_picture(path) for path in paths}
    for path in paths:  # an animation without a still gets its last frame as one
        still = path.with_suffix(".png")
        if still not in pictures and (frame := image_embedding.last_frame(pictures[path])):
            pictures[still] = frame
    found = (interactive_data.curve_data(directory.metrics), interactive_data.plane_data(folder / "latent_plane.npz"))
    interactive = {name: content for name, content in zip(_INTERACTIVE, found, strict=True) if content}
    title, body = _make_body(directory, dict.fromkeys(pictures, Picture(b"", "image/png")), interactive)
    rest = len(html.make_page(title, body, style, script).encode(errors="backslashreplace"))
    fitted = image_embedding.fit_pictures(pictures, max(PREFERRED_BYTES - rest, 0), max(MAX_BYTES - rest, 0))
    title, body = _make_body(directory, fitted, interactive)
    return html.make_page(title, body, style, script)


def _make_body(
    directory: RunDirectory, pictures: Pictures, interactive: Mapping[str, dict[str, Any]]
) -> tuple[str, str]:
    """Returns the escaped title of the page, and its body."""
    config, environment = directory.config_json, directory.environment
    results, records = directory.results, directory.metrics
    name = escape(directory.workdir.name)
    data = html.format_value(html.nested(config, "config", "data").get("name", "?"))
    corrupted = "corruption" in html.nested(results, "protocol")
    sections = _figure_sections(directory.workdir / _FIGURES, pictures, interactive, corrupted)
    sections += results_tables.protocol_sections(results) + _origin_sections(config, environment)
    no_figures = "" if pictures else html.missing_note("There are no figures in <code>figures/</code> yet.")
    numbers = results_tables.numbers_section(results, records)
    links = "".join(f"<li><a href='#{anchor}'>{title}</a></li>" for title, anchor, _ in sections)
    body = [
        "<a class='skip' href='#main'>Skip to the report</a>",
        f"<header><h1><small>{data}</small>{name}</h1>",
        f"<p class='lead'>{results_tables.summary_sentence(config, results, records)}</p></header>",
        f"<main id='main' tabindex='-1'>{numbers}{no_figures}"
        f"<nav aria-label='Contents'><strong>Contents</strong><ol>{links}</ol></nav>",
        *(f"<section id='{anchor}'><h2>{title}</h2>{content}</section>" for title, anchor, content in sections),
        f"</main><footer><p>Written by jaxvae {html.format_value(environment.get('jaxvae', ''))}; all of it is in this "
        "file, and it asks no other machine for anything.</p></footer>",
        *(html.embed_json(name, content) for name, content in interactive.items()),
    ]
    return f"{data} · {name}", "\n".join(body)


def _figure_sections(
    folder: Path, pictures: Pictures, interactive: Mapping[str, Any], corrupted: bool
) -> list[PageSection]:
    """Returns a section for each question that a figure answers, and one of the other figures."""
    stems = sorted({path.stem for path in pictures} | set(interactive), key=captions.place_figure)
    sections = []
    for number, question in enumerate(captions.QUESTIONS):
        parts = []
        for stem in (stem for stem in stems if captions.place_figure(stem)[0] == number):
            caption = captions.describe_figure(stem, corrupted)
            if stem in interactive:  # the place that the script fills with it, instead of the still one
                parts.append(
                    f"<figure class='interactive' id='interactive-{stem}' hidden><h3>{escape(caption.title)}</h3>"
                    f"<div class='area'></div><figcaption>{escape(caption.text)}</figcaption></figure>"
                )
            still, animation = folder / f"{stem}.png", folder / f"{stem}.gif"
            parts += [_figure(caption, still, animation, pictures)] if {still, animation} & set(pictures) else []
        if parts:
            sections.append((question.title, question.anchor, f"<p>{question.introduction}</p>{''.join(parts)}"))
    return sections


def _figure(caption: Caption, still: Path, animation: Path, pictures: Pictures) -> str:
    """Returns one figure; its animation is still until it is played, for which no script is needed."""
    title, image = escape(caption.title), ""
    if still in pictures:
        image = _image(still, pictures[still], caption.alternative, "still")
    if animation in pictures:
        moving = _image(animation, pictures[animation], f"{caption.alternative} It moves.", "moving")
        image += (
            "<details><summary><span class='play'>Play</span><span class='stop'>Stop</span>"
            f"<span class='unseen'> {title}</span></summary>{moving}</details>"
        )
    remarks = [picture.remark for path in (still, animation) if (picture := pictures.get(path)) and picture.remark]
    remark = f" <em>(Shown {escape(remarks[0])}.)</em>" if remarks else ""
    anchor = f" id='still-{still.stem}'" if still.stem in _INTERACTIVE else ""
    return f"<figure{anchor}><h3>{title}</h3>{image}<figcaption>{escape(caption.text)}{remark}</figcaption></figure>"


def _image(path: Path, picture: Picture | None, alternative: str, kind: str) -> str:
    if picture is None:
        return html.missing_note(f"Too large for this page: see <code>figures/{escape(path.name)}</code>.")
    return f'<img class="{kind}" src="{picture.source}" alt="{escape(alternative)}">'


def _origin_sections(config: Mapping[str, Any], environment: Mapping[str, Any]) -> list[PageSection]:
    """Returns the sections by which the run can be repeated: its config, its command, its environment."""
    code = html.missing_note("The command was not recorded.")
    if command := environment.get("command"):
        code = f"<pre tabindex='0'><code>{escape(str(command))}</code></pre>"
    versions = {name: value for name, value in environment.items() if name not in ("version", "command")}
    return [
        ("The config", "config", html.field_table(html.nested(config, "config"), "Every choice of this run")),
        ("Run it again", "command", code),
        ("Where it ran", "environment", html.field_table(versions, "Versions and devices", ("What", "Value"))),
    ]
