"""Text on a terminal: names out of files come there as text, and move no cursor."""

from __future__ import annotations

import sys
from typing import TextIO


def show(text: object, file: TextIO | None = None) -> None:
    """Prints a text; control and invisible characters, and what the terminal cannot encode, are written out."""
    file = file or sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(printable(str(text)).encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)


def printable(text: str) -> str:
    """The text with all but printable characters, spaces and newlines written out."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
