"""What tells whether a prepared folder is whole: sizes and checksums of its files, in a description that is sealed.

crc32, for speed: it finds what disks and crashes do to files, and is no protection against a deceiver.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxvae._checks import UsageError
from jaxvae.runtime.files import DamagedFile, read_json, write_json

CHECKED = 1.0  # GB that are read whenever a folder is opened, in about a third of a second
BLOCK = 2**24  # bytes that have a checksum of their own
PIECE = 2**18  # bytes that are read at once: as many as a processor's cache holds

_FORMAT = 2  # of the description and what it describes: raise it when they change, and old ones are built again


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes the description `path`: the content, and what all other files of its folder hold."""
    files = {file.relative_to(path.parent).as_posix(): file for file in sorted(path.parent.rglob("*")) if file != path}
    kept = {
        name: {"size": file.stat().st_size, "crc32": list(checksums(file))}
        for name, file in files.items()
        if file.is_file()
    }
    write_json(path, {"format": _FORMAT, **content, "files": kept})


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote; ValueError says what is wrong, FileNotFoundError where it is not there."""
    try:
        described = read_json(path, bare=False)
    except DamagedFile as reason:
        raise UsageError(f"{path.name}: {reason}") from reason
    if described.get("format") != _FORMAT:
        raise UsageError("another version of jaxvae wrote it")
    return described


def damage(path: Path, most: float = CHECKED) -> str | None:
    """What is wrong with the folder that `path` describes, in words; None where nothing was found.

    Of more than `most` GB whole are checked: sizes, the smallest files, and of the others blocks chosen at random.
    """
    try:
        files = read(path)["files"]
        for name, kept in files.items():
            if (path.parent / name).stat().st_size != kept["size"]:
                return f"{name} has another size than was written"
        for name, block in chosen(files, most * 1e9):
            if next(checksums(path.parent / name, block)) != files[name]["crc32"][block]:
                return f"{name} is not what was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    return None


def chosen(files: dict[str, dict[str, Any]], most: float) -> Iterator[tuple[str, int]]:
    """(file, block) of what to check, at most about so many bytes: small files first, of the last ones some blocks."""
    for name, kept in sorted(files.items(), key=lambda file: file[1]["size"]):
        blocks = range(len(kept["crc32"]))
        count = len(blocks) if kept["size"] <= most else max(1, int(most // BLOCK))
        yield from ((name, block) for block in sorted(random.sample(blocks, count)))
        most -= min(count * BLOCK, kept["size"])


def checksums(file: Path, first: int = 0) -> Iterator[int]:
    """The crc32 of each block of a file, from block number `first` on."""
    piece = memoryview(bytearray(min(BLOCK, PIECE)))
    with open(file, "rb", buffering=0) as content:
        content.seek(first * BLOCK)
        checksum = read = 0
        while size := content.readinto(piece[: BLOCK - read]):
            checksum, read = zlib.crc32(piece[:size], checksum), read + size
            if read == BLOCK:
                yield checksum
                checksum = read = 0
        if read:
            yield checksum
