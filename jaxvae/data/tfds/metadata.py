"""The JSON files of a prepared TFDS folder, checked first: TFDS imports any module that they name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError

__all__ = ["check_metadata", "read_metadata"]

_MOST_EXAMPLES = 2**31 - 1  # their indices are int32

_CLASSES = {"pythonClassName", "python_class_name", "type"}
_CLASS = re.compile(r"tensorflow_datasets(\.core)?\.features\.(\w+\.)*[A-Za-z]\w*", re.ASCII)
_TEMPLATES = {"filepathTemplate", "filepath_template"}
_TEMPLATE = re.compile(r"(\{[A-Z_]+\}|[\w.+-])+", re.ASCII)  # no folders, and no widths such as {SPLIT:>1000000000}
_LENGTHS = {"shardLengths", "shard_lengths"}


def check_metadata(folder: Path) -> dict[str, Any]:
    """Returns dataset_info.json; UsageError, before TFDS opens the folder, if it or features.json is hostile."""
    for key, value in _key_value_pairs(read_metadata(folder / "features.json")):
        if key in _CLASSES and isinstance(value, str) and not _CLASS.fullmatch(value):
            raise UsageError(
                f"{folder / 'features.json'} names the class {value!r}, whose module would be imported; expected "
                "tensorflow_datasets' own features alone. If you trust it, read it yourself and pass arrays."
            )
    info, examples = read_metadata(folder / "dataset_info.json"), 0
    for key, value in _key_value_pairs(info):
        if key in _TEMPLATES and not (isinstance(value, str) and _TEMPLATE.fullmatch(value)):
            raise UsageError(f"{folder / 'dataset_info.json'} has the {key} {value!r}, which names no plain file.")
        if key in _LENGTHS and isinstance(value, list):
            examples += sum(abs(int(length)) for length in value if str(length).lstrip("-").isdigit())
    if examples > _MOST_EXAMPLES:
        raise UsageError(
            f"{folder / 'dataset_info.json'} promises {examples:,} examples; expected at most {_MOST_EXAMPLES:,}."
        )
    return info


def read_metadata(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; UsageError if there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}): the prepared folder is damaged. Delete it and prepare it again."
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no JSON object: the folder is damaged. Delete it and prepare it again.")
    return content


def _key_value_pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Yields every key with its value, at any depth, also in JSON that is stored as text."""
    if isinstance(content, str) and content.lstrip()[:1] in ("{", "["):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            return
    if isinstance(content, dict):
        yield from content.items()
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _key_value_pairs(item)
