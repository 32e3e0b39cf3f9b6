"""Names of parts and what they build: the tables behind a config's strings.

A string is read with `ast`: names from the tables below and literals, so no code of it runs. What the data and other
fields determine (a decoder's output shape, the latent's size) reaches a factory as keyword-only arguments.
"""

import ast
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import flax.linen as nn
import optax

from jaxvae import objective
from jaxvae._checks import UsageError, require_choice, require_type, short_repr
from jaxvae.config import optim
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

__all__ = ["TABLES", "build_objective", "build_part", "read_functions", "register", "set_argument"]
__all__ += ["split_file", "split_list"]


def _from_module(module: ModuleType, names: str) -> dict[str, Callable]:
    return {name: getattr(module, name) for name in names.split()}


TABLES: dict[str, dict[str, Callable]] = {
    "prepare": _from_module(prepare, "binarize static grey dequantize"),
    "corrupt": _from_module(corrupt, "none noise mask salt_and_pepper blur"),
    "encoder": _from_module(encoder, "mlp linear conv resnet attention conv1d"),
    "posterior": _from_module(posterior, "diagonal full low_rank iaf coupling vmf relaxed point")
    | _from_module(codebook, "vq fsq"),
    "prior": _from_module(prior, "standard gaussian mixture vamp realnvp maf conditional sphere categorical codes"),
    "decoder": _from_module(decoder, "mlp linear conv resnet attention conv1d"),
    "likelihood": _from_module(likelihood, "bernoulli continuous_bernoulli gaussian laplace student_t beta")
    | _from_module(likelihood, "discretized_logistic logistic_mixture categorical"),
    "objective": _from_module(
        objective, "elbo capacity geco iwae miwae ciwae piwae renyi tc reconstruction rae ms_ssim"
    ),
    "term": _from_module(objective, "rate mmd dip_i dip_ii factor aae gan"),
    "optimizer": _from_module(optim, "adam adamw adamax sgd"),
    "schedule": _from_module(optim, "constant warmup cosine"),
    "weight": _from_module(optim, "linear cyclical sigmoid"),
    "sweep": _from_module(optim, "beta learning_rate"),
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
    "sweep": _Kind("train.sweep", "config/optim", optim.Sweep),
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
    return _require_part(kind, construct(tree, kind, table, TABLES["weight"], known, where), where)


def build_objective(
    text: str, known: Mapping[str, Any], *, trust: bool = True, instead: Mapping[str, Any] = MappingProxyType({})
) -> objective.Objective:
    """Returns the objective that `text` names, which may be a sum with weights: `elbo() + 0.1 * mmd()`.

    `known` as for `build_part`. `instead` replaces arguments of these names in every factory that has one.
    """
    (tree, table, where), weights = _parse_field("objective", text, trust), TABLES["weight"]

    def build_term(node: ast.expr) -> objective.Objective:
        mine = {key: value for key, value in instead.items() if key in parameter_names(table.get(called_name(node)))}
        return _require_part("objective", construct(node, "objective", table, weights, known, where, mine), where)

    loss = sum_terms(tree, build_term, weights, where)
    names = [called_name(node) for node in find_calls(tree, weights)]
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


def _require_part(kind: str, part: Any, where: str) -> Any:
    """Returns the part; raises UsageError where a user's factory returned what cannot be such a part."""
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
    return part


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


def read_functions(kind: str, text: str, built_in: Iterable[str] = (), *, trust: bool = True) -> dict[str, Any]:
    """Returns {name: function} of a comma-separated list, in its order; a name of `built_in` gives None.

    Args:
        kind: 'figure' or 'metric', whose field is evaluate.figures or evaluate.metrics.
        text: such as 'samples, my_file.py:mine(3)'. The literals of a call follow the function's other arguments.
        built_in: names that are known, too; a registered function of that name is taken first.
        trust: whether code of a user's file may run.
    """
    field = f"evaluate.{kind}s"
    require_type(field, text, str)
    where, found = f"{field}={short_repr(text)}", dict[str, Any]()
    for item in split_list(text):
        file, call = split_file(item)
        tree = parse_expression(call, where)
        known = import_factories(file, where, trust) if file else TABLES[kind]
        factories: dict[str, Callable] = {} if file else {name: lambda: None for name in built_in}
        factories |= {name: functools.partial(_bind, function) for name, function in known.items()}
        function, name = construct(tree, kind, factories, {}, {}, where), called_name(tree)
        if name in found:
            raise UsageError(f"{where}: {name!r} is named twice; name it once.")
        found[name] = function
    return found


def split_list(text: str) -> list[str]:
    """Returns the items of a comma-separated list; commas inside parentheses separate nothing."""
    items, item = [], ""
    for piece in text.split(","):
        item += piece
        if item.count("(") <= item.count(")"):
            items.append(item.strip())
            item = ""
        else:
            item += ","
    items += [item] if item else []
    return items if text.strip() else []


def _bind(function: Callable, *args: Any, **options: Any) -> Callable:
    """Returns the function with these arguments after those that it will be called with."""

    @functools.wraps(function)
    def bound(*first: Any) -> Any:
        return function(*first, *args, **options)

    return bound
