"""Names of parts and what they build: the tables behind a config's strings.

A factor is one string, a name or a call of literals: `conv(32, 64)`, `elbo(beta=linear(0, 1, steps=5000))`. It is read
with `ast`: names from the tables below and literals, nothing else, so no code of the string runs. What the data and the
other fields determine (a decoder's output shape, the latent's size) reaches a factory as keyword-only arguments.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import optax

from jaxvae import objective
from jaxvae._checks import UsageError, require_choice, require_type, short_repr
from jaxvae.config import optim, sweep
from jaxvae.config.parsing import (
    called_name,
    construct,
    find_calls,
    import_factories,
    parameter_names,
    parse_expression,
    replace_argument,
    sum_terms,
)
from jaxvae.data import corrupt, prepare
from jaxvae.model import codebook, decoder, encoder, likelihood, posterior, prior
from jaxvae.model.traits import require_traits

__all__ = ["TABLES", "build_objective", "build_part", "register", "set_argument", "split_file"]


def _by_name(*factories: Callable) -> dict[str, Callable]:
    """Returns {name: factory}."""
    return {factory.__name__: factory for factory in factories}


TABLES: dict[str, dict[str, Callable]] = {
    "prepare": _by_name(prepare.binarize, prepare.static, prepare.grey, prepare.dequantize),
    "corrupt": _by_name(corrupt.none, corrupt.noise, corrupt.mask, corrupt.salt_and_pepper, corrupt.blur),
    "encoder": _by_name(encoder.mlp, encoder.linear, encoder.conv, encoder.resnet, encoder.attention, encoder.conv1d),
    "posterior": _by_name(
        posterior.diagonal,
        posterior.full,
        posterior.low_rank,
        posterior.iaf,
        posterior.coupling,
        posterior.vmf,
        posterior.relaxed,
        posterior.point,
        codebook.vq,
        codebook.fsq,
    ),
    "prior": _by_name(
        prior.standard,
        prior.gaussian,
        prior.mixture,
        prior.vamp,
        prior.realnvp,
        prior.maf,
        prior.conditional,
        prior.sphere,
        prior.categorical,
        prior.codes,
    ),
    "decoder": _by_name(decoder.mlp, decoder.linear, decoder.conv, decoder.resnet, decoder.attention, decoder.conv1d),
    "likelihood": _by_name(
        likelihood.bernoulli,
        likelihood.continuous_bernoulli,
        likelihood.gaussian,
        likelihood.laplace,
        likelihood.student_t,
        likelihood.beta,
        likelihood.discretized_logistic,
        likelihood.logistic_mixture,
        likelihood.categorical,
    ),
    "objective": _by_name(
        objective.elbo,
        objective.capacity,
        objective.geco,
        objective.iwae,
        objective.miwae,
        objective.ciwae,
        objective.piwae,
        objective.renyi,
        objective.tc,
        objective.reconstruction,
        objective.rae,
        objective.ms_ssim,
    ),
    "term": _by_name(
        objective.rate,
        objective.mmd,
        objective.dip_i,
        objective.dip_ii,
        objective.factor,
        objective.aae,
        objective.gan,
    ),
    "optimizer": _by_name(optim.adam, optim.adamw, optim.adamax, optim.sgd),
    "schedule": _by_name(optim.constant, optim.warmup, optim.cosine),
    "weight": _by_name(optim.linear, optim.cyclical, optim.sigmoid),
    "sweep": _by_name(sweep.beta, sweep.learning_rate),
    "figure": {},  # of users: function(subject) -> matplotlib figure; those of the package are in jaxvae.viz.figures
    "metric": {},  # of users: function(model, variables, keys, batch) -> {name: [B]}
}


class _Kind(NamedTuple):
    """A kind of part: the config's field, the file with examples, the type that a factory returns, its call."""

    field: str
    file: str
    makes: Any
    arguments: tuple[str, ...] = ()


_KINDS = {
    "prepare": _Kind("data.prepare", "data/prepare", prepare.Prepare, ("keys", "batch")),
    "corrupt": _Kind("data.corrupt", "data/corrupt", corrupt.Corruption, ("keys", "x")),
    "encoder": _Kind("model.encoder", "model/encoder", nn.Module, ("x", "condition")),
    "posterior": _Kind("model.posterior", "model/posterior", nn.Module, ("features", "condition")),
    "prior": _Kind("model.prior", "model/prior", nn.Module, ("infer", "condition")),
    "decoder": _Kind("model.decoder", "model/decoder", nn.Module, ("z", "condition")),
    "likelihood": _Kind("model.likelihood", "model/likelihood", nn.Module, ("features",)),
    "objective": _Kind("objective", "objective/bound", objective.Objective),
    "term": _Kind("objective", "objective/aggregate_posterior", objective.Objective),
    "optimizer": _Kind("optimizer.name", "config/optim", optax.GradientTransformation),
    "schedule": _Kind("optimizer.schedule", "config/optim", Callable),
    "sweep": _Kind("train.sweep", "config/sweep", sweep.Sweep),
}


def register(kind: str, name: str, factory: Callable) -> None:
    """Makes `name(...)` a choice of that kind: encoder, posterior, prior, decoder, likelihood, objective, ...

    Args:
        kind: a key of `TABLES`.
        name: how a config calls the part.
        factory: takes the string's literals. Keyword-only parameters of these names are filled in: `latent_dim`; a
            decoder's output `shape`; the `dtype` that an encoder or a decoder computes in (without it, float32);
            `remat`, whether it recomputes its blocks (without it, all of it is recomputed); `data_shape`, of x, for a
            prior; `schedule`, `learning_rate`, `steps` for optimizers and schedules. Parts of a model declare what they
            can do and need by `traits`: see `jaxvae.model.Traits`. A figure is a function(subject) that returns a
            matplotlib Figure; a metric is a function(model, variables, keys, batch) that returns {name: array [B]}.
    """
    require_choice("kind", kind, TABLES)
    where = f"register({kind!r}, {short_repr(name)})"
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"{where}: a config calls the part by this name; choose one like 'mine'.")
    if not callable(factory):
        raise UsageError(f"{where}: expected a function that builds the part, got {type(factory).__name__}.")
    TABLES[kind][name] = factory


def build_part(kind: str, text: str, known: Mapping[str, Any] = MappingProxyType({}), *, trust: bool = True) -> Any:
    """Returns the part that `text` names; `known` fills the factory's keyword-only parameters of those names."""
    tree, table, where = _parse_field(kind, text, trust)
    part = construct(tree, kind, table, TABLES["weight"], known, where)
    _require_part(kind, part, where)
    return part


def build_objective(
    text: str, known: Mapping[str, Any], *, trust: bool = True, instead: Mapping[str, Any] = MappingProxyType({})
) -> objective.Objective:
    """Returns the objective that `text` names, which may be a sum with weights: `elbo() + 0.1 * mmd()`.

    `known` as for `build_part`. `instead` replaces arguments of these names in every factory that has one.
    """
    tree, table, where = _parse_field("objective", text, trust)

    def build_term(node: ast.expr) -> objective.Objective:
        mine = {key: value for key, value in instead.items() if key in parameter_names(table.get(called_name(node)))}
        part = construct(node, "objective", table, TABLES["weight"], known, where, mine)
        _require_part("objective", part, where)
        return part

    loss = sum_terms(tree, build_term, TABLES["weight"], where)
    names = [called_name(node) for node in find_calls(tree, TABLES["weight"])]
    if all(table[name] is TABLES["term"].get(name) for name in names):
        raise UsageError(
            f"{where}: alone it trains no decoder, it is a term to be added to an objective. "
            f"Choose objective={f'elbo() + {text}'!r}, or {f'reconstruction() + {text}'!r}."
        )
    return loss


def set_argument(kind: str, text: str, name: str, number: float) -> str:
    """Returns the text with `number` as its argument `name`, of the one call in it that has such an argument.

    UsageError where none or several of its factories have that argument, or the text gives it a schedule.
    """
    tree, table, where = _parse_field(kind, text, trust=True)
    file, changed = split_file(text)[0], ast.unparse(replace_argument(tree, table, name, number, where))
    return f"{file}:{changed}" if file else changed


def _require_part(kind: str, part: Any, where: str) -> None:
    """Raises UsageError where a user's factory returned what cannot be such a part."""
    expected = _KINDS[kind]
    if not isinstance(part, expected.makes):
        raise UsageError(
            f"{where}: its function returned a {type(part).__name__}; expected a {expected.makes.__name__}, "
            f"as the parts of jaxvae/{expected.file}.py are."
        )
    if isinstance(part, nn.Module):
        require_traits(where, part)
    try:
        if expected.arguments:
            inspect.signature(type(part).__call__).bind(part, *expected.arguments)
    except TypeError as error:
        call = f"{kind}({', '.join(expected.arguments)})"
        raise UsageError(f"{where}: a {type(part).__name__} cannot be called as {call}: {error}.") from None


def _parse_field(kind: str, text: str, trust: bool) -> tuple[ast.expr, dict[str, Callable], str]:
    """Returns (the text's syntax tree, the factories it may name, how an error names the field)."""
    field = _KINDS[kind].field
    require_type(field, text, str)
    where, (file, call) = f"{field}={short_repr(text)}", split_file(text)
    tree, table = parse_expression(call, where), TABLES[kind]
    if file:
        table = import_factories(file, where, trust)
    if kind == "objective":  # a sum may name those of the package beside the file's
        table = {**TABLES["objective"], **TABLES["term"], **table}
    return tree, table, where


def split_file(text: str) -> tuple[str, str]:
    """Returns ('my_file.py', 'mine(3)') of 'my_file.py:mine(3)', and '' for the file where none is named."""
    file, colon, call = text.partition(".py:")
    return (f"{file}.py", call) if colon else ("", text)
