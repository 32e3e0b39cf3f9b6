"""Data sets as their sources return them: every split in stored order, before anything is held out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxvae._checks import UsageError

__all__ = ["ImageArray", "Say", "Section", "StoredSet", "StoredSplit", "existing_path"]

Say = Callable[[str], None]  # is given a line of text for the user now and then


class Section(Protocol):
    """The fields of a config's section `data` that say which data to open; config/schema.py describes them."""

    name: str
    data_dir: str | None
    manual_dir: str | None
    validation: float
    leave_out: tuple[int, ...]
    size: int | None
    channels: int | None
    decoded_limit: float
    workers: int | None


class ImageArray(Protocol):
    """Stored images [N, *X]: an array, or an object that decodes the rows it is indexed with."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


@dataclass(frozen=True)
class StoredSplit:
    """One split in stored order: its images and its labels, int32 [N], float32 vectors [N, C] or None."""

    image: ImageArray
    label: np.ndarray | None


@dataclass(frozen=True)
class StoredSet:
    """A whole data set: its splits by name, its class names by label, and the fingerprint of its content."""

    name: str
    version: str
    fingerprint: str
    splits: dict[str, StoredSplit]
    class_names: tuple[str, ...] = ()


def existing_path(section: Section, kind: str, exists: Callable[[Path], bool]) -> Path:
    """Returns PATH of a name 'kind:PATH'; a relative one starts at data.data_dir. UsageError if it does not exist."""
    path = Path(section.data_dir or ".").expanduser() / Path(section.name.partition(":")[2]).expanduser()
    if not exists(path):
        raise UsageError(
            f"data.name={section.name!r}: there is no {kind} {path.absolute()}. A relative path starts at "
            "data.data_dir, or where the program was started."
        )
    return path
