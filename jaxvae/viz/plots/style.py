"""The one style of all figures, and how a file of theirs appears: whole, or not at all."""

import os
import textwrap
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

INK, GREY, PALE, BLUE, LIGHT_BLUE, VERMILION = "#1f2933", "#5b6670", "#c9d0d6", "#0072b2", "#7fb2d9", "#d55e00"

STYLE = {
    "figure.facecolor": "white",
    "savefig.facecolor": "auto",
    "savefig.dpi": "figure",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#e8ebee",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
    "svg.hashsalt": "jaxvae",
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.12,
}

DPI = 150
_CHARACTER, LINE = 0.075, 0.19  # inches that a subtitle's letters are wide, mostly, and its lines high


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path` that takes its place when the block succeeds and vanishes when it fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")  # the same in every process: what a killed one left is overwritten
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_figure(path, width, height, dpi=DPI):
    """Yield an empty figure of width x height inches in this module's style; afterwards it is saved to `path`, a PNG,
    and beside it as an SVG, of the same bytes at every drawing.
    """
    # From the defaults, whatever the caller's matplotlibrc says, and back to the caller's style afterwards.
    with matplotlib.style.context(["default", STYLE]), replacing(path) as temporary:
        figure = Figure(figsize=(width, height), dpi=dpi)
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(temporary, format="png")
        with replacing(Path(path).with_suffix(".svg")) as vectors:
            figure.savefig(vectors, format="svg", metadata={"Date": None})


def lines_of(subtitle, inches):
    """The subtitle in lines that are no wider."""
    return textwrap.wrap(subtitle, max(20, int(inches / _CHARACTER)))


def write_title(axes, title, subtitle, inches=None):
    """Write a bold title and, below it, what to see: in one line, or in lines of so many inches."""
    lines = [subtitle] if inches is None else lines_of(subtitle, inches)
    axes.set_title(title, pad=24 + LINE * 72 * (len(lines) - 1))
    where = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate("\n".join(lines), (0, 1), (0, 8), **where, color=GREY, linespacing=1.3)


def write_haloed(axes, x, y, text, **style):
    """Write text on a white halo, readable on lines and dots."""
    axes.text(x, y, text, path_effects=[withStroke(linewidth=3, foreground="white")], zorder=3, **style)
