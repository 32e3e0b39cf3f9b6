"""How a page is written: numbers and tables as HTML, and the whole of it, that asks nobody for anything.

What goes in is text of unknown origin: it passes through `escape` on its way to the page, or through `data`.
"""

import base64
import hashlib
import json
import math
import sys
from html import escape
from importlib import resources

# No source of anything but the page itself: its one script and its one style are named by their digests, so that no
# text of a run can become either, and pictures are data within it.
_POLICY = (
    "default-src 'none'; connect-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
    "script-src '{script}'; style-src '{style}'"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""


def part(name):
    """Return the text of a file of jaxvae/viz/report/static: a style or a script, as it stands in a page."""
    return "\n" + (resources.files("jaxvae.viz.report") / "static" / name).read_text(encoding="utf-8")


def digest(text):
    """Return the source expression of the Content-Security-Policy (W3C, level 3, sec. 2.3.1) that allows the text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def whole(title, body, style, script):
    """Return a page of an escaped title and body, with the one style and the one script that it lets act."""
    policy = _POLICY.format(script=digest(script), style=digest(style))
    return _PAGE.format(title=title, body=body, style=style, script=script, policy=policy)


def data(name, content):
    """Write what a script reads, as JSON from which no text can break out, whatever tag it spells."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":  # in JSON they stand in strings alone, where this means the same
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="data-{name}">{text}</script>'


def finite(value):
    """Return whether the value is a number that a float can hold."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def number(value, decimals=None):
    """Write a number with a true minus sign, to `decimals` or to four digits; what is no number, as it stands."""
    if isinstance(value, bool) or not finite(value):
        return str(value)
    if decimals is None and isinstance(value, float):
        form = ",.0f" if abs(value) >= 1e4 else ",.4g" if abs(value) >= 1e-3 or value == 0 else ".3g"
    else:
        form = f",.{decimals or 0}f"
    return f"{value:{form}}".replace("-", "−", 1) if value < 0 else f"{value:{form}}"


def text(value):
    """Write any JSON value as escaped text; numbers for reading, the rest as it stands."""
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(name))}: {text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(text(item) for item in value)
    return escape(number(value))


def measured(entry):
    """Write value ± standard error, with two digits of the error, as escaped text."""
    value, stderr = entry.get("value"), entry.get("stderr")
    if not (finite(value) and finite(stderr) and stderr > 0):
        return text(value) if not isinstance(value, list) or len(value) <= 8 else f"{len(value)} values, see the figure"
    decimals = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{number(float(value), decimals)} ± {number(float(stderr), decimals)}"


def tree(content, *names):
    """Return the dict that nested dicts hold under these names, {} where there is none."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def table(head, rows, caption="", kind=""):
    """Lay out rows of escaped cells, the first cell of each being its header."""
    titles = "".join(f"<th scope='col'>{title}</th>" for title in head)
    lines = [
        f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>" for first, *rest in rows
    ]
    caption = f"<caption>{caption}</caption>" if caption else ""
    return f"<table class='{kind}'>{caption}<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def flat(tree, prefix=""):
    """List the leaves of nested dicts as pairs (dotted name, value)."""
    pairs: list[tuple[str, object]] = []
    for name, value in tree.items():
        pairs += flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return pairs


def field_table(tree, caption, head=("Field", "Value")):
    """Lay out nested dicts as a table of field and value."""
    # Where a phone is too narrow for a dotted name, it breaks after a dot.
    names = [escape(name).replace(".", ".<wbr>") for name, _ in flat(tree)]
    values = [text(value) for _, value in flat(tree)]
    return table(head, [(f"<code>{name}</code>", value) for name, value in zip(names, values, strict=True)], caption)


def missing(text):
    """Say that a part of the run directory is not there."""
    return f"<p class='missing'>{text}</p>"
