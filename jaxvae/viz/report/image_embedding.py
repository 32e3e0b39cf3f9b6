"""Pictures inside a page, within a number of characters: packed anew where they are too large, or left out in words."""

import base64
import io
from typing import NamedTuple

CLOSE = 0.3  # how far, of 255, a picture of 256 colours may be from the original, on average
LEAST = 20_000  # characters: a picture is not squeezed below this for the sake of others


class Picture(NamedTuple):
    """A picture as it stands in a page: data, its kind ("image/png"), and what a reader should know of its packing."""

    content: bytes
    kind: str
    said: str = ""

    @property
    def source(self):
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"

    @property
    def characters(self):
        return 4 * -(-len(self.content) // 3)


def read(path):
    """Return the picture in a file, by the ending of its name."""
    return Picture(path.read_bytes(), f"image/{path.suffix[1:].lower()}")


def last_frame(moving):
    """Return the last frame of a moving picture, as a PNG; None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(moving.content)) as image:
            image.seek(getattr(image, "n_frames", 1) - 1)
            return Picture(_encoded(_flat(image), "PNG", optimize=True), "image/png")
    except (OSError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def fit(pictures, wanted, most):
    """Return the pictures {path: Picture} packed so that all take `wanted` characters if that costs nothing to see, and
    `most` characters in any case, the largest giving way first; None stands for one that is left out.
    """
    fitted = dict(pictures)
    for room, forms in ((wanted, (_faithful, _faithful_film)), (most, (_smaller, _smaller_film))):
        sizes = [each.characters for each in fitted.values() if each]
        if sum(sizes) <= room:
            return fitted
        most_each = max(level(sizes, room), LEAST)
        for path, each in fitted.items():
            if each.characters > most_each:
                fitted[path] = _packed(each, most_each, forms, path)
    return _without_largest(fitted, most)


def level(sizes, room):
    """Return the size to cut the larger ones to, so that all take `room` together."""
    left, sizes = room, sorted(sizes)
    for index, size in enumerate(sizes):
        share = left / (len(sizes) - index)
        if size > share:
            return max(share, 0)
        left -= size
    return max(sizes, default=0)


def _without_largest(fitted, most):
    """Leave out the largest pictures until the others take at most `most` characters."""
    total = sum(each.characters for each in fitted.values() if each)
    for path in sorted(fitted, key=lambda path: -(fitted[path].characters if fitted[path] else 0)):
        if total <= most:
            break
        total -= fitted[path].characters if fitted[path] else 0
        fitted[path] = None
    return fitted


def _packed(picture, characters, forms, path):
    """Return the first form of the picture that takes at most so many characters, or the smallest, if smaller."""
    from PIL import Image

    best = picture
    try:
        with Image.open(io.BytesIO(picture.content)) as image:
            still, film = forms
            moves = getattr(image, "is_animated", False)
            made = film(*_frames(image), path.name) if moves else still(_flat(image), path.name)
            for content, kind, said in made:
                if len(content) < len(best.content):
                    best = Picture(content, kind, said)
                if best.characters <= characters:
                    break
    except (OSError, ValueError, Image.DecompressionBombError):
        return picture  # no picture that can be read: it stays as it is, or is left out
    return best


def _frames(film):
    """Return the frames of a moving picture and how long each is shown, in milliseconds."""
    frames, durations = [], []
    for index in range(film.n_frames):
        film.seek(index)
        frames.append(_flat(film))
        durations.append(film.info.get("duration", 100))
    return frames, durations


def _flat(image):
    """Return the image without transparency, on white, as the figures are."""
    from PIL import Image

    if image.mode in ("L", "RGB"):
        return image.copy()
    whole = image.convert("RGBA")
    white = Image.new("RGBA", whole.size, "white")
    white.alpha_composite(whole)
    return white.convert("RGB")


def _encoded(image, kind, **options):
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _faithful(image, name):
    """Yield forms (bytes, kind, remark) that look the same: of 256 colours where these suffice, or packed as WebP."""
    import numpy as np
    from PIL import Image

    few = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    if np.abs(np.asarray(few.convert(image.mode), int) - np.asarray(image, int)).mean() < CLOSE:
        yield _encoded(few, "PNG", optimize=True), "image/png", ""
    yield _encoded(image, "WEBP", lossless=True, method=1), "image/webp", ""
    yield _encoded(image, "WEBP", quality=90, method=2), "image/webp", ""


def _smaller(image, name):
    """Yield forms (bytes, kind, remark) of less and less detail."""
    for part, quality in ((1, 75), (2, 75), (3, 60), (4, 50)):
        less = image.resize([max(1, side // part) for side in image.size])
        yield _encoded(less, "WEBP", quality=quality, method=2), "image/webp", f"in less detail than figures/{name}"


def _film(frames, durations, **options):
    """Return the bytes of a WebP that repeats the frames."""
    return _encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=durations, loop=0, **options)


def _faithful_film(frames, durations, name):
    """Yield a film of the same frames (bytes, kind, remark), packed as WebP."""
    yield _film(frames, durations, lossless=True, method=0), "image/webp", ""


def _smaller_film(frames, durations, name):
    """Yield films (bytes, kind, remark) of fewer frames, in the same time, and of less detail."""
    for part, every in ((1, 2), (2, 2), (3, 4)):
        some = [frame.resize([max(1, side // part) for side in frame.size]) for frame in frames[::every]]
        times = [sum(durations[start : start + every]) for start in range(0, len(frames), every)]
        yield _film(some, times, quality=60, method=0), "image/webp", f"in less detail than figures/{name}"
