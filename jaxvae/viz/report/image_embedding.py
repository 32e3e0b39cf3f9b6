"""Pictures inside a page, within a number of characters: those that are too large are repacked, or left out."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.runtime.files import DamagedFile, open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MIN_CHARACTERS", "Picture", "Pictures", "encode_image", "fit_pictures", "last_frame", "load_picture"]

_MAX_DIFFERENCE = 0.3  # of 255: the mean error of a picture of 256 colours that looks like the original
MIN_CHARACTERS = 20_000  # a picture is not made smaller than this for the sake of others


class Picture(NamedTuple):
    """A picture as a page holds it: its bytes, their media type, and a remark on its repacking for the reader."""

    content: bytes
    kind: str
    remark: str = ""

    @property
    def source(self) -> str:
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"

    @property
    def characters(self) -> int:
        return 4 * -(-len(self.content) // 3)


Pictures = Mapping[Path, Picture | None]  # None is a picture that is left out
_Forms = Callable[[Sequence["Image"], Sequence[int]], Iterator[tuple[bytes, str]]]


def load_picture(path: Path) -> Picture:
    """Returns the picture in a file, its type by the file's suffix; UsageError if it is not a regular file."""
    try:
        with open_regular(path) as file:
            return Picture(file.read(), f"image/{path.suffix[1:].lower()}")
    except DamagedFile as error:
        raise UsageError(f"{path} is not a picture: {error}. Remove it, or draw it again.") from error


def last_frame(picture: Picture) -> Picture | None:
    """Returns the last frame of an animation as a PNG; None if it cannot be read."""
    frames, _ = _read_frames(picture, last=True)
    return Picture(encode_image(frames[0], "PNG", optimize=True), "image/png") if frames else None


def _read_frames(picture: Picture, last: bool = False) -> tuple[list[Image], list[int]]:
    """Returns all frames or the last one, and their durations in milliseconds; none if they cannot be read."""
    from PIL import Image

    frames, durations = [], []
    try:
        with Image.open(io.BytesIO(picture.content)) as image:
            count = getattr(image, "n_frames", 1)
            for index in range(count - 1 if last else 0, count):
                image.seek(index)
                frames.append(_flatten(image))
                durations.append(image.info.get("duration", 100))
    except (OSError, ValueError, EOFError, Image.DecompressionBombError):
        return [], []
    return frames, durations


def fit_pictures(pictures: Mapping[Path, Picture], preferred: int, most: int) -> dict[Path, Picture | None]:
    """Returns the pictures repacked to `preferred` characters in all if none looks different, else to `most`.

    The largest are repacked first. If nothing else helps, the largest are left out.
    """
    fitted: dict[Path, Picture | None] = dict(pictures)
    passes = ((preferred, _same_looking, ""), (most, _less_detailed, "in less detail than figures/{}"))
    for room, forms, remark in passes:
        sizes = [picture.characters for picture in fitted.values() if picture]
        if sum(sizes) <= room:
            return fitted
        limit = max(_shared_limit(sizes, room), MIN_CHARACTERS)
        for path, picture in fitted.items():
            if picture and picture.characters > limit:
                fitted[path] = _repack(picture, limit, forms, remark.format(path.name))
    characters = {path: picture.characters if picture else 0 for path, picture in fitted.items()}
    total = sum(characters.values())
    for path in sorted(fitted, key=lambda path: -characters[path]):
        if total > most:
            total -= characters[path]
            fitted[path] = None
    return fitted


def _shared_limit(sizes: Sequence[int], room: float) -> float:
    """Returns the size to which the larger ones are cut, so that all take `room` together."""
    left, ascending = room, sorted(sizes)
    for index, size in enumerate(ascending):
        share = left / (len(ascending) - index)
        if size > share:
            return max(share, 0)
        left -= size
    return max(ascending, default=0)


def _repack(picture: Picture, limit: float, forms: _Forms, remark: str) -> Picture:
    """Returns the first form of at most `limit` characters, or the smallest; the picture if it cannot be read."""
    best, (frames, durations) = picture, _read_frames(picture)
    try:
        for content, kind in forms(frames, durations) if frames else ():
            if len(content) < len(best.content):
                best = Picture(content, kind, remark)
            if best.characters <= limit:
                break
    except (OSError, ValueError):  # WebP has at most 16,383 pixels a side
        return picture
    return best


def _same_looking(frames: Sequence[Image], durations: Sequence[int]) -> Iterator[tuple[bytes, str]]:
    """Yields forms (bytes, media type) that look the same: of 256 colours if these suffice, and WebP."""
    from PIL import Image

    if len(frames) > 1:
        yield _encode_animation(frames, durations, lossless=True, method=0), "image/webp"
        return
    (image,) = frames
    few = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    if np.abs(np.asarray(few.convert(image.mode), int) - np.asarray(image, int)).mean() < _MAX_DIFFERENCE:
        yield encode_image(few, "PNG", optimize=True), "image/png"
    yield encode_image(image, "WEBP", lossless=True, method=1), "image/webp"
    yield encode_image(image, "WEBP", quality=90, method=2), "image/webp"


def _less_detailed(frames: Sequence[Image], durations: Sequence[int]) -> Iterator[tuple[bytes, str]]:
    """Yields forms (bytes, media type) of less and less detail; of an animation, with fewer frames in the same time."""
    if len(frames) == 1:
        for part, quality in ((1, 75), (2, 75), (3, 60), (4, 50)):
            yield encode_image(_shrink(frames[0], part), "WEBP", quality=quality, method=2), "image/webp"
        return
    for part, every in ((1, 2), (2, 2), (3, 4)):
        times = [sum(durations[start : start + every]) for start in range(0, len(frames), every)]
        some = [_shrink(frame, part) for frame in frames[::every]]
        yield _encode_animation(some, times, quality=60, method=0), "image/webp"


def _shrink(image: Image, part: int) -> Image:
    return image.resize((max(1, image.width // part), max(1, image.height // part)))


def _flatten(image: Image) -> Image:
    """Returns the image without transparency, on white, as the figures are."""
    from PIL import Image

    if image.mode in ("L", "RGB"):
        return image.copy()
    whole = image.convert("RGBA")
    white = Image.new("RGBA", whole.size, "white")
    white.alpha_composite(whole)
    return white.convert("RGB")


def encode_image(image: Image, kind: str, **options: Any) -> bytes:
    """Returns the bytes of the image in this format of Pillow."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _encode_animation(frames: Sequence[Image], durations: Sequence[int], **options: Any) -> bytes:
    options = {"save_all": True, "append_images": list(frames[1:]), "duration": list(durations), "loop": 0, **options}
    return encode_image(frames[0], "WEBP", **options)
