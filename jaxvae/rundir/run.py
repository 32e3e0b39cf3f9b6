"""A trained model and its jitted functions: `jaxvae.load("runs/digits")`."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from jax.typing import ArrayLike

from jaxvae import latent
from jaxvae._checks import (
    INT32_MAX,
    UsageError,
    is_instance,
    require_array,
    require_finite,
    require_key,
    require_scalar,
    require_whole,
)
from jaxvae.config import Config
from jaxvae.config.build import Parts, build
from jaxvae.config.schema import is_ensemble
from jaxvae.data.prepare import Examples
from jaxvae.data.spec import ExampleSpec
from jaxvae.evaluate.bounds import make_log_likelihood
from jaxvae.model.traits import check_support, traits_of
from jaxvae.rundir import CHECKPOINTS, checkpoint, manifest
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.state import abstract_state, variables_of

__all__ = ["Run", "load", "load_run"]


class Run:
    """A model with its variables. The methods are jitted, take batches [B, ...] and drop the densities' S axis."""

    def __init__(self, config: Config, parts: Parts, variables: Any, step: int, workdir: Path | None = None):
        self.config, self.parts, self.model, self.variables = config, parts, parts.model, variables
        self.shape, self.step, self.workdir = parts.shape, step, workdir
        self.spec = ExampleSpec(parts.shape)
        model, size = parts.model, parts.condition_size
        self.conditional = size is not None
        blank = None if size is None else jnp.zeros((1, size))
        self.latent_shape = latent.latent_shape(model, variables, blank)
        self._prepare = jax.jit(partial(_prepare_images, parts.prepare))
        corruption = parts.corrupted.corruption if parts.corrupted else None
        self._corrupt = jax.jit(lambda key, x: corruption(random.split(key, len(x)), x)) if corruption else None
        self._encode = jax.jit(partial(latent.encode, model))
        self._decode = jax.jit(partial(latent.decode, model))
        self._sample = jax.jit(partial(latent.sample, model), static_argnums=2)
        self._generate = jax.jit(partial(latent.generate, model))
        self._reconstruct = jax.jit(partial(latent.reconstruct, model))
        self._inpaint = jax.jit(partial(latent.inpaint, model), static_argnums=4)
        self._denoise = jax.jit(partial(latent.denoise, model), static_argnums=3)
        self._anomaly = latent.make_anomaly_scores(model)
        self._log_likelihood = make_log_likelihood(model)

    def prepare(self, key: Array, images: np.ndarray, index: np.ndarray | None = None) -> Array:
        """Returns x, float32 [B, *X], of stored images [B, *X], prepared as in training and not corrupted.

        `index [B]` numbers the images in their data set, for data.prepare='static', whose draws belong to an image;
        by default it counts from 0. As in training, images of one channel may come without its axis: [B, H, W].
        """
        expected = f"{self.spec.dtype} images [B, *X]"
        given = require_array("images", images, expected)
        images = given[..., None] if given.shape[1:] == self.shape[:-1] and self.shape[-1] == 1 else given
        images = self._require_batch("images", images, expected)
        if images.dtype != self.spec.dtype:
            raise UsageError(f"prepare takes {self.spec.dtype} images, got {images.dtype}; pass prepared x to encode.")
        return self._prepare(require_key("key", key), images, self._require_index(index, len(images)))

    def corrupt(self, key: Array, x: ArrayLike) -> Array:
        """Returns prepared x [B, *X], corrupted as the encoder saw it in training; `reconstruct` restores it.

        UsageError if the model was trained on clean inputs, with data.corrupt='none'.
        """
        if self._corrupt is None:
            raise UsageError(
                "this model was trained on clean inputs (data.corrupt='none'), so there is no corruption to draw. "
                "Train one with data.corrupt='mask(0.5)', or change x yourself."
            )
        return self._corrupt(require_key("key", key), self._require_x(x))

    def encode(self, x: ArrayLike, condition: ArrayLike | None = None) -> Any:
        """Returns q(z|x) of x [B, *X]: q.mean() and q.sample(key) are [B, *Z].

        If the model was trained on corrupted inputs, x may be any finite numbers, here and in `reconstruct`.

        `condition`, here and below, for a model that has one: the classes, int [B], or the vectors, float [B, C]; or
        one class or vector for all.
        """
        x = self._require_x(x, corrupted=True)
        return self._encode(self.variables, x, self.condition(condition, len(x)))

    def decode(self, z: ArrayLike, condition: ArrayLike | None = None) -> Any:
        """Returns p(x|z) of z [B, *Z]: p.mean(), for images, and p.sample(key) are [B, *X]."""
        given = require_array("z", z, "real numbers [B, *Z]")
        if not isinstance(given, jax.Array):  # values on a device are not fetched
            require_finite("z", given)
        if 0 in given.shape or given.shape[1:] != self.latent_shape or given.ndim == 0:
            expected = ", ".join(map(str, ("B", *self.latent_shape)))
            raise UsageError(f"z has shape {list(given.shape)}; expected [{expected}] (model.latent_dim).")
        return self._decode(self.variables, jnp.asarray(given), self.condition(condition, len(given)))

    def sample(self, key: Array, n: int, *, temperature: float = 1.0, condition: ArrayLike | None = None) -> Array:
        """Draws x ~ p(x|z), z ~ p(z), [n, *X], the prior's spread times `temperature`."""
        n, temperature = require_whole("n", n), require_scalar("temperature", temperature)
        condition = self.condition(condition, n)
        return self._sample(self.variables, require_key("key", key), n, condition, temperature=temperature)

    def generate(
        self, keys: Array, *, temperature: float = 1.0, condition: ArrayLike | None = None
    ) -> tuple[Array, Any]:
        """Returns (z [N, *Z], p(x|z)) of z ~ p(z), one key each; p.mean() for images."""
        keys, temperature = require_key("keys", keys, many=True), require_scalar("temperature", temperature)
        return self._generate(self.variables, keys, self.condition(condition, len(keys)), temperature=temperature)

    def reconstruct(self, key: Array, x: ArrayLike, condition: ArrayLike | None = None) -> Array:
        """Returns p(x|z).mean() at one z ~ q(z|x), [B, *X]."""
        x = self._require_x(x, corrupted=True)
        return self._reconstruct(self.variables, require_key("key", key), x, self.condition(condition, len(x)))

    def inpaint(
        self, key: Array, x: ArrayLike, known: ArrayLike, *, steps: int = 300, condition: ArrayLike | None = None
    ) -> latent.InpaintResult:
        """Draws the values of x [B, *X] that are not `known`, bool [*X] or [B, *X], by a chain of `steps` steps.

        The missing values of x have no influence; they may be NaN. See `jaxvae.latent.inpaint`.
        """
        given, mask = self._require_batch("x", x, "real numbers [B, *X]"), self._require_known(known)
        key, steps = require_key("key", key), require_whole("steps", steps, 2)
        condition = self.condition(condition, len(given))
        if mask.ndim == given.ndim and len(mask) != len(given):
            raise UsageError(f"known is for {len(mask)} examples and x holds {len(given)}; expected as many, or [*X].")
        if not isinstance(given, jax.core.Tracer) and not isinstance(mask, jax.core.Tracer):
            blank = 0.5 if traits_of(self.model.likelihood).support == "open" else 0.0  # any valid value
            given = np.where(mask, given, blank)
        return self._inpaint(self.variables, key, self._require_x(given), mask, steps, condition)

    def denoise(self, key: Array, x: ArrayLike, *, draws: int = 64, condition: ArrayLike | None = None) -> Array:
        """Returns the mean of p(x|z) over `draws` draws z ~ q(z|x) of noisy x [B, *X]: see `jaxvae.latent.denoise`.

        x may be any finite numbers: noise may leave the likelihood's support.
        """
        given = self._require_batch("x", x, "real numbers [B, *X]")
        if given.dtype == self.spec.dtype:
            raise UsageError(f"x holds {given.dtype} images; pass them through prepare first, noise and all.")
        require_finite("x", given)
        key, draws = require_key("key", key), require_whole("draws", draws)
        condition = self.condition(condition, len(given))
        return self._denoise(self.variables, key, jnp.asarray(given, jnp.float32), draws, condition)

    def log_likelihood(
        self,
        key: Array,
        x: ArrayLike,
        *,
        samples: int = 1000,
        condition: ArrayLike | None = None,
        index: ArrayLike | None = None,
    ) -> Array:
        """Returns the importance-weighted bound on log p(x) with K = `samples`, [B], nats.

        `index [B]` numbers the examples in their data set, by default from 0 on; the draws belong to the number. Score
        a data set in batches by one key with each batch's own numbers: without them all batches repeat the same noise.

        ValueError if the posterior gives no bound, as of an autoencoder.
        """
        x = self._require_x(x)
        key, samples = require_key("key", key), require_whole("samples", samples)
        condition = self.condition(condition, len(x))
        index = self._require_index(index, len(x))
        return self._log_likelihood(self.variables, key, x, index, condition, samples=samples)

    def anomaly(
        self,
        key: Array,
        x: ArrayLike,
        *,
        samples: int = 100,
        condition: ArrayLike | None = None,
        index: ArrayLike | None = None,
    ) -> dict[str, Array]:
        """Returns anomaly scores of x [B, *X], {score: [B]}, nats.

        -log p(x) with K = `samples`, -ELBO, rate and distortion; of an autoencoder the last two. See
        `jaxvae.latent.anomaly`.
        """
        x = self._require_x(x)
        key, samples = require_key("key", key), require_whole("samples", samples)
        condition = self.condition(condition, len(x))
        return self._anomaly(self.variables, key, x, self._require_index(index, len(x)), condition, samples=samples)

    def condition(self, condition: ArrayLike | None, count: int) -> Array | None:
        """Returns what the model is conditioned on, [B, C], from classes or vectors of `count` examples.

        UsageError if the condition does not fit the model.
        """
        kind, size = self.config.model.condition, self.parts.condition_size
        if kind == "none":
            if condition is not None:
                raise UsageError("this model has no condition (model.condition='none'); leave condition out.")
            return None
        shape = (count, size) if kind == "vector" else (count,)
        what = "vectors" if kind == "vector" else f"the classes, whole numbers in [0, {size})"
        expected = f"{what} shaped {list(shape)}, or one for all"
        if condition is None:
            raise UsageError(f"this model depends on a condition, model.condition={kind!r}: pass {expected}.")
        given = require_array("condition", condition, expected)
        if given.shape == shape[1:]:
            given = given[None].repeat(count, 0)
        if given.shape != shape or (kind != "vector" and not np.issubdtype(given.dtype, np.integer)):
            raise UsageError(f"condition is {given.dtype} shaped {list(given.shape)}; expected {expected}.")
        if kind != "vector" and not isinstance(given, jax.core.Tracer):
            outside = np.asarray(given)[(np.asarray(given) < 0) | (np.asarray(given) >= size)]
            if len(outside):
                raise UsageError(f"condition holds {outside[0]}; expected {expected}.")
        require_finite("condition", given)
        return self.parts.prepare.conditions(given)

    def _require_batch(self, name: str, value: Any, expected: str) -> Any:
        """Returns the value as an array [B, *X], on the host or device that it was on."""
        given = require_array(name, value, expected)
        shape = tuple(given.shape)
        if shape[1:] != self.shape or 0 in shape:
            expected = ", ".join(map(str, self.shape))
            hint = f" One image is {name}[None]." if shape == self.shape else ""
            raise UsageError(f"{name} has shape {list(shape)}; this model takes batches [B, {expected}].{hint}")
        return given

    def _require_x(self, x: ArrayLike, *, corrupted: bool = False) -> Array:
        """Returns x [B, *X] as float32, in the likelihood's support; or any numbers, if it may be `corrupted`."""
        given = self._require_batch("x", x, "real numbers [B, *X]")
        if not isinstance(given, jax.core.Tracer):
            require_finite("x", given)
            if not (corrupted and self._corrupt):
                check_support(str(traits_of(self.model.likelihood).support), np.asarray(given), "x")
        return jnp.asarray(given, jnp.float32)

    def _require_known(self, known: ArrayLike) -> Any:
        """Returns `known` as truth values [*X] or [B, *X]."""
        given = require_array("known", known, "truth values [*X] or [B, *X]")
        if given.dtype != np.bool_ or given.shape[-len(self.shape) :] != self.shape or given.ndim > len(self.shape) + 1:
            expected = ", ".join(map(str, self.shape))
            shapes = f"truth values [{expected}] or [B, {expected}]: True where x is known"
            raise UsageError(f"known is {given.dtype} shaped {list(given.shape)}; expected {shapes}.")
        whole = isinstance(given, jax.core.Tracer) or bool((given == given[..., :1]).all())
        if traits_of(self.model.likelihood).couples_channels and not whole:
            raise UsageError("known hides some channels of a pixel, which this likelihood couples; hide whole pixels.")
        return given

    def _require_index(self, index: ArrayLike | None, count: int) -> Any:
        """Returns the numbers of `count` images in their data set, from 0 on by default."""
        expected = f"whole numbers [{count}] from 0 on, one for each image"
        given = np.arange(count) if index is None else require_array("index", index, expected)
        if given.shape != (count,) or not jnp.issubdtype(given.dtype, np.integer):
            raise UsageError(f"index is {given.dtype} shaped {list(given.shape)}; expected {expected}.")
        if not isinstance(given, jax.core.Tracer) and not 0 <= int(given.min()) <= int(given.max()) <= INT32_MAX:
            raise UsageError(f"index runs from {given.min()} to {given.max()}; expected {expected}.")
        return given


def _prepare_images(prepare, key: Array, images: Array, index: Array) -> Array:
    """Returns x of stored images [B, *X], one key split over them."""
    return prepare(random.split(key, len(images)), Examples(images, jnp.full(len(images), -1), index)).x


def load(workdir: str | Path, *, trust: bool = False) -> Run:
    """Loads the model of a run directory, with the weights that its numbers were measured on.

    UsageError says what is missing. No code of the directory runs; with trust=True its config may name parts in files.

        vae = jaxvae.load("runs/digits")
    """
    return load_run(RunDirectory(Path(workdir)), trust=trust)


def load_run(directory: RunDirectory, *, trust: bool = False) -> Run:
    """Loads the model of a run directory whose records were read already, as `load`."""
    config, data, folder = directory.config, directory.data, directory.workdir
    if is_ensemble(config):
        found = ", ".join(map(str, directory.members)) or "none yet"
        raise UsageError(f"{folder} holds several members, each a run directory of its own; name one of them: {found}.")
    images = data.get("images")
    count: Any = images.get("train") if isinstance(images, dict) else None
    examples = count if is_instance(count, int) and count > 0 else None
    shape, size = tuple(data["shape"]), data.get("condition_size")
    parts = build(config, shape, condition=size, examples=examples, trust=trust)
    prefer = manifest.best_step(folder / CHECKPOINTS) if config.train.patience else None
    state = checkpoint.restore(folder / CHECKPOINTS, abstract_state(config, parts), prefer=prefer)
    if state is None:
        raise UsageError(
            f"{folder} has no checkpoint: it was stopped before its first, or they were removed since. "
            "Train it on with the same command."
        )
    directory.warn_of_mismatch(int(state.step))
    return Run(config, parts, variables_of(state), int(state.step), folder)
