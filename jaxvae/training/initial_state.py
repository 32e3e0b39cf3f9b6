"""The state that a run begins with: its own latest checkpoint, a fresh one, another run's weights, or a closed form."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from jaxvae._checks import UsageError
from jaxvae.data.pipeline import in_order
from jaxvae.model import pca
from jaxvae.rundir import checkpoint, event_log
from jaxvae.rundir.run import load
from jaxvae.rundir.state import abstract_state, first_state
from jaxvae.runtime import multihost
from jaxvae.step import State
from jaxvae.terms import example_keys
from jaxvae.training.setup import Experiment, require_memory

CLOSED_FORM = "pca"  # as train.init_from: no run, but the solution of the linear model
PREPARE = 1  # purpose folded into the key of initialisation


def load_or_create_state(experiment: Experiment, folder: Path, say: Callable[[str], None]) -> State:
    """The state of the latest intact checkpoint, or a first one, as train.init_from says.

    Where a rollback led to that state, its updates have the scale that the rollback gave them.
    """
    state = _restored_or_first(experiment, folder, say)
    return set_update_scale(state, event_log.rollback_scale(folder.parent, int(state.step)))


def set_update_scale(state: State, scale: float | None) -> State:
    """The state whose updates are multiplied by `scale`; the state itself for None."""
    if scale is None:
        return state
    old = state.guard.scale
    new = jax.device_put(np.asarray(scale, old.dtype), old.sharding)
    return state.replace(guard=dataclasses.replace(state.guard, scale=new))


def _restored_or_first(experiment: Experiment, folder: Path, say: Callable[[str], None]) -> State:
    """The state of the latest intact checkpoint, or a first one."""
    config, parts = experiment.config, experiment.parts
    folder.mkdir(exist_ok=True)
    abstract = experiment.layout.abstract(abstract_state(config, parts))
    require_memory(experiment, abstract)
    state = checkpoint.restore(folder, abstract)
    check_same_step(-1 if state is None else int(state.step), folder)
    if state is not None:
        say(f"resuming at step {int(state.step):,}")
        return state
    places = experiment.layout.state_shardings(abstract) if experiment.layout.is_distributed else None
    keys = random.clone(experiment.init_key), random.clone(experiment.train_key)  # a run may come back to this state
    state = first_state(config, parts, *keys, places)
    if config.train.init_from == CLOSED_FORM:
        say("solving the linear model in closed form")
        return _start_from_closed_form(experiment, state)
    return copy_weights_from(config.train.init_from, state) if config.train.init_from else state


def check_same_step(step: int, folder: Path) -> None:
    """Raises ValueError where several processes found different checkpoints, -1 for none."""
    found = multihost.gather_from_all(step)
    if len(set(found.tolist())) > 1:
        steps = ", ".join("none" if each < 0 else f"step {each:,}" for each in found)
        raise UsageError(
            f"the processes found different checkpoints in {folder}: {steps}. "
            "They must see one file system: put --workdir on a disk that all of them share."
        )


def copy_weights_from(workdir: str, state: State) -> State:
    """The fresh state with another run's weights and variables, its codebook; ValueError where their shapes differ."""
    variables = dict(load(workdir).variables)
    given = {"model": variables.pop("params"), "objective": state.params["objective"]}
    kept = {"model": variables, "objective": state.variables["objective"]}
    if jax.tree.map(jnp.shape, (given, kept)) != jax.tree.map(jnp.shape, (state.params, state.variables)):
        raise UsageError(
            f"train.init_from={workdir!r}: that model's parameters have other names or shapes; "
            "give it the same model.* fields."
        )
    return _with_params(state, given).replace(variables=kept)


def _start_from_closed_form(experiment: Experiment, state: State) -> State:
    """The fresh state with the weights of PCA (a point posterior) or probabilistic PCA (a diagonal one).

    Of the training images, prepared once; ValueError where the config's model is not the linear one that they solve.
    """
    model = experiment.config.model
    solve = {"point": pca.pca, "diagonal": pca.probabilistic_pca}.get(model.posterior)
    linear = (model.encoder, model.decoder, model.prior, model.condition) == ("linear", "linear", "standard", "none")
    if solve is None or not linear or not model.likelihood.startswith("gaussian"):
        raise UsageError(
            f"train.init_from={CLOSED_FORM!r} solves the linear Gaussian model: model.encoder='linear', "
            "model.decoder='linear', model.prior='standard', model.condition='none', and either "
            "model.posterior='point' with a model.likelihood='gaussian(1.0)', or model.posterior='diagonal' with "
            f"model.likelihood=\"gaussian('learned')\"; got {model}."
        )
    _, variables = solve(_training_x(experiment), model.latent_dim)
    given = {"model": variables["params"], "objective": state.params["objective"]}
    if jax.tree.map(jnp.shape, given) != jax.tree.map(jnp.shape, state.params):
        raise UsageError(
            f"train.init_from={CLOSED_FORM!r} with model.posterior={model.posterior!r} does not fit "
            f"model.likelihood={model.likelihood!r}: choose 'gaussian(1.0)' for 'point', \"gaussian('learned')\" for "
            "'diagonal'."
        )
    return _with_params(state, jax.tree.map(jnp.asarray, given))


def _with_params(state: State, params: Any) -> State:
    """The fresh state with these parameters, and their average where one is kept."""
    return state.replace(params=params, ema=jax.tree.map(jnp.copy, params) if state.ema else {})


def _training_x(experiment: Experiment) -> np.ndarray:
    """All training images as the model sees them, [N, *X], prepared once."""
    split, prepare = experiment.data.splits["train"], jax.jit(experiment.parts.prepare)
    key = random.fold_in(random.clone(experiment.init_key), PREPARE)
    size = experiment.config.evaluate.batch_size
    batches = (
        (prepare(example_keys(random.clone(key), batch.index)[0], batch).x, real)
        for batch, real in in_order(split, size)
    )
    return np.concatenate([np.asarray(x)[:real] for x, real in batches])
