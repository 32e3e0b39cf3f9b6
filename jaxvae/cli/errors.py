"""What an error that nobody caught means to whom it meets: his mistake, his own code, too little memory, or a bug."""

from __future__ import annotations

import errno
import platform
import sysconfig
import traceback
from importlib.metadata import version
from pathlib import Path
from traceback import FrameSummary

from jaxvae.config.user_file import of_file

FAILED, MISTAKE = 1, 2
HERE = Path(__file__).parent
MISTAKES = {  # of who named the place: it is not there, is of another kind, may not be touched, or is no name at all
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def explained(error: Exception) -> tuple[str, int]:
    """(one message with the next move, the exit code)."""
    if isinstance(error, FloatingPointError) or (isinstance(error, ValueError) and is_refusal(error)):
        return str(error), FAILED if isinstance(error, FloatingPointError) else MISTAKE
    if isinstance(error, OSError):
        return str(error)[:2000], MISTAKE if error.errno in MISTAKES else FAILED
    if is_out_of_memory(error):
        return no_memory(error), FAILED
    if type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError") or "initialize backend" in str(error):
        return of_runtime(error), FAILED
    if (frame := users_frame(error)) is not None:
        return not_ours(error, frame), FAILED
    if isinstance(error, ImportError):
        return (
            f"{in_short(error)}. Install what is missing, or what jaxvae is built on again: pip install jaxvae.",
            FAILED,
        )
    return a_bug(error), FAILED


def is_refusal(error: Exception) -> bool:
    """Whether a line of this package raised it on purpose; not some function of a library that the line called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and is_ours(frames[-1]) and (frames[-1].line or "raise ").startswith("raise ")


def is_out_of_memory(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()


def no_memory(error: Exception) -> str:
    return (
        f"too little memory: {in_short(error, 300)}. What takes less: a smaller data.batch_size, or the same in parts "
        "(train.accumulate=4); train.remat=True; model.precision='bfloat16'; smaller networks; to score, a smaller "
        "evaluate.batch_size."
    )


def of_runtime(error: Exception) -> str:
    return (
        f"JAX's runtime failed: {in_short(error)}. See that the device is free and JAX_PLATFORMS names one that there "
        "is; a run goes on from its last checkpoint by the same command."
    )


def not_ours(error: Exception, frame: FrameSummary) -> str:
    return (
        f"{frame.filename} failed: {of_file(error, frame.filename)}: {frame.line}\n"
        "That file is no part of jaxvae: mend it; --debug shows the traceback."
    )


def a_bug(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_ours(frame)]
    where = f" ({Path(frames[-1].filename).relative_to(HERE.parent)}, line {frames[-1].lineno})" if frames else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "flax", "optax", "numpy"))
    return (
        f"this is a bug of jaxvae, not a mistake of yours: {in_short(error)}{where}. Please report it: the command, "
        f"the traceback that it shows with --debug, and: {versions}, Python {platform.python_version()}, "
        f"{platform.platform()}."
    )


def users_frame(error: Exception) -> FrameSummary | None:
    """The last line of a file of the user's own, of all that this package called; None where none took part."""
    frames = traceback.extract_tb(error.__traceback__)
    began = next((place for place, frame in enumerate(frames) if is_ours(frame)), len(frames))
    own = [frame for frame in frames[began:] if is_users(frame)]
    return own[-1] if own else None


def is_ours(frame: FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(HERE)


def is_users(frame: FrameSummary) -> bool:
    """Whether the file is neither this package's nor a library's, and a file at all."""
    parts = Path(frame.filename).parts
    library = "site-packages" in parts or "dist-packages" in parts or frame.filename.startswith((*LIBRARIES, "<"))
    return not library and not is_ours(frame)


def in_short(error: BaseException, most: int = 2000) -> str:
    """'TypeError: what it says', its beginning."""
    return f"{type(error).__name__}: {str(error).strip()[:most]}".removesuffix(": ")
