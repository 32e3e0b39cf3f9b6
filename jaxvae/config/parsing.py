"""A factor's string, a name or a call of literals, read without running any code, and bound to its factory.

`where` names the field in every error.
"""

import ast
import contextlib
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxvae._checks import UsageError, describe_type, is_instance, short_repr, suggest
from jaxvae.config.other_names import name_here
from jaxvae.config.user_file import describe_error, run_file
from jaxvae.objective import Objective, scale_objective, sum_objectives

_MAX_DEPTH = 100  # of a syntax tree, one level for each term of a sum: the readers recurse


def parse_expression(text: str, where: str) -> ast.expr:
    """Returns the syntax tree of the text; UsageError where it has none, or one that is nested too deeply."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd escapes and numbers: the error says it
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise UsageError(f"{where} is not a name or a call of literals, such as 'mlp(400)' ({reason}).") from None
    level: list[ast.AST] = [tree]
    for _ in range(_MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise UsageError(f"{where} is nested too deeply, or has too many terms; expected at most {_MAX_DEPTH} levels.")
    return tree


def construct(
    tree: ast.expr,
    kind: str,
    table: dict[str, Callable],
    weights: dict[str, Callable],
    known: Mapping[str, Any],
    where: str,
    instead: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Calls the factory that the syntax tree names, with its literals.

    Args:
        tree: a name, or a call of one.
        kind: of the part, for errors.
        table: name -> factory.
        weights: name -> factory of a schedule, which a call among the arguments may name.
        known: fills the factory's keyword-only parameters of these names.
        where: names the config's field in errors.
        instead: replaces arguments of these names.
    """
    call, name = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], []), called_name(tree)
    if not name:
        raise UsageError(
            f"{where}: expected a name or a call of a name, such as 'mlp(400)'; known: {', '.join(table)}."
        )
    if name not in table:
        translated, own = name_here(kind, name), ""
        near = translated or suggest(name, table)
        if not translated and ".py:" not in where:
            own = f" Register a part of your own before load or train, jaxvae.register({kind!r}, {name!r}, ...), or "
            own += f"name its file: 'my_file.py:{name}'."
        raise UsageError(f"{where}: {name!r} is not a known {kind}; {near}known: {', '.join(table)}.{own}")
    if any(isinstance(node, ast.Starred) for node in call.args) or any(k.arg is None for k in call.keywords):
        raise UsageError(f"{where}: * and ** are not read; write the arguments out.")
    args = [_literal_or_schedule(node, weights, where) for node in call.args]
    kwargs = {str(keyword.arg): _literal_or_schedule(keyword.value, weights, where) for keyword in call.keywords}
    if len(kwargs) < len(call.keywords):
        raise UsageError(f"{where}: an argument is given twice.")
    return _call_factory(table[name], name, args, {**kwargs, **instead}, known, where)


def _literal_or_schedule(node: ast.expr, weights: dict[str, Callable], where: str) -> Any:
    """Returns the value of a literal, or the schedule that a call of one of the `weights` builds."""
    if isinstance(node, ast.Call):
        return construct(node, "weight", weights, weights, {}, where)
    try:
        return ast.literal_eval(node)
    except (TypeError, ValueError, MemoryError):
        raise UsageError(
            f"{where}: {short_repr(ast.unparse(node))} is not a literal (a number, a string, a tuple of them)."
        ) from None


def _call_factory(
    factory: Callable, name: str, args: list, kwargs: dict[str, Any], known: Mapping[str, Any], where: str
) -> Any:
    """Returns factory(*args, **kwargs), known parameters filled in; errors show its signature."""
    signature = inspect.signature(factory)
    parameters = signature.parameters
    filled = {key: known[key] for key, p in parameters.items() if key in known and p.kind is p.KEYWORD_ONLY}
    shown = [p.replace(annotation=p.empty) for key, p in parameters.items() if key not in filled]
    takes = f"{name}{inspect.Signature(shown)}"
    try:
        if taken := sorted(set(filled) & set(kwargs)):
            raise TypeError(f"{taken[0]!r} follows from other fields")
        given = signature.bind(*args, **kwargs, **filled).arguments
    except TypeError as error:
        raise UsageError(f"{where}: {error}; expected {takes}.") from None
    failure: Exception | None = None
    try:
        part = factory(*args, **kwargs, **filled)
    except ValueError as error:  # says more than the annotations
        raise UsageError(f"{where}: {error}") from error
    except Exception as error:
        failure = error
    kinds = dict[str, Any]()
    with contextlib.suppress(Exception):  # a user's annotations may name what is not there
        kinds = typing.get_type_hints(factory)
    for key, value in given.items():
        kind = kinds.get(key, Any)
        for each in value if parameters[key].kind is inspect.Parameter.VAR_POSITIONAL else (value,):
            if not is_instance(each, kind):
                found = f"{key}={short_repr(each)}, where {describe_type(kind)} is expected"
                raise UsageError(f"{where}: {found}; write {takes}.")
    if failure is not None:
        file = getattr(getattr(factory, "__code__", None), "co_filename", "")
        raise UsageError(f"{where}: {takes} of {file} failed: {describe_error(failure, file)}.") from failure
    return part


def import_factories(path: str, where: str, trust: bool) -> dict[str, Callable]:
    """Returns the functions of a user's file, by name."""
    if not trust:
        raise UsageError(f"{where} runs code of {path}. If you trust it, say so: --trust, or load(..., trust=True).")
    if not Path(path).is_file():
        raise UsageError(f"{where}: there is no file {path} (looked in {Path.cwd()}).")
    return {name: value for name, value in vars(run_file(path, where)).items() if callable(value)}


def sum_terms(
    tree: ast.expr, build: Callable[[ast.expr], Objective], weights: dict[str, Callable], where: str
) -> Objective:
    """Returns the sum of the objectives that `build` makes of its terms, each times the weights in front of it.

    UsageError for any other arithmetic, and where the terms do not add up.
    """

    def value(node: ast.expr) -> Objective:
        if not isinstance(node, ast.BinOp):
            return build(node)
        if isinstance(node.op, ast.Add):
            return sum_objectives(*(value(each) for each in _summands(node)))
        weight, rest = (node.left, node.right) if _is_weight(node.left, weights) else (node.right, node.left)
        if not isinstance(node.op, ast.Mult) or not _is_weight(weight, weights):
            raise UsageError(
                f"{where}: {short_repr(ast.unparse(node))} is no sum of objectives with a number, or a schedule "
                f"({', '.join(weights)}), in front; write it like 'elbo() + 0.1 * mmd()'."
            )
        return scale_objective(_literal_or_schedule(weight, weights, where), value(rest))

    try:
        return value(tree)
    except ValueError as error:
        raise error if str(error).startswith(where) else UsageError(f"{where}: {error}") from None


def _is_weight(node: ast.expr, weights: dict[str, Callable]) -> bool:
    """Returns whether this is a number, or a call of a schedule."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in weights
    return isinstance(node, ast.Constant | ast.UnaryOp)


def _summands(node: ast.expr) -> list[ast.expr]:
    """Returns the terms of a sum, from left to right."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def find_calls(tree: ast.expr, weights: dict[str, Callable]) -> list[ast.expr]:
    """Returns the names, and calls of names, of a sum's objectives, from left to right."""
    if isinstance(tree, ast.BinOp):
        return [*find_calls(tree.left, weights), *find_calls(tree.right, weights)]
    return [tree] if isinstance(tree, ast.Call | ast.Name) and called_name(tree) not in weights else []


def replace_argument(tree: ast.expr, table: dict[str, Callable], name: str, number: float, where: str) -> ast.expr:
    """Returns the tree with `number` as the argument `name` of the one factory that has it, arguments by keyword."""
    having = [node for node in find_calls(tree, {}) if name in parameter_names(table.get(called_name(node)))]
    if len(having) != 1:
        several = "an argument of several of its terms; a number of one alone"
        why = several if having else "no argument of it; only a number"
        raise UsageError(f"{where}: {name} is {why} can be swept over, as in 'elbo(beta=1.0)'.")
    (found,) = having
    call = found if isinstance(found, ast.Call) else ast.Call(found, [], [])
    given: dict[str | None, ast.expr] = dict(zip(parameter_names(table[called_name(call)]), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords}
    if isinstance(given.get(name), ast.Call):
        raise UsageError(
            f"{where}: {name} is a schedule there; only a number can be swept over, as in 'elbo(beta=1.0)'."
        )
    given[name] = ast.Constant(number)
    changed = ast.Call(call.func, [], [ast.keyword(each, node) for each, node in given.items()])

    def replace(node: ast.expr) -> ast.expr:
        if isinstance(node, ast.BinOp):
            return ast.BinOp(replace(node.left), node.op, replace(node.right))
        return changed if node is found else node

    return replace(tree)


def called_name(node: ast.expr) -> str:
    """Returns the name of a name, or of a call of one."""
    return getattr(node.func if isinstance(node, ast.Call) else node, "id", "")


def parameter_names(factory: Callable | None) -> list[str]:
    """Returns the names of the factory's parameters."""
    return list(inspect.signature(factory).parameters) if factory else []
