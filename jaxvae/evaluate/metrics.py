"""Metrics of a user's own, measured for every example of a data set."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jax import Array, random

from jaxvae._checks import UsageError
from jaxvae.terms import example_keys

__all__ = ["make_measure"]

_METRICS = 1  # purpose folded into the key of the evaluation


def make_measure(
    model: Any, prepare: Callable, metrics: Mapping[str, Callable], *, key: Array, fetch: Callable = np.asarray
) -> Callable[..., dict[str, np.ndarray]]:
    """Returns measure(variables, batches, *, key=key) -> {name: values of every example, [N]}.

    Each metric is a pure function `metric(model, variables, keys [B], batch) -> {name: [B]}`, which is jitted. `batch`
    has x, target, condition and index, prepared as `make_evaluate` does with the same `key`. `batches` and `fetch` as
    there.
    """

    @jax.jit
    def score(variables: Any, batch: Any, prepare_key: Array, metric_key: Array) -> dict[str, Array]:
        data = prepare(example_keys(prepare_key, batch.index)[0], batch)
        keys = example_keys(metric_key, data.index)[0]
        found: dict[str, Array] = {}
        for name, metric in metrics.items():
            values = metric(model, variables, keys, data)
            if not isinstance(values, Mapping) or not all(np.shape(each) == keys.shape for each in values.values()):
                shapes = jax.tree.map(np.shape, values)
                raise UsageError(f"metric {name!r} returned {shapes}: expected {{name: array}}, each [{len(keys)}].")
            if taken := found.keys() & values.keys():
                raise UsageError(f"metric {name!r} returned {min(taken)!r}, as another metric does: rename it.")
            found |= values
        return found

    def measure(variables: Any, batches: Iterable, *, key: Array = key) -> dict[str, np.ndarray]:
        prepare_key = random.split(random.clone(key), 3)[0]
        metric_key = random.fold_in(random.clone(key), _METRICS)
        scored = [(score(variables, batch, prepare_key, metric_key), real) for batch, real in batches]
        return {name: np.concatenate([fetch(each[name])[:real] for each, real in scored]) for name in scored[0][0]}

    return measure
