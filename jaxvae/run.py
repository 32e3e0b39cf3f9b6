"""A trained model in one's hands: `jaxvae.load("runs/digits")`, and the functions of it, jitted."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from jax.typing import ArrayLike

from jaxvae import checkpoint, latent
from jaxvae import config as configs
from jaxvae.build import Parts, build
from jaxvae.config import Config
from jaxvae.data.prepare import Examples
from jaxvae.evaluate import make_log_likelihood
from jaxvae.step import State, init_state
from jaxvae.support import check_support

CONFIG, CHECKPOINTS = "config.json", "checkpoints"


class Run:
    """A model with its variables; the methods are jitted, take a batch first and drop the S axis of the densities."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        variables: Any,
        shape: tuple[int, ...],
        step: int,
        workdir: Path | None = None,
    ):
        self.config, self.parts, self.model, self.variables = config, parts, parts.model, variables
        self.shape, self.step, self.workdir = shape, step, workdir
        model = parts.model
        self._prepare = jax.jit(partial(prepare_images, parts.prepare))
        self._encode = jax.jit(partial(latent.encode, model))
        self._decode = jax.jit(partial(latent.decode, model))
        self._sample = jax.jit(partial(latent.sample, model), static_argnums=2)
        self._reconstruct = jax.jit(partial(latent.reconstruct, model))
        self._log_likelihood = make_log_likelihood(model)

    def prepare(self, key: Array, images: np.ndarray, index: np.ndarray | None = None) -> Array:
        """uint8 images [B, H, W, C] -> what the likelihood means, float32 [B, H, W, C], made as in training.

        `index [B]` numbers the images in their data set, for data.prepare='static', whose draws belong to an image;
        by default it counts from 0.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise ValueError(
                f"prepare takes uint8 images, got {images.dtype}; x that is prepared already goes to encode as it is."
            )
        self._check_shape(images.shape, "images")
        return self._prepare(key, images, np.arange(len(images)) if index is None else index)

    def encode(self, x: ArrayLike) -> Any:
        """q(z|x) of x [B, H, W, C]: q.mean() and q.sample(key) are [B, Z]."""
        return self._encode(self.variables, self._checked(x))

    def decode(self, z: ArrayLike) -> Any:
        """p(x|z) of z [B, Z]: p.mean() for pictures and p.sample(key), [B, H, W, C]."""
        z = jnp.asarray(z)
        if z.ndim != 2 or z.shape[1] != self.config.model.latent_dim:
            raise ValueError(
                f"z has shape {list(z.shape)}; expected [B, {self.config.model.latent_dim}] (model.latent_dim)."
            )
        return self._decode(self.variables, z)

    def sample(self, key: Array, n: int, *, temperature: float = 1.0) -> Array:
        """n draws x ~ p(x|z), z ~ p(z), its spread times `temperature`: [n, H, W, C], in the likelihood's support."""
        return self._sample(self.variables, key, n, temperature=temperature)

    def reconstruct(self, key: Array, x: ArrayLike) -> Array:
        """p(x|z).mean() at one z ~ q(z|x), [B, H, W, C]."""
        return self._reconstruct(self.variables, key, self._checked(x))

    def log_likelihood(self, key: Array, x: ArrayLike, *, samples: int = 1000) -> Array:
        """The importance-weighted bound on log p(x) with K = `samples`, [B], nats."""
        x = self._checked(x)
        return self._log_likelihood(self.variables, key, x, jnp.arange(len(x)), samples=samples)

    def _checked(self, x: ArrayLike) -> Array:
        self._check_shape(np.shape(x), "x")
        if not isinstance(x, jax.core.Tracer):  # values are looked at on the host alone
            check_support(self.model.likelihood.support, np.asarray(x), "x")
        return jnp.asarray(x, jnp.float32)

    def _check_shape(self, shape: tuple[int, ...], name: str) -> None:
        if len(shape) != 1 + len(self.shape) or tuple(shape[1:]) != self.shape:
            expected = ", ".join(map(str, self.shape))
            hint = f" One image is {name}[None]." if tuple(shape) == self.shape else ""
            raise ValueError(f"{name} has shape {list(shape)}; this model takes batches [B, {expected}].{hint}")


def prepare_images(prepare, key: Array, images: Array, index: Array) -> Array:
    """x of uint8 images [B, *X], one key split over them."""
    return prepare(random.split(key, len(images)), Examples(images, jnp.full(len(images), -1), index)).x


def load(workdir: str | Path, *, trust: bool = False) -> Run:
    """The model of a run directory, with the weights that its numbers were measured on.

    ValueError says what is missing. No code of the directory runs; with trust=True its config may name parts in files.
    """
    folder = Path(workdir)
    if not (folder / CONFIG).is_file():
        raise ValueError(
            f"{folder} is no run directory: it has no {CONFIG}. Train one: python train.py --config configs/digits.py"
        )
    config, data = configs.load(folder / CONFIG)
    shape = tuple(data["shape"])
    parts = build(config, shape, trust=trust)
    prefer = checkpoint.best_step(folder / CHECKPOINTS) if config.train.patience else None
    state = checkpoint.restore(folder / CHECKPOINTS, abstract_state(config, parts, shape), prefer=prefer)
    if state is None:
        raise ValueError(
            f"{folder} has no checkpoint yet: the run was stopped before its first. Train it on with the same command."
        )
    return Run(config, parts, variables_of(state), shape, int(state.step), folder)


def variables_of(state: State) -> Any:
    """The model's variables, ready for apply: the averaged weights where they are kept."""
    return {"params": state.weights["model"], **state.variables["model"]}


def first_state(config: Config, parts: Parts, shape: tuple[int, ...], init_key: Array, train_key: Array) -> State:
    """The state before the first step."""
    blank = Examples(jnp.zeros((1, *shape), jnp.uint8), jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32))
    make = partial(init_state, parts.model, parts.objective, parts.optimizer, parts.prepare, blank)
    return jax.jit(partial(make, samples=config.train.samples, ema=config.optimizer.ema))(
        init_key=init_key, train_key=train_key
    )


def abstract_state(config: Config, parts: Parts, shape: tuple[int, ...]) -> State:
    """The shapes and dtypes of the run's state."""
    key = random.key(0)
    return jax.eval_shape(lambda a, b: first_state(config, parts, shape, a, b), key, key)
