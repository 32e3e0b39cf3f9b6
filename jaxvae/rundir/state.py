"""The state of a run: its first value, its shapes, and the variables for `apply`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, random

from jaxvae.config import Config
from jaxvae.config.build import Parts
from jaxvae.data.prepare import Examples
from jaxvae.data.spec import ExampleSpec
from jaxvae.step import State, init_state

__all__ = ["abstract_batch", "abstract_state", "first_state", "make_first_state", "variables_of"]


def variables_of(state: State) -> Any:
    """Returns the model's variables for `apply`, with the averaged weights if there is an average."""
    return {"params": state.weights["model"], **state.variables["model"]}


def first_state(config: Config, parts: Parts, init_key: Array, train_key: Array, shardings: Any = None) -> State:
    """Returns the state before the first step; arguments as of `make_first_state`."""
    return make_first_state(config, parts, shardings)(init_key=init_key, train_key=train_key)


def make_first_state(config: Config, parts: Parts, shardings: Any = None) -> Callable[..., State]:
    """Returns the jitted function of `init_key` and `train_key` that makes the state before the first step.

    `shardings`, one for every leaf, are where it is made; it is never whole on one device.
    """
    blank = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), abstract_batch(config, parts, 1))
    make = partial(init_state, parts.model, parts.objective, parts.optimizer, parts.prepare, blank)
    make = partial(make, samples=config.train.samples, ema=config.optimizer.ema)
    return jax.jit(make, out_shardings=shardings)


def abstract_state(config: Config, parts: Parts) -> State:
    """Returns the shapes and dtypes of the run's state."""
    key = random.key(0)
    return jax.eval_shape(partial(first_state, config, parts), key, key)


def abstract_batch(config: Config, parts: Parts, batch_size: int) -> Examples:
    """Returns the shapes and dtypes of a stored batch, of the label what the model uses."""
    spec, index = ExampleSpec(parts.shape), jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    vector = jax.ShapeDtypeStruct((batch_size, parts.condition_size or 0), jnp.float32)
    label = vector if config.model.condition == "vector" else index
    return Examples(jax.ShapeDtypeStruct((batch_size, *spec.shape), spec.dtype), label, index)
