"""Markdown of text that comes from files and configs."""

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["escape_markdown", "format_code", "format_table"]


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of escaped cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(value: Any) -> str:
    """Returns text of unknown origin in one line that markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|<>&~!#])", r"\\\1", " ".join(str(value).split()))


def format_code(text: str) -> str:
    """Returns a config string as code in a table cell."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
