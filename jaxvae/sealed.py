"""JSON files that are there whole or not at all, and that know whether they still are what was written."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from jaxvae.storage import write_whole

DIGEST = "sha256"  # the key under which a file holds the digest of the rest of its content


class DamagedFile(ValueError):
    """A file that is not what was written: torn, zeroed, flipped, or edited by hand."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON with the digest of its content, so that after a crash the file is either all there or not there.

    NaN and the infinities, which JSON does not have, become null.
    """
    content = without_nonfinite(content)
    write_whole(path, json.dumps(content | {DIGEST: json_digest(content)}, indent=1, allow_nan=False).encode())


def read_json(path: Path, *, bare: bool = True) -> dict[str, Any]:
    """The content of a file that `write` wrote; DamagedFile says what is wrong with it, OSError why it cannot be read.

    `bare`: a file without a digest, as 0.1 wrote them, is taken as it is.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"it holds a {type(content).__name__}, not the fields that were written")
    expected = content.pop(DIGEST, None)
    if (expected is not None or not bare) and expected != json_digest(content):
        raise DamagedFile("its content is not what was written: a damaged disk, or an edit by hand")
    return content


def json_digest(content: dict[str, Any]) -> str:
    """The sha256 of the content's values, in hex, however the file is laid out."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def without_nonfinite(content: Any) -> Any:
    """The content with null in place of numbers that JSON does not have: NaN and the infinities."""
    if isinstance(content, dict):
        return {str(name): without_nonfinite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nonfinite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
