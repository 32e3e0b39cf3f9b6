"""The HTML of a page: numbers, tables, and the whole page, which loads nothing from other machines."""

import base64
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any, TypeGuard

__all__ = ["embed_json", "field_table", "format_number", "format_score", "format_value", "is_finite_number"]
__all__ += ["make_page", "make_table", "missing_note", "nested", "read_static"]

# The page loads nothing: digests name its one script and style, so that no text of a run can become either.
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


def read_static(name: str) -> str:
    """Returns the text of a file of viz/report/static as it is put in a page."""
    return "\n" + (resources.files("jaxvae.viz.report") / "static" / name).read_text(encoding="utf-8")


def make_page(title: str, body: str, style: str, script: str) -> str:
    """Returns a page of an escaped title and body, with the one style and the one script that it allows."""
    policy = _POLICY.format(script=_source_expression(script), style=_source_expression(style))
    return _PAGE.format(title=title, body=body, style=style, script=script, policy=policy)


def _source_expression(text: str) -> str:
    """Returns what allows the text in a Content-Security-Policy (W3C, level 3, sec. 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def embed_json(name: str, content: Any) -> str:
    """Returns a script element of JSON from which no text can break out, whatever tag it spells."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":  # in JSON they are in strings alone, where the escape means the same
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="data-{name}">{text}</script>'


def is_finite_number(value: Any) -> TypeGuard[int | float]:
    """Returns whether the value is a number, not a truth value, that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def format_number(value: Any, decimals: int | None = None) -> str:
    """Returns a number with a true minus sign, to `decimals` or to four digits; any other value as str.

    A float from a million on is in scientific form.
    """
    if not is_finite_number(value):
        return str(value)
    if isinstance(value, float) and abs(value) >= 1e6:
        form = ".4g"
    elif decimals is None and isinstance(value, float):
        form = ",.0f" if abs(value) >= 1e4 else ",.4g" if abs(value) >= 1e-3 or value == 0 else ".3g"
    else:
        form = f",.{decimals or 0}f"
    return f"{value:{form}}".replace("-", "−", 1) if value < 0 else f"{value:{form}}"


def format_value(value: Any) -> str:
    """Returns any JSON value as escaped text, numbers rounded."""
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(name))}: {format_value(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(format_value(item) for item in value)
    return escape(format_number(value))


def format_score(entry: Mapping[str, Any]) -> str:
    """Returns an entry's value ± standard error, with two digits of the error, as escaped text."""
    value, stderr = entry.get("value"), entry.get("stderr")
    if is_finite_number(value) and is_finite_number(stderr) and stderr > 0:
        decimals = max(0, 1 - math.floor(math.log10(stderr)))
        return f"{format_number(float(value), decimals)} ± {format_number(float(stderr), decimals)}"
    if isinstance(value, list) and len(value) > 8:
        return f"{len(value)} values, see the figure"
    return format_value(value)


def nested(content: Any, *names: str) -> dict[str, Any]:
    """Returns the dict that nested dicts hold under these names, {} if there is none."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def make_table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", kind: str = "") -> str:
    """Returns a table of escaped cells; the first cell of each row is its header."""
    titles = "".join(f"<th scope='col'>{title}</th>" for title in head)
    lines = [
        f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>" for first, *rest in rows
    ]
    caption = f"<caption>{caption}</caption>" if caption else ""
    return f"<table class='{kind}'>{caption}<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def field_table(content: Mapping[str, Any], caption: str, head: Sequence[str] = ("Field", "Value")) -> str:
    """Returns nested dicts as a table of dotted name and value."""

    def rows(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
        for name, value in content.items():
            if isinstance(value, dict):
                yield from rows(value, f"{prefix}{name}.")
            else:  # on a narrow screen, a dotted name breaks after a dot
                yield f"<code>{escape(prefix + name).replace('.', '.<wbr>')}</code>", format_value(value)

    return make_table(head, rows(content, ""), caption)


def missing_note(text: str) -> str:
    """Returns a paragraph about a part of the run directory that is not there."""
    return f"<p class='missing'>{text}</p>"
