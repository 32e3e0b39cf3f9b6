"""Curves and bars. Axis letter: Z latent dimensions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from jaxvae._checks import UsageError
from jaxvae.viz.plots.style import BLUE, GREY, LIGHT_BLUE, VERMILION, new_figure, write_haloed, write_title
from jaxvae.viz.report.captions import CURVES

__all__ = ["kl_per_dimension", "training_curves"]

_Records = Sequence[dict[str, Any]]  # the lines of metrics.jsonl
_ACTIVE: dict[str, Any] = {"facecolor": BLUE, "edgecolor": BLUE, "linewidth": 0.6}
_INACTIVE: dict[str, Any] = {"facecolor": "#eef1f3", "edgecolor": GREY, "linewidth": 0.6, "hatch": "////"}


def _limits(values: np.ndarray, robust: bool = True) -> tuple[float, float]:
    """Returns limits (low, high) without the few values far from the others, such as those of the first steps."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = values.min(), values.max()
    lower, upper = np.quantile(values, [0.1, 0.9])
    if robust and upper > lower:
        low, high = max(low, lower - 0.3 * (upper - lower)), min(high, upper + 0.3 * (upper - lower))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - margin, high + margin


def _curve(axes: Axes, records: _Records, name: str, unit: str, robust: bool = True) -> None:
    """Draws one quantity against the step, training thin and light, validation bold, and notes the values outside."""
    lines = [("train", LIGHT_BLUE, 1.2, "training, mini-batches"), ("validation", VERMILION, 2.2, "validation")]
    drawn, limits = [], []
    for split, color, width, label in lines:
        found = {r["step"]: r[name] for r in records if r.get("split") == split and name in r}  # each step once
        steps = sorted(found)
        values = np.array([found[step] for step in steps], float)  # NaN for null
        if len(steps):
            # A value between two that are not finite makes no line: up to a few dozen points are marked as well.
            axes.plot(steps, values, color=color, lw=width, marker="o" if len(steps) < 30 else "", ms=3, label=label)
            drawn.append(values)
            limits.append(_limits(values, robust))
    axes.set_title(CURVES[name][0], fontsize=10)
    last = max(record["step"] for record in records)
    axes.set(xlabel="step", ylabel=unit, xlim=(-0.02 * last, 1.02 * last or 1))
    axes.ticklabel_format(axis="y", scilimits=(-2, 5))
    if drawn:
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        axes.set_ylim(low, high)
        every = np.concatenate(drawn)
        below, above, unknown = (every < low).sum(), (every > high).sum(), np.isnan(every).sum()
        counts = [(below, "below"), (above, "above"), (unknown, "not a number")]
        text = ", ".join(f"{count} {where}" for count, where in counts if count)
        height, side = (0.03, "bottom") if below >= above else (0.97, "top")
        style: dict[str, Any] = {"fontsize": 8, "color": GREY, "ha": "right", "va": side, "transform": axes.transAxes}
        write_haloed(axes, 0.99, height, f"not shown: {text}" if text else "", **style)


def training_curves(path: Path, records: _Records) -> None:
    """Draws ELBO (without one, the loss), rate and distortion, in nats, and what else was recorded, against the step.

    records are the lines of metrics.jsonl: {"step": 100, "split": "train" | "validation", "elbo": -30.2, ...}.
    """
    if not records:
        raise UsageError("records is empty; expected the lines of metrics.jsonl: train for a step before drawing.")
    recorded = {name for record in records for name in record}
    small = [name for name in ("perplexity", "learning_rate", "beta", "grad_norm") if name in recorded]
    large = ["elbo", "rate", "distortion"] if "elbo" in recorded else ["distortion", "rate", "loss"]
    rows = -(-len(small) // 3)
    wide = 6 * rows // max(3, len(small))
    with new_figure(path, 9, 5.8 + 2.2 * rows) as figure:
        grid = figure.add_gridspec(2 + rows, 6, height_ratios=[1.5, 1.15, *[0.85] * rows])
        bound = figure.add_subplot(grid[0, :])
        panels = bound, figure.add_subplot(grid[1, :3]), figure.add_subplot(grid[1, 3:])
        for panel, name in zip(panels, large, strict=True):
            _curve(panel, records, name, "nats")
        for index, name in enumerate(small):
            row, column = divmod(wide * index, 6)
            panel = figure.add_subplot(grid[2 + row, column : column + wide])
            _curve(panel, records, name, "", robust=name == "grad_norm")
        if bound.lines:
            bound.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)


def kl_per_dimension(path: Path, kl: ArrayLike, active: ArrayLike) -> None:
    """Draws kl [Z], nats, largest first; active [Z] (bool) and inactive dimensions differ in colour and hatch."""
    kl, active = np.asarray(kl, float), np.asarray(active, bool)
    if kl.ndim != 1 or not len(kl) or kl.shape != active.shape:
        raise UsageError(f"kl has shape {kl.shape} and active {active.shape}; expected both [Z], Z at least 1.")
    order, ranks = np.argsort(-kl), np.arange(1, len(kl) + 1)
    with new_figure(path, 8, 4.2) as figure:
        axes = figure.add_subplot()
        for kind, look in ((active, _ACTIVE), (~active, _INACTIVE)):
            axes.bar(ranks[kind[order]], kl[order][kind[order]], 0.8, **look)
        # More names than this would overlap; then the rank alone is readable.
        if len(kl) <= 40:
            axes.set_xticks(ranks, [str(index + 1) for index in order], fontsize=10 if len(kl) <= 24 else 8)
        middle, reach = (len(kl) + 1) / 2, max(len(kl), 7) / 2 + 0.2
        axes.set(xlim=(middle - reach, middle + reach), ylabel="KL, nats")
        axes.set_xlabel("latent dimension" if len(kl) <= 40 else "rank of the latent dimension")
        axes.grid(False, axis="x")
        looks = {"active": _ACTIVE, "inactive": _INACTIVE}
        axes.legend(handles=[Patch(label=name, **look) for name, look in looks.items()], loc="upper right")
        write_title(
            axes, f"KL per latent dimension: {kl.sum():.2f} nats in total", f"{active.sum()} of {len(kl)} active"
        )
