"""A trained model and the images that its figures show."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxvae._checks import UsageError
from jaxvae.data.dataset import DataSet, Split
from jaxvae.data.prepare import Prepare
from jaxvae.distributions import has_kl_each, kl_each
from jaxvae.rundir.run import Run
from jaxvae.terms import example_keys
from jaxvae.viz.figures.images import pictures

__all__ = ["BATCH", "DRAW", "PREPARE", "PreparedExamples", "Subject", "evenly_spaced", "infer_and_prior"]
__all__ += ["jit_once"]

PREPARE, DRAW = 0, 1  # purposes folded into the subject's key
BATCH = 500  # images encoded or decoded at once
_KL_IMAGES = 1000
_QUICK: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}  # see `jit_once`


class PreparedExamples(NamedTuple):
    """Examples of a split."""

    image: np.ndarray  # [B, *X], as stored
    x: Array  # [B, *X], prepared as in training, not corrupted
    label: np.ndarray  # [B] (-1 without one) or [B, C]
    condition: np.ndarray | None  # of the model


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run, its data, the name of the split whose images are shown, and the key of the figures' randomness.

    `scored` are the values of all examples of the split, [N, ...] by name, if it was scored: elbo, means, ....
    `workdir` is the run directory with the metrics and snapshots of training.
    """

    run: Run
    data: DataSet
    name: str
    key: Array
    scored: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    workdir: Path = Path()

    @property
    def split(self) -> Split:
        """The split whose images are shown."""
        return self.data.splits[self.name]

    @property
    def classes(self) -> np.ndarray | None:
        """The class of every image, int [N]; None without labels, and for labels that are vectors."""
        label = self.split.label
        return None if label is None or label.ndim != 1 else self.split.labels(np.arange(len(self.split)))

    def class_name(self, label: int) -> str:
        """Returns the name of a class, or its number."""
        names = self.data.class_names
        return names[int(label)] if 0 <= int(label) < len(names) else str(int(label))

    def key_for(self, purpose: int) -> Array:
        """Returns the key of one purpose, the same at every call."""
        return random.fold_in(random.clone(self.key), purpose)

    def require_positions(self, positions: Sequence[int]) -> None:
        """Raises UsageError for the number of an image that the split does not have."""
        for position in positions:
            if not 0 <= position < (count := len(self.split)):
                raise UsageError(f"image {position}: the {self.name} images are numbered from 0 to {count - 1:,}.")

    def examples(self, positions: Sequence[int] | np.ndarray) -> PreparedExamples:
        """Returns the examples at these positions of the split, each prepared by the same draw at every call."""
        image, label, index = self.split.take(np.asarray(positions))
        key, prepare = self.key_for(PREPARE), self.run.parts.prepare
        starts = range(0, len(image), BATCH)
        x = [_prepare(prepare, key, *(_pad(each[i : i + BATCH]) for each in (image, index))) for i in starts]
        return PreparedExamples(image, jnp.concatenate(x)[: len(image)], label, label if self.run.conditional else None)

    @cached_property
    def means(self) -> np.ndarray:
        """The mean of q(z|x) of every image of the split, [N, Z]; UsageError unless z is a vector."""
        return self.means_of(np.arange(len(self.split)))

    def means_of(self, positions: np.ndarray) -> np.ndarray:
        """Returns the means of q(z|x) of the images at these positions, [N, Z]; UsageError unless z is a vector."""
        if len(self.run.latent_shape) != 1:
            raise UsageError(
                f"z is shaped {list(self.run.latent_shape)} here: walks, directions and maps are for a flat z [Z], "
                "as model.posterior='diagonal' has."
            )
        return self.encode(positions)

    def encode(self, positions: np.ndarray) -> np.ndarray:
        """Returns the means of q(z|x) of the images at these positions, [N, *Z]."""
        batches = [self.examples(positions[i : i + BATCH]) for i in range(0, len(positions), BATCH)]
        return np.concatenate([np.asarray(self.run.encode(each.x, each.condition).mean()) for each in batches])

    @cached_property
    def dimension_kl(self) -> np.ndarray:
        """The KL of each latent dimension, [Z], nats; if it is no sum over dimensions, the variance of the means."""
        shown = self.examples(np.arange(min(_KL_IMAGES, len(self.split))))
        densities = jax.jit(partial(infer_and_prior, self.run.model))
        q, p = densities(self.run.variables, shown.x, self.run.condition(shown.condition, len(shown.x)))
        return np.asarray(kl_each(q, p)[0].mean(0)) if has_kl_each(q, p) else self.means.var(0)

    @cached_property
    def center(self) -> np.ndarray:
        """The point that traversals pass, [Z]: the middle of a standard normal prior, else of the codes."""
        return np.zeros_like(self.means[0]) if self.has_standard_prior else self.means.mean(0)

    @cached_property
    def scale(self) -> np.ndarray:
        """The standard deviation that traversals are measured in, [Z]: a standard normal prior's, else the codes'."""
        return np.ones_like(self.means[0]) if self.has_standard_prior else self.means.std(0)

    @property
    def has_standard_prior(self) -> bool:
        """Whether training holds codes near a standard normal prior."""
        return self.run.config.model.prior == "standard" and self.run.config.model.posterior != "point"

    def decode(self, z: np.ndarray, condition: np.ndarray | None = None) -> np.ndarray:
        """Returns the means of p(x|z) at z [..., Z] as pictures [..., H, W, C]; `condition` is broadcast to z's."""
        flat = z.reshape(-1, z.shape[-1])
        if condition is not None:
            each = condition.shape[-1:] if self.run.config.model.condition == "vector" else ()
            condition = np.broadcast_to(condition, (*z.shape[:-1], *each)).reshape(len(flat), *each)
        parts = [slice(i, i + BATCH) for i in range(0, len(flat), BATCH)]
        given = [None if condition is None else condition[part] for part in parts]
        decoded = [self.run.decode(flat[part], one).mean() for part, one in zip(parts, given, strict=True)]
        shown = np.concatenate(list(map(pictures, decoded)))
        return shown.reshape(*z.shape[:-1], *shown.shape[1:])


@partial(jax.jit, static_argnums=0, compiler_options=_QUICK)
def _prepare(prepare: Prepare, key: Array, image: Array, index: Array) -> Array:
    """Returns x [B, *X] of stored images, each by the key of its index."""
    return prepare.image(example_keys(key, index)[0], image, index)


def infer_and_prior(model: Any, variables: Any, x: Array, condition: Array | None) -> tuple[Any, Any]:
    """Returns (q(z|x), p(z))."""
    q = model.apply(variables, x, condition, method="infer")
    return q, model.apply(variables, condition, method="prior")


def jit_once(run: Run, f: Callable, **options: Any) -> Any:
    """Returns f, jitted for one call: with fewer optimizations it compiles in half the time, most of a figure's.

    A model with convolutions (kernels of more than two axes) is optimized, since on a CPU it takes minutes otherwise.
    """
    convolutions = any(leaf.ndim > 2 for leaf in jax.tree.leaves(run.variables["params"]))
    return jax.jit(f, compiler_options=None if convolutions else _QUICK, **options)


def _pad(array: np.ndarray) -> np.ndarray:
    """Returns BATCH rows, the first repeated: one program prepares every number of images."""
    return np.concatenate([array, np.repeat(array[:1], BATCH - len(array), axis=0)])


def evenly_spaced(total: int, most: int) -> np.ndarray:
    """Returns at most `most` positions of `total`, evenly spaced, as data may be sorted by class."""
    return np.arange(total) if total <= most else np.linspace(0, total - 1, most).round().astype(int)
