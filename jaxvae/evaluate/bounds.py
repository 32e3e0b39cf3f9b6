"""The bound, its parts, the importance-weighted likelihood, active units and users' metrics, with standard errors.

The pure functions take one batch. `make_evaluate` runs them over a data set and keeps every example's value, so that a
padded last batch is cut to its real examples and means have standard errors. `summarize` names the numbers.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from jaxvae._checks import UsageError
from jaxvae.distributions import has_kl_each, kl_each
from jaxvae.model.traits import traits_of
from jaxvae.terms import Terms, example_keys

__all__ = ["active_units", "bits_per_dim", "bound_parts", "elbo_parts", "latent_statistics", "log_weight_sum"]
__all__ += ["make_evaluate", "make_log_likelihood", "make_measure", "mean_and_stderr", "perplexity", "require_bound"]
__all__ += ["summarize", "summarize_from_corrupted"]

_ACTIVE_VARIANCE = 0.01  # a unit is active where its posterior mean varies by more than this over the data
_METRICS = 1  # purpose folded into the key of the evaluation
_CHUNK_VALUES = 2**21  # pixels decoded at once while scoring K samples: more spill a CPU's caches; changes no value


def elbo_parts(terms: Terms) -> dict[str, Array]:
    """Returns the elbo, rate and distortion of each example, [B], nats, averaged over the terms' S draws."""
    require_bound(terms)
    return bound_parts(terms)


def bound_parts(terms: Terms) -> dict[str, Array]:
    """Returns the rate and distortion of each example, and the elbo if there is one: as `elbo_parts`."""
    values = {"rate": terms.rate.mean(0), "distortion": terms.distortion.mean(0)}
    return values | ({"elbo": -(values["rate"] + values["distortion"])} if terms.bound else {})


def require_bound(terms: Terms) -> None:
    """Raises ValueError where the terms are no bound on log p(x)."""
    if not terms.bound:
        raise UsageError(
            "this model's posterior chooses z instead of drawing it from a density: "
            "elbo, log_likelihood and bits_per_dim are not given for it. Report its rate and distortion."
        )


def latent_statistics(terms: Terms, space: str = "real") -> dict[str, Array]:
    """Returns values of every latent coordinate, [B, Z] with levels side by side.

    The posterior mean, the KL if q and p factorise, and the codes if the posterior's `space` is 'codes'.
    """
    batch = terms.log_px.shape[1]

    def flat(values: list[Array]) -> Array:
        return jnp.concatenate(
            [jnp.broadcast_to(each, (1, batch, *each.shape[2:])).reshape(batch, -1) for each in values], -1
        )

    found = {"means": flat([level.q.mean() for level in terms.levels])}
    if all(has_kl_each(level.q, level.p) for level in terms.levels):
        found["kl_per_dimension"] = flat([kl_each(level.q, level.p) for level in terms.levels])
    if space == "codes":
        found["codes"] = flat([level.q.codes() for level in terms.levels])
    return found


def log_weight_sum(
    model, variables, key, inferred, x, index, condition=None, first: Array | int = 0, *, count: int
) -> Array:
    """Returns log sum_k p(x, z_k) / q(z_k|x), [B], over the samples numbered first .. first + count - 1."""
    keys = example_keys(key, index, count, first=first)
    terms = model.apply(variables, keys, inferred, x, condition, method="terms")
    require_bound(terms)
    return jax.nn.logsumexp(terms.log_weight, axis=0)


def make_log_likelihood(model, chunk: int | None = None) -> Callable[..., Array]:
    """Returns log_likelihood(variables, key, x [B, *X], index, condition=None, *, samples, target=None) -> [B], nats.

    The importance-weighted bound on log p(x) with K = `samples` (Burda et al. 2015, arXiv 1509.00519, eq. 8):
    log 1/K sum_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x), which rises with K towards log p(x). With a `target`, that is
    scored, and x only infers z.

    The encoder runs once per image. The samples are drawn `chunk` at a time, each with the key of its own number, so
    chunks change nothing but memory. The host runs the loop: a CPU's convolutions are slow inside a compiled loop.
    """
    infer = jax.jit(partial(model.apply, method="infer"))
    add_up = jax.jit(partial(log_weight_sum, model), static_argnames="count")

    def log_likelihood(variables, key, x, index, condition=None, *, samples: int, target=None) -> Array:
        if samples < 1:
            raise UsageError(f"samples={samples}: the importance-weighted bound needs at least one sample.")
        size = min(samples, chunk or max(1, _CHUNK_VALUES // x.size))
        inferred = infer(variables, x, condition)
        x = x if target is None else target
        sums = (
            add_up(variables, key, inferred, x, index, condition, first, count=min(size, samples - first))
            for first in range(0, samples, size)
        )
        return functools.reduce(jnp.logaddexp, sums) - math.log(samples)

    return log_likelihood


def make_evaluate(
    model, prepare: Callable, *, key: Array, chunk: int | None = None, fetch: Callable = np.asarray
) -> Callable[..., dict[str, np.ndarray]]:
    """Returns evaluate(variables, batches, *, samples=0, key=key) -> {name: values of every example, [N] or [N, Z]}.

    `batches` yields (stored images, number of real ones). The same `key` binarizes and draws in every call, example by
    example, so validations compare like with like. With samples > 0 the importance-weighted bound is added. `fetch`
    brings an array of values to the host, where its batch is spread over devices of other processes.
    """
    space = traits_of(model.posterior).space

    @jax.jit
    def score(variables, batch, prepare_key, model_key) -> tuple[Any, dict[str, Array]]:
        data = prepare(example_keys(prepare_key, batch.index)[0], batch)
        keys = example_keys(model_key, data.index)
        terms = model.apply(variables, keys, data.x, data.condition, target=data.target)
        return data, bound_parts(terms) | latent_statistics(terms, space)

    log_likelihood = make_log_likelihood(model, chunk)

    def evaluate(variables, batches: Iterable, *, samples: int = 0, key: Array = key) -> dict[str, np.ndarray]:
        prepare_key, model_key, weight_key = random.split(random.clone(key), 3)
        scored = []
        for batch, real in batches:
            data, values = score(variables, batch, prepare_key, model_key)
            if samples and "elbo" in values:
                weighted = log_likelihood(
                    *(variables, weight_key, data.x, data.index, data.condition), samples=samples, target=data.target
                )
                values = values | {"log_likelihood": weighted}
            scored.append((values, real))
        names = scored[0][0]
        return {name: np.concatenate([fetch(values[name])[:real] for values, real in scored]) for name in names}

    return evaluate


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


def summarize(
    values: dict[str, np.ndarray], *, samples: int = 0, bits: tuple[int, float] | None = None, classes: int = 1
) -> dict[str, Any]:
    """Returns means over examples with standard errors, as results.json holds them.

    `bits` = (dimensions of x, bits of a pixel's cell) where bits per dimension mean something: of the tightest bound
    under `bits_per_dim`, and of the ELBO, if that is another, under `bits_per_dim_elbo`.
    `classes` of a latent that is categorical, a one-hot vector of that length, and one unit.
    """
    names = ("elbo", "log_likelihood", "rate", "distortion")
    scalars = {name: mean_and_stderr(values[name]) for name in names if name in values}
    results: dict[str, Any] = {"examples": len(values["distortion"]), **scalars}
    if "log_likelihood" in results:
        results["log_likelihood"]["samples"] = samples
    if bits and "elbo" in values:
        best = "log_likelihood" if "log_likelihood" in values else "elbo"
        results["bits_per_dim"] = mean_and_stderr(bits_per_dim(values[best], *bits)) | {"of": best}
        if best != "elbo":
            results["bits_per_dim"]["samples"] = samples
            results["bits_per_dim_elbo"] = mean_and_stderr(bits_per_dim(values["elbo"], *bits)) | {"of": "elbo"}
    if "means" in values and "elbo" in values:  # without a bound the scale of z is arbitrary
        active = active_units(values["means"], classes)
        results["active_units"] = {"value": int(active.sum()), "of": len(active)}
    if "kl_per_dimension" in values:
        results["kl_per_dimension"] = {
            "value": [round(float(kl), 6) for kl in values["kl_per_dimension"].mean(0, dtype=float)]
        }
    if "codes" in values:
        results["code_perplexity"] = {"value": perplexity(values["codes"])}
    return results


def summarize_from_corrupted(values: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Returns means and standard errors of values measured with corrupted inputs to the encoder, under own names.

    The distortion is -log p(x|z) of the clean x: how well it is restored. The elbo bounds log p(x), too: Jensen's
    inequality holds for any density that z is drawn from, so that every x' has its bound, log p(x) >= E_{q(z|x')}
    [log p(x, z) - log q(z|x')], and so has the mean over x' (Im et al. 2017, arXiv 1511.06406).
    """
    names = ("elbo", "rate", "distortion")
    return {f"{name}_from_corrupted": mean_and_stderr(values[name]) for name in names if name in values}


def mean_and_stderr(values: np.ndarray) -> dict[str, float]:
    """Returns the mean of [N] values and its standard error over the examples, in double precision."""
    values = values.astype(np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else float("nan")
    return {"value": float(values.mean()), "stderr": float(error)}


def perplexity(codes: np.ndarray) -> float:
    """Returns the effective number of codes: exp of the entropy of the frequencies of `codes` [N, Z]."""
    share = np.unique(codes, return_counts=True)[1] / codes.size
    return float(np.exp(-(share * np.log(share)).sum()))


def bits_per_dim(log_prob: np.ndarray, dimensions: int, cell: float) -> np.ndarray:
    """Returns -log2 p per dimension, plus `cell`, the bits of a level's width.

    `cell` is 0 for a probability, and log2 256 = 8 for a density of values in [0, 1] dequantized from 256 levels.
    """
    return cell - log_prob / (dimensions * math.log(2))


def active_units(means: np.ndarray, classes: int = 1) -> np.ndarray:
    """Returns which units are active, bool [units]: Var_x(E_q[z]) > 0.01 (arXiv 1509.00519, sec. 5.1); means [N, Z].

    A unit is one coordinate; or `classes` of them, side by side, the probabilities of one categorical latent. Its
    variance is then their sum.
    """
    return means.var(axis=0, dtype=np.float64).reshape(-1, classes).sum(1) > _ACTIVE_VARIANCE
