"""The numbers of a run in its report: at a glance, their diagnosis, and each with its meaning."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeGuard

from jaxvae.viz.report import html

__all__ = ["PageSection", "numbers_section", "protocol_sections", "summary_sentence"]

PageSection = tuple[str, str, str]  # title, id, HTML
_Results = Mapping[str, Any] | None  # the content of results.json; None before the final evaluation
_LEVELS = ("fine", "note", "illness")  # of a finding of the diagnosis
_CARDS = ["elbo", "log_likelihood", "rate", "distortion", "bits_per_dim", "bits_per_dim_elbo", "active_units"]
_CARDS += ["code_perplexity"]
_BOUNDS = ("elbo", "log_likelihood")  # drawn on one axis: the second is the tighter bound on the same
_MAX_DRAWN = 1e15  # beyond this, a number is not drawn
_INTERVALS = (
    "Dots: means over the images; bars: two standard errors to each side. Both scores are lower bounds on log p(x). "
    "As they are of the same images, their distance is surer than the bars suggest."
)
_COSTS = (
    "The cost of an image of the {split} split, in nats: of its code (rate), and of the image given the code "
    "(distortion). Together they are minus the ELBO, if β is 1."
)
# name in results.json: (title, unit, meaning)
_QUANTITIES = {
    "elbo": (
        "ELBO",
        "nats",
        "The evidence lower bound on log p(x), the model's score: minus the sum of rate and distortion below.",
    ),
    "log_likelihood": (
        "log p(x)",
        "nats",
        "A tighter bound than the ELBO, from many draws of z. Larger is better; the gap is the posterior's cost.",
    ),
    "rate": (
        "Rate",
        "nats",
        "KL(q(z|x) ‖ p(z)): the information in z about its image. At 0 the code is ignored, or z has no density.",
    ),
    "distortion": (
        "Distortion",
        "nats",
        "−E[log p(x|z)]: what the code leaves unexplained of the image. Smaller means more faithful reconstructions.",
    ),
    "distortion_from_corrupted": (
        "Distortion, from corrupted inputs",
        "nats",
        "−E[log p(x|z)] of the clean image, from a corrupted one: how well the image is restored. Smaller is better.",
    ),
    "rate_from_corrupted": (
        "Rate, from corrupted inputs",
        "nats",
        "KL(q(z|corrupted x) ‖ p(z)): the information in the code if the encoder was shown a corrupted image.",
    ),
    "elbo_from_corrupted": (
        "ELBO, from corrupted inputs",
        "nats",
        "Minus rate and distortion from corrupted inputs: a lower bound on log p(x) of the clean image, too.",
    ),
    "bits_per_dim": (
        "Bits per dimension",
        "bits",
        "The negative bound in bits, divided by the number of pixel values, to compare image sizes. Of log p(x) from K "
        "draws it is smaller than of the ELBO. Smaller is better.",
    ),
    "bits_per_dim_elbo": (
        "Bits per dimension, from the ELBO",
        "bits",
        "Minus the ELBO in bits, divided by the number of pixel values. Compare with papers that report the ELBO.",
    ),
    "active_units": (
        "Active units",
        "",
        "Latent dimensions whose posterior mean varies with the image. The others stay at the prior and carry nothing.",
    ),
    "kl_per_dimension": ("KL per dimension", "nats", "The rate, split by latent dimension, in the order of the model."),
    "code_perplexity": (
        "Codes in use",
        "",
        "The effective number of codes (their perplexity). Far below the codebook's size, most codes are dead.",
    ),
}


def summary_sentence(config: Mapping[str, Any], results: _Results, records: Sequence[Mapping[str, Any]]) -> str:
    """Returns one sentence: what was trained on what, and its score."""
    size = html.format_value(html.nested(config, "config", "model").get("latent_dim", "?"))
    data = html.format_value(html.nested(config, "config", "data").get("name", "?"))
    start = f"with {size} latent dimensions, trained on <strong>{data}</strong>"
    test = html.nested(results, "test")
    scores = (("elbo", "A variational autoencoder", "an ELBO"), ("distortion", "An autoencoder", "a distortion"))
    for name, model, score in scores:
        if results and html.nested(test, name):
            value, steps = html.format_score(test[name]), html.format_value(results.get("step", "?"))
            scored = f"scores {score} of <strong>{value} nats</strong> on unseen test images."
            return f"{model} {start} for {steps} steps, {scored}"
    taken = [record["step"] for record in records if html.is_finite_number(record.get("step"))]
    so_far = f" for {html.format_value(max(taken))} steps so far" if taken else ""
    return f"An autoencoder {start}{so_far}, waits for its final evaluation."


def numbers_section(results: _Results, records: Sequence[Mapping[str, Any]]) -> str:
    """Returns the section of numbers: the first split's at a glance, the diagnosis, and all of them explained."""
    splits = _evaluated_splits(results)
    parts = ["<section id='numbers'><h2>The numbers</h2>"]
    if results is None:
        note = "There is no <code>results.json</code>: the final evaluation has not been made yet."
        parts.append(html.missing_note(note))
    if not records:
        parts.append(html.missing_note("There is no <code>metrics.jsonl</code> with records of training."))
    parts += [_make_cards(*first) for first in list(splits.items())[:1]]
    parts += [_list_findings(results), _draw_scores(splits)]
    if splits:
        parts.append(
            "<p>In nats, unless a row says otherwise: summed over the pixels of an image, then averaged over the "
            "images. A larger ELBO is better: −80 beats −100; a smaller distortion. ± is the standard error.</p>"
        )
    parts += [_split_table(split, entries, index > 0) for index, (split, entries) in enumerate(splits.items())]
    return "".join(parts) + "</section>"


def protocol_sections(results: _Results) -> list[PageSection]:
    """Returns the section of the protocol of the numbers and of the other entries of results.json, if there are any."""
    listed = {"version", "protocol", "diagnosis", *_evaluated_splits(results)}
    others = {name: value for name, value in (results or {}).items() if name not in listed}
    trees = [("The protocol of the numbers above", html.nested(results, "protocol")), ("Size and time", others)]
    tables = "".join(html.field_table(tree, title, ("What", "Value")) for title, tree in trees if tree)
    return [("How it was measured", "protocol", tables)] if tables else []


def _evaluated_splits(results: _Results) -> dict[str, dict[str, Any]]:
    """Returns {split: its entries}, the test split first."""
    found = {name: each for name, each in (results or {}).items() if isinstance(each, dict) and "examples" in each}
    return dict(sorted(found.items(), key=lambda item: item[0] != "test"))


def _describe_quantity(name: str, entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns the escaped title with the number of samples, the unit, and the escaped meaning."""
    title, unit, meaning = _QUANTITIES.get(name, (name, "", ""))
    samples = entry.get("samples")
    return escape(title if samples is None else f"{title}, K = {html.format_number(samples)}"), unit, escape(meaning)


def _make_cards(split: str, entries: Mapping[str, Any]) -> str:
    """Returns the few most important numbers of a split, in large type, with their standard errors."""
    cards = []
    for name in _CARDS:
        entry = html.nested(entries, name)
        if not entry or isinstance(entry.get("value"), list | dict):
            continue
        title, unit, _ = _describe_quantity(name, entry)
        if name == "active_units" and html.is_finite_number(entry.get("of")):
            unit = f"of {html.format_value(entry['of'])}"
        value, plus, error = html.format_score(entry).partition(" ±")
        error = f" <small>±{error}</small>" if plus else ""
        cards.append(f"<li><span>{title}</span><strong>{value}{error}</strong><span>{unit}</span></li>")
    examples = html.format_value(entries["examples"])
    caption = f"<p>On the {examples} images of the {escape(split)} split, ± one standard error:</p>"
    return f"{caption}<ul class='cards'>{''.join(cards)}</ul>" if cards else ""


def _list_findings(results: _Results) -> str:
    """Returns the findings of the diagnosis with their remedies; '' without a diagnosis."""
    found = (results or {}).get("diagnosis")
    items, note, split = [], "", ""
    for finding in found if isinstance(found, list) else []:
        if not isinstance(finding, dict):
            continue
        level = finding.get("level") if finding.get("level") in _LEVELS else _LEVELS[0]
        split = html.format_value(html.nested(finding, "numbers").get("split", "")) or split
        text = html.format_value(finding.get("says", "")).replace("+-", "±")  # ASCII for terminals of any kind
        head = f"{str(level).capitalize()} · {html.format_value(finding.get('name', '?'))}"
        remedy = f"<div>Try <code>{html.format_value(finding['remedy'])}</code></div>" if finding.get("remedy") else ""
        if remedy:
            note = "<p class='soft'>A remedy is an option for the command below; give it a --workdir of its own.</p>"
        items.append(f"<li class='{level}'><strong>{head}.</strong> {text}{remedy}</li>")
    measured = f"<p>Measured on the {split} images:</p>" if split else ""
    return f"<h3>What they say</h3>{measured}<ul class='findings'>{''.join(items)}</ul>{note}" if items else ""


def _split_table(split: str, entries: Mapping[str, Any], explained: bool) -> str:
    """Returns the numbers of one split, with their meanings unless an earlier table has `explained` them."""
    rows = []
    for name, entry in entries.items():
        if name != "examples":
            entry = entry if isinstance(entry, dict) else {"value": entry}
            title, unit, meaning = _describe_quantity(name, entry)
            rows.append((title, f"{html.format_score(entry)} {unit}".strip(), meaning))
    columns = 2 if explained else 3
    caption = f"{escape(split.capitalize())} split, {html.format_value(entries['examples'])} images"
    head = ("Quantity", "Value", "What it means")
    return html.make_table(head[:columns], [row[:columns] for row in rows], caption, "numbers")


def _draw_scores(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the bounds with their error bars on one axis, and rate and distortion as one bar, if drawable."""
    rows = []
    for split, entries in splits.items():
        for name in _BOUNDS:
            entry = html.nested(entries, name)
            if _is_drawable(entry.get("value")) and _is_drawable(entry.get("stderr")) and entry["stderr"] > 0:
                rows.append((f"{_QUANTITIES[name][0]}, {split}", entry["value"], entry["stderr"]))
    figures = [_draw_intervals(rows)] if len(rows) > 1 else []
    figures += [_draw_rate_and_distortion(split, entries) for split, entries in list(splits.items())[:1]]
    return f"<div class='pair'>{''.join(figures)}</div>" if any(figures) else ""


def _is_drawable(value: Any) -> TypeGuard[int | float]:
    return html.is_finite_number(value) and abs(value) < _MAX_DRAWN


def _draw_intervals(rows: Sequence[tuple[str, float, float]]) -> str:
    """Returns an SVG of (name, value, standard error) as dots with bars of two standard errors on one axis."""
    low, high = min(v - 2 * e for _, v, e in rows), max(v + 2 * e for _, v, e in rows)

    def place(value: float) -> float:
        return 14 + 292 * (value - low) / (high - low)

    lines, texts = [], []
    for row, (name, value, stderr) in enumerate(rows):
        y = 34 + 42 * row
        left, right = place(value - 2 * stderr), place(value + 2 * stderr)
        text = html.format_score({"value": value, "stderr": stderr})
        texts.append(f"{name}: {text}")
        lines.append(
            f"<text x='14' y='{y - 14}'>{escape(name)}</text>"
            f"<text class='soft' x='306' y='{y - 14}' text-anchor='end'>{text}</text>"
            f"<path class='whisker' d='M{left:.1f} {y}H{right:.1f}M{left:.1f} {y - 5}v10M{right:.1f} {y - 5}v10'/>"
            f"<circle class='dot' cx='{place(value):.1f}' cy='{y}' r='4'/>"
        )
    label = escape("; ".join(texts))
    svg = f"<svg viewBox='0 0 320 {20 + 42 * len(rows)}' role='img' aria-label='{label}'>{''.join(lines)}</svg>"
    return f"<figure>{svg}<figcaption>{_INTERVALS}</figcaption></figure>"


def _draw_rate_and_distortion(split: str, entries: Mapping[str, Any]) -> str:
    """Returns an SVG of rate and distortion as the two parts of one bar; '' unless both are positive."""
    rate, distortion = (html.nested(entries, name).get("value") for name in ("rate", "distortion"))
    if not (_is_drawable(rate) and _is_drawable(distortion) and rate > 0 and distortion > 0):
        return ""
    width = 288 * rate / (rate + distortion)  # and 4 between the two
    names = [f"rate {html.format_number(float(rate))}", f"distortion {html.format_number(float(distortion))}"]
    svg = (
        f"<svg viewBox='0 0 320 62' role='img' aria-label='{names[0]} nats, {names[1]} nats'>"
        f"<text x='14' y='20'>{names[0]}</text><text x='306' y='20' text-anchor='end'>{names[1]}</text>"
        f"<rect class='rate' x='14' y='30' width='{width:.1f}' height='18'/>"
        f"<rect class='distortion' x='{18 + width:.1f}' y='30' width='{288 - width:.1f}' height='18'/></svg>"
    )
    return f"<figure>{svg}<figcaption>{_COSTS.format(split=escape(split))}</figcaption></figure>"
