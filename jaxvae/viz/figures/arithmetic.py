"""Arithmetic with codes, a - b + c: of images, or of the mean codes of images that have attributes."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.image_attributes import measures, scale_to_unit
from jaxvae.viz.figures.attributes import HELD, images_at, train_on
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.labelled_codes import FEWEST, LabelledCodes, column_names, default_attribute, split_codes
from jaxvae.viz.figures.subject import Subject

__all__ = ["ArithmeticData", "compute_arithmetic", "default_terms", "read_term"]

_NEAREST = 6  # images shown below each term, and below the result
_NOT = "not:"


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
    note = f"nearest real images{_describe_classes(learned, near)}"
    terms.append(_Term(code, terms[2].condition, learned.images[near], "the result", note))
    images = np.concatenate([_decode_term(learned, each) for each in terms])
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


def _describe_classes(learned: LabelledCodes, near: np.ndarray) -> str:
    """Returns the classes of these images as text; '' without labels."""
    labels = [key for key in learned.columns if key.startswith("label=")]
    if not labels:
        return ""
    found = np.argmax([learned.columns[key][near] for key in labels], axis=0)
    return ": " + ", ".join(labels[i].removeprefix("label=") for i in found)


def _decode_term(learned: LabelledCodes, each: _Term) -> np.ndarray:
    """Returns the picture [1, H, W, C] of a term's code."""
    given = None if each.condition is None else np.asarray(each.condition)[None]
    return learned.take(np.arange(1))._replace(condition=given).decode(each.code[None])
