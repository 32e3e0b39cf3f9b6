"""Images of a split with their codes and attributes: labels, a user's columns, and what is computed from pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxvae._checks import UsageError
from jaxvae.data import attributes
from jaxvae.data.attributes import AttributeGroups, Columns, UserColumns
from jaxvae.model.traits import traits_of
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject

__all__ = ["FEWEST", "LabelledCodes", "column_names", "default_attribute", "images_at", "label_codes"]
__all__ += ["split_codes"]

_CHOOSE = 20  # purpose of the key by which images are chosen
FEWEST = 10  # images with an attribute, and without, that a direction needs


class LabelledCodes(NamedTuple):
    """N images of a split with their codes and attributes."""

    subject: Subject
    positions: np.ndarray  # [N], in the subject's split
    images: np.ndarray  # pictures in [0, 1]
    codes: np.ndarray  # the means of q(z|x), [N, Z]
    columns: Columns  # {name: float [N]}
    condition: np.ndarray | None  # of the model
    words: tuple[str, ...] = ()  # names of a user's columns that hold text

    def groups(self, name: str) -> AttributeGroups:
        """Returns who has the attribute and who lacks it; ValueError for an unknown one, and for too few of either."""
        if name in self.words:
            raise UsageError(f"the column {name!r} holds words, no numbers; write it as numbers, such as 0 and 1.")
        if name not in self.columns:
            raise UsageError(f"there is no attribute {name!r}; known are {', '.join(self.columns)}.")
        try:
            found = attributes.split_by_attribute(self.columns[name])
        except ValueError as error:
            raise UsageError(f"attribute {name!r}: {error}") from error
        if min(found.has.sum(), found.lacks.sum()) < FEWEST:
            raise UsageError(
                f"attribute {name!r}: of {len(self.positions):,} {self.subject.name} images {found.has.sum()} have it "
                f"and {found.lacks.sum()} have not; expected at least {FEWEST} of each. See --examples."
            )
        return found

    def clear_codes(self, name: str) -> tuple[Array, Array]:
        """Returns (codes [M, Z], who has the attribute [M]) of the images that clearly have or lack it."""
        groups = self.groups(name)
        clear = groups.has | groups.lacks
        return jnp.asarray(self.codes[clear]), jnp.asarray(groups.has[clear])

    def thresholds(self) -> dict[str, float]:
        """Returns for each attribute that varies the value above which an image has it."""
        varied = {name: values for name, values in self.columns.items() if np.ptp(values) > 0}
        return {name: attributes.split_by_attribute(values).threshold for name, values in varied.items()}

    def take(self, index: np.ndarray) -> LabelledCodes:
        """Returns the images at these places among the N."""
        return self._replace(
            positions=self.positions[index],
            images=self.images[index],
            codes=self.codes[index],
            columns={name: values[index] for name, values in self.columns.items()},
            condition=None if self.condition is None else self.condition[index],
        )

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Returns pictures of z [..., N, Z], each given its image's condition; codes of a sphere are normalized."""
        if traits_of(self.subject.run.model.posterior).space == "sphere":
            z = z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-12)
        return self.subject.decode(z, self.condition)


def label_codes(subject: Subject, positions: np.ndarray, own: UserColumns | None) -> LabelledCodes:
    """Returns the images at these positions with their codes and all their attributes."""
    image, label, index = subject.split.take(positions)
    shown = pictures(attributes.scale_to_unit(image))
    found = {name: measure.of(shown) for name, measure in attributes.measures(subject.data.shape).items()}
    found |= attributes.class_columns(label if subject.split.label is not None else None, subject.data.class_names)
    if own is not None:
        if taken := found.keys() & own.columns.keys():
            raise UsageError(f"--columns: {', '.join(sorted(taken))} is known already; give it another name.")
        found = own.of(index) | found
    given, words = label if subject.run.conditional else None, () if own is None else own.left_out
    return LabelledCodes(subject, positions, shown, subject.means_of(positions), found, given, words)


def split_codes(subject: Subject, own: Path | None, examples: int, held: int) -> tuple[LabelledCodes, LabelledCodes]:
    """Returns (at most `examples` training images, at most `held` others of the subject's split).

    Where a user's columns are of the subject's split alone, each is at most half of that split.
    """
    if len(subject.data.shape) != 3 and own is None and subject.classes is None:
        raise UsageError(
            "these are sequences without labels, of which no attribute is computed; bring your own: --columns FILE.csv."
        )
    read = None if own is None else attributes.read_columns(own, subject.data.splits, subject.name)
    training = dataclasses.replace(subject, name="train")
    apart = subject.name != "train" and (read is None or read.covers(training.split))
    source = training if apart else subject
    most = len(source.split) if apart else max(1, len(source.split) // 2)

    def shuffled(of: Subject) -> np.ndarray:
        return np.asarray(random.permutation(of.key_for(_CHOOSE), len(of.split)))

    first = shuffled(source)
    second = shuffled(subject) if apart else first[most:]
    return label_codes(source, np.sort(first[: min(examples, most)]), read), label_codes(subject, second[:held], read)


def default_attribute(found: LabelledCodes) -> str:
    """Returns the attribute that is shown by default: the first of a user's columns, or a computed one, or a label."""
    return next(iter(found.columns))


def column_names(subject: Subject, names: Sequence[str]) -> list[str]:
    """Returns the attributes as columns are named: label=airplane for label=0."""
    return [attributes.named_class_column(name, subject.data.class_names) for name in names]


def images_at(subject: Subject, positions: Sequence[int]) -> LabelledCodes:
    """Returns the images at these positions, without columns."""
    subject.require_positions(positions)
    where = np.asarray(positions)
    shown = subject.examples(where)
    images = pictures(attributes.scale_to_unit(shown.image))
    return LabelledCodes(subject, where, images, subject.means_of(where), {}, shown.condition)
