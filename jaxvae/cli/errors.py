"""The message and the exit code of an error: the user's mistake, the user's own code, the machine, or a bug."""

import platform
import sysconfig
import traceback
from errno import EACCES, EEXIST, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS
from importlib.metadata import version
from pathlib import Path
from traceback import FrameSummary

from jaxvae._checks import UsageError
from jaxvae.config.user_file import describe_error

__all__ = ["explain"]

_FAILED, _MISTAKE = 1, 2
_PACKAGE = Path(__file__).parents[1]
# Errors of a path that the user gave: it does not exist, is of another kind, or may not be used.
_MISTAKES = {EACCES, EEXIST, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS}
_TRANSPORTS = ("Gloo", "NCCL", "coordination service")  # between the processes of a multihost run
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def explain(error: Exception) -> tuple[str, int]:
    """Returns (one message with the next step, the exit code)."""
    short = f"{type(error).__name__}: {str(error).strip()[:2000]}".removesuffix(": ")
    if isinstance(error, UsageError):
        return str(error), _MISTAKE
    if isinstance(error, FloatingPointError):
        return str(error), _FAILED
    if isinstance(error, OSError):
        return str(error)[:2000], _MISTAKE if error.errno in _MISTAKES else _FAILED
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower():
        message = (
            f"too little memory: {short[:300]}. Try a smaller data.batch_size, or the same in parts "
            "(train.accumulate=4); train.remat=True; model.precision='bfloat16'; smaller networks; or a smaller "
            "evaluate.batch_size to score."
        )
    elif any(name in str(error) for name in _TRANSPORTS):
        message = (
            f"another process of this run has ended, so this one cannot go on ({short[:200]}). Its own output, or the "
            "launcher's, says why. Start all of them again with the same command: they go on from the last checkpoint."
        )
    elif type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError") or "initialize backend" in str(error):
        message = (
            f"JAX's runtime failed: {short}. Check that the device is free and that JAX_PLATFORMS names one that "
            "exists. The same command continues a run from its last checkpoint."
        )
    elif frame := _last_user_frame(error):
        message = (
            f"{frame.filename} failed: {describe_error(error, frame.filename)}: {frame.line}\n"
            "That file is not part of jaxvae. Correct it; --debug shows the traceback."
        )
    elif isinstance(error, ImportError):
        message = (
            f"{short}. Install what is missing, or jaxvae with its requirements again: pip install -e . in the folder "
            "with its pyproject.toml."
        )
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame)]
        last = frames[-1] if frames else None
        where = f" ({Path(last.filename).relative_to(_PACKAGE.parent)}, line {last.lineno})" if last else ""
        versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "flax", "optax", "numpy"))
        message = (
            f"this is a bug of jaxvae, not a mistake of yours: {short}{where}. Please report it: the command, the "
            f"traceback that --debug shows, and: {versions}, Python {platform.python_version()}, {platform.platform()}."
        )
    return message, _FAILED


def _last_user_frame(error: Exception) -> FrameSummary | None:
    """Returns the last line of a user's file that this package called, directly or not; None if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    start = next((i for i, frame in enumerate(frames) if _is_ours(frame)), len(frames))
    for frame in reversed(frames[start:]):
        parts = Path(frame.filename).parts
        library = "site-packages" in parts or "dist-packages" in parts or frame.filename.startswith((*_LIBRARIES, "<"))
        if not library and not _is_ours(frame):
            return frame
    return None


def _is_ours(frame: FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(_PACKAGE)
