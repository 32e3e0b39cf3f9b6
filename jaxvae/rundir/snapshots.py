"""What is kept of a model while it learns: samples of the same z, and where the same images lie in its latent space."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.files.numpy_files import mapped
from jaxvae.data.spec import DTYPE, to_pixels, to_unit

_FRAMES, _CODES = "samples", "codes"  # folders of the run directory
_LABELS = "labels.npy"  # of the images whose codes are kept


def save_frame(workdir: Path, step: int, means: np.ndarray) -> None:
    """Keeps samples of the model at this step as pixels [N, H, W, C], from the same z throughout training."""
    _keep(workdir / _FRAMES, _name(step), to_pixels(means))


def save_codes(workdir: Path, step: int, means: np.ndarray, labels: np.ndarray | None) -> None:
    """Keeps the posterior means [N, Z] of the same images throughout training, as float16, and once their classes [N].

    Half precision is finer than a dot of a picture.
    """
    with np.errstate(over="ignore"):  # beyond 65,504 it is infinite, and no picture shows it
        _keep(workdir / _CODES, _name(step), means.astype(np.float16))
    if labels is not None and not (workdir / _CODES / _LABELS).exists():
        _keep(workdir / _CODES, _LABELS, labels.astype(np.int32))


def remove_snapshots_after(workdir: Path, step: int) -> None:
    """Removes what was kept after this step: a run that goes on from there dreams anew."""
    for folder in (_FRAMES, _CODES):
        for path in (workdir / folder).glob("[0-9]*.npy"):
            if int(path.stem) > step:
                path.unlink()


def read_frames(workdir: Path) -> dict[int, np.ndarray]:
    """{step: float [N, H, W, C] in [0, 1]}, ascending; ValueError names a file that holds no such frame."""
    frames = _read(workdir / _FRAMES, DTYPE, 4)
    return {step: np.asarray(to_unit(jnp.asarray(frame))) for step, frame in frames.items()}


def read_codes(workdir: Path) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
    """({step: float32 [N, Z]}, ascending; the classes int [N] or None); ValueError names a file that is no such one."""
    codes = {step: kept.astype(np.float32) for step, kept in _read(workdir / _CODES, np.float16, 2).items()}
    path = workdir / _CODES / _LABELS
    if not codes or not path.exists():
        return codes, None
    count = len(next(iter(codes.values())))
    return codes, _checked(path, np.int32, lambda labels: labels.shape == (count,))


def _name(step: int) -> str:
    return f"{step:09d}.npy"


def _keep(folder: Path, name: str, array: np.ndarray) -> None:
    """Writes the array, whole or not at all."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "new.npy", array)
    (folder / "new.npy").replace(folder / name)


def _read(folder: Path, dtype: type | np.dtype, rank: int) -> dict[int, np.ndarray]:
    """{step: array} of all that was kept in this folder, ascending, all of one shape."""
    kept: dict[int, np.ndarray] = {}
    for path in sorted(path for path in folder.glob("*.npy") if path.stem.isdecimal()):
        shapes = {array.shape for array in kept.values()}
        kept[int(path.stem)] = _checked(path, dtype, lambda a, s=shapes: a.ndim == rank and s <= {a.shape})
    return kept


def _checked(path: Path, dtype: type | np.dtype, fits) -> np.ndarray:
    """The array of a file, mapped; ValueError where it is damaged, of another type, or does not fit."""
    try:
        array = mapped(path)
        if array.dtype != dtype or not fits(array):
            raise UsageError(f"{array.dtype} {list(array.shape)}")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} holds no frame of this training ({error}); remove it.") from error
    return array
