"""The model that a page explores: its images and their codes."""

import contextlib
import dataclasses
from collections.abc import Mapping
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latent
from jaxvae._checks import UsageError
from jaxvae.data.dataset import draw_rows
from jaxvae.distributions import has_kl_each
from jaxvae.evaluate.bounds import active_units
from jaxvae.model.traits import traits_of
from jaxvae.viz.figures.labelled_codes import label_codes
from jaxvae.viz.figures.subject import Subject, infer_and_prior

__all__ = ["MAX_IMAGES", "PATHS", "Codes", "Session", "limit_images", "nearest_codes", "open_session"]
__all__ += ["slider_ranges"]

MAX_IMAGES = 10_000  # of the split that are encoded, shown and searched
PATHS = {  # (start [Z], end [Z], steps) -> [steps, Z]
    "line": jax.jit(latent.line, static_argnums=2),
    "great_circle": jax.jit(latent.great_circle, static_argnums=2),
}
_SUBSET_SEED = 3
_DEVIATIONS = 3.0  # about the middle that a slider covers at least
_OUTSIDE = 0.002  # the share of the codes that may be beyond each end of a slider


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
    """A model and its images; `codes` is None if its z is no vector, as that of a codebook."""

    subject: Subject
    codes: Codes | None

    @property
    def limitation(self) -> str:
        """Why there is no latent space to move in; '' if there is one."""
        if self.codes is not None:
            return ""
        return (
            f"This model's z is shaped {list(self.subject.run.latent_shape)}, of discrete parts: it has no sliders and "
            "no paths. The page shows images and their reconstructions, drawings and samples."
        )

    def require_codes(self) -> Codes:
        """Returns the codes; raises UsageError if there are none."""
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
    return Session(subject, _measure_codes(subject) if len(subject.run.latent_shape) == 1 else None)


def limit_images(subject: Subject) -> Subject:
    """Returns the subject with at most MAX_IMAGES of its split, drawn by a fixed seed if there are more."""
    split, _ = draw_rows(subject.split, min(MAX_IMAGES, len(subject.split)), _SUBSET_SEED)
    data = dataclasses.replace(subject.data, splits={**subject.data.splits, subject.name: split})
    return dataclasses.replace(subject, data=data)


def _measure_codes(subject: Subject) -> Codes:
    means, run = subject.means, subject.run
    condition = None if run.parts.condition_size is None else jnp.zeros((1, run.parts.condition_size))
    is_kl = has_kl_each(
        *jax.eval_shape(partial(infer_and_prior, run.model), run.variables, jnp.zeros((1, *run.shape)), condition)
    )
    low, high = slider_ranges(means, subject.center, subject.scale)
    labelled, directions = label_codes(subject, np.arange(len(subject.split)), None), {}
    for name in labelled.columns:
        if not (run.conditional and name.startswith("label=")):  # a class that is the model's condition
            with contextlib.suppress(UsageError):  # an attribute that too few images have, or lack
                directions[name] = np.asarray(latent.mean_difference(*labelled.clear_codes(name)))
    return Codes(means, subject.dimension_kl, is_kl, active_units(means), low, high, directions)


def slider_ranges(codes: np.ndarray, middle: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (lowest [Z], highest [Z]) of the sliders, rounded outwards to a tenth.

    They cover three deviations `spread` [Z] about the `middle` [Z], and nearly all codes [N, Z].
    """
    low, high = np.quantile(codes.astype(np.float64), [_OUTSIDE, 1 - _OUTSIDE], axis=0)
    low, high = np.minimum(low, middle - _DEVIATIONS * spread), np.maximum(high, middle + _DEVIATIONS * spread)
    return np.floor(np.round(10 * low, 3)) / 10, np.ceil(np.round(10 * high, 3)) / 10


def nearest_codes(
    codes: np.ndarray, z: np.ndarray, count: int, *, without: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (positions, Euclidean distances) of the `count` codes [N, Z] nearest to z [Z], except `without`."""
    distances = np.sqrt(((codes - z) ** 2).sum(axis=1))
    if without is not None:
        distances[without] = np.inf
    order = np.argsort(distances, kind="stable")[: min(count, len(codes) - (without is not None))]
    return order, distances[order]
