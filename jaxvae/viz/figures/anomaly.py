"""Whether a model tells images of classes that it never saw from new images of those it knows."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from jaxvae._checks import UsageError
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import BATCH, Subject, spaced

_SCORE = 20  # purpose folded into the subject's key
_SHOWN = 10  # images in a row


class _Roc(NamedTuple):
    """A receiver operating characteristic: shares of the known and of the novel above every threshold."""

    false_positives: np.ndarray  # [T], ascending from 0 to 1
    true_positives: np.ndarray  # [T], likewise
    area: float  # the probability that a novel example scores above a known one, ties counted half
    error: float  # the area's standard error


def roc(known: np.ndarray, novel: np.ndarray) -> _Roc:
    """How well a score tells novel examples [M] from known ones [N], large scores being novel.

    The standard error is Hanley & McNeil's (1982, Radiology 143(1), eq. 1), whose chances that two of a kind both rank
    right come from the area alone, as if the scores were exponential; it takes the examples for independent draws.
    """
    truth = np.concatenate([np.zeros(len(known)), np.ones(len(novel))])
    scores = np.concatenate([known, novel]).astype(np.float64)
    false_positives, true_positives, _ = roc_curve(truth, scores)
    area = float(roc_auc_score(truth, scores))
    two_novel, two_known = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (len(novel) - 1) * (two_novel - area**2) + (len(known) - 1) * (two_known - area**2)
    return _Roc(false_positives, true_positives, area, math.sqrt(max(spread, 0.0) / (len(novel) * len(known))))


def draw_anomaly(path: Path, subject: Subject, *, samples: int = 50, most: int = 2000) -> dict[str, np.ndarray]:
    """ROC curves of the scores on 'test' against 'left_out', at most so many images of each, and the extreme images.

    The arrays shown: every score of the `known` and the `novel`, `area` and `error` by score, their names `scores`.
    ValueError where no class was left out.
    """
    from jaxvae.viz import plots

    if "left_out" not in subject.data.splits:
        raise UsageError("this run was trained on all classes; train one with data.leave_out=(4,), say.")
    kinds = {"known": dataclasses.replace(subject, name="test"), "novel": dataclasses.replace(subject, name="left_out")}
    scores = {kind: scored(each, samples, most) for kind, each in kinds.items()}
    curves = {
        name: roc(scores["known"][name], scores["novel"][name])
        for name in scores["known"]
        if np.ptp(np.concatenate([scores[kind][name] for kind in kinds])) > 0  # not the rate of a point, which is 0
    }
    best = next(iter(curves))
    rows = {kind: _extremes(each, scores[kind][best], most) for kind, each in kinds.items()}
    classes = np.unique(subject.data.splits["left_out"].labels(np.arange(len(subject.data.splits["left_out"]))))
    plots.anomaly(path, curves, {kind: scores[kind][best] for kind in kinds}, rows, classes.tolist())
    arrays = {f"{kind}_{name}": values for kind in kinds for name, values in scores[kind].items()}
    areas = {"area": np.array([each.area for each in curves.values()])}
    return arrays | areas | {"error": np.array([each.error for each in curves.values()]), "scores": np.array([*curves])}


def scored(subject: Subject, samples: int, most: int) -> dict[str, np.ndarray]:
    """Every score of at most so many images of the subject's split, [N]."""
    chosen, index = spaced(len(subject.split), most), subject.split.index
    found = []
    for first in range(0, len(chosen), BATCH):
        positions = chosen[first : first + BATCH]
        shown = subject.examples(positions)
        key = subject.key_of(_SCORE)
        found.append(
            subject.run.anomaly(key, shown.x, samples=samples, condition=shown.condition, index=index[positions])
        )
    return {name: np.concatenate([np.asarray(each[name]) for each in found]) for name in found[0]}


def _extremes(subject: Subject, scores: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the images with the smallest scores, ascending, and with the largest, descending."""
    order = spaced(len(subject.split), most)[np.argsort(scores, kind="stable")]
    least, strangest = (subject.examples(chosen).x for chosen in (order[:_SHOWN], order[::-1][:_SHOWN]))
    return pictures(least), pictures(strangest)
