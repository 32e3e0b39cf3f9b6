"""Fields that list functions by name, or by 'my_file.py:mine(3)': evaluate.figures and evaluate.metrics."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from jaxvae._checks import UsageError, require_type, short_repr
from jaxvae.config.parsing import called_name, construct, import_factories, parse_expression
from jaxvae.config.registry import TABLES, split_file

__all__ = ["built_in_function", "read_functions", "split_list"]


def read_functions(kind: str, text: str, built_in: Iterable[str] = (), *, trust: bool = True) -> dict[str, Callable]:
    """Returns {name: function} of a comma-separated list, in its order; a name of `built_in` gives `built_in_function`.

    Args:
        kind: 'figure' or 'metric', whose field is evaluate.figures or evaluate.metrics.
        text: such as 'samples, my_file.py:mine(3)'. The literals of a call follow the function's other arguments.
        built_in: names that are known besides the registered ones, which come first.
        trust: whether code of a user's file may run.
    """
    field = f"evaluate.{kind}s"
    require_type(field, text, str)
    where, found = f"{field}={short_repr(text)}", dict[str, Callable]()
    for item in split_list(text):
        file, call = split_file(item)
        tree = parse_expression(call, where)
        known = import_factories(file, where, trust) if file else TABLES[kind]
        factories: dict[str, Callable] = {} if file else {name: lambda: built_in_function for name in built_in}
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


def built_in_function() -> None:
    """Stands for a built-in name in what `read_functions` returns."""


def _bind(function: Callable, *args: Any, **options: Any) -> Callable:
    """Returns the function with these arguments after those that it will be called with."""

    @functools.wraps(function)
    def bound(*first: Any) -> Any:
        return function(*first, *args, **options)

    return bound
