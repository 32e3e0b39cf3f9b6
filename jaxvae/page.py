"""How a page is written: numbers and tables as HTML, and the style of it all.

What goes in is text of unknown origin: it passes through `escape` on its way to the page.
"""

import math
import sys
from html import escape

STYLE = """
:root { color-scheme: light dark; --page: #fbfbfa; --card: #fff; --ink: #1f2933; --soft: #52606d; --line: #d9dfe4;
  --accent: #005b8f; --ill: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181c; --card: #1d2329; --ink: #e6eaee; --soft: #a9b4be; --line: #364049;
    --accent: #7cc0ee; --ill: #f2857c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
header, main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; } footer { padding-bottom: 3rem; color: var(--soft); font-size: .9rem; }
h1 { margin: 0; font-size: clamp(1.6rem, 5vw, 2.3rem); line-height: 1.2; overflow-wrap: anywhere; }
h1 small { display: block; color: var(--accent); font-size: 1rem; font-weight: 600; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.35rem; } h3 { margin: 0 0 .5rem; font-size: 1.1rem; }
p, figcaption { max-width: 44rem; } .lead { font-size: 1.15rem; } .soft, figcaption, caption { color: var(--soft); }
.findings { list-style: none; margin: 0 0 1.5rem; padding: 0; max-width: 44rem; }
.findings li { margin: 0 0 .6rem; padding: .5rem 1rem; border-left: .3rem solid var(--line); background: var(--card); }
.findings .note { border-color: var(--accent); } .findings .illness { border-color: var(--ill); }
.findings code { overflow-wrap: anywhere; }
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


def field_table(tree, head=("Field", "Value")):
    """Lay out nested dicts as a table of field and value."""
    # Where a phone is too narrow for a dotted name, it breaks after a dot.
    names = [escape(name).replace(".", ".<wbr>") for name, _ in flat(tree)]
    values = [text(value) for _, value in flat(tree)]
    return table(head, [(f"<code>{name}</code>", value) for name, value in zip(names, values, strict=True)])


def missing(text):
    """Say that a part of the run directory is not there."""
    return f"<p class='missing'>{text}</p>"
