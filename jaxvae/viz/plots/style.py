"""The style of all figures, and their files, which are replaced as a whole."""

import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

__all__ = ["BLUE", "DPI", "GREY", "INK", "LIGHT_BLUE", "LINE", "PALE", "STYLE", "VERMILION", "lines_of", "new_figure"]
__all__ += ["replacing", "save_figure", "use_style", "write_haloed", "write_title"]

INK, GREY, PALE, BLUE, LIGHT_BLUE, VERMILION = "#1f2933", "#5b6670", "#c9d0d6", "#0072b2", "#7fb2d9", "#d55e00"

STYLE: dict[str, Any] = {
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
_CHARACTER, LINE = 0.075, 0.19  # inches: the usual width of a subtitle's letters, the height of its lines


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` that takes its place when the block succeeds and vanishes when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")  # the same in every process: what a killed one left is overwritten
    temporary.unlink(missing_ok=True)  # a link would be followed, and opening a FIFO would wait for its reader
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def use_style() -> Iterator[None]:
    """Draws in this module's style, whatever the caller's matplotlibrc says, and restores the caller's afterwards."""
    with matplotlib.style.context(["default", STYLE]):
        yield


@contextmanager
def new_figure(
    path: Path, width: float, height: float, dpi: float = DPI, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[Figure]:
    """Yields an empty figure of width x height inches in this module's style, and then saves it."""
    with use_style():
        figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
        FigureCanvasAgg(figure)
        yield figure
        save_figure(path, figure)


def save_figure(path: Path, figure: Figure) -> None:
    """Saves the figure to `path`, a PNG, and beside it as an SVG; the same figure gives the same bytes."""
    with replacing(path) as temporary, replacing(path.with_suffix(".svg")) as vectors:
        figure.savefig(temporary, format="png")
        figure.savefig(vectors, format="svg", metadata={"Date": None})


def lines_of(subtitle: str, inches: float) -> list[str]:
    """Returns the subtitle in lines that fit `inches`."""
    return textwrap.wrap(subtitle, max(20, int(inches / _CHARACTER)))


def write_title(axes: Axes, title: str, subtitle: str, inches: float | None = None) -> None:
    """Writes a bold title and a subtitle below it, in one line, or in lines that fit `inches`."""
    lines = [subtitle] if inches is None else lines_of(subtitle, inches)
    axes.set_title(title, pad=24 + LINE * 72 * (len(lines) - 1))
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate("\n".join(lines), (0, 1), (0, 8), **place, color=GREY, linespacing=1.3)


def write_haloed(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Writes text on a white halo, readable on lines and dots."""
    axes.text(x, y, text, path_effects=[withStroke(linewidth=3, foreground="white")], zorder=3, **style)
