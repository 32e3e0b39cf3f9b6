"""Arithmetic with codes, a - b + c: of images, or of the mean codes of images that have attributes."""

import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.attributes import measures, scale_to_unit
from jaxvae.viz.figures.attributes import HELD, train_on
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.labelled_codes import (
    FEWEST,
    LabelledCodes,
    column_names,
    default_attribute,
    images_at,
    split_codes,
)
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots.image_grid import GAP, checked_images, enlarged, gallery, mosaic
from jaxvae.viz.plots.style import GREY

__all__ = ["ArithmeticData", "compute_arithmetic", "default_terms", "plot_arithmetic", "read_term"]

_NEAREST = 6  # images shown below each term, and below the result, in two rows
_NOT = "not:"
_TERM, _SIGN, _WORDS = 240, 76, 28  # pixels: a term of a sum, a sign beside it, a line of words below it
_NOTE = 30  # characters of a line below the small images


class _Term(NamedTuple):
    """A term of the sum: its code [Z], the condition it is decoded with, or None, real images, a name and a note."""

    code: np.ndarray
    condition: Any
    images: np.ndarray
    name: str
    note: str


class ArithmeticData(NamedTuple):
    """The three terms and the result: their `names` [4], `codes` [4, Z] and decoded `images` [4, H, W, C].

    `nearest` are the positions of the training images nearest to the result; `judged` [4, L] are a classifier's
    probabilities of the attributes `judged_names`, `measured` [M, 4] the values of `measured_names`. Below a term are
    the real images `beside` it, with `notes`; `values` are the measured values of the attributes that a term names.
    """

    names: np.ndarray
    codes: np.ndarray
    images: np.ndarray
    nearest: np.ndarray
    judged_names: np.ndarray
    judged: np.ndarray
    measured_names: np.ndarray
    measured: np.ndarray
    values: list[str]
    beside: list[np.ndarray]
    notes: list[str]


def compute_arithmetic(
    subject: Subject,
    a: str | None = None,
    b: str | None = None,
    c: str | None = None,
    *,
    own: Path | None = None,
    examples: int = 10_000,
) -> ArithmeticData:
    """Computes a - b + c of codes and decodes the terms and the result.

    A term is the number of one of the subject's images, or attributes joined by commas, of which not:NAME is the
    absence: then the mean code of the training images that have them all. The result is decoded with the condition of
    c, where the model has conditions.
    """
    given = [text for text in (a, b, c) if text is not None]
    if len(given) not in (0, 3):
        missing = [f"--{name}" for name, text in (("a", a), ("b", b), ("c", c)) if text is None]
        raise UsageError(
            f"{' and '.join(missing)} missing: a - b + c has three terms; give all three, or none of them."
        )
    learned, held = split_codes(subject, own, examples, HELD)
    terms = [read_term(learned, subject, text) for text in given or default_terms(learned, held)]
    code = np.asarray(latent.arithmetic(*(jnp.asarray(each.code) for each in terms)))
    near = _nearest(learned.codes, code)
    labels = [key for key in learned.columns if key.startswith("label=")]
    found = np.argmax([learned.columns[key][near] for key in labels], axis=0) if labels else []
    note = "nearest real images: " + ", ".join(labels[i].removeprefix("label=") for i in found)
    terms.append(_Term(code, terms[2].condition, learned.images[near], "the result", note.removesuffix(": ")))
    one, given_to = learned.take(np.arange(1)), [each.condition for each in terms]
    alone = [one._replace(condition=None if each is None else np.asarray(each)[None]) for each in given_to]
    images = np.concatenate([codes.decode(each.code[None]) for codes, each in zip(alone, terms, strict=True)])
    classifier, own_measures = train_on(learned, held), measures(subject.data.shape)
    return ArithmeticData(
        names=np.array([each.name for each in terms]),
        codes=np.stack([each.code for each in terms]),
        images=images,
        nearest=learned.positions[near],
        judged_names=np.array(classifier.names),
        judged=classifier.probabilities(images),
        measured_names=np.array(list(own_measures), str),
        measured=np.stack([m.of(images) for m in own_measures.values()]) if own_measures else np.empty((0, 4)),
        values=_measured_values(terms, images, subject.data.shape),
        beside=[each.images for each in terms],
        notes=[each.note for each in terms],
    )


def default_terms(learned: LabelledCodes, held: LabelledCodes) -> tuple[str, str, str]:
    """Returns three terms: a class with an attribute, the same class without it, and another class without it.

    The attribute is `default_attribute`; the classes are those two of which most images have it, and have it not.
    Without classes, and of colour pictures, whose mean codes show little: all images with it, minus all without, plus
    one image without.
    """
    name = default_attribute(learned)
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


def _measured_values(terms: list[_Term], images: np.ndarray, shape: tuple[int, ...]) -> list[str]:
    """Returns lines, for each image, of the measured attributes that a term names; '' without such."""
    words = {part.removeprefix(_NOT) for each in terms for part in each.name.replace("\n", "").split(",")}
    found: list[list[str]] = [[] for _ in terms]
    for name, measure in measures(shape).items():
        if name in words:
            for lines, value in zip(found, measure.of(images), strict=True):
                lines.append(f"{name} {value:.2g} {measure.unit}".strip().replace("-", "−"))
    return ["\n".join(lines) for lines in found]


def read_term(learned: LabelledCodes, subject: Subject, text: str) -> _Term:
    """Returns the term of a text; ValueError for an unknown attribute, and for too few images."""
    if text.isdecimal():
        one = images_at(subject, [int(text)])
        given = None if one.condition is None else one.condition[0]
        real = pictures(scale_to_unit(subject.split.take(one.positions)[0]))
        return _Term(one.codes[0], given, real, f"image {text}", f"the {subject.name} image itself")
    has = np.ones(len(learned.positions), bool)
    for part in text.split(","):
        (name,) = column_names(subject, [part.removeprefix(_NOT)])
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
    below = [_small_images(each, max(1, factor // 3), images.shape[1:]) for each in data.beside]
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


def _small_images(images: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    """Lays at most 6 images out in two rows of three, enlarged; empty places are white."""
    cells = np.ones((_NEAREST, *shape))
    images = np.asarray(images, float)[:_NEAREST]
    cells[: len(images)] = images
    return mosaic(enlarged(cells, factor), 3, GAP)
