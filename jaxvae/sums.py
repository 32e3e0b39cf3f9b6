"""Objectives in a config's string add up: the syntax tree of `elbo() + 0.1 * mmd()`, read from its terms."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

from jaxvae._checks import shown
from jaxvae.calls import literal_or_schedule
from jaxvae.objective import Objective, scaled, total


def add_up(tree: ast.expr, of: Callable[[ast.expr], Objective], weights: dict[str, Callable], where: str) -> Objective:
    """The sum of what `of` makes of its terms, each times the numbers and schedules (of `weights`) in front of it.

    ValueError, naming the field by `where`, for any other arithmetic, and where the terms do not add up.
    """

    def value(node: ast.expr) -> Objective:
        if not isinstance(node, ast.BinOp):
            return of(node)
        if isinstance(node.op, ast.Add):
            return total(*(value(each) for each in summands(node)))
        weight, rest = (node.left, node.right) if is_weight(node.left, weights) else (node.right, node.left)
        if not isinstance(node.op, ast.Mult) or not is_weight(weight, weights):
            raise ValueError(
                f"{where}: {shown(ast.unparse(node))} is no sum of objectives with a number, or a schedule "
                f"({', '.join(weights)}), in front; write it like 'elbo() + 0.1 * mmd()'."
            )
        return scaled(literal_or_schedule(weight, weights, where), value(rest))

    try:
        return value(tree)
    except ValueError as error:
        raise error if str(error).startswith(where) else ValueError(f"{where}: {error}") from None


def is_weight(node: ast.expr, weights: dict[str, Callable]) -> bool:
    """Whether this is a number, or a call of a schedule."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in weights
    return isinstance(node, ast.Constant | ast.UnaryOp)


def summands(node: ast.expr) -> list[ast.expr]:
    """What a sum is made of, from left to right."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*summands(node.left), *summands(node.right)]
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
        raise ValueError(f"{where}: {name} {what} can be swept over, as in 'elbo(beta=1.0)'.")
    (found,) = having
    given = dict(zip(arguments_of(table[name_of(found)]), getattr(found, "args", ()), strict=False))
    given |= {keyword.arg: keyword.value for keyword in getattr(found, "keywords", ())}
    if isinstance(given.get(name), ast.Call):
        raise ValueError(
            f"{where}: {name} is a schedule there; only a number can be swept over, as in 'elbo(beta=1.0)'."
        )
    given[name] = ast.Constant(number)
    call = ast.Call(ast.Name(name_of(found)), [], [ast.keyword(each, node) for each, node in given.items()])
    return Replaced(found, call).visit(tree)


def name_of(node: ast.expr) -> str:
    """The name that a name, or a call of one, says."""
    return getattr(node.func if isinstance(node, ast.Call) else node, "id", "")


def arguments_of(factory: Callable | None) -> list[str]:
    """The names of the factory's arguments."""
    return list(inspect.signature(factory).parameters) if factory else []


class Replaced(ast.NodeTransformer):
    """The tree with one of its nodes in another's place."""

    def __init__(self, old: ast.expr, new: ast.expr):
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else self.generic_visit(node)
