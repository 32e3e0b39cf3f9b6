"""The report of a run: its directory in, one self-contained HTML file out, readable without a network or JavaScript.

Whatever comes from a file is text of unknown origin: it passes through `escape`, `page.text` or `page.data`.
"""

import os
from html import escape
from pathlib import Path

from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.viz.report import captions, html, image_embedding, interactive_data, results_tables

REPORT = "report.html"
WANTED, MOST = 3_000_000, 10_000_000  # bytes of the page: where it costs nothing to see, and in any case
_TOUCHED = ("curves", "latent_plane")  # figures in whose place the script puts something that can be touched


def _pictures(folder):
    """Return {path: Picture} of the figures in the folder; before a moving one without a still, a still of it."""
    paths = [path for path in folder.glob("*") if path.suffix in (".png", ".gif") and not path.name.startswith(".")]
    found = {path: image_embedding.read(path) for path in paths}
    for path in [path for path in paths if path.suffix == ".gif" and path.with_suffix(".png") not in found]:
        if still := image_embedding.last_frame(found[path]):
            found[path.with_suffix(".png")] = still
    return found


def _figure(stem, folder, pictures, known):
    """Write one figure with its picture inside the page, its title and its caption.

    A moving picture is still until somebody plays it; it needs no script for that.
    """
    name = stem.replace("_", " ")
    title, alternative, caption = known.get(stem, (name, f"Figure: {name}", name))
    path, moving = folder / f"{stem}.png", folder / f"{stem}.gif"
    image, remark = "", ""
    if path in pictures:
        image = _image(path, pictures[path], alternative, "still")
        remark = pictures[path].said if pictures[path] else ""
    if moving in pictures:
        remark = remark or (pictures[moving].said if pictures[moving] else "")
        image += (
            "<details><summary><span class='play'>Play</span><span class='stop'>Stop</span>"
            f"<span class='unseen'> {escape(title)}</span></summary>"
            f"{_image(moving, pictures[moving], f'{alternative} It moves.', 'moving')}</details>"
        )
    remark = f" <em>(Shown {escape(remark)}.)</em>" if remark else ""
    still = f" id='still-{stem}'" if stem in _TOUCHED else ""
    return f"<figure{still}><h3>{escape(title)}</h3>{image}<figcaption>{escape(caption)}{remark}</figcaption></figure>"


def _image(path, picture, alternative, kind):
    """Write a picture, or where it is."""
    if picture is None:
        return html.missing(f"Too large for this page: see <code>figures/{escape(path.name)}</code>.")
    return f'<img class="{kind}" src="{picture.source}" alt="{escape(alternative)}">'


def _touched(name, known):
    """Write the place that the script fills with what can be touched, in place of the figure of that name."""
    title, _, caption = known[name]
    return (
        f"<figure class='interactive' id='interactive-{name}' hidden><h3>{escape(title)}</h3><div class='area'></div>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _question(stem):
    """Return the place in captions.QUESTIONS that a figure belongs to, by its name or by what its name begins with."""
    for place, (*_, names) in enumerate(captions.QUESTIONS):
        if any(stem == name or stem.startswith(f"{name}_") for name in names):
            return place
    return len(captions.QUESTIONS)


def _order(stem, known):
    """Return what figures are sorted by: as their question names them, then as `known` does, then by name."""
    listed = [name for *_, names in captions.QUESTIONS for name in names]
    near = max((name for name in listed if stem == name or stem.startswith(f"{name}_")), key=len, default="")
    names = list(known)
    return listed.index(near) if near else len(listed), names.index(stem) if stem in known else len(names), stem


def _sections(folder, pictures, touched, known):
    """Return the sections of figures, (title, id, HTML), in the order of captions.QUESTIONS, the other figures last."""
    stems = sorted({path.stem for path in pictures} | set(touched), key=lambda stem: _order(stem, known))
    sections = []
    for place, (title, name, before, _) in enumerate([*captions.QUESTIONS, (*captions.OTHERS, ())]):
        parts = []
        for stem in (stem for stem in stems if _question(stem) == place):
            parts += [_touched(stem, known)] if stem in touched else []
            drawn = any(folder / f"{stem}{ending}" in pictures for ending in (".png", ".gif"))
            parts += [_figure(stem, folder, pictures, known)] if drawn else []
        if parts:
            sections.append((title, name, f"<p>{before}</p>{''.join(parts)}"))
    return sections


def _origin(config, environment):
    """Return the sections that let somebody else repeat the run: its config, its command, its environment."""
    command = environment.get("command")
    told = {name: value for name, value in environment.items() if name not in ("version", "command")}
    code = (
        f"<pre tabindex='0'><code>{escape(str(command))}</code></pre>"
        if command
        else html.missing("The command was not recorded.")
    )
    fields = html.field_table(html.tree(config, "config"), "Every choice of this run")
    return [
        ("The config", "config", fields),
        ("Run it again", "command", code),
        ("Where it ran", "environment", html.field_table(told, "Versions and devices", ("What", "Value"))),
    ]


def _contents(sections):
    """Write the list of the sections (title, id, HTML)."""
    items = "".join(f"<li><a href='#{name}'>{title}</a></li>" for title, name, _ in sections)
    return f"<nav aria-label='Contents'><strong>Contents</strong><ol>{items}</ol></nav>"


def _body(directory, pictures):
    """Return the escaped title of the page and its body, with these pictures {path: Picture} or None."""
    config, environment = directory.config_json, directory.environment
    results, records = directory.results, directory.metrics
    workdir, folder = directory.workdir, directory.workdir / "figures"
    touched = {
        "curves": interactive_data.curves(records),
        "latent_plane": interactive_data.dots(folder / "latent_plane.npz"),
    }
    touched = {name: found for name, found in touched.items() if found}
    corrupted = "corruption" in html.tree(results, "protocol")
    known = captions.FIGURES | ({"reconstructions": captions.RESTORED} if corrupted else {})
    name, data = escape(workdir.name), html.text(html.tree(config, "config", "data").get("name", "?"))
    sections = _sections(folder, pictures, touched, known)
    none = "" if pictures else html.missing("There are no figures in <code>figures/</code> yet.")
    sections += results_tables.protocol(results) + _origin(config, environment)
    body = [
        "<a class='skip' href='#main'>Skip to the report</a>",
        f"<header><h1><small>{data}</small>{name}</h1>",
        f"<p class='lead'>{results_tables.summary(config, results, records)}</p></header>",
        f"<main id='main' tabindex='-1'>{results_tables.numbers(results, records)}{none}{_contents(sections)}",
        *(f"<section id='{place}'><h2>{title}</h2>{content}</section>" for title, place, content in sections),
        f"</main><footer><p>Written by jaxvae {html.text(environment.get('jaxvae', ''))}; all of it is in this file, "
        "and it asks no other machine for anything.</p></footer>",
        *(html.data(name, found) for name, found in touched.items()),
    ]
    return f"{data} · {name}", "\n".join(body)


def _page(directory):
    """Return the whole page, its pictures packed so that it takes at most MOST bytes."""
    style, script = html.part("report.css"), html.part("report.js")
    pictures = _pictures(directory.workdir / "figures")
    title, body = _body(directory, dict.fromkeys(pictures, image_embedding.Picture(b"", "image/png")))
    rest = len(html.whole(title, body, style, script).encode(errors="backslashreplace"))
    fitted = image_embedding.fit(pictures, max(WANTED - rest, 0), max(MOST - rest, 0))
    title, body = _body(directory, fitted)
    return html.whole(title, body, style, script)


def write_report(workdir):
    """Write report.html of the run directory `workdir`, from its JSON files and figures; returns the file's path."""
    workdir = Path(workdir).resolve()
    path, temporary = workdir / REPORT, workdir / ".report.html.tmp"  # by one name: a killed process's is overwritten
    try:
        # the errors are halves of a character, as JSON can hold
        temporary.write_text(_page(RunDirectory(workdir)), encoding="utf-8", errors="backslashreplace")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
