"""The initial state: the run's latest checkpoint, a new state, another run's weights, or a closed form."""

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

__all__ = ["CLOSED_FORM", "copy_weights_from", "follow_rollback", "load_or_create_state", "require_same_step"]

CLOSED_FORM = "pca"  # as train.init_from: no run, but the solution of the linear model
_PREPARE = 1  # purpose folded into the key of initialisation


def load_or_create_state(experiment: Experiment, folder: Path, say: Callable[[str], None]) -> State:
    """Returns the state of the latest intact checkpoint, or a first one, as train.init_from says."""
    folder.mkdir(exist_ok=True)
    abstract = experiment.layout.abstract(abstract_state(experiment.config, experiment.parts))
    require_memory(experiment, abstract)
    state = checkpoint.restore(folder, abstract)
    require_same_step(-1 if state is None else int(state.step), folder)
    if state is not None:
        say(f"resuming at step {int(state.step):,}")
        return follow_rollback(state, folder.parent)
    places = experiment.layout.state_shardings(abstract) if experiment.layout.is_distributed else None
    keys = random.clone(experiment.init_key), random.clone(experiment.train_key)  # a run may come back to this state
    state, source = first_state(experiment.config, experiment.parts, *keys, places), experiment.config.train.init_from
    if source == CLOSED_FORM:
        say("solving the linear model in closed form")
        state = _solve_closed_form(experiment, state)
    elif source:
        state = copy_weights_from(source, state)
    return follow_rollback(state, folder.parent)


def follow_rollback(state: State, workdir: Path) -> State:
    """Returns the state; if a rollback of this directory led to it, its updates have the rollback's scale."""
    if (scale := event_log.rollback_scale(workdir, int(state.step))) is None:
        return state
    old = state.guard.scale
    new = jax.device_put(np.asarray(scale, old.dtype), old.sharding)
    return state.replace(guard=dataclasses.replace(state.guard, scale=new))


def require_same_step(step: int, folder: Path) -> None:
    """Raises UsageError if the processes found checkpoints of different steps, -1 for none."""
    found = multihost.gather_from_all(step)
    if len(set(found.tolist())) > 1:
        steps = ", ".join("none" if each < 0 else f"step {each:,}" for each in found)
        raise UsageError(
            f"the processes found different checkpoints in {folder}: {steps}. "
            "They must see one file system: put --workdir on a disk that all of them share."
        )


def copy_weights_from(workdir: str, state: State) -> State:
    """Returns the new state with another run's weights and variables; UsageError if their shapes differ."""
    variables = dict(load(workdir).variables)
    given = {"model": variables.pop("params"), "objective": state.params["objective"]}
    kept = {"model": variables, "objective": state.variables["objective"]}
    if jax.tree.map(jnp.shape, (given, kept)) != jax.tree.map(jnp.shape, (state.params, state.variables)):
        raise UsageError(f"train.init_from={workdir!r} has other names or shapes; give it the same model.* fields.")
    return _with_params(state, given).replace(variables=kept)


def _solve_closed_form(experiment: Experiment, state: State) -> State:
    """Returns the state with the weights of PCA of the training images, probabilistic for a diagonal posterior."""
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
    split, prepare = experiment.data.splits["train"], jax.jit(experiment.parts.prepare)
    key = random.fold_in(random.clone(experiment.init_key), _PREPARE)
    batches = in_order(split, experiment.config.evaluate.batch_size)
    given = ((example_keys(random.clone(key), batch.index)[0], batch, n) for batch, n in batches)
    x = np.concatenate([np.asarray(prepare(keys, batch).x)[:n] for keys, batch, n in given])
    _, variables = solve(x, model.latent_dim)
    params = {"model": variables["params"], "objective": state.params["objective"]}
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, state.params):
        fits = "gaussian(1.0)" if model.posterior == "point" else "gaussian('learned')"
        raise UsageError(
            f"train.init_from={CLOSED_FORM!r} with model.posterior={model.posterior!r} does not fit "
            f"model.likelihood={model.likelihood!r}: expected {fits!r}."
        )
    return _with_params(state, jax.tree.map(jnp.asarray, params))


def _with_params(state: State, params: Any) -> State:
    """Returns the state with these parameters, and their average if one is kept."""
    return state.replace(params=params, ema=jax.tree.map(jnp.copy, params) if state.ema else {})
