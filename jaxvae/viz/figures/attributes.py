"""An attribute added to images: its direction in the latent space, what is seen along it, and what a judge says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.image_attributes import measures, scale_to_unit
from jaxvae.viz.figures.attribute_classifier import Judge, band, shift, train_judge
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.labelled_codes import Known, decoded, default_attribute, learned_and_held, spelled
from jaxvae.viz.figures.subject import Subject

# An example's share of the probe's penalty. With next to none a probe of many dimensions leans on those that hardly
# vary, which tell a little and of which the decoder makes nothing: its direction is short, and moves no picture.
_PENALTY = 0.01
JUDGED = 500  # held-out images that are moved and judged
HELD = 2000  # held-out images that the judge itself is scored on
TAUGHT = 6000  # images that the judge is trained on, at most
MOST, _FARTHEST = 20, 100  # strengths, and how large one may be
_STRENGTHS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


def draw_attribute(
    path: Path,
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
) -> dict[str, Any]:
    """Images moved by strengths times an attribute's direction, and the judgement; returns what is shown, by name.

    The direction is of at most `examples` training images, the pictures and their judgement are of others. `keep`
    names attributes that shall not change. At strength 0 stands the image's own code.
    """
    from jaxvae.viz import plots

    steps = _require_strengths(_STRENGTHS if strengths is None else strengths)
    learned, held = learned_and_held(subject, own, examples, HELD)
    name, *kept = spelled(subject, [attribute or default_attribute(learned), *keep])
    direction = np.asarray(direction_of(learned, name, method, kept))
    shown = of_interest(held, name, learned.thresholds()[name], n) if images is None else at(subject, images)
    judge = taught(learned, held)
    found = judgement(judge, learned, moving(held, JUDGED), name, direction, steps)
    seen = decoded(shown, moved(shown, direction, steps)).swapaxes(0, 1)
    arrays = {
        "attribute": name,
        "groups": learned.groups(name).description,
        "method": method,
        "keep": np.array(kept, str),
        "direction": direction,
        "strengths": steps,
        "positions": shown.positions,
        "originals": shown.images,
        "images": seen,
        "readable": readable(learned, held, name),
        **found,
    }
    plots.attribute(path, arrays)
    return arrays


def _require_strengths(strengths: Sequence[float]) -> np.ndarray:
    """[T]: the strengths, ascending, and 0 among them; ValueError for others than at most MOST numbers."""
    given = np.array(strengths, float)
    if not 0 < len(given) <= MOST or not (np.abs(given) <= _FARTHEST).all():
        raise UsageError(
            f"--strengths {' '.join(map(str, strengths))}: expected at most {MOST} numbers between -{_FARTHEST} and "
            f"{_FARTHEST}, of which 1 leads from the mean of those without the attribute to that of those with."
        )
    return np.unique(np.append(given, 0.0)).astype(np.float32)


def direction_of(learned: Known, name: str, method: str, keep: Sequence[str] = ()) -> Any:
    """[Z]: the attribute's direction, without what a probe of any of `keep` would notice."""
    codes, has = parted(learned, name)
    probed = method == "probe"
    direction = latent.probe(codes, has, _PENALTY * len(codes)) if probed else latent.mean_difference(codes, has)
    if not keep:
        return direction
    if len(keep) >= codes.shape[1]:
        raise UsageError(f"--keep names {len(keep)} attributes, but z has {codes.shape[1]} dimensions: keep fewer.")
    others = jnp.stack([_weights_of(learned, other) for other in keep])
    kept = latent.orthogonalize(direction, others)
    if float(jnp.linalg.norm(kept)) < 1e-3 * float(jnp.linalg.norm(direction)):
        raise UsageError(f"nothing of {name!r} is left when {', '.join(keep)} shall not change; keep fewer.")
    return kept


def _weights_of(learned: Known, name: str) -> Any:
    """[Z]: the weights of a probe of the attribute."""
    codes, has = parted(learned, name)
    return latent.logistic_regression(codes, has, _PENALTY * len(codes))[0]


def parted(learned: Known, name: str) -> tuple[Any, Any]:
    """(codes, has) of the images that have the attribute or have it not; the others are left out."""
    groups = learned.groups(name)
    clear = groups.has | groups.lacks
    return jnp.asarray(learned.codes[clear]), jnp.asarray(groups.has[clear])


def readable(learned: Known, held: Known, name: str) -> np.ndarray:
    """[2]: the shares of the held-out images whose code a plane puts on the right side, and of the larger side."""
    threshold = learned.thresholds()[name]
    weights, bias = latent.logistic_regression(
        jnp.asarray(learned.codes), jnp.asarray(learned.columns[name] > threshold)
    )
    truth = held.columns[name] > threshold
    right = (held.codes @ np.asarray(weights) + float(bias) > 0) == truth
    return np.array([right.mean(), max(truth.mean(), 1 - truth.mean())])


def taught(learned: Known, held: Known) -> Judge:
    """A judge of all that is known, of the real training images, scored on the held-out ones."""
    thresholds = learned.thresholds()
    has, truth = ({name: of.columns[name] > least for name, least in thresholds.items()} for of in (learned, held))
    few = np.linspace(0, len(learned.positions) - 1, min(len(learned.positions), TAUGHT)).astype(int)  # of all classes
    return train_judge(learned.images[few], {name: each[few] for name, each in has.items()}, held.images, truth)


def judgement(
    judge: Judge, learned: Known, held: Known, name: str, direction: np.ndarray, strengths: np.ndarray
) -> dict[str, Any]:
    """How often the attribute appears at each strength [T], and what else has changed at `judged_at`, by name.

    `appears`: the share of images that the judge says to have it; `measured_appears`: the share measured to have it,
    where it can be computed; `had`: the share of the images themselves that have it. `measured_shift` is in deviations
    of the training images, `judged_shift` in probability, each beside its standard error over the images.
    """
    thresholds, unmoved = learned.thresholds(), int(np.flatnonzero(strengths == 0)[0])
    seen = decoded(held, moved(held, direction, strengths))
    told = np.stack([judge.probabilities(each) for each in seen])
    own = {key: measure for key, measure in measures(held.subject.data.shape).items() if key in thresholds}
    values = np.stack([[measure.of(each) for measure in own.values()] for each in seen]).reshape(
        len(seen), len(own), seen.shape[1]
    )
    judged_at = int(np.argmin(np.abs(strengths - 1.0))) if strengths.max() > 0 else 0
    counts = (told[:, :, judge.names.index(name)] > 0.5).sum(1)
    spread = np.array([learned.columns[key].std() for key in own]).reshape(-1)
    classes = [i for i, key in enumerate(judge.names) if key.startswith("label=")]
    answers = told[..., classes].argmax(-1) if len(classes) > 1 else np.zeros(told.shape[:2])
    named = {
        "judged": len(held.positions),
        "appears": counts / len(held.positions),
        "appears_band": np.stack(band(counts, len(held.positions))),
        "had": np.mean(held.columns[name] > thresholds[name]),
        "judged_at": strengths[judged_at],
        "judged_names": np.array(judge.names),
        "judge_accuracy": judge.accuracy,
        "judge_always": judge.always,
        "judged_means": told.mean(1),
        "judged_shift": np.stack(shift(told[unmoved], told[judged_at])),
        "class_changed": (answers != answers[unmoved]).mean(1),
        "measured_names": np.array(list(own), str),
        "measured_units": np.array([measure.unit for measure in own.values()], str),
        "measured_means": values.mean(2),
        "measured_shift": np.stack(shift(values[unmoved].T, values[judged_at].T)) / spread,
    }
    if name in own:
        named["measured_appears"] = (values[:, list(own).index(name)] > thresholds[name]).mean(1)
    return named


def moved(held: Known, direction: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """[T, N, Z]: the images' codes, moved."""
    return np.asarray(latent.move_along(jnp.asarray(held.codes), jnp.asarray(direction), jnp.asarray(strengths)))


def moving(held: Known, count: int) -> Known:
    """The first of them."""
    return some(held, np.arange(min(count, len(held.positions))))


def some(held: Known, which: np.ndarray) -> Known:
    """Those of the images."""
    return Known(
        held.subject,
        held.positions[which],
        held.images[which],
        held.codes[which],
        {name: values[which] for name, values in held.columns.items()},
        None if held.condition is None else held.condition[which],
    )


def of_interest(held: Known, name: str, threshold: float, n: int) -> Known:
    """n images to be shown: without the attribute where there are such, and of as many classes as there are."""
    lacking = np.flatnonzero(held.columns[name] <= threshold)
    order = np.concatenate([lacking, np.flatnonzero(held.columns[name] > threshold)])
    labels = [key for key in held.columns if key.startswith("label=") and key != name]
    label = np.argmax([held.columns[key][order] for key in labels], axis=0) if labels else np.zeros(len(order), int)
    turn = np.array([np.sum(label[:i] == label[i]) for i in range(len(order))])  # the how-manieth of its class
    lacks = np.arange(len(order)) < len(lacking)
    best = np.lexsort((label, turn, ~lacks))[:n]
    return some(held, order[best])


def at(subject: Subject, positions: Sequence[int]) -> Known:
    """The images at these positions, without columns."""
    where = np.asarray(positions)
    if where.min() < 0 or where.max() >= len(subject.split):
        raise UsageError(
            f"image {' '.join(map(str, positions))}: the {subject.name} images are numbered from 0 to "
            f"{len(subject.split) - 1}."
        )
    shown = subject.examples(where)
    return Known(subject, where, pictures(scale_to_unit(shown.image)), subject.means_of(where), {}, shown.condition)
