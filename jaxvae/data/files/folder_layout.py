"""The image files of a folder or a zip, and the split and class of each.

    PATH/cat/1.png  PATH/dog/2.jpg                       classes cat and dog
    PATH/train/cat/1.png  PATH/test/cat/2.png            splits, too (also 'validation', 'valid' or 'val')
    PATH/1.png  PATH/2.png                               no labels

One folder around all of it is tolerated. All beneath a class folder belongs to the class. Files and classes are in
the order of their names. A zip is read in place.
"""

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae._checks import UsageError
from jaxvae.data.spec import Say

__all__ = ["MOST_NAMED", "SUFFIXES", "Member", "arrange", "folder_members", "open_zip", "require_bounded", "stamp"]
__all__ += ["zip_members"]

MOST_NAMED = 5  # files or classes named in one message
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}

_JUNK = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"}
_SPLITS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}


class Member(NamedTuple):
    """An image file: its name relative to the top, what changes when its content does, and how to open it."""

    name: str
    stamp: tuple[int, ...]
    bytes: int
    open: Callable[[], Any]


class _Layout(NamedTuple):
    """The files of each split in order, their labels or None, and the names of the classes."""

    splits: dict[str, list[Member]]
    labels: dict[str, list[int] | None]
    class_names: tuple[str, ...]


_Placed = tuple[tuple[str, ...], Member]  # the folders from the top and the file's name


def stamp(path: Path) -> tuple[int, ...]:
    """Returns what changes when a file's content does: its size and times (unpacking sets mtime, but never ctime)."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def folder_members(top: Path, say: Say) -> Iterator[Member]:
    """Yields the image files beneath a folder; reports the number of others. Links are followed, not in a circle."""
    other: Counter[str] = Counter()

    def walk(folder: Path, above: tuple[str, ...]) -> Iterator[Member]:
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            real = os.path.realpath(path)
            if _is_junk(path.name) or real in above:
                continue
            if path.is_dir():
                yield from walk(path, (*above, real))
            elif path.suffix.lower() in SUFFIXES:
                mark = stamp(path)
                yield Member(path.relative_to(top).as_posix(), mark, mark[0], partial(open, path, "rb"))
            else:
                other[path.suffix.lower()] += 1

    yield from walk(top, (os.path.realpath(top),))
    _report_left_out(other, top, say)


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip archive; UsageError if it is none."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise UsageError(f"{path} is no readable zip ({error}). Unpack it and name the folder instead.") from error


def zip_members(archive: zipfile.ZipFile, path: Path, say: Say) -> Iterator[Member]:
    """Yields the image files of a zip; UsageError for one that is encrypted or whose names lead elsewhere."""
    other: Counter[str] = Counter()
    entries = {info.filename.replace("\\", "/"): info for info in archive.infolist() if not info.is_dir()}
    for name, info in sorted(entries.items()):
        parts = name.split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0] or (info.external_attr >> 16) & 0o170000 == 0o120000:
            raise UsageError(
                f"{path} holds {name!r}, a name or link that leads out of the archive; nothing was read. "
                "If you trust it, unpack it with a tool of yours and name the folder instead."
            )
        if any(map(_is_junk, parts)):
            continue
        if info.flag_bits & 1:
            raise UsageError(
                f"{path} is encrypted ({name!r}). Unpack it with its password and name the folder instead."
            )
        suffix = os.path.splitext(name)[1].lower()
        if suffix in SUFFIXES:
            require_bounded(info, path)
            yield Member(name, (info.CRC,), info.file_size, partial(archive.open, info))
        else:
            other[suffix] += 1
    _report_left_out(other, path, say)


def require_bounded(info: zipfile.ZipInfo, path: Path) -> None:
    """Raises UsageError for a member packed by a method that zipfile unpacks without a limit."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UsageError(
            f"{path} holds {info.filename!r}, packed by method {info.compress_type}; expected stored or deflated. "
            "If you trust it, unpack it and pack it again."
        )


def _is_junk(name: str) -> bool:
    """Returns whether a file or folder is hidden, or of a kind that systems leave behind."""
    return name.startswith(".") or name.lower() in _JUNK


def _report_left_out(other: Counter[str], path: Path, say: Say) -> None:
    if other:
        kinds = ", ".join(f"{suffix or 'no ending'} {count:,}" for suffix, count in other.most_common(MOST_NAMED))
        say(f"{path}: left out {other.total():,} files that are no images of a known kind ({kinds})")


def arrange(members: Sequence[Member], path: Path) -> _Layout:
    """Returns the split and class of each file by its folders; UsageError if that is not clear."""
    if not members:
        raise UsageError(f"{path} holds no images; expected files ending in {', '.join(sorted(SUFFIXES))}.")
    placed = sorted((tuple(member.name.split("/")), member) for member in members)
    # without the folders that hold all of them, unless such a folder is a split's
    while len({parts[0] for parts, _ in placed}) == 1 and all(
        len(parts) > 1 and parts[0].lower() not in _SPLITS for parts, _ in placed
    ):
        placed = [(parts[1:], member) for parts, member in placed]
    splits = _by_split(placed, path)
    folders = {split: _class_folders([parts for parts, _ in placed], path) for split, placed in splits.items()}
    class_names = tuple(sorted({name for names in folders.values() for name in names or ()}))
    if unknown := sorted(set(class_names) - set(folders["train"] or class_names)):
        raise UsageError(f"{path}: the classes {unknown[:MOST_NAMED]} have no folder in train; name the folders alike.")
    number = {name: label for label, name in enumerate(class_names)}
    return _Layout(
        {split: [member for _, member in placed] for split, placed in splits.items()},
        {split: None if names is None else [number[name] for name in names] for split, names in folders.items()},
        class_names,
    )


def _by_split(placed: list[_Placed], path: Path) -> dict[str, list[_Placed]]:
    """Returns the files by split; if the topmost folders are not those of splits, all are 'train'."""
    tops = {parts[0] if len(parts) > 1 else "" for parts, _ in placed}
    found = {top for top in tops if top.lower() in _SPLITS}
    if not found or (found != tops and len(found) == 1):  # a class may well be called 'train'
        return {"train": placed}
    if found != tops or "train" not in {top.lower() for top in found}:
        beside = sorted(top or "loose images" for top in tops - found)[:MOST_NAMED]
        raise UsageError(
            f"{path} has the folders {sorted(found)} of splits and beside them {beside or 'no train'}; "
            "expected 'train', and 'test' and 'validation' if you have them, and nothing else."
        )
    splits: dict[str, list[_Placed]] = {}
    for parts, member in placed:
        splits.setdefault(_SPLITS[parts[0].lower()], []).append((parts[1:], member))
    return splits


def _class_folders(rows: Sequence[tuple[str, ...]], path: Path) -> list[str] | None:
    """Returns the class folder of each file; None if no file is in one."""
    loose = ["/".join(parts) for parts in rows if len(parts) == 1]
    if 0 < len(loose) < len(rows):
        raise UsageError(
            f"{path}: {len(loose)} images are beside the class folders ({', '.join(loose[:MOST_NAMED])}). "
            "Move them into class folders, or all images into one folder, without classes."
        )
    return None if loose else [parts[0] for parts in rows]
