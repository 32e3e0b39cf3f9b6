"""Images with hidden pixels and their completions; noisy images and their denoised means.

Axis letters: D completions of each image, B images, *X the shape of an example.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax import random

from jaxvae import latent
from jaxvae.data.corrupt import Corruption, noise, salt_and_pepper
from jaxvae.model.traits import traits_of
from jaxvae.viz.figures.images import pictures
from jaxvae.viz.figures.subject import Subject, evenly_spaced, jit_once
from jaxvae.viz.plots.image_grid import GAP, as_rgb, gallery_of_rows
from jaxvae.viz.plots.style import LIGHT_BLUE

__all__ = ["DenoisingData", "InpaintingData", "compute_denoising", "compute_inpainting", "plot_denoising"]
__all__ += ["plot_inpainting"]

_COMPLETE, _DISTURB, _DENOISE = 11, 12, 13  # purposes folded into the subject's key
_SCATTERED = 0.75  # share of the pixels hidden in every second image; of the others, the lower half
_HIDDEN = np.array([int(LIGHT_BLUE[i : i + 2], 16) for i in (1, 3, 5)]) / 255  # no digit's colour, and flat in photos
_FEW = 0.01  # share of accepted proposals below which a chain has hardly left its start


class InpaintingData(NamedTuple):
    """Images [B, *X], `known` pixels, `completions` [D, B, *X], their means, the share of proposals `accepted` [B]."""

    images: np.ndarray
    known: np.ndarray
    completions: np.ndarray
    means: np.ndarray
    accepted: np.ndarray
    tested: bool  # whether proposals can be rejected


def compute_inpainting(subject: Subject, *, n: int = 10, completions: int = 3, steps: int = 300) -> InpaintingData:
    """Completes n images with hidden pixels, by chains of `steps` steps.

    Of the first half of the images the lower half is hidden (of a sequence, the second half), of the others three
    quarters of the pixels. A completion is the mean of p(x|z) at the last z of a chain, without noise of the pixels.
    """
    shown = subject.examples(evenly_spaced(len(subject.split), n))
    run, x, known = subject.run, np.asarray(shown.x), ~_hidden_pixels(shown.x.shape)
    again = np.tile(np.arange(len(x)), completions)
    given = None if shown.condition is None else shown.condition[again]
    condition = None if given is None else run.parts.prepare.conditions(given)
    chains = jit_once(run, partial(latent.inpaint, run.model), static_argnums=4)
    done = chains(run.variables, subject.key_for(_COMPLETE), x[again], known[again], steps, condition)
    drawn = np.asarray(run.decode(done.z, given).mean()).reshape(completions, *x.shape)
    done = jax.tree.map(lambda a: a.reshape(completions, len(x), *a.shape[1:]), done)
    tested = "density" in traits_of(run.model.posterior).offers
    means, accepted = np.asarray(done.mean.mean(0)), np.mean(done.accepted, 0)
    return InpaintingData(x, known, np.where(known, x, drawn), means, accepted, tested)


def _hidden_pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Returns which pixels are hidden, all channels of each, bool [B, *X]: the same in every run."""
    count, length = shape[0], shape[1]
    lower = np.arange(length).reshape(1, -1, *(1,) * (len(shape) - 2)) >= length - length // 2
    scattered = np.random.RandomState(0).uniform(size=(*shape[:-1], 1)) < _SCATTERED
    first_half = np.arange(count).reshape(-1, *(1,) * (len(shape) - 1)) < -(-count // 2)
    return np.broadcast_to(np.where(first_half, lower, scattered), shape)


def plot_inpainting(path: Path, data: InpaintingData) -> None:
    """Draws the images, the same with hidden pixels in flat blue, the completions and their means; a column an image.

    The subtitle gives the share of accepted proposals if they are tested.
    """
    originals = as_rgb(pictures(data.images))
    hidden = ~data.known[..., :1]
    if hidden.ndim == 3:  # of a sequence, whole columns
        columns = hidden[:, None].repeat(originals.shape[2] // hidden.shape[1], axis=2)
        hidden = np.broadcast_to(columns, (*originals.shape[:3], 1))
    completions = [as_rgb(pictures(each)) for each in data.completions]
    rows = [originals, np.where(hidden, _HIDDEN, originals), *completions, as_rgb(pictures(data.means))]
    labels = ["original", "given", *["a completion"] * len(completions), "their mean"]
    subtitle = "blue was hidden from the model"
    if data.tested:
        accepted = float(data.accepted.mean())
        subtitle += f"; {accepted:.1%} of the chain's proposals were taken"
        subtitle += ", too few to trust it" if accepted < _FEW else ""
    _plot_rows(path, "Missing pixels, filled in", subtitle, rows, labels)


class DenoisingData(NamedTuple):
    """Images, the same with noise, and the model's means for these, all [B, *X]; `noise` describes the noise."""

    images: np.ndarray
    noisy: np.ndarray
    means: np.ndarray
    noise: str


def compute_denoising(subject: Subject, *, n: int = 10, draws: int = 64) -> DenoisingData:
    """Denoises n images: the mean of p(x|z) over `draws` draws of z from each noisy one.

    The noise is that of training (data.corrupt), else a tenth of binary pixels flipped, or Gaussian.
    """
    run, shown = subject.run, subject.examples(evenly_spaced(len(subject.split), n))
    key, binary = subject.key_for(_DISTURB), run.parts.prepare.support == "binary"
    if run.parts.corrupted:
        noisy, words = run.corrupt(key, shown.x), "corrupted as in training"
    else:
        kind: Corruption = salt_and_pepper(0.2) if binary else noise(0.2)
        noisy, words = kind(random.split(key, len(shown.x)), shown.x), kind.protocol
    condition = None if shown.condition is None else run.parts.prepare.conditions(shown.condition)
    average = jit_once(run, partial(latent.denoise, run.model), static_argnums=3)
    means = average(run.variables, subject.key_for(_DENOISE), noisy, draws, condition)
    return DenoisingData(np.asarray(shown.x), np.asarray(noisy), np.asarray(means), words)


def plot_denoising(path: Path, data: DenoisingData) -> None:
    """Draws originals above noisy images above the model's means for these."""
    rows = [as_rgb(pictures(each)) for each in (data.images, data.noisy, data.means)]
    _plot_rows(path, "Noise, averaged away", data.noise, rows, ["original", "noisy", "denoised"])


def _plot_rows(path: Path, title: str, subtitle: str, rows: list[np.ndarray], labels: list[str]) -> None:
    """Draws rows of images, each [B, H, W, 3], with a label at the left of each."""
    gaps = [4 * GAP, *[GAP] * (len(rows) - 3), 4 * GAP, GAP] if len(rows) > 3 else [GAP] * len(rows)
    with gallery_of_rows(path, rows, labels, title, subtitle, gaps):
        pass
