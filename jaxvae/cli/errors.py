"""What an error that nobody caught means to whom it meets: his mistake, his own code, too little memory, or a bug."""

from __future__ import annotations

import errno
import platform
import sysconfig
import traceback
from importlib.metadata import version
from pathlib import Path
from traceback import FrameSummary

from jaxvae._checks import UsageError
from jaxvae.config.user_file import of_file

FAILED, _MISTAKE = 1, 2
_HERE = Path(__file__).parents[1]
_MISTAKES = {  # of who named the place: it is not there, is of another kind, may not be touched, or is no name at all
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def explained(error: Exception) -> tuple[str, int]:
    """(one message with the next move, the exit code)."""
    if isinstance(error, FloatingPointError | UsageError):
        return str(error), FAILED if isinstance(error, FloatingPointError) else _MISTAKE
    if isinstance(error, OSError):
        return str(error)[:2000], _MISTAKE if error.errno in _MISTAKES else FAILED
    if _is_out_of_memory(error):
        return _no_memory(error), FAILED
    if type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError") or "initialize backend" in str(error):
        return _of_runtime(error), FAILED
    if (frame := users_frame(error)) is not None:
        return _not_ours(error, frame), FAILED
    if isinstance(error, ImportError):
        return (
            f"{_in_short(error)}. Install what is missing, or what jaxvae is built on again: pip install jaxvae.",
            FAILED,
        )
    return _a_bug(error), FAILED


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()


def _no_memory(error: Exception) -> str:
    return (
        f"too little memory: {_in_short(error, 300)}. What takes less: a smaller data.batch_size, or the same in parts "
        "(train.accumulate=4); train.remat=True; model.precision='bfloat16'; smaller networks; to score, a smaller "
        "evaluate.batch_size."
    )


def _of_runtime(error: Exception) -> str:
    return (
        f"JAX's runtime failed: {_in_short(error)}. See that the device is free and JAX_PLATFORMS names one that there "
        "is; a run goes on from its last checkpoint by the same command."
    )


def _not_ours(error: Exception, frame: FrameSummary) -> str:
    return (
        f"{frame.filename} failed: {of_file(error, frame.filename)}: {frame.line}\n"
        "That file is no part of jaxvae: mend it; --debug shows the traceback."
    )


def _a_bug(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame)]
    where = f" ({Path(frames[-1].filename).relative_to(_HERE.parent)}, line {frames[-1].lineno})" if frames else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "flax", "optax", "numpy"))
    return (
        f"this is a bug of jaxvae, not a mistake of yours: {_in_short(error)}{where}. Please report it: the command, "
        f"the traceback that it shows with --debug, and: {versions}, Python {platform.python_version()}, "
        f"{platform.platform()}."
    )


def users_frame(error: Exception) -> FrameSummary | None:
    """The last line of a file of the user's own, of all that this package called; None where none took part."""
    frames = traceback.extract_tb(error.__traceback__)
    began = next((place for place, frame in enumerate(frames) if _is_ours(frame)), len(frames))
    own = [frame for frame in frames[began:] if _is_users(frame)]
    return own[-1] if own else None


def _is_ours(frame: FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(_HERE)


def _is_users(frame: FrameSummary) -> bool:
    """Whether the file is neither this package's nor a library's, and a file at all."""
    parts = Path(frame.filename).parts
    library = "site-packages" in parts or "dist-packages" in parts or frame.filename.startswith((*_LIBRARIES, "<"))
    return not library and not _is_ours(frame)


def _in_short(error: BaseException, most: int = 2000) -> str:
    """'TypeError: what it says', its beginning."""
    return f"{type(error).__name__}: {str(error).strip()[:most]}".removesuffix(": ")
