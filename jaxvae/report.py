"""The report of a run: its directory in, one self-contained HTML file out, readable without a network or JavaScript.

Whatever comes from a file is text of unknown origin: it passes through `escape` or `page.text` on its way there.
"""

import base64
import json
import os
from html import escape
from pathlib import Path

from jaxvae import captions, page, sealed

REPORT = "report.html"
LEVELS = ("fine", "note", "illness")  # of a finding about the model's health


def _read(path):
    """Return the JSON of a file, or None where there is no such file."""
    if not path.exists():
        return None
    try:
        return sealed.read(path)  # without the file's own digest, which is no number of the run
    except sealed.Damaged as error:
        raise ValueError(f"{path} is no JSON ({error}); restore it, or remove it to report without it.") from error


def _object(text):
    """Return the JSON object that the text is; ValueError for other JSON."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__}, where an object was expected")
    return content


def _tree(content, *names):
    """Return the dict that nested dicts hold under these names, {} where there is none."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _read_required(path):
    """Return the JSON of a file that every run directory has."""
    content = _read(path)
    if content is None:
        raise FileNotFoundError(
            f"There is no {path.name} in {path.parent}; expected a run directory, as train.py writes: give its path."
        )
    return content


def _read_records(path):
    """Return the lines of metrics.jsonl; a last line cut off by a crash counts as not written."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(_object(line))
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                raise ValueError(f"Line {number} of {path} is no JSON ({error}); restore it, or remove it.") from error
    return records


def _splits(results):
    """Return the evaluated splits of results.json, the test split first."""
    names = [name for name, value in results.items() if isinstance(value, dict) and "examples" in value]
    return {name: results[name] for name in sorted(names, key=lambda name: name != "test")}


def _row(name, entry):
    """Return the cells of one quantity: title, value, meaning."""
    title, unit, meaning = captions.QUANTITIES.get(name, (name, "", ""))
    samples = entry.get("samples")
    title = f"{title}, K = {page.number(samples)}" if samples is not None else title
    return escape(title), f"{page.measured(entry)} {unit}".strip(), escape(meaning)


def _split_table(split, entries, explained):
    """Lay out the numbers of one split, with the meaning of each unless an earlier table has `explained` them."""
    rows = [
        _row(name, entry if isinstance(entry, dict) else {"value": entry})
        for name, entry in entries.items()
        if name != "examples"
    ]
    columns = 2 if explained else 3
    caption = f"{escape(split.capitalize())} split, {page.text(entries['examples'])} images"
    head = ("Quantity", "Value", "What it means")
    return page.table(head[:columns], [row[:columns] for row in rows], caption, "numbers")


def _summary(config, results, records):
    """Say in one sentence what was trained on what, and how well it does."""
    size = page.text(_tree(config, "config", "model").get("latent_dim", "?"))
    data = page.text(_tree(config, "config", "data").get("name", "?"))
    start = f"with {size} latent dimensions, trained on <strong>{data}</strong>"
    test = _tree(results, "test")
    scores = (("elbo", "A variational autoencoder", "an ELBO"), ("distortion", "An autoencoder", "a distortion"))
    for name, model, score in scores:
        if _tree(test, name):
            value, steps = f"<strong>{page.measured(test[name])} nats</strong>", page.text(results.get("step", "?"))
            return f"{model} {start} for {steps} steps, scores {score} of {value} on unseen test images."
    steps = [record["step"] for record in records if page.finite(record.get("step"))]
    so_far = f" for {page.text(max(steps))} steps so far" if steps else ""
    return f"An autoencoder {start}{so_far}, waits for its final evaluation."


def _diagnosis(results):
    """Write what the numbers say of the model's health, nothing where a run has no diagnosis."""
    found = (results or {}).get("diagnosis")
    found = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    if not found:
        return ""
    items = [f"<li class='{_level(each)}'>{_finding(each)}</li>" for each in found]
    retry = "<p class='soft'>A remedy is an option for the command below; give it a --workdir of its own.</p>"
    remedies = retry if any(each.get("remedy") for each in found) else ""
    return f"<h3>What they say</h3><ul class='findings'>{''.join(items)}</ul>{remedies}"


def _level(each):
    """Return how serious a finding is: one of LEVELS, the first where it says something else."""
    return each.get("level") if each.get("level") in LEVELS else LEVELS[0]


def _finding(each):
    """Write one finding with its remedy."""
    remedy = f"<div>Try <code>{page.text(each['remedy'])}</code></div>" if each.get("remedy") else ""
    head = f"{_level(each).capitalize()} · {page.text(each.get('name', '?'))}"
    return f"<strong>{head}.</strong> {page.text(each.get('says', ''))}{remedy}"


def _numbers(results, records):
    """Write the section with each split's numbers, what they say, and how they were measured."""
    parts = [
        "<h2>The numbers</h2>",
        "<p>In nats, unless a row says otherwise: summed over the pixels of an image, then averaged over the images. "
        "A larger ELBO is better: −80 beats −100; a smaller distortion. After ± stands the standard error.</p>",
    ]
    if results is None:
        parts.append(page.missing("There is no <code>results.json</code>: the final evaluation has not been made yet."))
    if not records:
        parts.append(
            page.missing("There is no <code>metrics.jsonl</code> with records: how training went is not known.")
        )
    parts.append(_diagnosis(results))
    splits = _splits(results or {})
    parts += [_split_table(split, entries, index > 0) for index, (split, entries) in enumerate(splits.items())]
    shown = {"version", "protocol", "diagnosis", *splits}
    others = {name: value for name, value in (results or {}).items() if name not in shown}
    tables = [("How they were measured", _tree(results, "protocol")), ("Size and time", others)]
    parts += [f"<h3>{title}</h3>{page.field_table(tree, ('What', 'Value'))}" for title, tree in tables if tree]
    return "".join(parts)


def _figure(path, known):
    """Write one figure with its picture inside the page, its title and its caption."""
    name = path.stem.replace("_", " ")
    title, alternative, caption = known.get(path.stem, (name, f"Figure: {name}", f"{name} ({path.name})"))
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(alternative)}">'
    return f"<figure><h3>{escape(title)}</h3>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _pictures(folder, corrupted):
    """Write the section of figures, in the order of captions.FIGURES, the unknown ones last by name."""
    known = captions.FIGURES | ({"reconstructions": captions.RESTORED} if corrupted else {})
    order = list(known)
    paths = sorted(
        (path for path in folder.glob("*.png") if not path.name.startswith(".")),
        key=lambda path: (order.index(path.stem) if path.stem in known else len(order), path.name),
    )
    figures = "".join(_figure(path, known) for path in paths)
    return "<h2>The pictures</h2>" + (figures or page.missing("There are no figures in <code>figures/</code> yet."))


def _origin(config, environment):
    """Write the sections that let somebody else repeat the run: its config, its command, its environment."""
    command = environment.get("command")
    told = {name: value for name, value in environment.items() if name not in ("version", "command")}
    code = (
        f"<pre><code>{escape(str(command))}</code></pre>" if command else page.missing("The command was not recorded.")
    )
    return (
        f"<h2>The config</h2>{page.field_table(_tree(config, 'config'))}"
        f"<h2>Run it again</h2>{code}"
        f"<h2>Where it ran</h2>{page.field_table(told, ('What', 'Value'))}"
    )


def write_report(workdir):
    """Write report.html of the run directory `workdir`, from its JSON files and figures; returns the file's path."""
    workdir = Path(workdir).resolve()
    config, environment = (_read_required(workdir / name) for name in ("config.json", "environment.json"))
    results, records = _read(workdir / "results.json"), _read_records(workdir / "metrics.jsonl")
    name = escape(workdir.name)
    data = page.text(_tree(config, "config", "data").get("name", "?"))
    version = page.text(environment.get("jaxvae", ""))
    body = [
        f"<header><h1><small>{data}</small>{name}</h1>",
        f"<p class='lead'>{_summary(config, results, records)}</p></header>",
        f"<main>{_numbers(results, records)}",
        _pictures(workdir / "figures", "corruption" in _tree(results, "protocol")),
        f"{_origin(config, environment)}</main>",
        f"<footer><p>Written by jaxvae {version}; all of it is in this file.</p></footer>",
    ]
    path, temporary = workdir / REPORT, workdir / ".report.html.tmp"  # by one name: a killed process's is overwritten
    try:
        whole = page.PAGE.format(title=f"{data} · {name}", style=page.STYLE, body="\n".join(body))
        temporary.write_text(
            whole, encoding="utf-8", errors="backslashreplace"
        )  # of half a character, as JSON can hold
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
