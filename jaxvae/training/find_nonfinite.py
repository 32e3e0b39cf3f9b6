"""The first value of a step that is not finite, found by replaying that step alone.

A step's randomness and batch depend on its number alone, so any step can be replayed. Skipped steps change no weights,
so the state of the first of them is still at hand.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import random
from jax.tree_util import keystr, tree_leaves_with_path

from jaxvae.data.pipeline import Streaming
from jaxvae.step import State, make_forward
from jaxvae.training.setup import Experiment

__all__ = ["NonfiniteFinding", "find_first_nonfinite", "inspect_step"]

_INFERENCE, _GENERATION = ("encoder", "posterior"), ("decoder", "likelihood")
_OWN = "the objective"
_path_of = partial(keystr, simple=True, separator="/")
_PARTS = {"p": ("latent_prior",), "log_p": ("latent_prior",), "px": _GENERATION, "log_px": _GENERATION}


class NonfiniteFinding(NamedTuple):
    """The first term that was not finite, the layer in or after which it became so, if any, and a text of both."""

    term: str | None
    layer: str | None
    words: str


class _FiniteInterceptor:
    """An interceptor of Linen's methods: the layers with finite results, in their order, and the first other one."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.bad: str | None = None

    def __call__(self, call: Callable, args: Any, kwargs: Any, context: Any) -> Any:
        path = "/".join(context.module.path)
        watched = path and self.bad is None and _all_finite((args, kwargs))
        out = call(*args, **kwargs)
        if watched and self.bad is None:
            if _all_finite(out):
                self.finished.append(path)
            else:
                self.bad = path
        return out


def find_first_nonfinite(experiment: Experiment, state: State) -> NonfiniteFinding:
    """Returns what is first not finite in the step after this state, which is whole on this process's first device."""
    config, parts = experiment.config, experiment.parts
    state, training = state.replace(key=random.clone(state.key)), experiment.data.splits["train"]
    forward = make_forward(parts.model, parts.objective, parts.prepare_training, samples=config.train.samples)
    try:
        batch = Streaming(training, random.clone(experiment.data_key), config.data.batch_size).batch(int(state.step))
        for part in range(config.train.accumulate):
            rows = jax.device_put(jax.tree.map(lambda a, part=part: a[part :: config.train.accumulate], batch))
            if (found := inspect_step(forward, state, rows)) is not None:
                return found
    except Exception as error:  # for lack of memory perhaps: the rollback must go on
        words = f"it could not be replayed alone ({type(error).__name__}: {str(error)[:200]})"
        return NonfiniteFinding(None, None, words)
    return NonfiniteFinding(None, None, "replayed alone it was finite: rounding decides there, or the machine erred")


def inspect_step(forward: Callable, state: State, batch: Any) -> NonfiniteFinding | None:
    """Returns what is first not finite of one step on this batch; None if all is finite."""
    watch = _FiniteInterceptor()
    with nn.intercept_methods(watch):
        data, terms, variables, out = forward(state, state.params, batch)
    for name in ("x", "target", "condition"):
        if not _all_finite(getattr(data, name)):
            maker = "corrupt" if name == "x" and _all_finite(data.target) else "prepare"
            return NonfiniteFinding(name, None, f"{name}, as data.{maker} makes it")
    for term, value in _named_terms(terms):
        if not _all_finite(value):
            return _after_layers(term, state, watch)
    if not _all_finite(out.value):
        return NonfiniteFinding("loss", None, "the loss, made by the objective of finite terms")
    if (found := _bad_gradient(forward, state, batch, watch)) is not None:
        return found
    for path, leaf in tree_leaves_with_path(variables):
        if not _all_finite(leaf):
            layer, name = _leaf_name(path)
            return NonfiniteFinding("variables", layer, f"the new {name} of {layer or _OWN}")
    return None


def _named_terms(terms: Any) -> Iterator[tuple[str, Any]]:
    """Yields the pieces of the bound with their names, in the order of computation; of several levels, numbered."""
    for number, level in enumerate(terms.levels):
        suffix = f"_{number}" if len(terms.levels) > 1 else ""
        for name in ("q", "p", "z", "log_q", "log_p", "kl"):
            yield name + suffix, getattr(level, name)
    yield "px", terms.px
    yield "log_px", terms.log_px
    yield from terms.extra.items()


def _after_layers(term: str, state: State, watch: _FiniteInterceptor) -> NonfiniteFinding:
    """Returns the finding of a term: in the first bad layer, or after the last of those that it comes from."""
    if watch.bad is not None:
        leaves = [(_path_of(path), leaf) for path, leaf in tree_leaves_with_path(state.params["model"])]
        inside = f"{watch.bad}/"
        broken = [path.removeprefix(inside) for path, a in leaves if path.startswith(inside) and not _all_finite(a)]
        whose = f", whose {broken[0]} is not finite itself" if broken else ""
        return NonfiniteFinding(term, watch.bad, f"{term}, in the layer {watch.bad}{whose}")
    parts = _PARTS.get(term.split("_")[0] if term[-1:].isdigit() else term, _INFERENCE)
    layer = next(reversed([path for path in watch.finished if path.split("/")[0] in parts] or watch.finished), None)
    return NonfiniteFinding(term, layer, f"{term}, after the layer {layer}")


def _bad_gradient(forward: Callable, state: State, batch: Any, watch: _FiniteInterceptor) -> NonfiniteFinding | None:
    """Returns the finding of the first gradient that is not finite, of the layer that came last, or of their norm."""
    gradient = jax.grad(lambda params: jnp.mean(forward(state, params, batch)[3].value))(state.params)
    leaves = [(*_leaf_name(path), leaf) for path, leaf in tree_leaves_with_path(gradient)]
    order = {path: place for place, path in enumerate(watch.finished)}
    bad = [(layer, name) for layer, name, leaf in leaves if not _all_finite(leaf)]
    if bad:
        layer, name = max(bad, key=lambda each: order.get(each[0] or "", -1))
        words = f"the gradient of {name} of {layer or _OWN}, though the loss is finite"
        return NonfiniteFinding("gradient", layer, words)
    if not _all_finite(optax.tree.norm(gradient)):
        layer, name, _ = max(leaves, key=lambda each: float(jnp.abs(each[2]).max()))
        return NonfiniteFinding("gradient", layer, f"the gradient's norm, most of all {name} of {layer or _OWN}")
    return None


def _leaf_name(path: Any) -> tuple[str | None, str]:
    """(the layer's path, the array's name) of a leaf of params or variables; None for the objective's own."""
    names = _path_of(path).split("/")
    return "/".join(names[1:-1]) or None, names[-1]


def _all_finite(tree: Any) -> bool:
    """Whether all floats are, as far as they are known: what is traced, inside a loop of a layer's own, is not."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    known = [a for a in arrays if jnp.issubdtype(a.dtype, jnp.inexact) and not isinstance(a, jax.core.Tracer)]
    return all(bool(np.isfinite(np.asarray(a)).all()) for a in known)
