"""A Python file of the user, run as a module: a config, or parts of a model."""

import sys
import traceback
from pathlib import Path
from types import ModuleType

from jaxvae._checks import UsageError

__all__ = ["describe_error", "run_file"]


def run_file(path: str, where: str) -> ModuleType:
    """Runs the file as a module; UsageError, begun with `where`, names the line that fails, and why."""
    module = ModuleType(f"file {path}")  # a name that shadows no other module
    module.__file__ = path
    sys.modules[module.__name__] = module  # where its dataclasses look for their annotations
    try:
        # compiled here, not imported: a compiled copy on the disk may be older than a file changed within its second
        exec(compile(Path(path).read_bytes(), path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        why = describe_error(error, path)
        raise UsageError(f"{where}: {path} cannot be run: {why}. Correct it and try again.") from error
    return module


def describe_error(error: BaseException, path: str | Path) -> str:
    """Returns 'NameError: name 'x' is not defined (line 3)': the error, and the last line of that file on its way."""
    file = Path(path).absolute()
    frames = traceback.extract_tb(error.__traceback__)
    lines, text = [frame.lineno for frame in frames if Path(frame.filename).absolute() == file], str(error)
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).absolute() == file:
        lines, text = [error.lineno], error.msg
    described = f"{type(error).__name__}: {text.strip()[:2000]}".removesuffix(": ")
    return described + (f" (line {lines[-1]})" if lines and lines[-1] else "")
