"""Snapshots of training: samples of the same z, and the latent codes of the same images."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.files.numpy_files import mapped
from jaxvae.data.spec import DTYPE, to_pixels, to_unit

__all__ = ["read_codes", "read_frames", "remove_snapshots_after", "save_codes", "save_frame"]
_FRAMES, _CODES = "samples", "codes"  # folders of the run directory
_LABELS = "labels.npy"  # of the images whose codes are saved


def save_frame(workdir: Path, step: int, means: np.ndarray) -> None:
    """Saves samples [N, H, W, C] as pixels; they have the same z throughout training."""
    _save(workdir / _FRAMES, f"{step:09d}.npy", to_pixels(means))


def save_codes(workdir: Path, step: int, means: np.ndarray, labels: np.ndarray | None) -> None:
    """Saves the posterior means [N, Z] of the same images throughout training, and once their classes [N].

    They are float16, which is finer than a dot of a figure.
    """
    with np.errstate(over="ignore"):  # beyond 65,504 it is infinite, and no figure shows it
        _save(workdir / _CODES, f"{step:09d}.npy", means.astype(np.float16))
    if labels is not None and not (workdir / _CODES / _LABELS).exists():
        _save(workdir / _CODES, _LABELS, labels.astype(np.int32))


def remove_snapshots_after(workdir: Path, step: int) -> None:
    """Removes the snapshots after this step."""
    for folder in (_FRAMES, _CODES):
        for path in (workdir / folder).glob("[0-9]*.npy"):
            if int(path.stem) > step:
                path.unlink()


def read_frames(workdir: Path) -> dict[int, np.ndarray]:
    """Returns {step: float [N, H, W, C] in [0, 1]}, ascending; UsageError names a file that is no frame."""
    frames = _read(workdir / _FRAMES, DTYPE, 4)
    return {step: np.asarray(to_unit(jnp.asarray(frame))) for step, frame in frames.items()}


def read_codes(workdir: Path) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
    """Returns ({step: float32 [N, Z]}, ascending; the classes int [N] or None); UsageError names another file."""
    codes = {step: saved.astype(np.float32) for step, saved in _read(workdir / _CODES, np.float16, 2).items()}
    path = workdir / _CODES / _LABELS
    if not codes or not path.exists():
        return codes, None
    count = len(next(iter(codes.values())))
    return codes, _load(path, np.int32, lambda labels: labels.shape == (count,))


def _save(folder: Path, name: str, array: np.ndarray) -> None:
    """Saves the array, whole or not at all."""
    folder.mkdir(exist_ok=True)
    new = folder / "new.npy"
    new.unlink(missing_ok=True)  # a link would be followed, and opening a FIFO would wait for its reader
    np.save(new, array)
    new.replace(folder / name)


def _read(folder: Path, dtype: type | np.dtype, rank: int) -> dict[int, np.ndarray]:
    """Returns {step: array} of the folder, ascending, all of one shape."""
    saved: dict[int, np.ndarray] = {}
    for path in sorted(path for path in folder.glob("*.npy") if path.stem.isdecimal()):
        shapes = {array.shape for array in saved.values()}
        saved[int(path.stem)] = _load(path, dtype, lambda a, s=shapes: a.ndim == rank and s <= {a.shape})
    return saved


def _load(path: Path, dtype: type | np.dtype, fits: Callable[..., bool]) -> np.ndarray:
    """Returns the array of a file, memory-mapped; UsageError if it is damaged, of another dtype, or does not fit."""
    try:
        array = mapped(path)
        if array.dtype != dtype or not fits(array):
            raise UsageError(f"{array.dtype} {list(array.shape)}")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} holds no frame of this training ({error}); remove it.") from error
    return array
