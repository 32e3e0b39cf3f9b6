"""The numbers of a run as the report shows them: at a glance, what they say of the model's health, and explained."""

from html import escape

from jaxvae.viz.report import captions, html

LEVELS = ("fine", "note", "illness")  # of a finding about the model's health
_CARDS = ("elbo", "log_likelihood", "rate", "distortion", "bits_per_dim", "active_units", "code_perplexity")
_SCORES = ("elbo", "log_likelihood")  # on one axis: the second is the tighter bound on the same


def summary(config, results, records):
    """Say in one sentence what was trained on what, and how well it does."""
    size = html.text(html.tree(config, "config", "model").get("latent_dim", "?"))
    data = html.text(html.tree(config, "config", "data").get("name", "?"))
    start = f"with {size} latent dimensions, trained on <strong>{data}</strong>"
    test = html.tree(results, "test")
    scores = (("elbo", "A variational autoencoder", "an ELBO"), ("distortion", "An autoencoder", "a distortion"))
    for name, model, score in scores:
        if html.tree(test, name):
            value, steps = f"<strong>{html.measured(test[name])} nats</strong>", html.text(results.get("step", "?"))
            return f"{model} {start} for {steps} steps, scores {score} of {value} on unseen test images."
    steps = [record["step"] for record in records if html.finite(record.get("step"))]
    so_far = f" for {html.text(max(steps))} steps so far" if steps else ""
    return f"An autoencoder {start}{so_far}, waits for its final evaluation."


def numbers(results, records):
    """Write the section of numbers: the first split's at a glance, the diagnosis, and all of them explained."""
    splits = _splits(results or {})
    parts = ["<section id='numbers'><h2>The numbers</h2>"]
    if results is None:
        parts.append(html.missing("There is no <code>results.json</code>: the final evaluation has not been made yet."))
    if not records:
        parts.append(
            html.missing("There is no <code>metrics.jsonl</code> with records: how training went is not known.")
        )
    parts += [_cards(*first) for first in list(splits.items())[:1]]
    parts += [_diagnosis(results), _drawn(splits)]
    if splits:
        parts.append(
            "<p>In nats, unless a row says otherwise: summed over the pixels of an image, then averaged over the "
            "images. A larger ELBO is better: −80 beats −100; a smaller distortion. After ± stands the standard "
            "error.</p>"
        )
    parts += [_split_table(split, entries, index > 0) for index, (split, entries) in enumerate(splits.items())]
    return "".join(parts) + "</section>"


def protocol(results):
    """Return the section, (title, id, HTML), of how the numbers were measured, and what else is known of the run."""
    shown = {"version", "protocol", "diagnosis", *_splits(results or {})}
    others = {name: value for name, value in (results or {}).items() if name not in shown}
    trees = [("The protocol of the numbers above", html.tree(results, "protocol")), ("Size and time", others)]
    tables = "".join(html.field_table(tree, title, ("What", "Value")) for title, tree in trees if tree)
    return [("How it was measured", "protocol", tables)] if tables else []


def _splits(results):
    """Return the evaluated splits of results.json, the test split first."""
    names = [name for name, value in results.items() if isinstance(value, dict) and "examples" in value]
    return {name: results[name] for name in sorted(names, key=lambda name: name != "test")}


def _titled(name, entry):
    """Return a quantity's escaped title, with the number of its samples, its unit and its meaning."""
    title, unit, meaning = captions.QUANTITIES.get(name, (name, "", ""))
    samples = entry.get("samples")
    return escape(title if samples is None else f"{title}, K = {html.number(samples)}"), unit, escape(meaning)


def _cards(split, entries):
    """Show the few numbers of a split that are looked at first, large, each with its standard error."""
    cards = []
    for name in _CARDS:
        entry = html.tree(entries, name)
        if entry and not isinstance(entry.get("value"), list | dict):
            title, unit, _ = _titled(name, entry)
            of = f"of {html.text(entry['of'])}" if name == "active_units" and html.finite(entry.get("of")) else unit
            value, plus, error = html.measured(entry).partition(" ±")
            error = f" <small>±{error}</small>" if plus else ""
            cards.append(f"<li><span>{title}</span><strong>{value}{error}</strong><span>{of}</span></li>")
    caption = (
        f"<p>On the {html.text(entries['examples'])} images of the {escape(split)} split, ± one standard error:</p>"
    )
    return f"{caption}<ul class='cards'>{''.join(cards)}</ul>" if cards else ""


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
    remedy = f"<div>Try <code>{html.text(each['remedy'])}</code></div>" if each.get("remedy") else ""
    says = html.text(each.get("says", "")).replace("+-", "±")  # as a terminal of any kind can show it
    head = f"{_level(each).capitalize()} · {html.text(each.get('name', '?'))}"
    return f"<strong>{head}.</strong> {says}{remedy}"


def _row(name, entry):
    """Return the cells of one quantity: title, value, meaning."""
    title, unit, meaning = _titled(name, entry)
    return title, f"{html.measured(entry)} {unit}".strip(), meaning


def _split_table(split, entries, explained):
    """Lay out the numbers of one split, with the meaning of each unless an earlier table has `explained` them."""
    rows = [
        _row(name, entry if isinstance(entry, dict) else {"value": entry})
        for name, entry in entries.items()
        if name != "examples"
    ]
    columns = 2 if explained else 3
    caption = f"{escape(split.capitalize())} split, {html.text(entries['examples'])} images"
    head = ("Quantity", "Value", "What it means")
    return html.table(head[:columns], [row[:columns] for row in rows], caption, "numbers")


def _drawn(splits):
    """Draw the scores with their error bars on one axis, and what a test image costs, where there is what to draw."""
    rows = [
        (f"{captions.QUANTITIES[name][0]}, {split}", entry["value"], entry["stderr"])
        for split, entries in splits.items()
        for name in _SCORES
        if _drawable(entry := html.tree(entries, name))
    ]
    figures = [_intervals(rows)] if len(rows) > 1 else []
    figures += [_costs(split, entries) for split, entries in list(splits.items())[:1]]
    return f"<div class='pair'>{''.join(figures)}</div>" if any(figures) else ""


def _drawable(entry):
    """Return whether an entry is a number with an error that a line can be drawn of."""
    value, stderr = entry.get("value"), entry.get("stderr")
    plain = all(html.finite(each) and not isinstance(each, bool) and abs(each) < 1e15 for each in (value, stderr))
    return plain and stderr > 0


def _intervals(rows):
    """Draw scores (name, value, standard error) as dots with bars of two standard errors, on one axis, as an SVG."""
    low, high = min(v - 2 * e for _, v, e in rows), max(v + 2 * e for _, v, e in rows)

    def place(value):
        return 14 + 292 * (value - low) / (high - low)

    lines = []
    for row, (name, value, stderr) in enumerate(rows):
        y = 34 + 42 * row
        left, right = place(value - 2 * stderr), place(value + 2 * stderr)
        text = html.measured({"value": value, "stderr": stderr})
        lines.append(
            f"<text x='14' y='{y - 14}'>{escape(name)}</text>"
            f"<text class='soft' x='306' y='{y - 14}' text-anchor='end'>{text}</text>"
            f"<path class='whisker' d='M{left:.1f} {y}H{right:.1f}M{left:.1f} {y - 5}v10M{right:.1f} {y - 5}v10'/>"
            f"<circle class='dot' cx='{place(value):.1f}' cy='{y}' r='4'/>"
        )
    said = "; ".join(f"{name}: {html.measured({'value': value, 'stderr': e})}" for name, value, e in rows)
    svg = f"<svg viewBox='0 0 320 {20 + 42 * len(rows)}' role='img' aria-label='{escape(said)}'>{''.join(lines)}</svg>"
    return f"<figure>{svg}<figcaption>{captions.INTERVALS}</figcaption></figure>"


def _costs(split, entries):
    """Draw rate and distortion as the two parts of one bar, as an SVG; nothing where one is none or not known."""
    parts = {name: html.tree(entries, name).get("value") for name in ("rate", "distortion")}
    if not all(html.finite(value) and not isinstance(value, bool) and 0 < value < 1e15 for value in parts.values()):
        return ""
    rate, distortion = (float(value) for value in parts.values())
    width = 288 * rate / (rate + distortion)  # and 4 between the two
    names = [f"rate {html.number(rate)}", f"distortion {html.number(distortion)}"]
    svg = (
        f"<svg viewBox='0 0 320 62' role='img' aria-label='{names[0]} nats, {names[1]} nats'>"
        f"<text x='14' y='20'>{names[0]}</text><text x='306' y='20' text-anchor='end'>{names[1]}</text>"
        f"<rect class='rate' x='14' y='30' width='{width:.1f}' height='18'/>"
        f"<rect class='distortion' x='{18 + width:.1f}' y='30' width='{288 - width:.1f}' height='18'/></svg>"
    )
    return f"<figure>{svg}<figcaption>{captions.COSTS.format(split=escape(split))}</figcaption></figure>"
