"""A factor's string, a name or a call of literals, read without running any code, and bound to its factory.

`where` names the field in every refusal.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxvae._checks import UsageError, describe_type, is_instance, short_repr
from jaxvae.config.user_file import executed, of_file
from jaxvae.objective import Objective, scale_objective, sum_objectives

_DEEPEST = 100  # levels of a syntax tree, one for each term of a sum: what reads it goes down one call a level


def parse(text: str, where: str) -> ast.expr:
    """The syntax tree of the text; ValueError where it has none."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd escapes and numbers: the refusal says it
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise UsageError(f"{where} is not a name or a call of literals, such as 'mlp(400)' ({reason}).") from None
    if _is_deep(tree):
        raise UsageError(f"{where} is nested too deeply, or has too many terms; expected at most {_DEEPEST} levels.")
    return tree


def _is_deep(tree: ast.expr) -> bool:
    """Whether the tree has more levels than DEEPEST."""
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def construct(
    tree: ast.expr,
    kind: str,
    table: dict[str, Callable],
    weights: dict[str, Callable],
    known: Mapping[str, Any],
    where: str,
    instead: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Calls the factory of the `table` that the syntax tree names, with its literals; a call among them is a weight's
    schedule, of `weights`.
    """
    call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
    if not isinstance(call.func, ast.Name):
        raise UsageError(
            f"{where}: expected a name or a call of a name, such as 'mlp(400)'; known: {', '.join(table)}."
        )
    name = call.func.id
    if name not in table:
        near = difflib.get_close_matches(name, table, 1)
        raise UsageError(
            f"{where}: {name!r} is not a known {kind}"
            + (f"; did you mean {near[0]!r}?" if near else ".")
            + f" Known: {', '.join(table)}."
        )

    if any(isinstance(node, ast.Starred) for node in call.args) or any(k.arg is None for k in call.keywords):
        raise UsageError(f"{where}: * and ** are not read; write the arguments out.")
    args = [_literal_or_schedule(node, weights, where) for node in call.args]
    kwargs = {str(keyword.arg): _literal_or_schedule(keyword.value, weights, where) for keyword in call.keywords}
    if len(kwargs) < len(call.keywords):
        raise UsageError(f"{where}: an argument is given twice.")
    return _call_factory(table[name], name, args, {**kwargs, **instead}, known, where)


def _literal_or_schedule(node: ast.expr, weights: dict[str, Callable], where: str) -> Any:
    """The value of a literal, or the schedule that a call of one of the `weights` makes; ValueError for others."""
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
    """factory(*args, **kwargs) with what is known filled in; a wrong argument is refused with its signature."""
    signature, _ = _known_of(factory)
    parameters = signature.parameters
    filled = {key: known[key] for key, p in parameters.items() if key in known and p.kind is p.KEYWORD_ONLY}
    takes = name + str(
        inspect.Signature([p.replace(annotation=p.empty) for key, p in parameters.items() if key not in filled])
    )
    try:
        if taken := sorted(set(filled) & set(kwargs)):
            raise TypeError(f"{taken[0]!r} follows from other fields")
        given = signature.bind(*args, **kwargs, **filled).arguments
    except TypeError as error:
        raise UsageError(f"{where}: {error}; expected {takes}.") from None
    try:
        part = factory(*args, **kwargs, **filled)
    except ValueError as error:  # the factory's own words say more than its annotations
        raise UsageError(f"{where}: {error}") from error
    except Exception as error:
        _refuse_mistyped(factory, given, f"{where}: ", takes)
        file = getattr(getattr(factory, "__code__", None), "co_filename", "")
        raise UsageError(f"{where}: {takes} of {file} failed: {of_file(error, file)}.") from error
    _refuse_mistyped(factory, given, f"{where}: ", takes)
    return part


def _refuse_mistyped(factory: Callable, arguments: Mapping[str, Any], where: str, takes: str) -> None:
    """ValueError for the first argument that is not what the factory's annotation says."""
    signature, kinds = _known_of(factory)
    for name, value in arguments.items():
        kind = kinds.get(name, Any)
        several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        for each in value if several else (value,):
            if not is_instance(each, kind):
                raise UsageError(
                    f"{where}{name}={short_repr(each)}, where {describe_type(kind)} is expected; write {takes}."
                ) from None


def _known_of(factory: Callable) -> tuple[inspect.Signature, dict[str, Any]]:
    """(the factory's signature, what its annotations say)."""
    try:
        return _looked_up(factory)
    except TypeError:  # of a user's own, an object that cannot be hashed
        return _looked_up.__wrapped__(factory)


@functools.lru_cache(maxsize=256)
def _looked_up(factory: Callable) -> tuple[inspect.Signature, dict[str, Any]]:
    signature = inspect.signature(factory)
    try:
        return signature, typing.get_type_hints(factory)
    except Exception:  # of a user's own factory: annotations are none of our business
        return signature, {}


def imported(path: str, where: str, trust: bool) -> dict[str, Callable]:
    """The functions of a user's file, by name."""
    if not trust:
        raise UsageError(f"{where} runs code of {path}. If you trust it, say so: --trust, or load(..., trust=True).")
    if not Path(path).is_file():
        raise UsageError(f"{where}: there is no file {path} (looked in {Path.cwd()}).")
    return {name: value for name, value in vars(executed(path, where)).items() if callable(value)}


def add_up(tree: ast.expr, of: Callable[[ast.expr], Objective], weights: dict[str, Callable], where: str) -> Objective:
    """The sum of what `of` makes of its terms, each times the numbers and schedules (of `weights`) in front of it.

    ValueError, naming the field by `where`, for any other arithmetic, and where the terms do not add up.
    """

    def value(node: ast.expr) -> Objective:
        if not isinstance(node, ast.BinOp):
            return of(node)
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
    """Whether this is a number, or a call of a schedule."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in weights
    return isinstance(node, ast.Constant | ast.UnaryOp)


def _summands(node: ast.expr) -> list[ast.expr]:
    """What a sum is made of, from left to right."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def named(tree: ast.expr, weights: dict[str, Callable]) -> list[ast.expr]:
    """The names, and calls of names, whose objectives a sum is made of, from left to right."""
    if isinstance(tree, ast.BinOp):
        return [*named(tree.left, weights), *named(tree.right, weights)]
    return [tree] if isinstance(tree, ast.Call | ast.Name) and name_of(tree) not in weights else []


def with_argument(tree: ast.expr, table: dict[str, Callable], name: str, number: float, where: str) -> ast.expr:
    """The tree with `number` as the argument `name` of the one factory that has such; its arguments by keyword."""
    having = [node for node in named(tree, {}) if name in arguments_of(table.get(name_of(node)))]
    if len(having) != 1:
        what = (
            "is an argument of several of its terms; a number of one alone"
            if having
            else "is no argument of it; only a number"
        )
        raise UsageError(f"{where}: {name} {what} can be swept over, as in 'elbo(beta=1.0)'.")
    (found,) = having
    given = dict(zip(arguments_of(table[name_of(found)]), getattr(found, "args", ()), strict=False))
    given |= {keyword.arg: keyword.value for keyword in getattr(found, "keywords", ())}
    if isinstance(given.get(name), ast.Call):
        raise UsageError(
            f"{where}: {name} is a schedule there; only a number can be swept over, as in 'elbo(beta=1.0)'."
        )
    given[name] = ast.Constant(number)
    call = ast.Call(ast.Name(name_of(found)), [], [ast.keyword(each, node) for each, node in given.items()])
    return _Replaced(found, call).visit(tree)


def name_of(node: ast.expr) -> str:
    """The name that a name, or a call of one, says."""
    return getattr(node.func if isinstance(node, ast.Call) else node, "id", "")


def arguments_of(factory: Callable | None) -> list[str]:
    """The names of the factory's arguments."""
    return list(inspect.signature(factory).parameters) if factory else []


class _Replaced(ast.NodeTransformer):
    """The tree with one of its nodes in another's place."""

    def __init__(self, old: ast.expr, new: ast.expr):
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else self.generic_visit(node)
