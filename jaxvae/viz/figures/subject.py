"""A trained model and the images that it is looked at with."""

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

PREPARE, DRAW = 0, 1  # purposes folded into the subject's key
BATCH = 500  # images encoded or decoded at once
_KL_OF = 1000
_QUICK: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}  # see `run_once`


class Looked(NamedTuple):
    """Some examples of a split: the stored image [B, *X]; x [B, *X], prepared as in training, and clean; the
    label [B] (-1 where there is none) or [B, C]; the condition that the model is to be given, or None.
    """

    image: np.ndarray
    x: Array
    label: np.ndarray
    condition: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run, its data, the name of the split whose images are shown, and the key of the figures' randomness.

    `scored` are the values of all examples of the split, [N, ...] by name, where it was scored: elbo, means, ....
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
        return self.data.splits[self.name]

    @property
    def classes(self) -> np.ndarray | None:
        """Every image's class, int [N]; None where labels are vectors, or where there are none."""
        label = self.split.label
        return None if label is None or label.ndim != 1 else self.split.labels(np.arange(len(self.split)))

    def class_name(self, label: int) -> str:
        """What a class is called."""
        names = self.data.class_names
        return names[int(label)] if 0 <= int(label) < len(names) else str(int(label))

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
        return self.means_of(np.arange(len(self.split)))

    def means_of(self, positions: np.ndarray) -> np.ndarray:
        """The means of q(z|x) of the images at these positions, [N, *Z]; ValueError as `means`."""
        if len(self.run.latent_shape) != 1:
            raise UsageError(
                f"z is shaped {list(self.run.latent_shape)} here: walks, directions and maps are for a flat z [Z], "
                "as model.posterior='diagonal' has."
            )
        return np.concatenate([self._means(positions[i : i + BATCH]) for i in range(0, len(positions), BATCH)])

    @cached_property
    def said(self) -> np.ndarray:
        """What each dimension says of an image, [Z]: its KL, nats, mean over at most KL_OF images; where that does not
        part by dimension, the variance of the means.
        """
        shown = self.examples(np.arange(min(_KL_OF, len(self.split))))
        q, p = self._densities(self.run.variables, shown.x, self.run.condition(shown.condition, len(shown.x)))
        return np.asarray(kl_each(q, p)[0].mean(0)) if has_kl_each(q, p) else self.means.var(0)

    @cached_property
    def middle(self) -> np.ndarray:
        """Where walks start that start from no image, [Z]: the middle of a standard normal prior, else of the codes."""
        return np.zeros_like(self.means[0]) if self.at_the_prior else self.means.mean(0)

    @cached_property
    def spread(self) -> np.ndarray:
        """The deviation that a walk's reach is measured in, [Z]: the prior's where it is standard, else the codes'."""
        return np.ones_like(self.means[0]) if self.at_the_prior else self.means.std(0)

    @property
    def at_the_prior(self) -> bool:
        """Whether codes are held near a standard normal prior, so that walks are measured by it."""
        return self.run.config.model.prior == "standard" and self.run.config.model.posterior != "point"

    def decoded(self, z: np.ndarray, condition: np.ndarray | None = None) -> np.ndarray:
        """What is seen at z [..., Z]: pictures [..., H, W, C] of the mean of p(x|z); `condition` [...] or [..., C]."""
        flat = z.reshape(-1, z.shape[-1])
        if condition is not None:
            condition = condition.reshape(len(flat), *condition.shape[z.ndim - 1 :])
        parts = [slice(i, i + BATCH) for i in range(0, len(flat), BATCH)]
        given = [None if condition is None else condition[part] for part in parts]
        seen = np.concatenate(
            [pictures(self.run.decode(flat[part], c).mean()) for part, c in zip(parts, given, strict=True)]
        )
        return seen.reshape(*z.shape[:-1], *seen.shape[1:])

    @cached_property
    def _densities(self) -> Any:
        model = self.run.model

        def densities(variables: Any, x: Array, condition: Array | None) -> tuple[Any, Any]:
            q = model.apply(variables, x, condition, method="infer")
            return q, model.apply(variables, condition, method="prior")

        return jax.jit(densities)

    def _means(self, positions: np.ndarray) -> np.ndarray:
        shown = self.examples(positions)
        q: Any = self.run.encode(shown.x, shown.condition)
        return np.asarray(jax.device_get(q.mean()))


@partial(jax.jit, static_argnums=0, compiler_options=_QUICK)
def prepared(prepare: Prepare, key: Array, image: Array, index: Array) -> Array:
    """x [B, *X] of stored images, each by the key of its index."""
    return prepare.image(example_keys(key, index)[0], image, index)


def run_once(run: Run, f: Callable, **options: Any) -> Any:
    """f, jitted for one call: less optimised, it compiles in half of the time, which is most of what a figure takes.

    Not of a model with convolutions (kernels of more than two axes): unoptimised, a CPU's take minutes.
    """
    convolutions = any(leaf.ndim > 2 for leaf in jax.tree.leaves(run.variables["params"]))
    return jax.jit(f, compiler_options=None if convolutions else _QUICK, **options)


def filled(array: np.ndarray) -> np.ndarray:
    """At most BATCH rows, the first repeated up to so many: every number of images is prepared by one program."""
    return np.concatenate([array, np.repeat(array[:1], BATCH - len(array), axis=0)])


def spaced(total: int, most: int) -> np.ndarray:
    """At most so many positions of `total`, evenly spaced: data may be sorted by class."""
    return np.arange(total) if total <= most else np.linspace(0, total - 1, most).round().astype(int)
