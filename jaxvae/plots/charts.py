"""Curves, bars and the latent plane. Axis letters: N images, Z latent dimensions."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from jaxvae.plots.canvas import BLUE, GREY, LIGHT_BLUE, PALE, VERMILION, new_figure, write_haloed, write_title

# Petroff's ten colours (arXiv:2107.02270), chosen so that every pair stays apart under each kind of colour blindness.
CLASSES = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"]
CLASSES += ["#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]

ACTIVE: dict[str, Any] = {"facecolor": BLUE, "edgecolor": BLUE, "linewidth": 0.6}
INACTIVE: dict[str, Any] = {"facecolor": "#eef1f3", "edgecolor": GREY, "linewidth": 0.6, "hatch": "////"}


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
    write_haloed(axes, 0.99, height, f"not shown: {text}" if text else "", **style)


def curves(path, records):
    """Draw ELBO (without one, the loss), rate and distortion, in nats, and what else was recorded, against the step.

    records are the lines of metrics.jsonl: {"step": 100, "split": "train" | "validation", "elbo": -30.2, ...}.
    """
    if not records:
        raise ValueError("records is empty; expected the lines of metrics.jsonl: train for a step before drawing.")
    small = {
        "perplexity": "Codes in use (perplexity)",
        "learning_rate": "Learning rate",
        "beta": "β, the weight of the rate",
        "grad_norm": "Gradient norm",
    }
    small = {name: title for name, title in small.items() if any(name in record for record in records)}
    small = dict(list(small.items())[:3])
    rate, distortion = ("rate", "Rate, KL(q(z|x) ‖ p(z))"), ("distortion", "Distortion, −E[log p(x|z)]")
    large = [("elbo", "ELBO, larger is better"), rate, distortion]
    if not any("elbo" in record for record in records):
        large = [distortion, rate, ("loss", "Loss, what is minimised")]
    with new_figure(path, 9, 8 if small else 5.8) as figure:
        figure.set_layout_engine("constrained")
        grid = figure.add_gridspec(3 if small else 2, 6, height_ratios=[1.5, 1.15, 0.85][: 3 if small else 2])
        bound = figure.add_subplot(grid[0, :])
        for panel, (name, title) in zip(
            (bound, *map(figure.add_subplot, (grid[1, :3], grid[1, 3:]))), large, strict=True
        ):
            _curve(panel, records, name, title, "nats")
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
    with new_figure(path, 8, 4.2) as figure:
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
        write_title(
            axes, f"KL per latent dimension: {kl.sum():.2f} nats in total", f"{active.sum()} of {len(kl)} active"
        )


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
        write_haloed(axes, x, y, str(label), weight="bold", fontsize=12, ha="center", va="center")
    handles = [Line2D([], [], marker="o", ls="", color=colour, ms=7) for colour in colours]
    names = [str(label) for label in classes]
    columns = -(-len(classes) // 20)
    axes.legend(handles, names, title="label", loc="upper left", bbox_to_anchor=(1, 1), ncols=columns)


def latent_plane(path, means, labels, *, axes=("z1", "z2"), circles=True):
    """Draw the posterior means [N,2], coloured by labels [N] (ints, or None), over the prior's circles of radius 1, 2.

    axes are the two axes' names: two latent dimensions, or two principal components. Without circles the dots set the
    scale: for a model that holds its means near no prior. Means that are not finite are
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
    with new_figure(path, 6.7 + 0.9 * -(-len(classes) // 20), 6.8) as figure:
        figure.set_layout_engine("constrained")
        plane = figure.add_subplot(aspect="equal")
        size = np.clip(20000 / max(len(means), 1), 4, 30)
        plane.scatter(*means[order].T, s=size, c=colours[codes[order]], alpha=0.7, lw=0, rasterized=True)
        if circles:
            _prior_circles(plane)
        reach = 1.05 * max(2.2 if circles else 0.01, np.abs(means).max(initial=0.0))
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=axes[0], ylabel=axes[1])
        if len(classes):
            _name_classes(plane, means, labels, classes, colours)
        told = (
            "one dot an image: the mean of q(z|x); dashed: the prior's radius 1 and 2"
            if circles
            else "one dot an image"
        )
        write_title(plane, "The latent space", told)


def _prior_circles(axes):
    """Draw the circles that hold 39% and 86% of a standard normal prior's plane."""
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, fill=False, ls="--", lw=1, color=PALE, zorder=0.9))
        write_haloed(axes, 0, -radius, f"radius {radius}", color=GREY, fontsize=8, ha="center", va="top")
