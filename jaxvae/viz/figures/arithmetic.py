"""Arithmetic with codes, a - b + c: of images, or of the mean codes of images that have attributes."""

import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.attributes import measures
from jaxvae.viz.figures import labelled_codes
from jaxvae.viz.figures.attributes import HELD, train_on
from jaxvae.viz.figures.labelled_codes import FEWEST, LabelledCodes
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.image_grid import GAP, checked_images, enlarged, gallery, mosaic
from jaxvae.viz.plots.style import GREY

__all__ = ["ArithmeticData", "compute_arithmetic", "default_terms", "plot_arithmetic", "read_term"]

_NEAREST = 6  # images shown below each term, and below the result, in two rows
_NOT = "not:"
_TERM, _SIGN, _WORDS = 240, 76, 28  # pixels: a term of a sum, a sign beside it, a line of words below it
_NOTE = 30  # characters of a line below the small images


class _Term(NamedTuple):
    """A term of the sum."""

    code: np.ndarray
    condition: Any
    images: np.ndarray
    name: str
    note: str


class ArithmeticData(NamedTuple):
    """The three terms of a sum and its result."""

    names: np.ndarray  # [4]
    codes: np.ndarray  # [4, Z]
    images: np.ndarray  # decoded, [4, H, W, C]
    nearest: np.ndarray  # positions of the training images nearest to the result
    judged_names: np.ndarray
    judged: np.ndarray  # a classifier's probabilities [4, L]
    measured_names: np.ndarray
    measured: np.ndarray  # [M, 4]
    values: list[str]  # measured values of the attributes that a term names
    beside: list[np.ndarray]  # real images below each term
    notes: list[str]  # on these


def compute_arithmetic(
    subject: Subject, *terms: str | None, own: Path | None = None, examples: int = 10_000
) -> ArithmeticData:
    """Computes a - b + c of codes and decodes the three `terms` and the result; the terms are `default_terms` if None.

    A term is the number of one of the subject's images, or attributes joined by commas, of which not:NAME is the
    absence: then the mean code of the training images that have them all. The result is decoded with the condition of
    c, where the model has conditions.
    """
    given = [text for text in terms if text is not None]
    if len(given) not in (0, 3):
        missing = [f"--{name}" for name, text in zip("abc", terms, strict=True) if text is None]
        raise UsageError(
            f"{' and '.join(missing)} missing: a - b + c has three terms; give all three, or none of them."
        )
    learned, held = labelled_codes.split_codes(subject, own, examples, HELD)
    found = [read_term(learned, subject, text) for text in given or default_terms(learned, held)]
    code = np.asarray(latent.arithmetic(*(jnp.asarray(each.code) for each in found)))
    near = _nearest(learned.codes, code)
    labels = [key for key in learned.columns if key.startswith("label=")]
    classes = np.argmax([learned.columns[key][near] for key in labels], axis=0) if labels else []
    note = "nearest real images: " + ", ".join(labels[i].removeprefix("label=") for i in classes)
    found.append(_Term(code, found[2].condition, learned.images[near], "the result", note.removesuffix(": ")))
    one = learned.take(np.arange(1))
    alone = [one._replace(condition=None if t.condition is None else np.asarray(t.condition)[None]) for t in found]
    images = np.concatenate([codes.decode(each.code[None]) for codes, each in zip(alone, found, strict=True)])
    classifier, computed = train_on(learned, held), measures(subject.data.shape)
    measured = {name: measure.of(images) for name, measure in computed.items()}
    words = {part.removeprefix(_NOT) for each in found for part in each.name.replace("\n", "").split(",")}
    texts = [
        [f"{name} {value:.2g} {computed[name].unit}".strip().replace("-", "−") for value in measured[name]]
        for name in computed
        if name in words
    ]
    return ArithmeticData(
        names=np.array([each.name for each in found]),
        codes=np.stack([each.code for each in found]),
        images=images,
        nearest=learned.positions[near],
        judged_names=np.array(classifier.names),
        judged=classifier.probabilities(images),
        measured_names=np.array(list(computed), str),
        measured=np.stack(list(measured.values())) if computed else np.empty((0, 4)),
        values=["\n".join(lines) for lines in zip(*texts, strict=True)] or [""] * 4,
        beside=[each.images for each in found],
        notes=[each.note for each in found],
    )


def default_terms(learned: LabelledCodes, held: LabelledCodes) -> tuple[str, str, str]:
    """Returns three terms: a class with `default_attribute`, the same class without it, and another without it.

    Without classes, and of colour pictures, whose mean codes show little, they are all images with it, all without,
    and one image without.
    """
    name = labelled_codes.default_attribute(learned)
    labels = [key for key in learned.columns if key.startswith("label=")]
    if name in labels and len(labels) > 2:
        return labels[0], labels[1], labels[2]
    groups = learned.groups(name)

    def fewest(key: str) -> int:
        inside = learned.columns[key] > 0
        return int(min((inside & groups.has).sum(), (inside & groups.lacks).sum()))

    best = sorted(labels, key=fewest, reverse=True)[:2]
    if learned.images.shape[-1] == 3 or len(best) < 2 or fewest(best[1]) < FEWEST:
        lowest = np.argmin(np.abs(held.columns[name] - np.median(learned.columns[name][groups.lacks])))
        return name, _NOT + name, str(held.positions[lowest])
    first, second = best
    return f"{first},{name}", f"{first},{_NOT}{name}", f"{second},{_NOT}{name}"


def read_term(learned: LabelledCodes, subject: Subject, text: str) -> _Term:
    """Returns the term of a text; ValueError for an unknown attribute, and for too few images."""
    if text.isdecimal():
        one = labelled_codes.images_at(subject, [int(text)])
        given = None if one.condition is None else one.condition[0]
        return _Term(one.codes[0], given, one.images, f"image {text}", f"the {subject.name} image itself")
    has = np.ones(len(learned.positions), bool)
    for part in text.split(","):
        (name,) = labelled_codes.column_names(subject, [part.removeprefix(_NOT)])
        groups = learned.groups(name)
        has &= groups.lacks if part.startswith(_NOT) else groups.has
    if has.sum() < FEWEST:
        raise UsageError(
            f"{text!r}: {has.sum()} of {len(has):,} {learned.subject.name} images have it all; expected at least "
            f"{FEWEST}. Name fewer attributes, or more --examples."
        )
    codes = learned.codes[has]
    middle = codes.mean(0)
    typical = _nearest(codes, middle)
    given = None if learned.condition is None else learned.condition[has][typical[0]]
    shown = learned.images[has][:_NEAREST]
    return _Term(middle, given, shown, text.replace(",", ",\n"), f"{len(shown)} of {has.sum():,} averaged")


def _nearest(codes: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Returns the places of the codes [N, Z] nearest to a code [Z], by Euclidean distance, nearest first."""
    return np.argsort(((codes - code) ** 2).sum(1), kind="stable")[:_NEAREST]


def plot_arithmetic(path: Path, data: ArithmeticData) -> None:
    """Draws a - b + c = result, with the measured values; below each term at most 6 of its real images."""
    images, names = checked_images("images", data.images, "NHWC"), data.names
    if not len(images) == len(names) == len(data.values) == len(data.beside) == len(data.notes) == 4:
        raise UsageError(f"{len(images)} images, {len(names)} names, {len(data.beside)} rows; expected 4 each.")
    factor = max(1, _TERM // max(images.shape[1:3]))
    large = enlarged(images, factor)
    white = np.ones((_NEAREST, *images.shape[1:]))  # in places without an image
    cells = [np.concatenate([each, white])[:_NEAREST] for each in data.beside]
    below = [mosaic(enlarged(each, max(1, factor // 3)), 3, GAP) for each in cells]
    size, six = large.shape[1], below[0].shape[0]
    wide = max(large.shape[2], below[0].shape[1], _TERM)
    lines = [name.count("\n") + 1 + len(value.splitlines()) for name, value in zip(names, data.values, strict=True)]
    top = size + _WORDS * max(lines) + _WORDS // 2  # where the small ones start
    canvas = np.ones((top + six, 4 * wide + 3 * _SIGN, images.shape[-1]))
    lefts = [k * (wide + _SIGN) for k in range(4)]
    for left, image, small in zip(lefts, large, below, strict=True):
        canvas[:size, left : left + image.shape[1]] = image
        canvas[top:, left : left + small.shape[1]] = small
    subtitle = "large: the mean of p(x|z) at a code; small: real images"
    notes = ["\n".join(textwrap.wrap(note, _NOTE)) for note in data.notes]
    bottom = 0.2 + 0.14 * (1 + max(note.count("\n") for note in notes))
    with gallery(path, canvas, "Arithmetic with codes", subtitle, bottom=bottom) as axes:
        for left, name, value, note in zip(lefts, names, data.values, notes, strict=True):
            axes.text(left, size + 12, name, va="top", fontsize=9, weight="bold", linespacing=1.3)
            axes.text(left, size + 12 + _WORDS * (1 + name.count("\n")), value, va="top", fontsize=9, linespacing=1.3)
            axes.text(left, top + six + 8, note, va="top", fontsize=8, color=GREY, linespacing=1.2)
        for left, sign in zip(lefts, "−+=", strict=False):
            axes.text(left + wide + _SIGN / 2, size / 2, sign, fontsize=26, ha="center", va="center")
