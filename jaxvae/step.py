"""One step of training, as a pure function of the state and a batch."""

import dataclasses
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array, lax, random

from jaxvae._checks import UsageError
from jaxvae.objective import Objective
from jaxvae.terms import example_keys

__all__ = ["Guard", "State", "init_state", "make_forward", "make_train_step"]

PREPARE, MODEL, _OBJECTIVE = range(3)  # purposes folded into the step's key
_GUARD_WINDOW = 50  # losses of the running means
_SPIKE_SPREADS = 10.0  # a spike is this many spreads above the running mean
_MIN_SPREAD = 1e-4  # of the running mean: less is rounding
_MOST_UNROLLED = 8  # parts of a batch that a CPU compiles one by one; 128 of them took minutes and all memory
_int_zero, _float_zero = (partial(jnp.zeros, (), dtype) for dtype in (jnp.int32, jnp.float32))


class Guard(struct.PyTreeNode):
    """Counts of failures so far: skipped steps and spikes of the loss.

    A skipped step had a loss, gradient or new variable that was not finite; the last `streak` steps were skipped.
    `scale` multiplies the updates. `usual` and `spread` are running means of the loss and of its distance from that
    mean, over the good steps, `seen` so far. `spikes` counts losses far above.
    """

    skipped: Array
    streak: Array
    scale: Array
    seen: Array = dataclasses.field(default_factory=_int_zero)
    usual: Array = dataclasses.field(default_factory=_float_zero)
    spread: Array = dataclasses.field(default_factory=_float_zero)
    spikes: Array = dataclasses.field(default_factory=_int_zero)


class State(struct.PyTreeNode):
    """The state of training; params and variables are {'model': ..., 'objective': ...}.

    `ema` averages params over steps, or is {}. `key` never changes: a step's randomness is
    fold_in(key, step), so any step can be replayed alone.
    """

    step: Array
    params: Any
    ema: Any
    opt: Any
    variables: Any
    guard: Guard
    key: Array

    @property
    def weights(self) -> Any:
        """Returns the parameters for evaluation: the average if there is one."""
        return self.ema or self.params


def init_state(
    model, objective: Objective, optimizer, prepare, batch, *, init_key, train_key, samples=1, ema=0.999
) -> State:
    """Returns the state before the first step; `batch` gives shapes and dtypes."""
    model_key, draw_key, objective_key, prepare_key = random.split(init_key, 4)
    data = prepare(example_keys(prepare_key, batch.index)[0], batch)
    keys = example_keys(draw_key, data.index, samples)
    terms, variables = model.init_with_output(model_key, keys, data.x, data.condition, target=data.target)
    objective_params, memory = objective.init(objective_key, terms)
    params = {"model": variables.pop("params", {}), "objective": objective_params}
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params) if ema else {},
        opt=optimizer.init(params),
        variables={"model": variables, "objective": memory},
        guard=Guard(_int_zero(), _int_zero(), jnp.ones((), jnp.float32)),
        key=train_key,
    )


def make_train_step(
    model,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    prepare: Callable,
    *,
    samples=1,
    ema=0.999,
    accumulate=1,
) -> Callable:
    """Returns train_step(state, batch, *, axis_name=None) -> (state, metrics), pure: one step for every engine.

    `batch` is stored images, labels and indices; `metrics` are scalars, means over the whole batch. With `axis_name`
    it runs on one device's share of the batch, inside pmap or shard_map, and averages over devices. The batch, or the
    device's share of it, is processed in `accumulate` equal parts, which changes the step's memory and nothing else.
    The model has the fields `training`, `objective_needs` and `draw_weights`, which this sets.
    """
    forward = make_forward(model, objective, prepare, samples=samples)

    def train_step(state: State, batch, *, axis_name: str | None = None) -> tuple[State, dict[str, Array]]:
        params = _mark_varying(state.params, axis_name)

        def loss(params, batch):
            _, _, variables, out = forward(state, params, batch, axis_name=axis_name)
            metrics = jax.tree.map(jnp.mean, {"loss": out.value, **out.metrics})
            return jnp.mean(out.value), (variables, metrics)

        found = _mean_over_microbatches(partial(jax.grad(loss, has_aux=True), params), batch, accumulate, axis_name)
        grads, (variables, metrics) = mean_over_devices(axis_name, found)
        return apply_update(state, optimizer, grads, variables, metrics, ema)

    return train_step


def make_forward(model, objective: Objective, prepare: Callable, *, samples=1) -> Callable:
    """Returns forward(state, params, batch, *, axis_name=None) -> (prepared batch, terms, new variables, Loss).

    It is the forward pass of a step, a function of `params` for the gradient.
    """
    model = model.clone(training=True, objective_needs=objective.needs.model, draw_weights=objective.draw_weights)

    def forward(state: State, params: Any, batch, *, axis_name: str | None = None):
        key = random.fold_in(state.key, state.step)
        data = prepare(example_keys(random.fold_in(key, PREPARE), batch.index)[0], batch)
        keys = example_keys(random.fold_in(key, MODEL), data.index, samples)
        variables, memory = state.variables["model"], state.variables["objective"]
        tree = {"params": params["model"], **variables}
        terms, variables = model.apply(tree, keys, data.x, data.condition, target=data.target, mutable=list(variables))
        objective_key, gather = random.fold_in(key, _OBJECTIVE), partial(_gather, axis_name)
        out = objective.apply(params["objective"], memory, terms, key=objective_key, step=state.step, gather=gather)
        return data, terms, {"model": variables, "objective": out.memory}, out

    return forward


def _mean_over_microbatches(function: Callable, batch: Any, parts: int, axis_name: str | None = None) -> Any:
    """Returns the mean of function(part) over `parts` equal parts of the batch, one after the other.

    Part j has rows j, j + parts, ..., so rows of every device's block: none moves to another device. Raises UsageError
    if the rows are not a multiple of `parts`.
    """
    if parts == 1:
        return function(batch)
    rows = len(batch.index)
    if rows % parts:
        raise UsageError(
            f"train.accumulate={parts} cuts a batch into equal parts, but {rows} examples (of one device, where each "
            f"has its share) are no multiple of {parts}. Choose another data.batch_size, or train.accumulate."
        )
    by_part = jax.tree.map(lambda a: a.reshape(rows // parts, parts, *a.shape[1:]), batch)

    def add(part: Array | int, total: Any) -> Any:
        rows_of_part = jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, part, axis=1, keepdims=False), by_part)
        return jax.tree.map(jnp.add, total, function(rows_of_part))

    shapes = jax.eval_shape(function, jax.tree.map(lambda a: a[:, 0], by_part))
    zeros = _mark_varying(jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes), axis_name)
    loop = partial(lax.fori_loop, 0, parts, add)
    total = lax.platform_dependent(
        zeros,
        # unrolled on a CPU, where convolutions are ten times slower inside a loop, and memory is plenty
        cpu=loop if parts > _MOST_UNROLLED else lambda total: reduce(lambda t, part: add(part, t), range(parts), total),
        default=loop,
    )
    return jax.tree.map(lambda a: a / parts, total)


def apply_update(state: State, optimizer, grads, variables, metrics, ema: float) -> tuple[State, dict[str, Array]]:
    """Applies the gradients; where they, the loss or a new variable are not finite, keeps all but step and guard."""
    norm = optax.tree.norm(grads)
    good = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
    for leaf in jax.tree.leaves(variables):
        good &= jnp.isfinite(leaf).all()

    def take(old: tuple) -> tuple:
        params, average, opt, _ = old
        updates, opt = optimizer.update(grads, opt, params)
        updates = jax.tree.map(lambda u: state.guard.scale.astype(u.dtype) * u, updates)
        params = optax.apply_updates(params, updates)
        return params, _update_ema(average, params, state.step, ema), opt, variables

    def keep(old: tuple) -> tuple:
        return old

    params, average, opt, variables = lax.platform_dependent(
        (state.params, state.ema, state.opt, state.variables),
        cpu=lambda old: lax.cond(good, take, keep, old),  # a tenth of a small step faster than selecting
        default=lambda old: jax.tree.map(partial(jnp.where, good), take(old), keep(old)),  # no wait for `good`
    )
    guard = update_guard(state.guard, metrics["loss"], good)
    state = State(state.step + 1, params, average, opt, variables, guard, state.key)
    counts = {"skipped": guard.skipped, "streak": guard.streak, "scale": guard.scale, "spikes": guard.spikes}
    return state, {**metrics, "grad_norm": norm, **counts}


def update_guard(guard: Guard, loss: Array, good: Array) -> Guard:
    """Returns the guard after a step with this loss, which was applied if it was `good`."""
    skipped = guard.replace(skipped=guard.skipped + ~good, streak=guard.streak + 1)
    reach = _SPIKE_SPREADS * jnp.maximum(guard.spread, _MIN_SPREAD * jnp.maximum(jnp.abs(guard.usual), 1.0))
    warm, loss = guard.seen >= _GUARD_WINDOW, jnp.nan_to_num(loss.astype(guard.usual.dtype))
    spike = warm & (loss > guard.usual + reach)
    # a spike is clipped before it enters the running means, which decide on the next ones
    loss = jnp.where(warm, jnp.clip(loss, guard.usual - reach, guard.usual + reach), loss)
    count = jnp.minimum(guard.seen, _GUARD_WINDOW - 1).astype(loss.dtype)  # float32, also with jax_enable_x64
    weight = 1.0 / (1.0 + count)
    away = jnp.abs(weight * loss - weight * guard.usual)  # multiplied first: a difference could overflow
    moved = guard.replace(
        streak=jnp.zeros_like(guard.streak),
        seen=guard.seen + 1,
        usual=(1.0 - weight) * guard.usual + weight * loss,
        spread=(1.0 - weight) * guard.spread + jnp.where(guard.seen > 0, away, 0.0),
        spikes=guard.spikes + spike,
    )
    return jax.tree.map(partial(jnp.where, good), moved, skipped)


def _update_ema(average: Any, params: Any, step: Array, decay: float) -> Any:
    """Returns the exponential moving average; its decay grows, so that the random start is forgotten."""
    weight = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return average and jax.tree.map(lambda a, p: (weight * a + (1 - weight) * p).astype(a.dtype), average, params)


def _mark_varying(params: Any, axis_name: str | None) -> Any:
    """Marks replicated parameters as differing over devices.

    Without it, a gradient taken inside shard_map is already summed over devices, its mean too large by their number.
    """
    if axis_name is None:
        return params
    return jax.tree.map(lambda a: lax.pcast(a, axis_name, to="varying"), params)


def mean_over_devices(axis_name: str | None, tree: Any) -> Any:
    """Returns the mean over devices; the tree itself without an axis."""
    return tree if axis_name is None else lax.pmean(tree, axis_name)


def _gather(axis_name: str | None, tree: Any, axis: int = 1) -> Any:
    """Concatenates a tree's leaves over devices along `axis`; B is axis 1 of [S, B, ...]."""
    if axis_name is None:
        return tree
    return jax.tree.map(lambda a: lax.all_gather(a, axis_name, axis=axis, tiled=True), tree)
