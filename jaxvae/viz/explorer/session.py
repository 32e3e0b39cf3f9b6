"""What is known of a model before the first question: its images' codes, and its functions, compiled."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxvae import latent
from jaxvae.data.dataset import drawn
from jaxvae.evaluate.bounds import active_units
from jaxvae.terms import example_keys
from jaxvae.viz.explorer.compiled import Functions, compiled, factorises
from jaxvae.viz.explorer.latent_ranges import reach
from jaxvae.viz.figures.labelled_codes import known as measured
from jaxvae.viz.figures.subject import Subject

MOST = 10_000  # images of the split that are encoded, shown and searched
_CHOICE = 3  # the seed by which they are chosen
_SCORED = 16  # draws z ~ q(z|x) over which the distortion of one image is averaged
_SCORE = 10  # a purpose folded into the subject's key


@dataclasses.dataclass(frozen=True)
class Flat:
    """Of a model whose z is a vector [Z]: the codes [N, Z] of all images, what each dimension says [Z] (the KL in nats
    where `kl`), which are active, how far the sliders go, and the directions that attributes have.
    """

    codes: np.ndarray
    says: np.ndarray
    kl: bool
    active: np.ndarray
    low: np.ndarray
    high: np.ndarray
    directions: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Known:
    """A model to be explored; `flat` is None, and `refused` says why, where its z is no vector, as a codebook's."""

    subject: Subject
    functions: Functions
    flat: Flat | None
    refused: str

    @property
    def spherical(self) -> bool:
        """Whether z lies on the unit sphere."""
        return getattr(self.subject.run.model.posterior, "space", "real") == "sphere"

    @cached_property
    def shuffled(self) -> np.ndarray:
        """The positions of all images in an order that is the same every time: folders of them are sorted by class."""
        return np.random.default_rng(0).permutation(len(self.subject.split))


def know(subject: Subject) -> Known:
    """Encodes the subject's images, at most MOST of them."""
    subject = shortened(subject)
    functions = compiled(subject.run.model)
    shape = list(subject.run.latent_shape)
    if len(shape) == 1:
        return Known(subject, functions, _flat_of(subject), "")
    refused = (
        f"This model's z is shaped {shape}, of discrete parts: no slider moves between them, and no line leads from "
        "one to another. What can be shown is shown: images and their reconstructions, drawings and samples."
    )
    return Known(subject, functions, None, refused)


def shortened(subject: Subject) -> Subject:
    """The subject with at most MOST images of its split, drawn by a fixed seed where there are more."""
    split, _ = drawn(subject.split, min(MOST, len(subject.split)), _CHOICE)
    data = dataclasses.replace(subject.data, splits={**subject.data.splits, subject.name: split})
    return dataclasses.replace(subject, data=data)


def _flat_of(subject: Subject) -> Flat:
    """What the codes of all the subject's images say."""
    codes, run = subject.means, subject.run
    low, high = reach(codes, subject.middle, subject.spread)
    x = jnp.zeros((1, *run.shape))
    given = None if run.parts.condition_size is None else jnp.zeros((1, run.parts.condition_size))
    kl = factorises(run.model, run.variables, x, given)
    return Flat(codes, subject.said, kl, active_units(codes), low, high, attributes(subject))


def attributes(subject: Subject) -> Mapping[str, np.ndarray]:
    """{attribute: its direction [Z]}: of what is computed of the images, and of the classes that the model is not told.

    What too few images have, or lack, is left out.
    """
    found = measured(subject, np.arange(len(subject.split)), None)
    told = subject.run.conditional
    directions = {}
    for name in found.columns:
        if told and name.startswith("label="):
            continue
        with contextlib.suppress(ValueError):
            groups = found.groups(name)
            clear = groups.has | groups.lacks
            codes, has = jnp.asarray(found.codes[clear]), jnp.asarray(groups.has[clear])
            directions[name] = np.asarray(latent.mean_difference(codes, has))
    return directions


def score_keys(subject: Subject) -> Array:
    """The keys [SCORED, 1] of the draws by which one image is scored, the same for every image."""
    return example_keys(subject.key_of(_SCORE), jnp.zeros(1, jnp.int32), _SCORED)
