"""What a model dreams while it learns: samples of the same z, kept at some steps of the training."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxvae.data.numpy_files import mapped
from jaxvae.data.prepare import unit

FRAMES = "samples"


def save_frame(workdir: Path, step: int, means: np.ndarray) -> None:
    """Keeps what the model dreams at this step, uint8 [N, H, W, C]: samples from the same z throughout training."""
    folder = workdir / FRAMES
    folder.mkdir(exist_ok=True)
    np.save(folder / "new.npy", np.round(255 * np.nan_to_num(means)).astype(np.uint8))
    (folder / "new.npy").replace(folder / f"{step:09d}.npy")


def forget_frames(workdir: Path, step: int) -> None:
    """Removes what was kept after this step: a run that goes on from there dreams anew."""
    for path in (workdir / FRAMES).glob("[0-9]*.npy"):
        if int(path.stem) > step:
            path.unlink()


def read_frames(workdir: Path) -> dict[int, np.ndarray]:
    """{step: float [N, H, W, C] in [0, 1]}, ascending; ValueError names a file that holds no such frame."""
    paths = sorted(path for path in (workdir / FRAMES).glob("*.npy") if path.stem.isdecimal())
    frames: dict[int, np.ndarray] = {}
    for path in paths:
        try:
            frame = mapped(path)
            first = next(iter(frames.values()), frame)
            if frame.dtype != np.uint8 or frame.ndim != 4 or frame.shape != first.shape:
                raise ValueError(f"{frame.dtype} {list(frame.shape)}")
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} holds no frame of this training ({error}); remove it.") from error
        frames[int(path.stem)] = frame
    return {step: np.asarray(unit(jnp.asarray(frame))) for step, frame in frames.items()}
