"""a - b + c of codes as pictures: of images, or of the mean codes of images that have attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.image_attributes import measures, scale_to_unit
from jaxvae.viz.figures.attributes import HELD, at, some, taught
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.labelled_codes import FEWEST, Known, decoded, default_attribute, learned_and_held, spelled
from jaxvae.viz.figures.subject import Subject

_NEAREST = 6  # images shown beside each term, and beside the result
NOT = "not:"


class _Term(NamedTuple):
    """What stands in the sum: its code [Z], the condition it is decoded on, or None, images beside it, and words."""

    code: np.ndarray
    condition: Any
    beside: np.ndarray
    name: str
    note: str


def draw_arithmetic(
    path: Path,
    subject: Subject,
    a: str | None = None,
    b: str | None = None,
    c: str | None = None,
    *,
    own: Path | None = None,
    examples: int = 10_000,
) -> dict[str, Any]:
    """a - b + c of codes, decoded; returns what is shown, by name.

    A term is the number of one of the subject's images, or attributes joined by commas, of which not:NAME is the
    absence: then the mean code of the training images that have them all. The result is decoded on the condition of c,
    where the model has conditions.
    """
    from jaxvae.viz import plots

    given = [text for text in (a, b, c) if text is not None]
    if len(given) not in (0, 3):
        missing = [f"--{name}" for name, text in (("a", a), ("b", b), ("c", c)) if text is None]
        raise UsageError(
            f"{' and '.join(missing)} missing: a - b + c has three terms; give all three, or none of them."
        )
    learned, held = learned_and_held(subject, own, examples, HELD)
    terms = [term(learned, subject, text) for text in given or default_terms(learned, held)]
    code = np.asarray(latent.arithmetic(*(jnp.asarray(each.code) for each in terms)))
    near = nearest(learned.codes, code)
    labels = _nearest_classes(learned, near)
    terms.append(_Term(code, terms[2].condition, learned.images[near], "the result", f"nearest real images{labels}"))
    seen = np.concatenate([_picture_of(learned, each) for each in terms])
    judge = taught(learned, held)
    own_measures = measures(subject.data.shape)
    told = _measured_of(terms, seen, subject.data.shape)
    names, beside, notes = ([getattr(each, key) for each in terms] for key in ("name", "beside", "note"))
    plots.arithmetic(path, seen, names, told, beside, notes)
    return {
        "names": np.array([each.name for each in terms]),
        "codes": np.stack([each.code for each in terms]),
        "images": seen,
        "nearest": learned.positions[near],
        "judged_names": np.array(judge.names),
        "judged": judge.probabilities(seen),
        "measured_names": np.array(list(own_measures), str),
        "measured": np.stack([m.of(seen) for m in own_measures.values()]) if own_measures else np.empty((0, 4)),
    }


def default_terms(learned: Known, held: Known) -> tuple[str, str, str]:
    """Images of a class with an attribute, minus the same without, plus another class without.

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
        return name, NOT + name, str(held.positions[lowest])
    first, second = best
    return f"{first},{name}", f"{first},{NOT}{name}", f"{second},{NOT}{name}"


def _measured_of(terms: list[_Term], seen: np.ndarray, shape: tuple[int, ...]) -> list[str]:
    """What can be measured, of what the terms name, on each of the pictures, in words; nothing where they name none."""
    words = {part.removeprefix(NOT) for each in terms for part in each.name.replace("\n", "").split(",")}
    told: list[list[str]] = [[] for _ in terms]
    for name, measure in measures(shape).items():
        if name in words:
            for lines, value in zip(told, measure.of(seen), strict=True):
                lines.append(f"{name} {value:.2g} {measure.unit}".strip().replace("-", "−"))
    return ["\n".join(lines) for lines in told]


def term(learned: Known, subject: Subject, text: str) -> _Term:
    """What the text stands for; ValueError, in words, for what it cannot."""
    if text.isdecimal():
        one = at(subject, [int(text)])
        given = None if one.condition is None else one.condition[0]
        real = pictures(scale_to_unit(subject.split.take(one.positions)[0]))
        return _Term(one.codes[0], given, real, f"image {text}", f"the {subject.name} image itself")
    has = np.ones(len(learned.positions), bool)
    for part in text.split(","):
        (name,) = spelled(subject, [part.removeprefix(NOT)])
        groups = learned.groups(name)
        has &= groups.lacks if part.startswith(NOT) else groups.has
    if has.sum() < FEWEST:
        raise UsageError(
            f"{text!r}: {has.sum()} of {len(has):,} {learned.subject.name} images have it all; expected at least "
            f"{FEWEST}. Name fewer attributes, or more --examples."
        )
    codes = learned.codes[has]
    middle = codes.mean(0)
    typical = nearest(codes, middle)
    given = None if learned.condition is None else learned.condition[has][typical[0]]
    shown = learned.images[has][:_NEAREST]
    return _Term(middle, given, shown, text.replace(",", ",\n"), f"{len(shown)} of {has.sum():,} averaged")


def nearest(codes: np.ndarray, code: np.ndarray) -> np.ndarray:
    """The positions of the NEAREST of the codes [N, Z] to a code [Z], by Euclidean distance, nearest first."""
    return np.argsort(((codes - code) ** 2).sum(1), kind="stable")[:_NEAREST]


def _nearest_classes(learned: Known, near: np.ndarray) -> str:
    """The classes of these images, in words; nothing without labels."""
    labels = [key for key in learned.columns if key.startswith("label=")]
    if not labels:
        return ""
    found = np.argmax([learned.columns[key][near] for key in labels], axis=0)
    return ": " + ", ".join(labels[i].removeprefix("label=") for i in found)


def _picture_of(learned: Known, each: _Term) -> np.ndarray:
    """[1, H, W, C]: what is seen at a term's code."""
    first = some(learned, np.arange(1))
    given = None if each.condition is None else np.asarray(each.condition)[None]
    return decoded(first._replace(condition=given), each.code[None])
