"""Figures of a run: numpy arrays in, one PNG file out.

Images are floats in [0, 1]; what lies outside is drawn as the nearer bound and NaN as black, so that a broken model
still gets its picture. Axis letters: N images, H height, W width, C channels (1 grey, 3 colour), Z latent dimensions,
R side of a grid, T moments of training.
"""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.patheffects import withStroke
from PIL import Image

INK, GREY, PALE, BLUE, LIGHT_BLUE, VERMILION = "#1f2933", "#5b6670", "#c9d0d6", "#0072b2", "#7fb2d9", "#d55e00"

# Petroff's ten colours (arXiv:2107.02270), chosen so that every pair stays apart under each kind of colour blindness.
CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"]
CLASSES += ["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]

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
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.12,
}

ACTIVE: dict[str, Any] = {"facecolor": BLUE, "edgecolor": BLUE, "linewidth": 0.6}
INACTIVE: dict[str, Any] = {"facecolor": "#eef1f3", "edgecolor": GREY, "linewidth": 0.6, "hatch": "////"}

DPI = 150
PICTURE = 1200  # pixels that a gallery's picture fills, if whole enlargements allow
CELL = 168  # pixels above which one image of a gallery is not enlarged further
GAP = 2  # pixels between neighbouring images


@contextmanager
def _replacing(path):
    """Yield a temporary path beside `path` that takes its place when the block succeeds and vanishes when it fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _figure(path, width, height, dpi=DPI):
    """Yield an empty figure of width x height inches in this module's style, and save it to `path` afterwards."""
    # From the defaults, whatever the caller's matplotlibrc says, and back to the caller's style afterwards.
    with matplotlib.style.context(["default", STYLE]), _replacing(path) as temporary:
        figure = Figure(figsize=(width, height), dpi=dpi)
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(temporary, format="png")


def _title(axes, title, subtitle):
    """Write a bold title and, below it, a line that says what to see."""
    axes.set_title(title, pad=24)
    axes.annotate(subtitle, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", color=GREY)


def _haloed(axes, x, y, text, **style):
    """Write text on a white halo, readable on lines and dots."""
    axes.text(x, y, text, path_effects=[withStroke(linewidth=3, foreground="white")], zorder=3, **style)


def _checked(name, images, shape):
    """Return `images` as floats, refusing any other rank than that of `shape` (such as "NHWC") or channel count."""
    images = np.asarray(images, dtype=float)
    expected = f"[{','.join(shape)}]"
    if images.ndim != len(shape) or 0 in images.shape:
        raise ValueError(f"{name} has shape {images.shape}; expected {expected}, none of them 0: reshape it first.")
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{name} has {images.shape[-1]} channels (shape {images.shape}); expected 1 (grey) or 3 (colour), last in "
            f"{expected}: move the channels to the end, or choose the ones to draw."
        )
    return images


def mosaic(images, columns=None, pad=1):
    """Lay images [N,H,W,C] out row by row, `pad` white pixels apart, in one image [H',W',C]; near-square by default."""
    images = _checked("images", images, "NHWC")
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    picture = np.ones((rows * (height + pad) - pad, columns * (width + pad) - pad, channels))
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + pad), (index % columns) * (width + pad)
        picture[top : top + height, left : left + width] = image
    return picture


def _bounded(image):
    """Clip to [0, 1], with NaN as 0."""
    return np.clip(np.nan_to_num(image, nan=0.0), 0.0, 1.0)


def _enlarged(images, factor):
    """Repeat each pixel of images [...,H,W,C] factor x factor times."""
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def save_image(path, image, *, cell=None):
    """Write an image [H,W,C] as a PNG in which `cell` pixels of it take 56 or more, by a whole factor of enlargement.

    cell is its shorter side by default; for a mosaic, give the shorter side of one of its images.
    """
    image = _checked("image", image, "HWC")
    factor = -(-56 // (cell or min(image.shape[:2])))
    pixels = np.round(255 * _bounded(_enlarged(image, factor))).astype(np.uint8)
    with _replacing(path) as temporary:
        Image.fromarray(pixels[..., 0] if image.shape[-1] == 1 else pixels).save(temporary, format="png")


def _fitted(images, columns, gap=GAP):
    """Enlarge images [...,H,W,C] by the largest whole factor at which `columns` of them fit a gallery."""
    height, width = images.shape[-3:-1]
    return _enlarged(images, max(1, min((PICTURE // columns - gap) // width, CELL // max(height, width))))


@contextmanager
def _gallery(path, picture, title, subtitle, left=0.2, bottom=0.2):
    """Yield axes that show `picture` [H,W,C] pixel for pixel, in pixel coordinates; margins in inches."""
    picture = _bounded(picture if picture.shape[-1] == 3 else picture.repeat(3, axis=-1))
    height, width = picture.shape[:2]
    # Beyond PICTURE pixels the resolution grows instead of the page, so that the words keep their relative size.
    dpi = max(DPI, DPI * width // PICTURE)
    x, y, top, right = (round(inches * dpi) for inches in (left, bottom, 0.75, 0.2))
    full_width, full_height = x + max(width, 6 * dpi) + right, y + height + top
    # The canvas rounds inches times dpi down; the hundredth saves it a pixel, and the picture its sharpness.
    with _figure(path, (full_width + 0.01) / dpi, (full_height + 0.01) / dpi, dpi) as figure:
        axes = figure.add_axes((x / full_width, y / full_height, width / full_width, height / full_height))
        axes.imshow(picture, interpolation="nearest", aspect="auto")
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        _title(axes, title, subtitle)
        yield axes


def _stacked(rows, gaps):
    """Stack rows [H',W',C] with gaps[i] white pixels below row i; returns the picture and the rows' centres."""
    ends = np.cumsum([len(row) + gap for row, gap in zip(rows, gaps, strict=True)])
    picture = np.ones((ends[-1] - gaps[-1], *rows[0].shape[1:]))
    starts = [0, *ends[:-1]]
    for start, row in zip(starts, rows, strict=True):
        picture[start : start + len(row)] = row
    return picture, [start + (len(row) - 1) / 2 for start, row in zip(starts, rows, strict=True)]


def _label_rows(axes, centres, labels):
    """Name the rows of a gallery at its left."""
    for centre, label in zip(centres, labels, strict=True):
        axes.annotate(label, (0, centre), (-8, 0), textcoords="offset points", ha="right", va="center", color=GREY)


def reconstructions(path, originals, reconstructions):
    """Draw originals [N,H,W,C] above their reconstructions [N,H,W,C], at most 16 a row."""
    originals = _checked("originals", originals, "NHWC")
    reconstructions = _checked("reconstructions", reconstructions, "NHWC")
    if originals.shape != reconstructions.shape:
        raise ValueError(
            f"originals have shape {originals.shape} and reconstructions {reconstructions.shape}; expected one shape: "
            "give the reconstruction of each original, in the same order."
        )
    pairs = -(-len(originals) // 16)
    columns = -(-len(originals) // pairs)
    rows = [
        mosaic(_fitted(images[start : start + columns], columns), columns, GAP)
        for start in range(0, len(originals), columns)
        for images in (originals, reconstructions)
    ]
    picture, centres = _stacked(rows, [GAP, 16] * (len(rows) // 2))
    subtitle = "the image x above, the mean of p(x|z) for one z from q(z|x) below"
    with _gallery(path, picture, "Reconstructions", subtitle, left=1.3) as axes:
        _label_rows(axes, centres, ["original", "reconstruction"] * (len(rows) // 2))


def samples(path, means):
    """Draw generated images [N,H,W,C], the means of p(x|z) for z from the prior, in a near-square grid."""
    means = _checked("means", means, "NHWC")
    columns = int(np.ceil(np.sqrt(len(means))))
    picture = mosaic(_fitted(means, columns), columns, GAP)
    with _gallery(path, picture, "Samples: means of p(x|z)", "each z is drawn from the prior"):
        pass


def training(path, steps, frames):
    """Draw frames [T,N,H,W,C], the same N latent codes decoded at steps [T]: a row a step, a column a code.

    At most 8 rows are drawn, evenly spaced in [T] and always with the first and the last, and at most 16 columns.
    """
    frames = _checked("frames", frames, "TNHWC")[:, :16]
    if len(steps) != len(frames):
        raise ValueError(f"{len(steps)} steps for {len(frames)} frames; expected one step a frame: drop the others.")
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), 8)).round().astype(int)
    columns = frames.shape[1]
    rows = [mosaic(_fitted(frames[index], columns), columns, GAP) for index in chosen]
    picture, centres = _stacked(rows, [3 * GAP] * len(rows))
    with _gallery(path, picture, "As training goes on", "each column is one fixed z, decoded", left=1.3) as axes:
        _label_rows(axes, centres, [f"step {int(steps[index]):,}" for index in chosen])


def manifold(path, grid, *, quantiles=None):
    """Draw a grid [R,R,H,W,C] of decoded z, row 0 having the largest z2 and column 0 the smallest z1.

    quantiles [R] are the prior's quantiles at which the columns, left to right, and the rows, bottom to top, were
    decoded; by default the middles of R equally probable parts, (i + 1/2) / R.
    """
    grid = _checked("grid", grid, "RRHWC")
    side = len(grid)
    if grid.shape[1] != side:
        raise ValueError(f"grid has {side} rows and {grid.shape[1]} columns; expected a square: decode R x R points.")
    gap = GAP if max(grid.shape[2:4]) < 16 else 0  # tiny pictures fill their frames: without a seam they run together
    picture = mosaic(_fitted(grid.reshape(-1, *grid.shape[2:]), side, gap), side, gap)
    middles = (np.arange(side) + 0.5) / side
    ticks = np.array([0.05, 0.25, 0.5, 0.75, 0.95]) if side > 1 else np.array([0.5])
    places = np.interp(ticks, middles if quantiles is None else quantiles, middles)
    labels = [f"{tick:.0%}" for tick in ticks]
    subtitle = "the mean of p(x|z) at equally probable steps of a two-dimensional z"
    with _gallery(path, picture, "The latent space, decoded", subtitle, left=0.9, bottom=0.7) as axes:
        axes.set_xticks(places * picture.shape[1] - 0.5, labels)
        axes.set_yticks((1 - places) * picture.shape[0] - 0.5, labels)
        axes.set(xlabel="z1, quantile of the prior", ylabel="z2, quantile of the prior")


def _series(records, split, name):
    """Return the steps and the values (NaN for null) of one quantity of one split, in order, each step once."""
    values = {r["step"]: r[name] for r in records if r.get("split") == split and name in r}
    steps = sorted(values)
    return np.array(steps, float), np.array([values[step] for step in steps], float)


def _limits(values, robust=True):
    """Return limits (low, high) that leave out the few values far from the others, such as those of the first steps."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = values.min(), values.max()
    lower, upper = np.quantile(values, [0.1, 0.9])
    if robust and upper > lower:
        low, high = max(low, lower - 0.3 * (upper - lower)), min(high, upper + 0.3 * (upper - lower))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - margin, high + margin


def _curve(axes, records, name, title, unit, robust=True):
    """Draw one quantity against the step, training thin and light, validation bold, and what lies outside."""
    lines = [("train", LIGHT_BLUE, 1.2, "training, mini-batches"), ("validation", VERMILION, 2.2, "validation")]
    drawn, limits = [], []
    for split, color, width, label in lines:
        steps, values = _series(records, split, name)
        if len(steps):
            # A value between two that are not finite makes no line: up to a few dozen points are marked as well.
            axes.plot(steps, values, color=color, lw=width, marker="o" if len(steps) < 30 else "", ms=3, label=label)
            drawn.append(values)
            limits.append(_limits(values, robust))
    axes.set_title(title, fontsize=10)
    last = max(record["step"] for record in records)
    axes.set(xlabel="step", ylabel=unit, xlim=(-0.02 * last, 1.02 * last or 1))
    axes.ticklabel_format(axis="y", scilimits=(-2, 5))
    if drawn:
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        axes.set_ylim(low, high)
        _say_outside(axes, np.concatenate(drawn), low, high)


def _say_outside(axes, values, low, high):
    """Say in the corner how many values the limits leave out, and how many are not numbers."""
    below, above, unknown = (values < low).sum(), (values > high).sum(), np.isnan(values).sum()
    counts = [(below, "below"), (above, "above"), (unknown, "not a number")]
    text = ", ".join(f"{count} {where}" for count, where in counts if count)
    height, side = (0.03, "bottom") if below >= above else (0.97, "top")
    style = {"fontsize": 8, "color": GREY, "ha": "right", "va": side, "transform": axes.transAxes}
    _haloed(axes, 0.99, height, f"not shown: {text}" if text else "", **style)


def curves(path, records):
    """Draw ELBO, rate and distortion, in nats, and what else was recorded, against the step.

    records are the lines of metrics.jsonl: {"step": 100, "split": "train" | "validation", "elbo": -30.2, ...}.
    """
    if not records:
        raise ValueError("records is empty; expected the lines of metrics.jsonl: train for a step before drawing.")
    small = {"learning_rate": "Learning rate", "beta": "β, the weight of the rate", "grad_norm": "Gradient norm"}
    small = {name: title for name, title in small.items() if any(name in record for record in records)}
    with _figure(path, 9, 8 if small else 5.8) as figure:
        figure.set_layout_engine("constrained")
        grid = figure.add_gridspec(3 if small else 2, 6, height_ratios=[1.5, 1.15, 0.85][: 3 if small else 2])
        bound = figure.add_subplot(grid[0, :])
        _curve(bound, records, "elbo", "ELBO, larger is better", "nats")
        _curve(figure.add_subplot(grid[1, :3]), records, "rate", "Rate, KL(q(z|x) ‖ p(z))", "nats")
        _curve(figure.add_subplot(grid[1, 3:]), records, "distortion", "Distortion, −E[log p(x|z)]", "nats")
        for index, (name, title) in enumerate(small.items()):
            panel = figure.add_subplot(grid[2, 2 * index : 2 * index + 2])
            _curve(panel, records, name, title, "", robust=name == "grad_norm")
        if bound.lines:
            bound.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)


def kl_per_dimension(path, kl, active):
    """Draw kl [Z], nats, largest first, telling active [Z] (bool) dimensions from inactive ones by colour and hatch."""
    kl, active = np.asarray(kl, float), np.asarray(active, bool)
    if kl.ndim != 1 or not len(kl) or kl.shape != active.shape:
        raise ValueError(f"kl has shape {kl.shape} and active {active.shape}; expected both [Z], Z at least 1.")
    order, ranks = np.argsort(-kl), np.arange(1, len(kl) + 1)
    with _figure(path, 8, 4.2) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot()
        for kind, look in ((active, ACTIVE), (~active, INACTIVE)):
            axes.bar(ranks[kind[order]], kl[order][kind[order]], 0.8, **look)
        # More names than this would overlap; then the rank alone is readable.
        if len(kl) <= 40:
            axes.set_xticks(ranks, [str(index + 1) for index in order], fontsize=10 if len(kl) <= 24 else 8)
        middle, reach = (len(kl) + 1) / 2, max(len(kl), 7) / 2 + 0.2
        axes.set(xlim=(middle - reach, middle + reach), ylabel="KL, nats")
        axes.set_xlabel("latent dimension" if len(kl) <= 40 else "rank of the latent dimension")
        axes.grid(False, axis="x")
        looks = {"active": ACTIVE, "inactive": INACTIVE}
        axes.legend(handles=[Patch(label=name, **look) for name, look in looks.items()], loc="upper right")
        _title(axes, f"KL per latent dimension: {kl.sum():.2f} nats in total", f"{active.sum()} of {len(kl)} active")


def _classes(labels, count):
    """Return the classes and the index of each point's class; without labels no class, and 0 for each of the points."""
    return (np.array([]), np.zeros(count, int)) if labels is None else np.unique(labels, return_inverse=True)


def _class_colours(count):
    """Return `count` colours: ten that colour-blind readers can tell apart, and beyond those, steps of one scale."""
    scale = matplotlib.colormaps["turbo"](np.linspace(0.04, 0.96, count))
    return CLASSES[:count] if count <= len(CLASSES) else [to_hex(colour) for colour in scale]


def _name_classes(axes, means, labels, classes, colours):
    """Name each class in a legend and, unless they are too many to be told apart, at its median."""
    for label in classes if len(classes) <= 20 else ():
        x, y = np.median(means[labels == label], axis=0)
        _haloed(axes, x, y, str(label), weight="bold", fontsize=12, ha="center", va="center")
    handles = [Line2D([], [], marker="o", ls="", color=colour, ms=7) for colour in colours]
    names = [str(label) for label in classes]
    columns = -(-len(classes) // 20)
    axes.legend(handles, names, title="label", loc="upper left", bbox_to_anchor=(1, 1), ncols=columns)


def latent_plane(path, means, labels, *, axes=("z1", "z2")):
    """Draw the posterior means [N,2], coloured by labels [N] (ints, or None), over the prior's circles of radius 1, 2.

    axes are the two axes' names: two latent dimensions, or two principal components. Means that are not finite are
    left out.
    """
    means = np.asarray(means, float)
    if means.ndim != 2 or means.shape[1] != 2 or (labels is not None and len(labels) != len(means)):
        raise ValueError(
            f"means have shape {means.shape} and there are {None if labels is None else len(labels)} labels; expected "
            "[N,2] and N, or None: choose two dimensions, or project on two."
        )
    finite = np.isfinite(means).all(axis=1)
    means, labels = means[finite], None if labels is None else np.asarray(labels)[finite]
    classes, codes = _classes(labels, len(means))
    colours = np.array(_class_colours(len(classes)) if len(classes) else [BLUE])
    # A shuffled order, the same at every drawing: otherwise the last class would cover the others.
    order = np.random.default_rng(0).permutation(len(means))
    with _figure(path, 6.7 + 0.9 * -(-len(classes) // 20), 6.8) as figure:
        figure.set_layout_engine("constrained")
        plane = figure.add_subplot(aspect="equal")
        size = np.clip(20000 / max(len(means), 1), 4, 30)
        plane.scatter(*means[order].T, s=size, c=colours[codes[order]], alpha=0.7, lw=0)
        _prior_circles(plane)
        reach = 1.05 * max(2.2, np.abs(means).max(initial=0.0))
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=axes[0], ylabel=axes[1])
        if len(classes):
            _name_classes(plane, means, labels, classes, colours)
        _title(plane, "The latent space", "one dot an image: the mean of q(z|x); dashed: the prior's radius 1 and 2")


def _prior_circles(axes):
    """Draw the circles that hold 39% and 86% of a standard normal prior's plane."""
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, fill=False, ls="--", lw=1, color=PALE, zorder=0.9))
        _haloed(axes, 0, -radius, f"radius {radius}", color=GREY, fontsize=8, ha="center", va="top")
