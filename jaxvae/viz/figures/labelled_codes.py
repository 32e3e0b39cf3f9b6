"""Some images of a split with all that is known of them: codes, labels, a user's columns, what can be computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jax import random

from jaxvae._checks import UsageError
from jaxvae.data import attribute_columns, image_attributes
from jaxvae.data.attribute_columns import AttributeGroups, Columns, UserColumns
from jaxvae.model.traits import traits_of
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject

_CHOOSE = 20  # the purpose of the key by which images are chosen
FEWEST = 10  # images with an attribute, and without, that a direction needs


class Known(NamedTuple):
    """N images of `subject`'s split at `positions`: as pictures in [0, 1]; codes [N, Z], the means of q(z|x); columns
    {name: float [N]}; the conditions that the model is given, or None; and a user's columns of words, left out.
    """

    subject: Subject
    positions: np.ndarray
    images: np.ndarray
    codes: np.ndarray
    columns: Columns
    condition: np.ndarray | None
    words: tuple[str, ...] = ()

    def groups(self, name: str) -> AttributeGroups:
        """Who has the attribute; ValueError for an unknown one, and where too few have it, or have not."""
        if name in self.words:
            raise UsageError(f"the column {name!r} holds words, no numbers; write it as numbers, such as 0 and 1.")
        if name not in self.columns:
            raise UsageError(f"there is no attribute {name!r}; known are {', '.join(self.columns)}.")
        try:
            found = attribute_columns.split_by_attribute(self.columns[name])
        except ValueError as error:
            raise UsageError(f"attribute {name!r}: {error}") from error
        if min(found.has.sum(), found.lacks.sum()) < FEWEST:
            raise UsageError(
                f"attribute {name!r}: of {len(self.positions):,} {self.subject.name} images {found.has.sum()} have it "
                f"and {found.lacks.sum()} have not; expected at least {FEWEST} of each. See --examples."
            )
        return found

    def thresholds(self) -> dict[str, float]:
        """Of each attribute that not all images have alike, the value above which one has it."""
        varied = {name: values for name, values in self.columns.items() if np.ptp(values) > 0}
        return {name: attribute_columns.split_by_attribute(values).threshold for name, values in varied.items()}


def known(subject: Subject, positions: np.ndarray, own: UserColumns | None) -> Known:
    """All that is known of the images at these positions."""
    image, label, index = subject.split.take(positions)
    shown = pictures(image_attributes.scale_to_unit(image))
    found = {name: measure.of(shown) for name, measure in image_attributes.measures(subject.data.shape).items()}
    found |= attribute_columns.class_columns(
        label if subject.split.label is not None else None, subject.data.class_names
    )
    if own is not None:
        if taken := found.keys() & own.columns.keys():
            raise UsageError(f"--columns: {', '.join(sorted(taken))} is known already; give it another name.")
        found = own.of(index) | found
    given, words = label if subject.run.conditional else None, () if own is None else own.left_out
    return Known(subject, positions, shown, subject.means_of(positions), found, given, words)


def learned_and_held(subject: Subject, own: Path | None, examples: int, held: int) -> tuple[Known, Known]:
    """(at most `examples` training images, at most `held` others of the subject's split).

    Where a user's columns are of the subject's split alone, both are of it, half of it each at most.
    """
    if len(subject.data.shape) != 3 and own is None and subject.classes is None:
        raise UsageError(
            "these are sequences without labels, of which no attribute is computed; bring your own: --columns FILE.csv."
        )
    read = None if own is None else attribute_columns.read_columns(own, subject.data.splits, subject.name)
    training = dataclasses.replace(subject, name="train")
    apart = subject.name != "train" and (read is None or read.covers(training.split))
    source = training if apart else subject
    most = len(source.split) if apart else max(1, len(source.split) // 2)
    first = chosen(source)
    second = chosen(subject) if apart else first[most:]
    return known(source, np.sort(first[: min(examples, most)]), read), known(subject, second[:held], read)


def chosen(subject: Subject) -> np.ndarray:
    """The positions of the subject's split in an order of chance, the same for a seed."""
    return np.asarray(random.permutation(subject.key_of(_CHOOSE), len(subject.split)))


def default_attribute(found: Known) -> str:
    """What is looked at where nothing is named: the first of a user's columns, or what can be computed, or a label."""
    return next(iter(found.columns))


def spelled(subject: Subject, names: Sequence[str]) -> list[str]:
    """The attributes as columns are named: label=airplane for label=0."""
    return [attribute_columns.named_class_column(name, subject.data.class_names) for name in names]


def decoded(found: Known, z: np.ndarray) -> np.ndarray:
    """What is seen at z [..., N, Z], each on its image's condition; put back on the sphere where codes live on one."""
    if traits_of(found.subject.run.model.posterior).space == "sphere":
        z = z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-12)
    given = found.condition
    if given is not None:
        given = np.broadcast_to(given, (*z.shape[:-1], *given.shape[1:]))
    return found.subject.decoded(z, given)
