"""Films, written as a GIF or an MP4; what does not move is drawn once.

Axis letters: T frames, H height, W width.
"""

import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from jaxvae._checks import UsageError
from jaxvae.data.spec import to_pixels
from jaxvae.viz.plots.style import INK, VERMILION, replacing, use_style

__all__ = ["FILM_DPI", "MP4_RATE", "RATE", "new_film", "require_mp4", "write_film"]

_FORMATS = (".gif", ".mp4")
FILM_DPI = 100  # of films, which are looked at on a screen
RATE = 12  # frames a second of what moves
_COLOURS, _GREYS = 160, 48  # of a GIF's one palette, where pictures are in colour and where they are grey
_UNSEEN = (1, 254, 1)  # the palette's entry of what stays as it was
_WATCHED = 12  # frames that the palette is chosen by
MP4_RATE = 24  # frames a second; what lasts longer is repeated


@contextmanager
def new_film(
    path: Path, width: float, height: float, *, greys: bool = False, still: Path | None = None
) -> Iterator[tuple[Figure, Callable[[Sequence[Any], float], None]]]:
    """Yields (figure, shoot) of width x height inches in the style of all figures, and then writes the film.

    shoot(artists, seconds) adds a frame of the artists as they are now; these were made with animated=True.
    Everything else is drawn at the first shot. The other arguments are those of `write_film`.
    """
    frames: list[np.ndarray] = []
    lengths: list[float] = []
    with use_style():
        figure = Figure(figsize=(width, height), dpi=FILM_DPI)
        canvas = FigureCanvasAgg(figure)
        drawn: list[Any] = []

        def shoot(artists: Sequence[Any], seconds: float) -> None:
            if not drawn:
                canvas.draw()
                drawn.append(canvas.copy_from_bbox(figure.bbox))
            canvas.restore_region(drawn[0])
            for artist in artists:
                artist.axes.draw_artist(artist)
            frames.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
            lengths.append(seconds)

        yield figure, shoot
    write_film(path, frames, lengths, greys=greys, still=still)


def write_film(
    path: Path,
    frames: Sequence[np.ndarray],
    seconds: Sequence[float],
    *,
    greys: bool = False,
    still: Path | None = None,
) -> None:
    """Writes frames [T], each uint8 [H,W,3] and shown for `seconds` [T], in the format of the suffix; it repeats.

    `greys`: whether the frames' pictures are grey, so that a GIF needs fewer colours. `still`: a .png for the first.
    """
    if path.suffix not in _FORMATS or len(frames) != len(seconds):
        raise UsageError(
            f"{path} with {len(frames)} frames and {len(seconds)} durations: expected a file {' or '.join(_FORMATS)}, "
            "and a duration for each frame."
        )
    with replacing(path) as temporary:
        if path.suffix == ".gif":
            _write_gif(temporary, frames, seconds, _GREYS if greys else _COLOURS)
        else:
            _write_mp4(temporary, frames, seconds)
    if still is not None:
        with replacing(still) as temporary:
            Image.fromarray(frames[0]).save(temporary, format="png")


def _write_gif(path: Path, frames: Sequence[np.ndarray], seconds: Sequence[float], colours: int) -> None:
    """Writes a GIF whose frames share one palette, so that nothing flickers, and leave out unchanged pixels."""
    palette = _palette(frames, colours)
    nearest = _nearest(palette)
    indices = [nearest[_key(frame)] for frame in frames]
    changed = [np.where(now == before, len(palette), now) for before, now in itertools.pairwise(indices)]
    images = [Image.fromarray(each.astype(np.uint8), mode="P") for each in (indices[0], *changed)]
    for image in images:
        image.putpalette(np.append(palette, _UNSEEN).astype(np.uint8).tobytes())
    durations = [max(20, 10 * round(100 * each)) for each in seconds]  # in hundredths; browsers slow down what is less
    rest: dict[str, Any] = {"append_images": images[1:], "duration": durations, "transparency": len(palette)}
    images[0].save(path, format="gif", save_all=True, loop=0, optimize=False, disposal=1, **rest)


def _palette(frames: Sequence[np.ndarray], colours: int) -> np.ndarray:
    """Returns the colours [P,3] that suit the frames best, and those of the style that few pixels have."""
    some = [frames[index] for index in np.unique(np.linspace(0, len(frames) - 1, _WATCHED).astype(int))]
    every = np.concatenate([frame[::2, ::2] for frame in some])  # every other pixel says the same
    found = Image.fromarray(every).quantize(colours, method=Image.Quantize.MEDIANCUT).getpalette() or []
    style = [to_pixels(np.array(to_rgb(name))) for name in ("white", "black", INK, VERMILION)]
    return np.unique([*style, *np.reshape(found, (-1, 3))[:colours].astype(np.uint8)], axis=0)


def _key(frame: np.ndarray) -> np.ndarray:
    """Returns a number below 2^15 for every pixel's colour [H,W,3], of five bits a channel."""
    red, green, blue = np.moveaxis(frame.astype(np.int32) >> 3, -1, 0)
    return (red << 10) + (green << 5) + blue


def _nearest(palette: np.ndarray) -> np.ndarray:
    """Returns the index [2^15] in the palette [P,3] of the colour nearest to each key's."""
    keys = np.arange(2**15)
    levels = np.stack([keys >> 10, (keys >> 5) & 31, keys & 31], -1) * (255 / 31)
    return ((levels[:, None] - palette[None]) ** 2).sum(-1).argmin(1)


def require_mp4() -> None:
    """Raises UsageError if PyAV is not installed, which encodes an MP4."""
    try:
        importlib.import_module("av")
    except ImportError as error:
        raise UsageError(
            f"an MP4 is encoded by PyAV, which cannot be imported ({error}). Try pip install av, or --format gif."
        ) from error


def _write_mp4(path: Path, frames: Sequence[np.ndarray], seconds: Sequence[float]) -> None:
    """Writes H.264 of a constant rate, in the pixel format that every player supports."""
    require_mp4()
    import av

    height, width = (side - side % 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("h264", rate=MP4_RATE, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, MP4_RATE)
        for frame, last in zip(frames, seconds, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
            for _ in range(max(1, round(last * MP4_RATE))):
                container.mux(stream.encode(picture))
        container.mux(stream.encode())
