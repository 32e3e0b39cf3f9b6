"""Folders and zips of small images, as users have them, and what is read of them."""

import io
import zipfile
from collections import Counter

import numpy as np
from made_sets import noise, png
from opened_data import open_named

COLOUR = noise(8, (6, 6, 3))[0]
GREY = noise(8, (6, 6, 1), seed=1)[0]


def write(top, files):
    """Writes {name: bytes or image uint8 [H, W, C]} beneath a folder."""
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else png(content))
    return top


def pack(path, files):
    """Writes the same into a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else png(content))
    return path


def saved(image, form="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def opened(path, log=None, validation=0, **options):
    return open_named(f"folder:{path}", None, validation, log=log, **options)


def stored(path, **options):
    """All images of the one training split, with nothing held out: a test split of its own stands by."""
    return opened(path, **options).splits["train"].image


def one(top, content, name="1.png", **options):
    """What a single file decodes to."""
    return stored(write(top, {name: content}), **options)[0]


def found(data):
    """{split: {(label, image), counted}} of a data set."""
    return {
        name: Counter(
            (None if split.label is None else int(label), image.tobytes())
            for image, label, _ in zip(*split.take(np.arange(len(split))), strict=True)
        )
        for name, split in data.splits.items()
    }
