"""The model that a page explores: its images, their codes, and its compiled functions."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.dataset import draw_rows
from jaxvae.evaluate.bounds import active_units
from jaxvae.model.traits import traits_of
from jaxvae.terms import example_keys
from jaxvae.viz.explorer.compiled import CompiledFunctions, compile_functions, has_kl_per_dimension
from jaxvae.viz.explorer.latent_ranges import slider_ranges
from jaxvae.viz.figures.labelled_codes import known
from jaxvae.viz.figures.subject import Subject

__all__ = ["MAX_IMAGES", "Codes", "Session", "limit_images", "open_session", "score_keys"]

MAX_IMAGES = 10_000  # of the split that are encoded, shown and searched
_SUBSET_SEED = 3
_SCORE_DRAWS = 16  # z ~ q(z|x) over which the rate and distortion of one image are averaged
_SCORE = 10  # a purpose folded into the subject's key


@dataclasses.dataclass(frozen=True)
class Codes:
    """The codes of all images, for a model whose z is a vector: their `means` [N, Z], and of each dimension [Z] its
    `information` (the KL in nats if `is_kl`, else the variance), whether it is `active`, and the range of its slider;
    `directions` are those of attributes, [Z] each.
    """

    means: np.ndarray
    information: np.ndarray
    is_kl: bool
    active: np.ndarray
    low: np.ndarray
    high: np.ndarray
    directions: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Session:
    """An opened model; `codes` is None if its z is no vector, as that of a codebook."""

    subject: Subject
    functions: CompiledFunctions
    codes: Codes | None

    @property
    def limitation(self) -> str:
        """Why there is no latent space to move in; '' if there is one."""
        if self.codes is not None:
            return ""
        return (
            f"This model's z is shaped {list(self.subject.run.latent_shape)}, of discrete parts: no slider moves "
            "between them, and no line leads from one to another. What can be shown is shown: images and their "
            "reconstructions, drawings and samples."
        )

    def require_codes(self) -> Codes:
        """Returns the codes; raises UsageError if z is no vector."""
        if self.codes is None:
            raise UsageError(self.limitation)
        return self.codes

    def shift(self, z: np.ndarray, strengths: Mapping[str, float]) -> np.ndarray:
        """Returns codes [B, Z] with attributes added, projected back if z lives on the unit sphere."""
        directions = self.require_codes().directions
        for name, strength in strengths.items():
            z = z + np.float32(strength) * directions[name]
        if traits_of(self.subject.run.model.posterior).space == "sphere":
            z = z / np.maximum(np.sqrt((z**2).sum(-1, keepdims=True)), 1e-12)
        return z

    @cached_property
    def shuffled(self) -> np.ndarray:
        """The positions of all images in a fixed random order, since folders of images are sorted by class."""
        return np.random.default_rng(0).permutation(len(self.subject.split))

    @cached_property
    def class_names(self) -> list[str] | None:
        """The names of the classes; None if labels are no classes."""
        subject = self.subject
        if subject.classes is None:
            return None
        named, highest = len(subject.data.class_names), int(subject.classes.max())
        count = max(subject.run.parts.condition_size or 0, named, highest + 1)
        return [subject.class_name(label) for label in range(count)]


def open_session(subject: Subject) -> Session:
    """Encodes the subject's images, at most MAX_IMAGES of them."""
    subject = limit_images(subject)
    codes = _measure_codes(subject) if len(subject.run.latent_shape) == 1 else None
    return Session(subject, compile_functions(subject.run.model), codes)


def limit_images(subject: Subject) -> Subject:
    """Returns the subject with at most MAX_IMAGES of its split, drawn by a fixed seed if there are more."""
    split, _ = draw_rows(subject.split, min(MAX_IMAGES, len(subject.split)), _SUBSET_SEED)
    data = dataclasses.replace(subject.data, splits={**subject.data.splits, subject.name: split})
    return dataclasses.replace(subject, data=data)


def _measure_codes(subject: Subject) -> Codes:
    means, run = subject.means, subject.run
    low, high = slider_ranges(means, subject.middle, subject.spread)
    x = jnp.zeros((1, *run.shape))
    condition = None if run.parts.condition_size is None else jnp.zeros((1, run.parts.condition_size))
    is_kl = has_kl_per_dimension(run.model, run.variables, x, condition)
    return Codes(means, subject.said, is_kl, active_units(means), low, high, _attribute_directions(subject))


def _attribute_directions(subject: Subject) -> Mapping[str, np.ndarray]:
    """Returns {attribute: its direction [Z]}, of computed attributes and of classes that are no condition of the model.

    An attribute that too few images have, or lack, is left out.
    """
    found = known(subject, np.arange(len(subject.split)), None)
    directions = {}
    for name in found.columns:
        if subject.run.conditional and name.startswith("label="):
            continue
        with contextlib.suppress(UsageError):
            groups = found.groups(name)
            clear = groups.has | groups.lacks
            codes, has = jnp.asarray(found.codes[clear]), jnp.asarray(groups.has[clear])
            directions[name] = np.asarray(latent.mean_difference(codes, has))
    return directions


def score_keys(subject: Subject) -> Array:
    """Returns the keys [S, 1] by which one image is scored, the same for every image."""
    return example_keys(subject.key_of(_SCORE), jnp.zeros(1, jnp.int32), _SCORE_DRAWS)
