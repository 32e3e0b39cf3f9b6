"""The report of a run: its directory in, one self-contained HTML file out, readable without a network or JavaScript.

Whatever comes from a file is text of unknown origin: it passes through `escape` (or `_text`) on its way to the page.
"""

import base64
import json
import math
import os
import sys
from html import escape
from pathlib import Path

from jaxvae import sealed

REPORT = "report.html"

# Each row: quantity -> (its title, its unit, what it means to somebody who has just learned what a VAE is).
QUANTITIES = {
    "elbo": (
        "ELBO",
        "nats",
        "The evidence lower bound on log p(x), the score that the model is built around: minus the sum of the rate and "
        "the distortion below.",
    ),
    "log_likelihood": (
        "log p(x)",
        "nats",
        "A tighter estimate of how probable the model finds an unseen image, from many weighted draws of z. It lies "
        "above the ELBO; the gap is what the approximate posterior costs. Larger is better.",
    ),
    "rate": (
        "Rate",
        "nats",
        "KL(q(z|x) ‖ p(z)): how much the code z tells about its image. At 0 the code is ignored; 0 also "
        "stands where z is a point without a density, as a plain autoencoder's.",
    ),
    "distortion": (
        "Distortion",
        "nats",
        "−E[log p(x|z)]: what is still unexplained of the image once its code is known. Smaller means more faithful "
        "reconstructions.",
    ),
    "distortion_from_corrupted": (
        "Distortion, from corrupted inputs",
        "nats",
        "−E[log p(x|z)] of the clean image where the encoder was shown a corrupted one, as in training: how well the "
        "image is restored. Smaller is better; its distance from the distortion above is what the corruption costs.",
    ),
    "rate_from_corrupted": (
        "Rate, from corrupted inputs",
        "nats",
        "KL(q(z|corrupted x) ‖ p(z)): how much the code tells where the encoder was shown a corrupted image.",
    ),
    "elbo_from_corrupted": (
        "ELBO, from corrupted inputs",
        "nats",
        "Minus the sum of rate and distortion from corrupted inputs: what training maximises where the objective is "
        "the ELBO. It is a lower bound on log p(x) of the clean image, too, whatever the encoder was shown.",
    ),
    "bits_per_dim": (
        "Bits per dimension",
        "bits",
        "The negative bound in bits, divided by the number of pixel values, so that image sizes can be compared. "
        "Smaller is better.",
    ),
    "active_units": (
        "Active units",
        "",
        "Latent dimensions whose posterior mean moves when the image changes. The others are left at the prior and "
        "carry nothing.",
    ),
    "kl_per_dimension": (
        "KL per dimension",
        "nats",
        "The rate, told apart by latent dimension, in the order of the model.",
    ),
    "code_perplexity": (
        "Codes in use",
        "",
        "The perplexity of the codes chosen for these images: so many codes, used equally often, would be as hard to "
        "guess. Far below the codebook's size, most codes are dead.",
    ),
}

# Each row: a figure's file name without .png -> (its title, the text for who cannot see it, the caption).
FIGURES = {
    "reconstructions": (
        "What survives the code",
        "Rows of original images, each above the image that the decoder makes of its code.",
        "Above, an image; below it, what the decoder makes of the image's code. What is the same in both went through "
        "the code; what differs was lost. Blur is honest: the picture is the mean of p(x|z), an average of all the "
        "images that the model finds plausible for this code.",
    ),
    "samples": (
        "What the model imagines",
        "A grid of generated images.",
        "No image went in here: each z was drawn from the prior p(z) and decoded. The pictures are means of p(x|z), "
        "not draws from it. If they look worse than the reconstructions, then the prior has places that the encoder "
        "never uses, and the decoder has not learned what to make of them.",
    ),
    "manifold": (
        "The latent space, decoded",
        "A mosaic of decoded images that change gradually along both latent dimensions.",
        "Every point of a two-dimensional latent space is an image. The steps are equally probable under the prior, so "
        "each tile stands for an equal share of what the model imagines. Look for smooth changes between kinds, and "
        "for the regions in between, where images are ambiguous.",
    ),
    "latent_plane": (
        "Where the encoder puts the images",
        "A scatter plot of the posterior means of images in two dimensions, coloured by label.",
        "Each dot is one image at the mean of its q(z|x). The colours are the labels, added afterwards: unless the "
        "model is conditional, it never saw them, and groups that have formed were found from the pixels alone. Of a "
        "standard normal prior, the dashed circles hold 39% and 86%: dots far outside them are images that samples "
        "will hardly ever resemble.",
    ),
    "kl_per_dimension": (
        "Which dimensions carry information",
        "A bar chart of the KL divergence of each latent dimension, sorted, active and inactive ones told apart.",
        "The rate, split by latent dimension. A dimension near 0 is the same for every image; the decoder has learned "
        "to ignore it. This is called posterior collapse, and it is also how a VAE chooses its own size.",
    ),
    "curves": (
        "How training went",
        "Line charts of ELBO, rate and distortion against the training step.",
        "The ELBO rises while the model learns. A validation curve that turns down while training still rises shows "
        "overfitting. Rate and distortion are traded: spending nats on the code (rate up) must save more of them "
        "in the reconstruction (distortion down).",
    ),
    "training": (
        "The same codes as training goes on",
        "Rows of generated images, one row per moment of training, from the first to the last.",
        "Each column is one z that stays fixed while the decoder changes. Early rows show the average image; the kinds "
        "part later, and details come last.",
    ),
}

# In place of "reconstructions" where a model was trained on corrupted inputs.
RESTORED = (
    "What is restored",
    "Rows of original images, each above the same image corrupted, and below that what the decoder makes of its code.",
    "Above, an image; below it, the same image corrupted as in training, which is all that the encoder was shown; at "
    "the bottom, what the decoder makes of the code. What was destroyed and stands there again, the model knew from "
    "other images. Blur is honest: the picture is the mean of p(x|z), an average of all the images that the model "
    "finds plausible for this code.",
)

STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #fff; --ink: #1f2933; --soft: #52606d; --line: #d9dfe4;
  --accent: #005b8f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181c; --card: #1d2329; --ink: #e6eaee; --soft: #a9b4be; --line: #364049; --accent: #7cc0ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
header, main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; } footer { padding-bottom: 3rem; color: var(--soft); font-size: .9rem; }
h1 { margin: 0; font-size: clamp(1.6rem, 5vw, 2.3rem); line-height: 1.2; overflow-wrap: anywhere; }
h1 small { display: block; color: var(--accent); font-size: 1rem; font-weight: 600; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.35rem; } h3 { margin: 0 0 .5rem; font-size: 1.1rem; }
p, figcaption { max-width: 44rem; } .lead { font-size: 1.15rem; } .soft, figcaption, caption { color: var(--soft); }
.missing { border-left: .3rem solid var(--accent); padding: .4rem 1rem; background: var(--card); }
table { width: 100%; border-collapse: collapse; margin: 0 0 1.5rem; font-size: .95rem; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-top: 1px solid var(--line);
  overflow-wrap: break-word; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; } tbody th { width: 30%; font-weight: 600; }
.numbers tbody th { width: 22%; }
.numbers td:nth-child(2) { width: 24%; font-weight: 600; font-variant-numeric: tabular-nums; }
td:last-child, th:last-child { padding-right: 0; }
figure { margin: 0 0 2rem; padding: 1.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto .9rem; background: #fff; border-radius: .3rem; }
pre { overflow-x: auto; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
code { font: .9rem/1.5 ui-monospace, monospace; }
@media (max-width: 40rem) {
  figure { padding: .75rem; } .numbers thead { display: none; }
  .numbers tr { display: grid; grid-template-columns: 1fr auto; border-top: 1px solid var(--line); }
  tbody th { width: 45%; } .numbers th, .numbers td { border: 0; width: auto !important; }
  .numbers td { padding-right: 0; }
  .numbers td:nth-child(3) { grid-column: 1 / -1; padding-top: 0; color: var(--soft); } }
@media print { figure { break-inside: avoid; } }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


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


def _finite(value):
    """Return whether the value is a number that a float can hold."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _number(value, decimals=None):
    """Write a number with a true minus sign, to `decimals` or to four digits; what is no number, as it stands."""
    if isinstance(value, bool) or not _finite(value):
        return str(value)
    if decimals is None and isinstance(value, float):
        form = ",.0f" if abs(value) >= 1e4 else ",.4g" if abs(value) >= 1e-3 or value == 0 else ".3g"
    else:
        form = f",.{decimals or 0}f"
    return f"{value:{form}}".replace("-", "−", 1) if value < 0 else f"{value:{form}}"


def _text(value):
    """Write any JSON value as escaped text; numbers for reading, the rest as it stands."""
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(name))}: {_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return escape(_number(value))


def _measured(entry):
    """Write value ± standard error, with two digits of the error, as escaped text."""
    value, stderr = entry.get("value"), entry.get("stderr")
    if not (_finite(value) and _finite(stderr) and stderr > 0):
        return (
            _text(value) if not isinstance(value, list) or len(value) <= 8 else f"{len(value)} values, see the figure"
        )
    decimals = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{_number(float(value), decimals)} ± {_number(float(stderr), decimals)}"


def _table(head, rows, caption="", kind=""):
    """Lay out rows of escaped cells, the first cell of each being its header."""
    titles = "".join(f"<th scope='col'>{title}</th>" for title in head)
    lines = [
        f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>" for first, *rest in rows
    ]
    caption = f"<caption>{caption}</caption>" if caption else ""
    return f"<table class='{kind}'>{caption}<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _flat(tree, prefix=""):
    """List the leaves of nested dicts as pairs (dotted name, value)."""
    pairs: list[tuple[str, object]] = []
    for name, value in tree.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return pairs


def _field_table(tree, head=("Field", "Value")):
    """Lay out nested dicts as a table of field and value."""
    # Where a phone is too narrow for a dotted name, it breaks after a dot.
    names = [escape(name).replace(".", ".<wbr>") for name, _ in _flat(tree)]
    values = [_text(value) for _, value in _flat(tree)]
    return _table(head, [(f"<code>{name}</code>", value) for name, value in zip(names, values, strict=True)])


def _splits(results):
    """Return the evaluated splits of results.json, the test split first."""
    names = [name for name, value in results.items() if isinstance(value, dict) and "examples" in value]
    return {name: results[name] for name in sorted(names, key=lambda name: name != "test")}


def _row(name, entry):
    """Return the cells of one quantity: title, value, meaning."""
    title, unit, meaning = QUANTITIES.get(name, (name, "", ""))
    samples = entry.get("samples")
    title = f"{title}, K = {_number(samples)}" if samples is not None else title
    return escape(title), f"{_measured(entry)} {unit}".strip(), escape(meaning)


def _split_table(split, entries, explained):
    """Lay out the numbers of one split, with the meaning of each unless an earlier table has `explained` them."""
    rows = [
        _row(name, entry if isinstance(entry, dict) else {"value": entry})
        for name, entry in entries.items()
        if name != "examples"
    ]
    columns = 2 if explained else 3
    caption = f"{escape(split.capitalize())} split, {_text(entries['examples'])} images"
    head = ("Quantity", "Value", "What it means")
    return _table(head[:columns], [row[:columns] for row in rows], caption, "numbers")


def _summary(config, results, records):
    """Say in one sentence what was trained on what, and how well it does."""
    size = _text(_tree(config, "config", "model").get("latent_dim", "?"))
    data = _text(_tree(config, "config", "data").get("name", "?"))
    start = f"with {size} latent dimensions, trained on <strong>{data}</strong>"
    test = _tree(results, "test")
    scores = (("elbo", "A variational autoencoder", "an ELBO"), ("distortion", "An autoencoder", "a distortion"))
    for name, model, score in scores:
        if _tree(test, name):
            value, steps = f"<strong>{_measured(test[name])} nats</strong>", _text(results.get("step", "?"))
            return f"{model} {start} for {steps} steps, scores {score} of {value} on unseen test images."
    steps = [record["step"] for record in records if _finite(record.get("step"))]
    so_far = f" for {_text(max(steps))} steps so far" if steps else ""
    return f"An autoencoder {start}{so_far}, waits for its final evaluation."


def _missing(text):
    """Say that a part of the run directory is not there."""
    return f"<p class='missing'>{text}</p>"


def _numbers(results, records):
    """Write the section with each split's numbers, and how they were measured."""
    parts = [
        "<h2>The numbers</h2>",
        "<p>In nats, unless a row says otherwise: summed over the pixels of an image, then averaged over the images. "
        "A larger ELBO is better: −80 beats −100; a smaller distortion. After ± stands the standard error.</p>",
    ]
    if results is None:
        parts.append(_missing("There is no <code>results.json</code>: the final evaluation has not been made yet."))
    if not records:
        parts.append(_missing("There is no <code>metrics.jsonl</code> with records: how training went is not known."))
    splits = _splits(results or {})
    parts += [_split_table(split, entries, index > 0) for index, (split, entries) in enumerate(splits.items())]
    shown = {"version", "protocol", *splits}
    others = {name: value for name, value in (results or {}).items() if name not in shown}
    tables = [("How they were measured", _tree(results, "protocol")), ("Size and time", others)]
    parts += [f"<h3>{title}</h3>{_field_table(tree, ('What', 'Value'))}" for title, tree in tables if tree]
    return "".join(parts)


def _figure(path, known):
    """Write one figure with its picture inside the page, its title and its caption."""
    name = path.stem.replace("_", " ")
    title, alternative, caption = known.get(path.stem, (name, f"Figure: {name}", f"{name} ({path.name})"))
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(alternative)}">'
    return f"<figure><h3>{escape(title)}</h3>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _pictures(folder, corrupted):
    """Write the section of figures, in the order of FIGURES, the unknown ones last by name."""
    known = FIGURES | ({"reconstructions": RESTORED} if corrupted else {})
    order = list(known)
    paths = sorted(
        (path for path in folder.glob("*.png") if not path.name.startswith(".")),
        key=lambda path: (order.index(path.stem) if path.stem in known else len(order), path.name),
    )
    figures = "".join(_figure(path, known) for path in paths)
    return "<h2>The pictures</h2>" + (figures or _missing("There are no figures in <code>figures/</code> yet."))


def _origin(config, environment):
    """Write the sections that let somebody else repeat the run: its config, its command, its environment."""
    command = environment.get("command")
    told = {name: value for name, value in environment.items() if name not in ("version", "command")}
    code = f"<pre><code>{escape(str(command))}</code></pre>" if command else _missing("The command was not recorded.")
    return (
        f"<h2>The config</h2>{_field_table(_tree(config, 'config'))}"
        f"<h2>Run it again</h2>{code}"
        f"<h2>Where it ran</h2>{_field_table(told, ('What', 'Value'))}"
    )


def write_report(workdir):
    """Write report.html of the run directory `workdir`, from its JSON files and figures; returns the file's path."""
    workdir = Path(workdir).resolve()
    config, environment = (_read_required(workdir / name) for name in ("config.json", "environment.json"))
    results, records = _read(workdir / "results.json"), _read_records(workdir / "metrics.jsonl")
    name = escape(workdir.name)
    data = _text(_tree(config, "config", "data").get("name", "?"))
    body = [
        f"<header><h1><small>{data}</small>{name}</h1>",
        f"<p class='lead'>{_summary(config, results, records)}</p></header>",
        f"<main>{_numbers(results, records)}",
        _pictures(workdir / "figures", "corruption" in _tree(results, "protocol")),
        f"{_origin(config, environment)}</main>",
        f"<footer><p>Written by jaxvae {_text(environment.get('jaxvae', ''))}; all of it is in this file.</p></footer>",
    ]
    path, temporary = workdir / REPORT, workdir / ".report.html.tmp"  # by one name: a killed process's is overwritten
    try:
        page = PAGE.format(title=f"{data} · {name}", style=STYLE, body="\n".join(body))
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")  # of half a character, as JSON can hold
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
