"""An attribute added to images: its direction in the latent space, and how often it then appears.

Axis letters: N images, T strengths, L attributes of the classifier, M measured ones, Z latent dimensions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.attributes import measures
from jaxvae.viz.figures import attribute_classifier as classifiers
from jaxvae.viz.figures.labelled_codes import LabelledCodes, column_names, default_attribute, images_at, split_codes
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.image_grid import GAP, checked_images, gallery, require_one_each, side_by_side, stacked
from jaxvae.viz.plots.style import BLUE, GREY, INK, LIGHT_BLUE, PALE, VERMILION

__all__ = ["HELD", "AttributeChange", "AttributeData", "choose_images", "compute_attribute", "compute_change"]
__all__ += ["find_direction", "plot_attribute", "probe_accuracy", "train_on"]

# An example's share of the probe's penalty. With next to none a probe of many dimensions leans on those that hardly
# vary, which are barely informative and which the decoder ignores: its direction is short, and moves no picture.
_PENALTY = 0.01
JUDGED = 500  # held-out images that are moved and classified
HELD = 2000  # held-out images that the classifier itself is scored on
TRAINED = 6000  # images that the classifier is trained on, at most
_MOST, _FARTHEST = 20, 100  # strengths, and how large one may be
_STRENGTHS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
_MOST_BARS = 14  # attributes whose change is drawn, the largest ones
_BARS = 0.21  # inches a bar
_METHODS = {"means": "the difference of means", "probe": "a linear probe's"}
_PANELS = 1.3  # inches that the panels are high, beside their bars


class AttributeChange(NamedTuple):
    """How often the attribute appears at each strength [T], and what else has changed at strength `judged_at`.

    `appears` is the share of the `judged` images that the classifier finds to have it, with its 95% interval; `had`
    that of the images themselves. Shifts [2, .] are means and standard errors over the images, `measured_shift` in
    deviations of the training images. `judge_always` is the accuracy of the majority-class baseline.
    """

    judged: int
    appears: np.ndarray
    appears_band: np.ndarray
    had: float
    judged_at: float
    judged_names: np.ndarray
    judge_accuracy: np.ndarray
    judge_always: np.ndarray
    judged_means: np.ndarray
    judged_shift: np.ndarray
    class_changed: np.ndarray
    measured_names: np.ndarray
    measured_units: np.ndarray
    measured_means: np.ndarray
    measured_shift: np.ndarray
    measured_appears: np.ndarray | None = None


class AttributeData(NamedTuple):
    """An attribute's `direction` [Z], and `images` [N, T, H, W, C]: codes moved by `strengths` [T] times it, decoded.

    `readable` [2] are the accuracies of a linear probe of the codes and of the majority-class baseline.
    """

    attribute: str
    groups: str
    method: str
    keep: np.ndarray
    direction: np.ndarray
    strengths: np.ndarray
    positions: np.ndarray
    originals: np.ndarray
    images: np.ndarray
    readable: np.ndarray
    change: AttributeChange


def compute_attribute(
    subject: Subject,
    attribute: str | None = None,
    *,
    own: Path | None = None,
    method: str = "means",
    strengths: Sequence[float] | None = None,
    keep: Sequence[str] = (),
    images: Sequence[int] | None = None,
    n: int = 8,
    examples: int = 10_000,
) -> AttributeData:
    """Moves images by strengths times an attribute's direction, and measures what changes.

    The direction is found on at most `examples` training images; the images shown and classified are others. `keep`
    names attributes that shall not change. Strength 0 is the image's own code.
    """
    asked = _STRENGTHS if strengths is None else strengths
    given = np.array(asked, float)
    if not 0 < len(given) <= _MOST or not (np.abs(given) <= _FARTHEST).all():
        raise UsageError(
            f"--strengths {' '.join(map(str, asked))}: expected at most {_MOST} numbers between -{_FARTHEST} and "
            f"{_FARTHEST}, of which 1 leads from the mean of those without the attribute to that of those with."
        )
    steps = np.unique(np.append(given, 0.0)).astype(np.float32)
    learned, held = split_codes(subject, own, examples, HELD)
    name, *kept = column_names(subject, [attribute or default_attribute(learned), *keep])
    direction = np.asarray(find_direction(learned, name, method, kept))
    shown = choose_images(held, name, learned.thresholds()[name], n) if images is None else images_at(subject, images)
    few = held.take(np.arange(min(JUDGED, len(held.positions))))
    return AttributeData(
        attribute=name,
        groups=learned.groups(name).description,
        method=method,
        keep=np.array(kept, str),
        direction=direction,
        strengths=steps,
        positions=shown.positions,
        originals=shown.images,
        images=shown.decode(_move(shown, direction, steps)).swapaxes(0, 1),
        readable=probe_accuracy(learned, held, name),
        change=compute_change(train_on(learned, held), learned, few, name, direction, steps),
    )


def find_direction(learned: LabelledCodes, name: str, method: str, keep: Sequence[str] = ()) -> Any:
    """Returns the attribute's direction [Z], without the components along probes of the attributes `keep`."""
    codes, has = learned.clear_codes(name)
    probed = method == "probe"
    direction = latent.probe(codes, has, _PENALTY * len(codes)) if probed else latent.mean_difference(codes, has)
    if not keep:
        return direction
    if len(keep) >= codes.shape[1]:
        raise UsageError(f"--keep names {len(keep)} attributes, but z has {codes.shape[1]} dimensions: keep fewer.")

    def probe_weights(other: str) -> Any:
        codes, has = learned.clear_codes(other)
        return latent.logistic_regression(codes, has, _PENALTY * len(codes))[0]

    kept = latent.orthogonalize(direction, jnp.stack(list(map(probe_weights, keep))))
    if float(jnp.linalg.norm(kept)) < 1e-3 * float(jnp.linalg.norm(direction)):
        raise UsageError(f"nothing of {name!r} is left when {', '.join(keep)} shall not change; keep fewer.")
    return kept


def probe_accuracy(learned: LabelledCodes, held: LabelledCodes, name: str) -> np.ndarray:
    """Returns the accuracies [2] on held-out images of a linear probe of the code and of the majority class."""
    has, truth = (of.columns[name] > learned.thresholds()[name] for of in (learned, held))
    weights, bias = latent.logistic_regression(jnp.asarray(learned.codes), jnp.asarray(has))
    right = (held.codes @ np.asarray(weights) + float(bias) > 0) == truth
    return np.array([right.mean(), max(truth.mean(), 1 - truth.mean())])


def train_on(learned: LabelledCodes, held: LabelledCodes) -> classifiers.AttributeClassifier:
    """Returns a classifier of all attributes, trained on the training images, scored on the held-out ones."""
    thresholds = learned.thresholds()
    has, truth = ({name: of.columns[name] > least for name, least in thresholds.items()} for of in (learned, held))
    few = np.linspace(0, len(learned.positions) - 1, min(len(learned.positions), TRAINED)).astype(int)  # all classes
    return classifiers.train_classifier(
        learned.images[few], {name: each[few] for name, each in has.items()}, held.images, truth
    )


def compute_change(
    classifier: classifiers.AttributeClassifier,
    learned: LabelledCodes,
    held: LabelledCodes,
    name: str,
    direction: np.ndarray,
    strengths: np.ndarray,
) -> AttributeChange:
    """Moves the held-out images along the direction, and classifies and measures the decoded images."""
    thresholds, unmoved = learned.thresholds(), int(np.flatnonzero(strengths == 0)[0])
    decoded, count = held.decode(_move(held, direction, strengths)), len(held.positions)
    probability = np.stack([classifier.probabilities(each) for each in decoded])
    own = {key: measure for key, measure in measures(held.subject.data.shape).items() if key in thresholds}
    values = np.array([[measure.of(each) for measure in own.values()] for each in decoded])
    values = values.reshape(len(decoded), len(own), count)
    at = int(np.argmin(np.abs(strengths - 1.0))) if strengths.max() > 0 else 0
    has = (probability[:, :, classifier.names.index(name)] > 0.5).sum(1)
    deviations = np.array([learned.columns[key].std() for key in own]).reshape(-1)
    classes = [i for i, key in enumerate(classifier.names) if key.startswith("label=")]
    answers = probability[..., classes].argmax(-1) if len(classes) > 1 else np.zeros(probability.shape[:2])
    measured = (values[:, list(own).index(name)] > thresholds[name]).mean(1) if name in own else None
    return AttributeChange(
        judged=count,
        appears=has / count,
        appears_band=np.stack(classifiers.wilson_interval(has, count)),
        had=float(np.mean(held.columns[name] > thresholds[name])),
        judged_at=float(strengths[at]),
        judged_names=np.array(classifier.names),
        judge_accuracy=classifier.accuracy,
        judge_always=classifier.always,
        judged_means=probability.mean(1),
        judged_shift=np.stack(classifiers.paired_change(probability[unmoved], probability[at])),
        class_changed=(answers != answers[unmoved]).mean(1),
        measured_names=np.array(list(own), str),
        measured_units=np.array([measure.unit for measure in own.values()], str),
        measured_means=values.mean(2),
        measured_shift=np.stack(classifiers.paired_change(values[unmoved].T, values[at].T)) / deviations,
        measured_appears=measured,
    )


def _move(held: LabelledCodes, direction: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Returns the images' codes moved along the direction, [T, N, Z]."""
    return np.asarray(latent.move_along(jnp.asarray(held.codes), jnp.asarray(direction), jnp.asarray(strengths)))


def choose_images(held: LabelledCodes, name: str, threshold: float, n: int) -> LabelledCodes:
    """Returns n images to show: those without the attribute first, and of as many classes as there are."""
    lacking = np.flatnonzero(held.columns[name] <= threshold)
    order = np.concatenate([lacking, np.flatnonzero(held.columns[name] > threshold)])
    labels = [key for key in held.columns if key.startswith("label=") and key != name]
    label = np.argmax([held.columns[key][order] for key in labels], axis=0) if labels else np.zeros(len(order), int)
    turn = np.array([np.sum(label[:i] == label[i]) for i in range(len(order))])  # number of its class before it
    lacks = np.arange(len(order)) < len(lacking)
    return held.take(order[np.lexsort((label, turn, ~lacks))[:n]])


def plot_attribute(path: Path, data: AttributeData) -> None:
    """Draws images and their moved codes, decoded; below, how often the attribute appears, and what else changed."""
    images, strengths = checked_images("images", data.images, "NTHWC"), data.strengths
    originals = checked_images("originals", data.originals, "NHWC")
    require_one_each("strengths", strengths, "moves of an image", images[0])
    require_one_each("originals", originals, "images", images)
    rows = [side_by_side(original[None], moved) for original, moved in zip(originals, images, strict=True)]
    (first, wide), (picture, _) = rows[0], stacked([row for row, _ in rows], [GAP] * len(rows))
    right = first.shape[1] - wide - (wide + GAP) * np.arange(len(strengths))  # of the last image, the one before, ...
    starts = np.concatenate([[0], right[::-1]])
    kept = f", keeping {', '.join(map(str, data.keep))}" if len(data.keep) else ""
    how = f"({_METHODS[data.method]}{kept})"
    subtitle = f"an image, and its code moved by so many times the direction {how}, decoded; framed: unmoved"
    high = _PANELS + _BARS * min(_MOST_BARS, len(data.change.judged_names))
    with gallery(path, picture, f"Adding {data.attribute!r}", subtitle, left=0.35, bottom=high + 0.65) as axes:
        axes.set_xticks(starts + (wide - 1) / 2, ["image", *map(_signed, strengths)])
        axes.tick_params(length=0)
        axes.set_xlabel("strength")
        left = starts[1 + int(np.flatnonzero(strengths == 0)[0])] - GAP / 2 - 0.5
        size = wide + GAP, picture.shape[0] + 2 * GAP - 1
        axes.add_patch(Rectangle((left, -GAP), *size, fill=False, edgecolor=VERMILION, linewidth=2, clip_on=False))
        figure = axes.figure
        assert isinstance(figure, Figure)
        _plot_panels(figure, data, high)


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _plot_panels(figure: Figure, data: AttributeData, high: float) -> None:
    name, change, at = data.attribute, data.change, _signed(float(data.change.judged_at))
    figure.set_layout_engine("constrained", rect=(0.01, 0, 0.98, high / figure.get_figheight()))
    measured, judged = len(change.measured_names), min(_MOST_BARS, len(change.judged_names))
    grid = figure.add_gridspec(1, 3 if measured else 2)
    _plot_appearance(figure.add_subplot(grid[0]), data)
    if measured:
        parts = [measured + 1, max(judged - measured, 0) + 1e-3]  # its bars are as wide as the others'
        axes = figure.add_subplot(grid[1].subgridspec(2, 1, height_ratios=parts)[0], xlabel="deviations")
        _plot_bars(axes, change.measured_names, np.asarray(change.measured_shift), name, f"Measured at {at}")
    axes = figure.add_subplot(grid[-1], xlabel="percentage points")
    _plot_bars(axes, change.judged_names, 100 * np.asarray(change.judged_shift), name, f"Judged at {at}")


def _plot_appearance(axes: Axes, data: AttributeData) -> None:
    """Draws how often the attribute appears against the strength, with its 95% band."""
    change = data.change
    axes.axhline(100 * float(change.had), color=GREY, lw=1, ls="--", label="the images themselves")
    axes.fill_between(data.strengths, *(100 * np.asarray(change.appears_band)), color=LIGHT_BLUE, alpha=0.5, lw=0)
    style: dict[str, Any] = {"color": BLUE, "marker": "o", "ms": 4, "label": "by the classifier"}
    axes.plot(data.strengths, 100 * np.asarray(change.appears), **style)
    if change.measured_appears is not None:
        style = {"color": VERMILION, "marker": "s", "ms": 3.5, "ls": ":", "label": "measured"}
        axes.plot(data.strengths, 100 * change.measured_appears, **style)
    axes.set(xlabel="strength", ylabel="% that have it", ylim=(-4, 104), yticks=range(0, 101, 20))
    axes.set_title(f"Who has {data.attribute!r}", fontsize=10)
    axes.legend(fontsize=8, loc="best", borderaxespad=0.4)


def _plot_bars(axes: Axes, names: Sequence[str] | np.ndarray, shift: np.ndarray, name: str, title: str) -> None:
    """Draws changes [2, L], means and standard errors, as bars: the attribute itself first, then the largest."""
    axes.set_title(title, fontsize=10)
    names, (change, error) = [str(each) for each in names], np.asarray(shift, float)
    order = sorted(range(len(names)), key=lambda i: (names[i] != name, -abs(change[i])))[:_MOST_BARS]
    places = np.arange(len(order))
    colours = [VERMILION if names[i] == name else BLUE for i in order]
    style = {"ecolor": INK, "elinewidth": 1, "capsize": 2}
    axes.barh(places, change[order], 0.7, color=colours, xerr=classifiers.DEVIATIONS * error[order], error_kw=style)
    axes.axvline(0, color=PALE, lw=1)
    classes = [names[i].partition("label=")[2] for i in order]  # a class without 'label=', unless it is a number
    labels = [value if value and not value.isdecimal() else names[i] for i, value in zip(order, classes, strict=True)]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
