"""A trained model and the images that it is looked at with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxvae.data.dataset import DataSet, Split
from jaxvae.data.prepare import Prepare
from jaxvae.run import Run
from jaxvae.terms import example_keys

PREPARE, DRAW = 0, 1  # purposes folded into the subject's key
BATCH = 500  # images encoded at once
QUICK: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}  # see `run_once`


class Looked(NamedTuple):
    """Some examples of a split: the stored image uint8 [B, *X]; x [B, *X], prepared as in training, and clean; the
    label [B] (-1 where there is none) or [B, C]; the condition that the model is to be given, or None.
    """

    image: np.ndarray
    x: Array
    label: np.ndarray
    condition: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run, its data, the split whose images are shown, and the key of all that is drawn for a picture."""

    run: Run
    data: DataSet
    name: str
    key: Array

    @property
    def split(self) -> Split:
        return self.data.splits[self.name]

    @property
    def classes(self) -> np.ndarray | None:
        """Every image's class, int [N]; None where labels are vectors, or where there are none."""
        label = self.split.label
        return None if label is None or label.ndim != 1 else self.split.labels(np.arange(len(self.split)))

    def key_of(self, purpose: int) -> Array:
        """The key of one purpose: the same at every call."""
        return random.fold_in(random.clone(self.key), purpose)

    def examples(self, positions: Sequence[int] | np.ndarray) -> Looked:
        """The examples at these positions of the split, each prepared by the same draw at every call."""
        image, label, index = self.split.take(np.asarray(positions))
        starts = range(0, len(image), BATCH)
        key, kind = self.key_of(PREPARE), self.run.parts.prepare
        x = [prepared(kind, key, *(filled(each[i : i + BATCH]) for each in (image, index))) for i in starts]
        return Looked(image, jnp.concatenate(x)[: len(image)], label, label if self.run.conditional else None)

    @cached_property
    def means(self) -> np.ndarray:
        """The mean of q(z|x) of every image of the split, [N, *Z]; ValueError where q has none, as a codebook's."""
        if len(self.run.latent_shape) != 1:
            raise ValueError(
                f"z is shaped {list(self.run.latent_shape)} here: walks, directions and maps are for a flat z [Z], "
                "as model.posterior='diagonal' has."
            )
        starts = range(0, len(self.split), BATCH)
        return np.concatenate([self._means(np.arange(i, min(i + BATCH, len(self.split)))) for i in starts])

    def _means(self, positions: np.ndarray) -> np.ndarray:
        shown = self.examples(positions)
        q: Any = self.run.encode(shown.x, shown.condition)
        if not hasattr(q, "mean"):
            raise ValueError("this model's q(z|x) has no mean to start from; look at one whose posterior has.")
        return np.asarray(jax.device_get(q.mean()))


@partial(jax.jit, static_argnums=0, compiler_options=QUICK)
def prepared(prepare: Prepare, key: Array, image: Array, index: Array) -> Array:
    """x [B, *X] of stored images, each by the key of its index."""
    return prepare.image(example_keys(key, index)[0], image, index)


def run_once(run: Run, f: Callable, **options: Any) -> Any:
    """f, jitted for one call: less optimised, it compiles in half of the time, which is most of what a figure takes.

    Not of a model with convolutions (kernels of more than two axes): unoptimised, a CPU's take minutes.
    """
    convolutions = any(leaf.ndim > 2 for leaf in jax.tree.leaves(run.variables["params"]))
    return jax.jit(f, compiler_options=None if convolutions else QUICK, **options)


def filled(array: np.ndarray) -> np.ndarray:
    """At most BATCH rows, the first repeated up to so many: every number of images is prepared by one program."""
    return np.concatenate([array, np.repeat(array[:1], BATCH - len(array), axis=0)])


def spaced(total: int, most: int) -> np.ndarray:
    """At most so many positions of `total`, evenly spaced: data may be sorted by class."""
    return np.arange(total) if total <= most else np.linspace(0, total - 1, most).round().astype(int)
