"""The report of a run: its directory in, one self-contained HTML file out, readable without a network or JavaScript.

Whatever comes from a file is text of unknown origin: it passes through `escape` or `page.text` on its way there.
"""

import base64
import json
import os
from html import escape
from pathlib import Path

from jaxvae import page, sealed

REPORT = "report.html"
LEVELS = ("fine", "note", "illness")  # of a finding about the model's health

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
    "inpainting": (
        "What is missing, filled in",
        "Rows of images: originals, the same with pixels hidden in flat blue, three completions each, and their mean.",
        "The model is shown an image without its blue pixels and asked for them. A Markov chain draws in turn a code "
        "for the image as it stands and the missing pixels for that code; a completion is the picture of a code that "
        "such a chain ended with. Where completions differ, what is known leaves a choice, and their mean is blurred."
        " The share of the chain's proposals that was taken says whether to trust it: below 1% it hardly moved.",
    ),
    "denoising": (
        "Noise, averaged away",
        "Rows of images: originals, the same with noise, and what the model makes of the noisy ones.",
        "Many codes are drawn for the noisy image and their pictures averaged. What no code tells of is lost: the "
        "noise, and with it what is rare in the image. A model that never saw noise takes the image for a clean one.",
    ),
    "anomaly": (
        "Does the model notice what is new?",
        "ROC curves of four scores, histograms of the first, and rows of the least and most strange images.",
        "The model was trained without the classes left out. Each score says how strange an image is; the area under "
        "its curve is the chance that an image of a class left out is the stranger of two, one known, one not: 1 is "
        "perfect, 0.5 is guessing, and less than that finds the new images more ordinary than the known. After ± "
        "stands the standard error. Strange is not the same as improbable: plain images, of few pixels, are probable "
        "whether known or not.",
    ),
    "compression": (
        "The model as a compressor",
        "A chart of signal-to-noise ratio against bits for principal components, JPEG and this model; images below.",
        "The star is this model: the bits are its rate, what sending a code costs at best (relative entropy coding "
        "comes near; no file was written), and the picture is the mean of p(x|z). The curves were coded for real, up "
        "to a few bits in all: principal components, fitted to training images, with quantized coefficients coded by "
        "their frequencies there; and JPEG of all images in one mosaic, so that its header costs next to nothing. "
        "Above a curve, the model is the better compressor. A Bernoulli model was not trained for squared error, nor "
        "was any to please the eye. Where JPEG cannot be as short as the model, its shortest is shown.",
    ),
    "neighbours": (
        "Who is near",
        "Rows: an image, its nearest training images by pixels, and its nearest by codes.",
        "Two images can be close pixel by pixel and mean different things, or the reverse. If the codes keep what "
        "matters, the nearest by codes are alike in kind, and the vote of the five nearest names the class more "
        "often. Of a conditional model the codes leave the class out, as it is told, and should name it worse.",
    ),
    "sensitivity": (
        "Small changes",
        "Rows of pictures of codes moved step by step; below, a chart of how far codes move when images are changed.",
        "Above, a code moved by the same lengths in two directions: where its picture changes most, and where it "
        "changes least. The number is how far the picture moves, in pixel values, for a step of length 1. A direction"
        " near 0 is one that the decoder ignores. Below, the reverse: the image is changed a little, and its code "
        "moves. While that is less than the spread of q(z|x), the two images have nearly the same code.",
    ),
    "conditional": (
        "The class, and everything else",
        "A grid of generated images: a row each for a code, a column each for a class.",
        "Each row is one draw of z, decoded as every class. What stays the same along a row is in z: slant, weight, "
        "size. What changes is in the class. If rows do not resemble each other at all, then z still holds the class,"
        " too.",
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
    title, unit, meaning = QUANTITIES.get(name, (name, "", ""))
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
    """Write the section of figures, in the order of FIGURES, the unknown ones last by name."""
    known = FIGURES | ({"reconstructions": RESTORED} if corrupted else {})
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
