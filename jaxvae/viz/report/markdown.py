"""Markdown of what comes from files and configs: tables, and text that it shows as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(value: Any) -> str:
    """Text of unknown origin, in one line that markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|<>&~!#])", r"\\\1", " ".join(str(value).split()))


def code(text: str) -> str:
    """A config's string, as code in a cell of a table."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
