"""Moving pictures: a stage that is drawn once and shot many times, written as a GIF or an MP4, whole or not at all.

Axis letters: T frames, H height, W width.
"""

from contextlib import contextmanager
from fractions import Fraction

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from jaxvae.plots.canvas import STYLE, replacing

FORMATS = (".gif", ".mp4")
DPI = 100  # of films, which are looked at on a screen
RATE = 12  # frames a second of what moves
COLOURS, GREYS = 160, 48  # of a GIF's one palette, where pictures are in colour and where they are grey
WATCHED = 12  # frames that the palette is chosen by
MP4_RATE = 24  # frames a second; what lasts longer is repeated


@contextmanager
def stage(width, height):
    """Yield (figure, shoot) of width x height inches in the style of all figures.

    What is not to move is drawn at the first shot. shoot(artists) returns the pixels uint8 [H,W,3] with the artists,
    which were made with animated=True, as they are now.
    """
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        drawn: list = []

        def shoot(artists):
            if not drawn:
                canvas.draw()
                drawn.append(canvas.copy_from_bbox(figure.bbox))
            canvas.restore_region(drawn[0])
            for artist in artists:
                artist.axes.draw_artist(artist)
            return np.asarray(canvas.buffer_rgba())[..., :3].copy()

        yield figure, shoot


def write_film(path, frames, seconds, *, greys=False, still=None):
    """Write frames, each uint8 [H,W,3] and shown for so many of `seconds` [T], as the file's suffix says; it repeats.

    `greys`: whether the frames' pictures are grey, so that a GIF needs fewer colours. `still`: a .png for the first.
    """
    if path.suffix not in FORMATS or len(frames) != len(seconds):
        raise ValueError(
            f"{path} with {len(frames)} frames and {len(seconds)} durations: expected a file {' or '.join(FORMATS)}, "
            "and a duration for each frame."
        )
    with replacing(path) as temporary:
        if path.suffix == ".gif":
            _write_gif(temporary, frames, seconds, GREYS if greys else COLOURS)
        else:
            _write_mp4(temporary, frames, seconds)
    if still is not None:
        with replacing(still) as temporary:
            Image.fromarray(frames[0]).save(temporary, format="png")


def _write_gif(path, frames, seconds, colours):
    """Write a GIF whose frames share one palette, so that nothing flickers, and hold what changed alone."""
    palette = _palette(frames, colours)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [max(20, 10 * round(100 * each)) for each in seconds]  # in hundredths; browsers slow down what is less
    rest = {"append_images": images[1:], "duration": durations, "loop": 0, "optimize": False}
    images[0].save(path, format="gif", save_all=True, **rest)


def _palette(frames, colours):
    """Return an image with the palette of so many colours that suits the frames best."""
    some = [frames[index] for index in np.unique(np.linspace(0, len(frames) - 1, WATCHED).astype(int))]
    every = np.concatenate([frame[::2, ::2] for frame in some])  # every other pixel says the same
    return Image.fromarray(every).quantize(colours, method=Image.Quantize.MEDIANCUT)


def require_mp4():
    """ValueError where no MP4 can be written here."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"an MP4 is encoded by PyAV, which cannot be imported ({error}). Install it: pip install 'jaxvae[video]'; "
            "or choose --format gif."
        ) from error


def _write_mp4(path, frames, seconds):
    """Write H.264 of a constant rate, in the colours that every player knows."""
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
