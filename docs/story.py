"""Draws the pictures of docs/from-autoencoder-to-vae.md, and prints its numbers, from the runs of its commands.

python docs/story.py [--runs runs/story] [--out docs/story]
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

import numpy as np
from jax import random
from matplotlib.patches import Rectangle

import jaxvae
from jaxvae.data.sources import open_data
from jaxvae.rundir import results
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.viz.plots.image_grid import mosaic
from jaxvae.viz.plots.scatter import CLASSES
from jaxvae.viz.plots.style import BLUE, GREY, INK, LIGHT_BLUE, PALE, VERMILION, new_figure, write_haloed, write_title

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--runs", type=Path, default=Path("runs/story"), help="the folder of the page's run directories")
parser.add_argument("--out", type=Path, default=Path("docs/story"), help="the folder for the pictures")

SIDE = 14  # pictures along each side of a decoded plane
DRAWS = 2000  # of the prior, where a number is taken from them
SAMPLES = {1: 20, 2: 10, 5: 4, 20: 1, 100: 1, 1000: 1}  # K of the bounds of one model: how often each is drawn
PIXELS = {"interpolation": "nearest", "aspect": "auto"}
NORMALIZER = 0.5 * np.log(2 * np.pi)  # -log N(x; x, 1), a pixel's
BETAS = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
BLUR = {  # what is drawn of chapter 6: run -> its name
    "continuous_bernoulli": "continuous\nBernoulli",
    "gaussian_1": "Gaussian,\nσ = 1",
    "sigma_vae": "Gaussian,\nbest σ",
    "vae_gan": "σ = 1 and\na critic",
}
BOUNDS = {
    "beta/beta-1.0-seed-0": ("elbo()", GREY, "o"),
    "iwae": ("iwae()", BLUE, "s"),
    "dreg": ("iwae('dreg')", VERMILION, "^"),
}


@functools.cache
def load(folder: Path):
    """The run, loaded once."""
    return jaxvae.load(folder)


@functools.cache
def images(folder: Path, split: str):
    """(x [N, *X] as the run's likelihood sees it, labels [N]) of a whole split."""
    run = load(folder)
    wanted = run.config.data
    data = open_data(wanted)
    stored, label, index = data.splits[split].take(np.arange(len(data.splits[split])))
    return np.asarray(run.prepare(random.key(0), stored, index)), label


@functools.cache
def codes(folder: Path, split: str) -> np.ndarray:
    """The means of q(z|x), [N, Z]."""
    return np.asarray(load(folder).encode(images(folder, split)[0]).mean())


def decoded(folder: Path, z: np.ndarray) -> np.ndarray:
    """The means of p(x|z), [N, *X]."""
    return np.asarray(load(folder).decode(np.asarray(z, np.float32)).mean())


def squared_error(folder: Path, split: str = "test") -> float:
    """|x - x'|^2 summed over pixels, mean over images, at the mean of q(z|x)."""
    return float(np.square(images(folder, split)[0] - decoded(folder, codes(folder, split))).sum((1, 2, 3)).mean())


def draw_plane(path: Path, folder: Path, title: str, seen: str = "") -> None:
    """The test images' codes in the plane, and the plane decoded, in a window around all training images' codes.

    `seen` says what to see of the decoded plane; without it the cells that hold no training image's code are framed.
    """
    z, label = codes(folder, "test"), images(folder, "test")[1]
    low, high = window(codes(folder, "train"))
    with new_figure(path, 8.6, 4.6) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2)
        for digit in range(10):
            left.scatter(*z[label == digit].T, s=9, c=CLASSES[digit], lw=0)
        for digit in range(10):
            write_haloed(left, *np.median(z[label == digit], 0), str(digit), weight="bold", ha="center", va="center")
        draw_decoded(right, folder, low, high, framed=not seen)
        for axes in (left, right):
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="z1", ylabel="z2", box_aspect=1)
        write_title(left, title, "each dot: the code of one test image")
        write_title(right, "The same plane, decoded", seen or "orange frames: no training image has its code there")


def window(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners (low [2], high [2]) of a window around all of z [N, 2]."""
    margin = 0.03 * (z.max(0) - z.min(0))
    return z.min(0) - margin, z.max(0) + margin


def draw_decoded(axes, folder: Path, low: np.ndarray, high: np.ndarray, *, framed: bool) -> None:
    """SIDE x SIDE points of the window, decoded, where they lie; `framed`, those whose cell holds no training code."""
    step = (high - low) / SIDE
    x, y = (low[i] + step[i] * (np.arange(SIDE) + 0.5) for i in range(2))
    z1, z2 = np.meshgrid(x, y[::-1])
    tiles = decoded(folder, np.stack([z1, z2], -1).reshape(-1, 2))
    picture = np.clip(mosaic(np.pad(tiles, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=1), SIDE, 0), 0, 1)
    axes.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=1, extent=(low[0], high[0], low[1], high[1]), **PIXELS)
    axes.grid(False)
    occupied = np.histogram2d(*codes(folder, "train").T, SIDE, [[low[0], high[0]], [low[1], high[1]]])[0]
    for i, j in np.argwhere(occupied == 0) if framed else ():
        axes.add_patch(Rectangle(low + step * (i, j), *step, fill=False, ec=VERMILION, lw=0.9))


def draws(folder: Path, count: int) -> np.ndarray:
    """The means of p(x|z) of so many z ~ p(z), the same z for all models of one latent size, [count, *X]."""
    _, px = load(folder).generate(random.split(random.key(1), count))
    return np.asarray(px.mean())


def draw_linear(path: Path, pca: Path, linear: Path) -> None:
    """How the linear autoencoder's error comes down to PCA's, and the directions that both decode from."""
    lines = [line for line in read_metrics(linear) if line["split"] == "train"]
    errors = [2 * (line["distortion"] - images(pca, "test")[0][0].size * NORMALIZER) for line in lines]
    optimum = squared_error(pca, "train")
    ours, theirs = directions(pca), directions(linear)
    basis = np.linalg.qr(ours.T)[0]
    with new_figure(path, 8.6, 3.6) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
        left.plot([line["step"] for line in lines], errors, color=BLUE, lw=2)
        left.axhline(optimum, color=VERMILION, ls="--", lw=1.5)
        write_haloed(
            left, lines[-1]["step"], optimum + 0.16, f"PCA, the optimum: {optimum:.2f}", color=VERMILION, ha="right"
        )
        left.set(xlabel="step", ylim=(optimum - 0.4, max(errors) + 0.2))
        write_title(left, "Trained, it comes down to PCA", "squared error, batches of training images")
        rows = {"PCA": ours, "linear\nautoencoder": theirs, "of that, inside\nPCA's plane": theirs @ basis @ basis.T}
        side = images(pca, "test")[0].shape[1]
        strip = [
            np.concatenate(
                [
                    np.pad(row.reshape(side, side), ((0, 1), (0, 1)), constant_values=np.nan) / np.abs(row).max()
                    for row in pair
                ],
                1,
            )
            for pair in rows.values()
        ]
        right.imshow(np.concatenate(strip), cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest")
        right.set(xticks=[], yticks=[(side + 1) * i + side / 2 - 0.5 for i in range(3)], yticklabels=list(rows))
        right.tick_params(length=0)
        right.grid(False)
        right.spines[:].set_visible(False)
        write_title(right, "Other axes, one plane", "what a step of z1, of z2 adds")


def directions(folder: Path) -> np.ndarray:
    """What one step along each latent adds to a linear decoder's picture, [2, D]."""
    tiles = decoded(folder, np.eye(3, 2, -1))
    return (tiles[1:] - tiles[:1]).reshape(2, -1)


def angle(pca: Path, linear: Path) -> float:
    """The largest angle between the two planes that the decoders span, degrees."""
    a, b = (np.linalg.qr(directions(folder).T)[0] for folder in (pca, linear))
    return float(np.degrees(np.arccos(np.clip(np.linalg.svd(a.T @ b)[1].min(), -1, 1))))


def draw_gallery(axes, rows: dict[str, tuple[np.ndarray, np.ndarray]], titles: tuple[str, str]) -> None:
    """Rows of pictures, [n, *X] at the left and [m, *X] at the right of a gap, each row named."""
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


def row_of(folder: Path, chosen: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(reconstructions of these test images at the mean of q(z|x), draws from the prior)."""
    return decoded(folder, codes(folder, "test")[chosen]), draws(folder, count)


def draw_side_by_side(path: Path, runs: dict[str, Path]) -> None:
    """Originals, and what each model makes of them, beside what it makes of draws from the prior."""
    first = next(iter(runs.values()))
    chosen = one_of_each(first)
    rows = {"images": (images(first, "test")[0][chosen], images(first, "train")[0][: len(chosen)])}
    rows |= {name: row_of(folder, chosen, len(chosen)) for name, folder in runs.items()}
    with new_figure(path, 8.6, 0.45 + 0.37 * len(rows)) as figure:
        figure.set_layout_engine("constrained")
        draw_gallery(figure.subplots(), rows, ("new images, reconstructed", "draws from the prior, decoded"))


def one_of_each(folder: Path) -> np.ndarray:
    """The positions of the first test image of each class."""
    label = images(folder, "test")[1]
    return np.array([np.flatnonzero(label == digit)[0] for digit in range(10)])


def draw_betas(path: Path, sweep: Path) -> None:
    """Rate and distortion of every beta, and pictures of each."""
    folders = {beta: sweep / f"beta-{beta}-seed-0" for beta in BETAS}
    points = {beta: test_of(folder) for beta, folder in folders.items()}
    with new_figure(path, 8.6, 4.3) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.05])
        rate, distortion = ([point[name]["value"] for point in points.values()] for name in ("rate", "distortion"))
        best = -points[1.0]["elbo"]["value"]
        left.plot([0, best - 8], [best, 8], color=PALE, lw=1.5, zorder=1)
        write_haloed(
            left, best - 11, 11.5, "rate + distortion\n= that of β = 1", color=GREY, fontsize=9, ha="right", va="top"
        )
        left.plot(rate, distortion, color=LIGHT_BLUE, marker="o", ms=7, mfc=BLUE, mec=BLUE)
        for beta, x, y in zip(BETAS[:-1], rate, distortion, strict=False):
            write_haloed(
                left,
                x + 0.7,
                y + 0.3,
                f"β = {beta:g}" if beta != 4 else "β = 4, 8",
                weight="bold" if beta == 1 else "normal",
            )
        left.set(
            xlabel="rate, KL(q ‖ p): nats spent on z",
            ylabel="distortion: nats left for x given z",
            xlim=(-1, 26),
            ylim=(8, 29),
        )
        write_title(left, "What β chooses", "one VAE for each β, test images")
        chosen = one_of_each(folders[1.0])[[0, 2, 4, 8]]
        rows = {"images": (images(folders[1.0], "test")[0][chosen], images(folders[1.0], "train")[0][:4])}
        rows |= {f"β = {beta:g}": row_of(folder, chosen, 4) for beta, folder in folders.items() if beta < 8}
        draw_gallery(right, rows, ("reconstructed", "drawn from p(z)"))


def test_of(folder: Path) -> dict:
    """The test split's numbers of results.json."""
    return results.read_results(folder)["test"]


def draw_bounds(path: Path, runs: dict[Path, tuple[str, str, str]]) -> None:
    """The bound of each trained model against K."""
    with new_figure(path, 8.6, 3.9) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        for folder, (name, color, marker) in runs.items():
            axes.plot(
                list(SAMPLES), bounds(folder), color=color, marker=marker, ms=5, lw=1.8, label=f"trained with {name}"
            )
        axes.set(
            xscale="log",
            xlabel="K, draws of z for each image",
            ylabel="bound on log p(x), nats",
            xticks=[1, 10, 100, 1000],
            xticklabels=["1: the ELBO", "10", "100", "1,000"],
        )
        axes.legend(loc="lower right")
        write_title(axes, "More draws, a tighter bound", "mean over the test images; larger is better")


def bounds(folder: Path) -> list[float]:
    """The importance-weighted bound for each K of SAMPLES, nats, mean over the test images."""
    return [float(bound(folder, samples).mean()) for samples in SAMPLES]


@functools.cache
def bound(folder: Path, samples: int) -> np.ndarray:
    """The importance-weighted bound of each test image, [N], nats, mean over repetitions."""
    x, _ = images(folder, "test")
    keys = random.split(random.key(samples), SAMPLES[samples])
    return np.mean([load(folder).log_likelihood(key, x, samples=samples) for key in keys], 0, dtype=float)


def nearest(made: np.ndarray, of: np.ndarray) -> float:
    """The squared distance from a picture of `made` [M, *X] to the nearest of `of` [N, *X], mean over M."""
    made, of = made.reshape(len(made), -1), of.reshape(len(of), -1)
    return float(np.mean([np.square(of - one).sum(1).min() for one in made]))


def sharpness(x: np.ndarray, of: np.ndarray) -> float:
    """The mean squared step between neighbouring pixels of x, as a share of that of `of`."""

    def steps(images: np.ndarray) -> float:
        images = np.clip(images, 0, 1)
        return float(np.square(np.diff(images, axis=1)).mean() + np.square(np.diff(images, axis=2)).mean())

    return steps(x) / steps(of)


def print_numbers(runs: Path) -> None:
    """What the page says in numbers."""
    x, train = (images(runs / "pca", split)[0] for split in ("test", "train"))
    print(f"the mean image: squared error, test {np.square(x - train.mean(0)).sum((1, 2, 3)).mean():.2f}")
    print(f"test images: {nearest(x, train):.2f} from a training image")
    print(f"pca and linear_ae: angle between their planes {angle(runs / 'pca', runs / 'linear_ae'):.2f} degrees")
    for name in ("pca", "linear_ae", "ae", "vae", "pca_8", "ae_8", "vae_8"):
        of_training, of_test = (squared_error(runs / name, split) for split in ("train", "test"))
        far = nearest(draws(runs / name, DRAWS), train)
        print(f"{name}: squared error, training {of_training:.4f}, test {of_test:.2f}; draws {far:.2f} from an image")
    for beta in BETAS:
        print(f"beta {beta:g}: {in_words(runs / 'beta' / f'beta-{beta}-seed-0')}")
    for name in BLUR:
        folder, (x, _) = runs / name, images(runs / name, "test")
        again = sharpness(decoded(folder, codes(folder, "test")), x), sharpness(draws(folder, DRAWS), x)
        print(f"{name}: rate {test_of(folder)['rate']['value']:.1f}, squared error {squared_error(folder):.1f}", end="")
        print(", sharpness of reconstructions {:.2f}, of draws {:.2f}".format(*again))
    elbo = bound(runs / next(iter(BOUNDS)), max(SAMPLES))
    for name, (words, *_) in BOUNDS.items():
        more = bound(runs / name, max(SAMPLES)) - elbo
        print(
            f"{words}: {in_words(runs / name)}; by K: {', '.join(f'{value:.2f}' for value in bounds(runs / name))};",
            end="",
        )
        print(f" above the first by {more.mean():.2f} +- {more.std(ddof=1) / len(more) ** 0.5:.2f}")


def in_words(folder: Path) -> str:
    """The test split's bound and its parts."""
    numbers = test_of(folder)
    names = ("elbo", "log_likelihood", "rate", "distortion")
    return (
        ", ".join(f"{name} {numbers[name]['value']:.2f} +- {numbers[name]['stderr']:.2f}" for name in names)
        + f", active {numbers['active_units']['value']}"
    )


def main() -> None:
    options = parser.parse_args()
    runs, out = options.runs, options.out
    draw_plane(out / "pca.png", runs / "pca", "PCA", "mostly blends: few are a digit")
    draw_linear(out / "linear_ae.png", runs / "pca", runs / "linear_ae")
    draw_plane(out / "ae.png", runs / "ae", "The autoencoder")
    draw_plane(out / "vae.png", runs / "vae", "The VAE")
    draw_side_by_side(
        out / "side_by_side.png", {"PCA": runs / "pca_8", "autoencoder": runs / "ae_8", "VAE": runs / "vae_8"}
    )
    draw_betas(out / "betas.png", runs / "beta")
    draw_side_by_side(out / "blur.png", {words: runs / name for name, words in BLUR.items()})
    draw_bounds(out / "bounds.png", {runs / name: style for name, style in BOUNDS.items()})
    print_numbers(runs)


if __name__ == "__main__":
    main()
