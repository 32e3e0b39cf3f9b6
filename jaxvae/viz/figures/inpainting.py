"""What a model puts where pixels are hidden, and what it makes of noisy images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax import Array, random

from jaxvae import latent
from jaxvae.data.corrupt import Corruption, noise, salt_and_pepper
from jaxvae.model.traits import traits_of
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Looked, Subject, run_once, spaced

_COMPLETE, _DISTURB, _DENOISE = 11, 12, 13  # purposes folded into the subject's key
_SCATTERED = 0.75  # of the pixels hidden in every second image; of the others, the lower half


def draw_inpainting(
    path: Path, subject: Subject, *, n: int = 10, completions: int = 3, steps: int = 300
) -> dict[str, np.ndarray]:
    """n images with hidden pixels, some completions of each, and the mean of these, from chains of so many steps.

    Of the first half of the images the lower half is hidden (of a sequence, the second half), of the others three
    quarters of the pixels. A completion is the mean of p(x|z) at a z that the chain ended with, so that it has no noise
    of its pixels. The arrays shown: `images`, `known`, `completions [D, N, ...]`, `means`, `accepted [N]`.
    """
    from jaxvae.viz import plots

    shown = subject.examples(spaced(len(subject.split), n))
    known = ~_hidden_pixels(shown.x.shape)
    done = complete(subject, shown, known, completions, steps)
    given = None if shown.condition is None else np.tile(shown.condition, (completions, *(1,) * (shown.label.ndim - 1)))
    drawn = np.asarray(subject.run.decode(done.z.reshape(-1, *done.z.shape[2:]), given).mean())
    drawn = np.where(known, shown.x, drawn.reshape(completions, *shown.x.shape))
    found = {"images": shown.x, "known": known, "completions": drawn, "means": done.mean.mean(0)}
    arrays = {name: np.asarray(array) for name, array in found.items()} | {"accepted": np.mean(done.accepted, 0)}
    tested = "density" in traits_of(subject.run.model.posterior).offers
    plots.inpainting(
        path,
        pictures(shown.x),
        spread(~known, pictures(shown.x)),
        [pictures(each) for each in drawn],
        pictures(arrays["means"]),
        accepted=float(arrays["accepted"].mean()) if tested else None,
    )
    return arrays


def complete(subject: Subject, shown: Looked, known: np.ndarray, completions: int, steps: int) -> latent.InpaintResult:
    """So many chains for each example shown: leaves [D, B, ...]."""
    run, count = subject.run, len(known)
    again = np.tile(np.arange(count), completions)
    condition = None if shown.condition is None else run.parts.prepare.conditions(shown.condition[again])
    chains = run_once(run, partial(latent.inpaint, run.model), static_argnums=4)
    done = chains(run.variables, subject.key_of(_COMPLETE), np.asarray(shown.x)[again], known[again], steps, condition)
    return jax.tree.map(lambda a: a.reshape(completions, count, *a.shape[1:]), done)


def _hidden_pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels are hidden, all channels of each, bool [B, *X]: the lower half, or scattered, alike in every run."""
    count, length = shape[0], shape[1]
    lower = np.arange(length).reshape(1, -1, *(1,) * (len(shape) - 2)) >= length - length // 2
    scattered = np.random.RandomState(0).uniform(size=(*shape[:-1], 1)) < _SCATTERED
    which = np.arange(count).reshape(-1, *(1,) * (len(shape) - 1)) < -(-count // 2)
    return np.broadcast_to(np.where(which, lower, scattered), shape)


def spread(hidden: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """What is hidden, bool [B, *X], as pixels of the pictures drawn [B, H, W, C]; of a sequence, as stretches."""
    if hidden.ndim == 4:
        return hidden[..., :1]
    wide = drawn.shape[2] // hidden.shape[1]
    columns = hidden[:, None, :, :1].repeat(wide, axis=2)
    return np.broadcast_to(columns, (*drawn.shape[:3], 1))


def draw_denoising(path: Path, subject: Subject, *, n: int = 10, draws: int = 64) -> dict[str, np.ndarray]:
    """n images, the same with noise, and the mean of p(x|z) over so many draws of z from the noisy ones.

    The noise is what the model was trained against (data.corrupt), else a tenth of binary pixels flipped, or Gaussian.
    The arrays shown: `images`, `noisy`, `means`.
    """
    from jaxvae.viz import plots

    run, shown = subject.run, subject.examples(spaced(len(subject.split), n))
    noisy, words = _disturbed(subject, shown.x)
    condition = None if shown.condition is None else run.parts.prepare.conditions(shown.condition)
    average = run_once(run, partial(latent.denoise, run.model), static_argnums=3)
    means = average(run.variables, subject.key_of(_DENOISE), noisy, draws, condition)
    plots.denoising(path, pictures(shown.x), pictures(noisy), pictures(means), words)
    return {"images": np.asarray(shown.x), "noisy": np.asarray(noisy), "means": np.asarray(means)}


def _disturbed(subject: Subject, x: Array) -> tuple[Array, str]:
    """x [B, *X] with noise, and the noise in words."""
    run, key = subject.run, subject.key_of(_DISTURB)
    if run.parts.corrupted:
        return run.corrupt(key, x), "corrupted as in training"
    binary = run.parts.prepare.support == "binary"
    kind: Corruption = salt_and_pepper(0.2) if binary else noise(0.2)
    return kind(random.split(key, len(x)), x), kind.protocol
