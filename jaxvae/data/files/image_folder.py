"""A folder or a zip of images as a data set, decoded once; folder_layout.py finds its splits and classes.

EXIF orientation is applied. Transparent pixels are laid over white. 16-bit grey keeps its high bits, 65535 being
white. CMYK and other colour spaces go to RGB by Pillow's plain formulas, without colour profiles; colour goes to grey
as 0.299 R + 0.587 G + 0.114 B. Of an animation the first frame counts.
"""

import hashlib
import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
import PIL.ImageOps

from jaxvae._checks import UsageError
from jaxvae.data.cache import cache_folder, map_array, open_set, require_space, write_header
from jaxvae.data.files.folder_layout import MOST_NAMED, Member, arrange, folder_members, open_zip, stamp, zip_members
from jaxvae.data.spec import Say, Section, StoredSet, existing_path

__all__ = ["FORMATS", "load_folder", "read_picture"]

# Pillow opens more, but fewer parsers are safer for files from others: its EPS parser runs a program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_CONVERSION = 1  # raise it when read_picture makes other pixels of the same files: caches are then built again
_CHUNK = 256
_CHUNKS_PER_LINE = 40
_MOST_BYTES = 2**28  # of one file: more than the most pixels have that are read
_ORIENTATION = 0x0112  # the EXIF tag; from 5 on width and height change places
_FINER = 3  # times the result's size: to which a JPEG is decoded, and a large image box-averaged, before it is resized


def load_folder(section: Section, say: Say) -> StoredSet:
    """Maps the images of a folder or zip, decoding them first if that has not been done.

    data.size: the central square of each, resized to size x size; None: all must have one size. data.channels: 1, 3,
    or None for 3 if any image has colour. The cache is found by the files' names, sizes and times, without reading.
    The fingerprint is the sha256 of their contents, labels and classes, size and channels.
    """
    size, channels = section.size, section.channels
    if size is not None and size < 1:
        raise UsageError(f"data.size={size}: expected a positive whole number of pixels.")
    if channels not in (None, 1, 3):
        raise UsageError(f"data.channels={channels}: expected 1 (grey), 3 (colour), or None to take what is there.")
    path = existing_path(section, "folder or zip", Path.exists)
    members = [] if path.is_file() else list(folder_members(path, say))
    stamps = stamp(path) if path.is_file() else [(member.name, member.stamp) for member in members]
    key = hashlib.sha256(ascii((_CONVERSION, str(path.resolve()), size, channels, stamps)).encode()).hexdigest()
    short = re.sub(r"[^\w.-]", "_", path.stem, flags=re.ASCII)[:40]

    def build(folder: Path) -> dict[str, Any]:
        with ExitStack() as stack:
            found = list(zip_members(stack.enter_context(open_zip(path)), path, say)) if path.is_file() else members
            return {"version": "1", **_decode(folder, found, path, size, channels, say)}

    return open_set(section.name, cache_folder() / "decoded" / f"folder-{short}-{key[:16]}", build, say)


def _decode(
    folder: Path, members: Sequence[Member], path: Path, size: int | None, channels: int | None, say: Say
) -> dict[str, Any]:
    """Writes the splits' images and labels into `folder`; returns fingerprint, class_names and splits."""
    layout = arrange(members, path)
    digest = hashlib.sha256(ascii((size, channels, layout.class_names)).encode())
    coloured = channels == 3
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool, warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)  # more pixels than Pillow considers safe
        height, width = (size, size) if size is not None else _common_size(pool, members, path)
        depth = 1 if channels == 1 else 3
        require_space(folder, len(members) * height * width * (depth + (channels is None)), str(path))
        read = partial(_pixels_and_digest, shape=(height, width, depth), size=size)
        for split, files in layout.splits.items():
            with open(folder / f"{split}.image.npy", "wb") as file:
                write_header(file, (len(files), height, width, depth))
                for chunk in _read_chunks(pool, read, files, f"{path} {split}", say):
                    pixels, digests = zip(*chunk, strict=True)
                    images = np.stack(pixels)
                    file.write(images.tobytes())
                    coloured = coloured or bool(depth == 3 and (images != images[..., :1]).any())
                    digest.update(b"".join(digests))
    if channels is None and not coloured:
        for split in layout.splits:
            _keep_one_channel(folder / f"{split}.image.npy")
    for split, labels in layout.labels.items():
        digest.update(repr((split, len(layout.splits[split]), labels)).encode())
        if labels is not None:
            np.save(folder / f"{split}.label.npy", np.asarray(labels, np.int32))
    sizes = {split: len(files) for split, files in layout.splits.items()}
    return {"fingerprint": digest.hexdigest(), "class_names": layout.class_names, "splits": sizes}


def _common_size(pool: ThreadPoolExecutor, members: Sequence[Member], path: Path) -> tuple[int, int]:
    """Returns the (height, width) of all images; UsageError lists the sizes if they differ."""
    sizes = Counter(chain.from_iterable(_read_chunks(pool, _picture_size, members, path, lambda line: None)))
    if len(sizes) > 1:
        most = ", ".join(f"{h} x {w} ({count:,} images)" for (h, w), count in sizes.most_common(MOST_NAMED))
        others = ", and others" if len(sizes) > MOST_NAMED else ""
        raise UsageError(
            f"{path} holds images of {len(sizes)} sizes, height x width: {most}{others}. "
            f"Set data.size, such as data.size={min(min(size) for size in sizes)}: "
            "the central square of each image is then resized to that."
        )
    return next(iter(sizes))


def _pixels_and_digest(member: Member, shape: tuple[int, int, int], size: int | None) -> tuple[np.ndarray, bytes]:
    """Returns the image of a file, of this shape, and the sha256 of its content."""
    if member.bytes > _MOST_BYTES:
        raise UsageError(f"the file has {member.bytes / 1e9:,.1f} GB")
    with member.open() as file:
        content = file.read()
    pixels = read_picture(io.BytesIO(content), "L" if shape[2] == 1 else "RGB", size)
    if pixels.shape != shape:
        raise UsageError(f"it decodes to {pixels.shape[:2]}, not to {shape[:2]} as its head says")
    return pixels, hashlib.sha256(content).digest()


def _read_chunks(
    pool: ThreadPoolExecutor, job: Callable[[Member], Any], members: Sequence[Member], where: object, say: Say
) -> Iterator[list[Any]]:
    """Yields job(member) of each member, by threads, a chunk at a time; UsageError names those that cannot be read."""
    for turn, start in enumerate(range(0, len(members), _CHUNK)):
        if turn % _CHUNKS_PER_LINE == 0:
            say(f"decoding {where}: {start:,} of {len(members):,}")
        chunk = members[start : start + _CHUNK]
        futures = [pool.submit(job, member) for member in chunk]
        # of a hostile or damaged file Pillow and zipfile raise nearly any kind of error
        errors = [(member.name, future.exception()) for member, future in zip(chunk, futures, strict=True)]
        broken = [f"\n  {name!r}: {str(error) or type(error).__name__}" for name, error in errors if error is not None]
        if broken:
            more = f"\n  and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
            raise UsageError(
                f"{where}: {len(broken)} image files cannot be read, and there may be others after them:"
                f"{''.join(broken[:MOST_NAMED])}{more}\nRepair them, or take them out; nothing is skipped silently."
            )
        yield [future.result() for future in futures]
    say(f"decoding {where}: {len(members):,} of {len(members):,}")


def _keep_one_channel(path: Path) -> None:
    """Rewrites the .npy file of grey images [N, H, W, 3] as [N, H, W, 1]."""
    images = map_array(path)
    with open(part := path.with_suffix(".one"), "wb") as file:
        write_header(file, (*images.shape[:3], 1))
        for start in range(0, len(images), _CHUNK):
            file.write(images[start : start + _CHUNK, ..., :1].tobytes())
    part.replace(path)


def read_picture(file: BinaryIO, mode: str, size: int | None) -> np.ndarray:
    """Returns the pixels of one image file, uint8 [H, W, 3] for mode 'RGB' and [H, W, 1] for 'L'.

    With a `size` the central square, resized to size x size, antialiased (Lanczos). ValueError for pixels that have no
    fixed range; Pillow's own errors, of many kinds, for a broken file.
    """
    with PIL.Image.open(file, formats=FORMATS) as image:
        if size is not None:
            image.draft(None, (_FINER * size, _FINER * size))  # a JPEG then skips its detail
        pixels = _opaque(PIL.ImageOps.exif_transpose(image)).convert(mode)
    if size is not None:
        side = min(pixels.size)
        left, top = (pixels.width - side) // 2, (pixels.height - side) // 2
        square = (left, top, left + side, top + side)
        pixels = pixels.resize((size, size), PIL.Image.Resampling.LANCZOS, square, _FINER)
    return np.asarray(pixels).reshape(pixels.height, pixels.width, -1)


def _picture_size(member: Member) -> tuple[int, int]:
    """Returns (height, width) as read_picture will find it, from the file's head."""
    with member.open() as file, PIL.Image.open(file, formats=FORMATS) as image:
        # a PNG without EXIF in its head would be decoded whole in search of it
        looked = image.format != "PNG" or "exif" in image.info
        turned = looked and image.getexif().get(_ORIENTATION, 1) >= 5
        return image.size if turned else image.size[::-1]


def _opaque(image: PIL.Image.Image) -> PIL.Image.Image:
    """Returns the image in 8 bits and over white."""
    if image.mode == "F":
        raise UsageError("its pixels are floating-point numbers of no known range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        least, most = levels.min(), levels.max()
        if least < 0 or most > 65535:
            raise UsageError(
                f"its grey levels run from {least} to {most}, not from 0 to 65535; save it with 8 or 16 bits"
            )
        return PIL.Image.fromarray(((levels.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image
