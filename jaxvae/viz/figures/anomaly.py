"""Scores that tell images of classes left out of training from new images of the others."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import rankdata
from sklearn.metrics import roc_curve

from jaxvae._checks import UsageError
from jaxvae.evaluate.bounds import mean_and_stderr
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import BATCH, Subject, evenly_spaced
from jaxvae.viz.plots.image_grid import show_rows
from jaxvae.viz.plots.style import BLUE, GREY, INK, PALE, VERMILION, new_figure, write_title

__all__ = ["AnomalyData", "Roc", "compute_anomaly", "compute_roc", "plot_anomaly"]

_SCORE = 20  # purpose folded into the subject's key
_SHOWN = 10  # images in a row
_NAMES = {"negative_log_likelihood": "−log p(x)", "negative_elbo": "−ELBO", "rate": "rate", "distortion": "distortion"}
_LINES = ((BLUE, "-"), (VERMILION, "--"), (INK, ":"), (GREY, "-."))  # told apart without colour, too
_ROWS = ("known,\nleast strange", "known,\nmost strange", "left out,\nleast strange", "left out,\nmost strange")


class Roc(NamedTuple):
    """A receiver operating characteristic: shares of the known and of the novel above every threshold."""

    false_positives: np.ndarray  # [T], ascending from 0 to 1
    true_positives: np.ndarray  # [T]
    area: float  # the probability that a novel example scores above a known one, ties counted half
    error: float  # the area's standard error; NaN if there is a single example of a kind


def compute_roc(known: np.ndarray, novel: np.ndarray) -> Roc:
    """Returns how well a score tells novel examples [M] from known ones [N]; large scores mean novel.

    The standard error is that of DeLong et al. (1988, Biometrics 44:837), which assumes no distribution of the scores:
    the variance over novel examples of the share of known ones below each, and the same with the kinds exchanged. The
    shares come from midranks (Sun & Xu 2014, IEEE Signal Processing Letters 21:1389).
    """
    truth = np.concatenate([np.zeros(len(known)), np.ones(len(novel))])
    scores = np.concatenate([known, novel]).astype(np.float64)
    false_positives, true_positives, _ = roc_curve(truth, scores)
    rank_of_known, rank_of_novel = np.split(rankdata(scores), [len(known)])
    below = (rank_of_novel - rankdata(novel)) / len(known)  # each novel example: the share of known ones below it
    above = 1 - (rank_of_known - rankdata(known)) / len(novel)  # each known example: the share of novel ones above it
    error = math.hypot(mean_and_stderr(below)["stderr"], mean_and_stderr(above)["stderr"])
    return Roc(false_positives, true_positives, float(below.mean()), error)


class AnomalyData(NamedTuple):
    """Every score of the `known` [N] and the `novel` [M] images by name, and the curve of each score that varies."""

    known: dict[str, np.ndarray]
    novel: dict[str, np.ndarray]
    curves: dict[str, Roc]
    extremes: list[np.ndarray]  # rows [K, *X]: known and novel, of each the smallest and the largest first scores
    classes: list[int]  # left out of training


def compute_anomaly(subject: Subject, *, samples: int = 50, most: int = 2000) -> AnomalyData:
    """Scores at most `most` images of 'test' and of 'left_out'. ValueError where no class was left out."""
    if "left_out" not in subject.data.splits:
        raise UsageError("this run was trained on all classes; train one with data.leave_out=(4,), say.")
    subjects = [dataclasses.replace(subject, name=name) for name in ("test", "left_out")]
    known, novel = (_scores_of(each, samples, most) for each in subjects)
    curves = {
        name: compute_roc(known[name], novel[name])
        for name in known
        if np.ptp(np.concatenate([known[name], novel[name]])) > 0  # not the rate of a point, which is 0
    }
    best = next(iter(curves))
    extremes = []
    for each, scores in zip(subjects, (known[best], novel[best]), strict=True):
        order = evenly_spaced(len(each.split), len(scores))[np.argsort(scores, kind="stable")]
        extremes += [np.asarray(each.examples(chosen).x) for chosen in (order[:_SHOWN], order[::-1][:_SHOWN])]
    split = subjects[1].split
    return AnomalyData(known, novel, curves, extremes, np.unique(split.labels(np.arange(len(split)))).tolist())


def _scores_of(subject: Subject, samples: int, most: int) -> dict[str, np.ndarray]:
    """Returns every score of at most `most` images of the subject's split, [N]."""
    chosen, key = evenly_spaced(len(subject.split), most), subject.key_for(_SCORE)
    found = []
    for positions in np.split(chosen, range(BATCH, len(chosen), BATCH)):
        shown, index = subject.examples(positions), subject.split.index[positions]
        found.append(subject.run.anomaly(key, shown.x, samples=samples, condition=shown.condition, index=index))
    return {name: np.concatenate([np.asarray(each[name]) for each in found]) for name in found[0]}


def plot_anomaly(path: Path, data: AnomalyData) -> None:
    """Draws the curves, histograms of the first score, and the extreme images."""
    with new_figure(path, 10, 9.4) as figure:
        grid = figure.add_gridspec(2, 2, height_ratios=[1.05, 1])
        axes = figure.add_subplot(grid[0, 0], aspect="equal")
        for (name, curve), (colour, dashes) in zip(data.curves.items(), _LINES, strict=False):
            label = f"{_NAMES.get(name, name)}: {curve.area:.3f}" + (
                "" if math.isnan(curve.error) else f" ± {curve.error:.3f}"
            )
            axes.plot(curve.false_positives, curve.true_positives, color=colour, ls=dashes, lw=2, label=label)
        axes.plot([0, 1], [0, 1], color=PALE, lw=1)
        axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="share of the known above the threshold")
        axes.set_ylabel("share of the left out above it")
        axes.legend(loc="lower right", title="area under the curve", fontsize=9)
        write_title(axes, "Is it new?", "the diagonal, an area of 0.5, is guessing")
        _plot_histograms(figure.add_subplot(grid[0, 1]), data)
        axes = figure.add_subplot(grid[1, :])
        show_rows(axes, list(map(pictures, data.extremes)), _ROWS, 48)
        shown = "class " if len(data.classes) == 1 else "classes "
        text = f"The extremes; left out of training: {shown}{', '.join(map(str, data.classes))}"
        axes.set_title(text, fontsize=10)


def _plot_histograms(axes: Axes, data: AnomalyData) -> None:
    """Draws two histograms over the range that holds all but the last hundredth of either."""
    name = next(iter(data.curves))
    known, novel = data.known[name], data.novel[name]
    low = min(np.quantile(known, 0.005), np.quantile(novel, 0.005))
    high = max(np.quantile(known, 0.995), np.quantile(novel, 0.995))
    bins = np.linspace(low, high if high > low else low + 1, 31)
    looks = ((known, "known classes", BLUE, None), (novel, "left out", VERMILION, "////"))
    for scores, label, colour, hatch in looks:
        weights = np.full(len(scores), 1 / len(scores))
        style: dict[str, Any] = {"facecolor": colour + "40", "edgecolor": colour, "hatch": hatch, "lw": 1.5}
        text = f"{label} ({len(scores):,})"
        axes.hist(scores, bins.tolist(), weights=weights, histtype="stepfilled", label=text, **style)
    axes.set(xlabel=f"{_NAMES.get(name, name)}, nats", ylabel="share of the images")
    axes.legend(loc="upper right")
    write_title(axes, "The first score", "of test images that training never saw")
