"""A Python file of the user's own, run as a module: a config, or parts of a model."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from jaxvae._checks import UsageError


def executed(path: str, where: str) -> ModuleType:
    """The module that the file makes; ValueError, begun with `where`, says which line of it cannot be run, and why."""
    module = ModuleType(f"file {path}")  # a name that shadows no other module
    module.__file__ = path
    sys.modules[module.__name__] = module  # where its dataclasses look for their annotations
    try:
        # compiled here, not imported: a compiled copy on the disk may be older than a file changed within its second
        exec(compile(Path(path).read_bytes(), path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise UsageError(f"{where}: {path} cannot be run: {of_file(error, path)}. Mend it and try again.") from error
    return module


def of_file(error: BaseException, path: str | Path) -> str:
    """'NameError: name 'x' is not defined (line 3)': the error, and the last line of that file that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if same(frame.filename, path)]
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename and same(error.filename, path):
        lines, text = [error.lineno], error.msg
    said = f"{type(error).__name__}: {text.strip()[:2000]}".removesuffix(": ")
    return said + (f" (line {lines[-1]})" if lines and lines[-1] else "")


def same(one: str | Path, other: str | Path) -> bool:
    return Path(one).absolute() == Path(other).absolute()
