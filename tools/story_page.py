"""The pictures and the numbers of docs/from-autoencoder-to-vae.md, from the runs of its commands.

python -m tools.story_page [--runs runs/story] [--out docs/story]
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

import numpy as np
from jax import random
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import jaxvae
from jaxvae.data.sources import open_data
from jaxvae.rundir import results
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.viz.plots.image_grid import mosaic
from jaxvae.viz.plots.scatter import CLASSES
from jaxvae.viz.plots.style import BLUE, GREY, INK, LIGHT_BLUE, PALE, VERMILION, new_figure, write_haloed, write_title

__all__ = ["main", "sharpness"]

_SIDE = 14  # pictures along each side of a decoded plane
_DRAWS = 2000  # samples of the prior for a number
_SAMPLES = {1: 20, 2: 10, 5: 4, 20: 1, 100: 1, 1000: 1}  # K of a bound -> how many times it is estimated
_PIXELS = {"interpolation": "nearest", "aspect": "auto"}
_NORMALIZER = 0.5 * np.log(2 * np.pi)  # -log N(x; x, 1) of a pixel
_BETAS = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_BLUR = {  # the picture of chapter 6: run -> its name
    "continuous_bernoulli": "continuous\nBernoulli",
    "gaussian_1": "Gaussian,\nσ = 1",
    "sigma_vae": "Gaussian,\nbest σ",
    "vae_gan": "σ = 1 and\na critic",
}
_BOUNDS = {
    "beta/beta-1.0-seed-0": ("elbo()", GREY, "o"),
    "iwae": ("iwae()", BLUE, "s"),
    "dreg": ("iwae('dreg')", VERMILION, "^"),
}
_load = functools.cache(jaxvae.load)


@functools.cache
def _images(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (x [N, *X] as the run's likelihood gets it, labels [N]) of a whole split."""
    run = _load(folder)
    data = open_data(run.config.data)
    stored, label, index = data.splits[split].take(np.arange(len(data.splits[split])))
    return np.asarray(run.prepare(random.key(0), stored, index)), label


@functools.cache
def _codes(folder: Path, split: str) -> np.ndarray:
    """Returns the means of q(z|x), [N, Z]."""
    return np.asarray(_load(folder).encode(_images(folder, split)[0]).mean())


def _decode(folder: Path, z: np.ndarray) -> np.ndarray:
    """Returns the means of p(x|z), [N, *X]."""
    return np.asarray(_load(folder).decode(np.asarray(z, np.float32)).mean())


def _squared_error(folder: Path, split: str = "test") -> float:
    """Returns |x - x'|^2 at the mean of q(z|x), summed over pixels, mean over images."""
    return float(np.square(_images(folder, split)[0] - _decode(folder, _codes(folder, split))).sum((1, 2, 3)).mean())


def _draw_plane(path: Path, folder: Path, title: str, subtitle: str = "") -> None:
    """Draws the codes of the test images, and the plane decoded around the codes of the training images.

    `subtitle` is that of the decoded plane; without it, cells without the code of a training image are framed.
    """
    z, label = _codes(folder, "test"), _images(folder, "test")[1]
    low, high = _window(_codes(folder, "train"))
    with new_figure(path, 8.6, 4.6) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2)
        for digit in range(10):
            left.scatter(*z[label == digit].T, s=9, c=CLASSES[digit], lw=0)
        for digit in range(10):
            write_haloed(left, *np.median(z[label == digit], 0), str(digit), weight="bold", ha="center", va="center")
        _draw_decoded(right, folder, low, high, framed=not subtitle)
        for axes in (left, right):
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="z1", ylabel="z2", box_aspect=1)
        write_title(left, title, "each dot: the code of one test image")
        write_title(right, "The same plane, decoded", subtitle or "orange frames: no training image has its code there")


def _window(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners (low [2], high [2]) of a window around z [N, 2]."""
    margin = 0.03 * (z.max(0) - z.min(0))
    return z.min(0) - margin, z.max(0) + margin


def _draw_decoded(axes: Axes, folder: Path, low: np.ndarray, high: np.ndarray, *, framed: bool) -> None:
    """Draws _SIDE x _SIDE decoded points of the window; `framed` marks cells without the code of a training image."""
    step = (high - low) / _SIDE
    x, y = (low[i] + step[i] * (np.arange(_SIDE) + 0.5) for i in range(2))
    z1, z2 = np.meshgrid(x, y[::-1])
    tiles = _decode(folder, np.stack([z1, z2], -1).reshape(-1, 2))
    picture = np.clip(mosaic(np.pad(tiles, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=1), _SIDE, 0), 0, 1)
    axes.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=1, extent=(low[0], high[0], low[1], high[1]), **_PIXELS)
    axes.grid(False)
    occupied = np.histogram2d(*_codes(folder, "train").T, _SIDE, [[low[0], high[0]], [low[1], high[1]]])[0]
    for i, j in np.argwhere(occupied == 0) if framed else ():
        axes.add_patch(Rectangle(low + step * (i, j), *step, fill=False, ec=VERMILION, lw=0.9))


def _sample(folder: Path, count: int) -> np.ndarray:
    """Returns the means of p(x|z) at `count` samples z ~ p(z), the same for all models of one latent size."""
    _, px = _load(folder).generate(random.split(random.key(1), count))
    return np.asarray(px.mean())


def _draw_linear(path: Path, pca: Path, linear: Path) -> None:
    """Draws the error of the linear autoencoder in training with that of PCA, and the directions of both decoders."""
    lines = [line for line in read_metrics(linear) if line["split"] == "train"]
    errors = [2 * (line["distortion"] - _images(pca, "test")[0][0].size * _NORMALIZER) for line in lines]
    optimum = _squared_error(pca, "train")
    ours, theirs = _directions(pca), _directions(linear)
    basis = np.linalg.qr(ours.T)[0]
    with new_figure(path, 8.6, 3.6) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
        left.plot([line["step"] for line in lines], errors, color=BLUE, lw=2)
        left.axhline(optimum, color=VERMILION, ls="--", lw=1.5)
        text = f"PCA, the optimum: {optimum:.2f}"
        write_haloed(left, lines[-1]["step"], optimum + 0.16, text, color=VERMILION, ha="right")
        left.set(xlabel="step", ylim=(optimum - 0.4, max(errors) + 0.2))
        write_title(left, "Trained, it comes down to PCA", "squared error, batches of training images")
        rows = {"PCA": ours, "linear\nautoencoder": theirs, "of that, inside\nPCA's plane": theirs @ basis @ basis.T}
        side = _images(pca, "test")[0].shape[1]
        tiles = [[(row / np.abs(row).max()).reshape(side, side) for row in pair] for pair in rows.values()]
        padded = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
        right.imshow(np.block([list(pair) for pair in padded]), cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest")
        right.set(xticks=[], yticks=[(side + 1) * i + side / 2 - 0.5 for i in range(3)], yticklabels=list(rows))
        right.tick_params(length=0)
        right.grid(False)
        right.spines[:].set_visible(False)
        write_title(right, "Other axes, one plane", "what a step of z1, of z2 adds")


def _directions(folder: Path) -> np.ndarray:
    """Returns what a unit step along each latent adds to the picture of a linear decoder, [2, D]."""
    tiles = _decode(folder, np.eye(3, 2, -1))
    return (tiles[1:] - tiles[:1]).reshape(2, -1)


def _angle(pca: Path, linear: Path) -> float:
    """Returns the largest angle between the planes that the two decoders span, in degrees."""
    a, b = (np.linalg.qr(_directions(folder).T)[0] for folder in (pca, linear))
    return float(np.degrees(np.arccos(np.clip(np.linalg.svd(a.T @ b)[1].min(), -1, 1))))


def _draw_gallery(axes: Axes, rows: dict[str, tuple[np.ndarray, np.ndarray]], titles: tuple[str, str]) -> None:
    """Draws named rows of pictures, [n, *X] to the left and [m, *X] to the right of a gap."""
    size, (count, other) = next(iter(rows.values()))[0].shape[1] + 1, map(len, next(iter(rows.values())))
    strips = [
        np.concatenate([mosaic(left, count), np.ones((size - 1, size, 1)), mosaic(right, other)], 1)
        for left, right in rows.values()
    ]
    picture = np.concatenate([np.pad(strip, ((0, 1), (0, 0), (0, 0)), constant_values=1) for strip in strips])
    axes.imshow(np.clip(picture[..., 0], 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=size * np.arange(len(rows)) + size / 2 - 1, yticklabels=list(rows))
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for x, title in zip((0, (count + 1) * size), titles, strict=True):
        axes.annotate(title, (x - 0.5, -0.5), (0, 6), textcoords="offset points", color=INK, weight="bold")


def _row_of(folder: Path, chosen: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (reconstructions of these test images at the mean of q(z|x), samples of the prior)."""
    return _decode(folder, _codes(folder, "test")[chosen]), _sample(folder, count)


def _draw_side_by_side(path: Path, runs: dict[str, Path]) -> None:
    """Draws images, with the reconstructions and the samples of each model."""
    first = next(iter(runs.values()))
    chosen = _first_of_each_class(first)
    rows = {"images": (_images(first, "test")[0][chosen], _images(first, "train")[0][: len(chosen)])}
    rows |= {name: _row_of(folder, chosen, len(chosen)) for name, folder in runs.items()}
    with new_figure(path, 8.6, 0.45 + 0.37 * len(rows)) as figure:
        figure.set_layout_engine("constrained")
        _draw_gallery(figure.subplots(), rows, ("new images, reconstructed", "draws from the prior, decoded"))


def _first_of_each_class(folder: Path) -> np.ndarray:
    """Returns the positions of the first test image of each class."""
    label = _images(folder, "test")[1]
    return np.array([np.flatnonzero(label == digit)[0] for digit in range(10)])


def _draw_betas(path: Path, sweep: Path) -> None:
    """Draws the rate and distortion of each beta, with pictures."""
    folders = {beta: sweep / f"beta-{beta}-seed-0" for beta in _BETAS}
    points = {beta: _test_results(folder) for beta, folder in folders.items()}
    with new_figure(path, 8.6, 4.3) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.05])
        rate, distortion = ([point[name]["value"] for point in points.values()] for name in ("rate", "distortion"))
        best = -points[1.0]["elbo"]["value"]
        left.plot([0, best - 8], [best, 8], color=PALE, lw=1.5, zorder=1)
        text = "rate + distortion\n= that of β = 1"
        write_haloed(left, best - 11, 11.5, text, color=GREY, fontsize=9, ha="right", va="top")
        left.plot(rate, distortion, color=LIGHT_BLUE, marker="o", ms=7, mfc=BLUE, mec=BLUE)
        for beta, x, y in zip(_BETAS[:-1], rate, distortion, strict=False):
            text, weight = f"β = {beta:g}" if beta != 4 else "β = 4, 8", "bold" if beta == 1 else "normal"
            write_haloed(left, x + 0.7, y + 0.3, text, weight=weight)
        left.set(xlabel="rate, KL(q ‖ p): nats spent on z", xlim=(-1, 26))
        left.set(ylabel="distortion: nats left for x given z", ylim=(8, 29))
        write_title(left, "What β chooses", "one VAE for each β, test images")
        chosen = _first_of_each_class(folders[1.0])[[0, 2, 4, 8]]
        rows = {"images": (_images(folders[1.0], "test")[0][chosen], _images(folders[1.0], "train")[0][:4])}
        rows |= {f"β = {beta:g}": _row_of(folder, chosen, 4) for beta, folder in folders.items() if beta < 8}
        _draw_gallery(right, rows, ("reconstructed", "drawn from p(z)"))


def _test_results(folder: Path) -> dict:
    """Returns the numbers of the test split in results.json."""
    return results.read_results(folder)["test"]


def _draw_bounds(path: Path, runs: dict[Path, tuple[str, str, str]]) -> None:
    """Draws the bound of each trained model against K."""
    with new_figure(path, 8.6, 3.9) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        for folder, (name, color, marker) in runs.items():
            label = f"trained with {name}"
            axes.plot(list(_SAMPLES), _bounds(folder), color=color, marker=marker, ms=5, lw=1.8, label=label)
        axes.set(xscale="log", xlabel="K, draws of z for each image", ylabel="bound on log p(x), nats")
        axes.set(xticks=[1, 10, 100, 1000], xticklabels=["1: the ELBO", "10", "100", "1,000"])
        axes.legend(loc="lower right")
        write_title(axes, "More draws, a tighter bound", "mean over the test images; larger is better")


def _bounds(folder: Path) -> list[float]:
    """Returns the importance-weighted bound for each K of _SAMPLES, in nats, mean over the test images."""
    return [float(_bound(folder, samples).mean()) for samples in _SAMPLES]


@functools.cache
def _bound(folder: Path, samples: int) -> np.ndarray:
    """Returns the importance-weighted bound of each test image, [N], in nats, mean over repetitions."""
    x, _ = _images(folder, "test")
    keys = random.split(random.key(samples), _SAMPLES[samples])
    return np.mean([_load(folder).log_likelihood(key, x, samples=samples) for key in keys], 0, dtype=float)


def _nearest(made: np.ndarray, of: np.ndarray) -> float:
    """Returns the squared distance from `made` [M, *X] to the nearest picture of `of` [N, *X], mean over M."""
    made, of = made.reshape(len(made), -1), of.reshape(len(of), -1)
    return float(np.mean([np.square(of - one).sum(1).min() for one in made]))


def sharpness(x: np.ndarray, of: np.ndarray) -> float:
    """Returns the mean squared step between neighbouring pixels of x, divided by that of `of`."""

    def steps(images: np.ndarray) -> float:
        images = np.clip(images, 0, 1)
        return float(np.square(np.diff(images, axis=1)).mean() + np.square(np.diff(images, axis=2)).mean())

    return steps(x) / steps(of)


def _print_numbers(runs: Path) -> None:
    """Prints the numbers of the page."""
    x, train = (_images(runs / "pca", split)[0] for split in ("test", "train"))
    print(f"the mean image: squared error, test {np.square(x - train.mean(0)).sum((1, 2, 3)).mean():.2f}")
    print(f"test images: {_nearest(x, train):.2f} from a training image")
    print(f"pca and linear_ae: angle between their planes {_angle(runs / 'pca', runs / 'linear_ae'):.2f} degrees")
    for name in ("pca", "linear_ae", "ae", "vae", "pca_8", "ae_8", "vae_8"):
        of_training, of_test = (_squared_error(runs / name, split) for split in ("train", "test"))
        far = _nearest(_sample(runs / name, _DRAWS), train)
        print(f"{name}: squared error, training {of_training:.4f}, test {of_test:.2f}; draws {far:.2f} from an image")
    for beta in _BETAS:
        print(f"beta {beta:g}: {_results_text(runs / 'beta' / f'beta-{beta}-seed-0')}")
    for name in _BLUR:
        folder, (x, _) = runs / name, _images(runs / name, "test")
        again = sharpness(_decode(folder, _codes(folder, "test")), x), sharpness(_sample(folder, _DRAWS), x)
        print(
            f"{name}: rate {_test_results(folder)['rate']['value']:.1f}, squared error {_squared_error(folder):.1f}",
            end="",
        )
        print(", sharpness of reconstructions {:.2f}, of draws {:.2f}".format(*again))
    elbo = _bound(runs / next(iter(_BOUNDS)), max(_SAMPLES))
    for name, (words, *_) in _BOUNDS.items():
        more = _bound(runs / name, max(_SAMPLES)) - elbo
        by_k = ", ".join(f"{value:.2f}" for value in _bounds(runs / name))
        print(f"{words}: {_results_text(runs / name)}; by K: {by_k};", end="")
        print(f" above the first by {more.mean():.2f} +- {more.std(ddof=1) / len(more) ** 0.5:.2f}")


def _results_text(folder: Path) -> str:
    """Returns the bound of the test split and its parts, as text."""
    numbers = _test_results(folder)
    names = ("elbo", "log_likelihood", "rate", "distortion")
    texts = [f"{name} {numbers[name]['value']:.2f} +- {numbers[name]['stderr']:.2f}" for name in names]
    return ", ".join([*texts, f"active {numbers['active_units']['value']}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/story"), help="the folder of the runs")
    parser.add_argument("--out", type=Path, default=Path("docs/story"), help="the folder for the pictures")
    options = parser.parse_args()
    runs, out = options.runs, options.out
    _draw_plane(out / "pca.png", runs / "pca", "PCA", "mostly blends: few are a digit")
    _draw_linear(out / "linear_ae.png", runs / "pca", runs / "linear_ae")
    _draw_plane(out / "ae.png", runs / "ae", "The autoencoder")
    _draw_plane(out / "vae.png", runs / "vae", "The VAE")
    models = {"PCA": runs / "pca_8", "autoencoder": runs / "ae_8", "VAE": runs / "vae_8"}
    _draw_side_by_side(out / "side_by_side.png", models)
    _draw_betas(out / "betas.png", runs / "beta")
    _draw_side_by_side(out / "blur.png", {words: runs / name for name, words in _BLUR.items()})
    _draw_bounds(out / "bounds.png", {runs / name: style for name, style in _BOUNDS.items()})
    _print_numbers(runs)


if __name__ == "__main__":
    main()
