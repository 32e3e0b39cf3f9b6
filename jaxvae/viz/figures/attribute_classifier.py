"""A judge of pictures, independent of the model: a classifier trained on real images, and what it says of others.

On the host, with scikit-learn. Axis letters: N images, L attributes, T strengths.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

_HIDDEN, _PASSES, _PATIENCE = 128, 25, 5  # units; times that the images are seen, at most, and without gain
SIDE = 16  # of more than twice as many pixels, squares are averaged: a classifier of so small a set gains nothing
_ONE_SIDED = 1.96  # deviations of a normal on each side of its mean that hold 95%


class Judge(NamedTuple):
    """A network that says how probable each of the attributes `names` [L] is, and how often it is right.

    `accuracy` [L]: the share of real images, of others than it was trained on, that it tells right; `always` [L]: the
    share that one would tell right who always gave the more frequent answer. `middle` [D] is taken from what it sees,
    and the rest divided by `scale`.
    """

    network: MLPClassifier
    middle: np.ndarray
    scale: float
    names: tuple[str, ...]
    accuracy: np.ndarray
    always: np.ndarray

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """[N, L]: of each picture, values in [0, 1] shaped [N, *X], the probability that it has each attribute."""
        said = np.asarray(self.network.predict_proba((seen(images) - self.middle) / self.scale), float)
        return said[:, 1:] if said.shape[1] == 1 + len(self.names) else said  # of one attribute: not having, having


def train_judge(
    images: np.ndarray,
    has: dict[str, np.ndarray],
    held: np.ndarray,
    held_has: dict[str, np.ndarray],
    seed: int = 0,
) -> Judge:
    """A judge of the attributes `has` {name: bool [N]} of real images [N, *X] in [0, 1], scored on the `held` ones.

    One hidden layer, a logistic output for each attribute; stopped when a tenth of its images, kept aside, is told no
    better.
    """
    network = MLPClassifier(
        (_HIDDEN,),
        batch_size=min(128, max(16, len(images) // 50), len(images)),
        alpha=0.5,
        early_stopping=len(images) >= 200,
        n_iter_no_change=_PATIENCE,
        max_iter=_PASSES,
        random_state=seed,
    )
    inputs, target = seen(images), np.stack(list(has.values()), axis=1)
    middle, scale = inputs.mean(0), float(inputs.std()) or 1.0
    # one thread: products so small gain nothing by more, which on a busy machine wait for each other
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        network.fit((inputs - middle) / scale, target if len(has) > 1 else target[:, 0])
    truth = np.stack([held_has[name] for name in has], axis=1)
    always = np.maximum(truth.mean(0), 1 - truth.mean(0))
    judge = Judge(network, middle, scale, tuple(has), np.zeros(len(has)), always)
    return judge._replace(accuracy=((judge.probabilities(held) > 0.5) == truth).mean(0))


def seen(images: np.ndarray) -> np.ndarray:
    """[N, D], float32: what the judge sees of pictures [N, *X]; large ones have their squares averaged."""
    images = np.asarray(images, np.float32)
    if images.ndim == 4 and (factor := min(images.shape[1:3]) // SIDE) > 1:
        height, width = (size // factor for size in images.shape[1:3])
        cut = images[:, : height * factor, : width * factor]
        images = cut.reshape(len(images), height, factor, width, factor, -1).mean((2, 4))
    return images.reshape(len(images), -1)


def band(count: np.ndarray, of: int) -> tuple[np.ndarray, np.ndarray]:
    """The 95% interval of a share, `count` out of `of`: Wilson (1927, JASA 22), which holds at 0 and 1, too."""
    share, z = np.asarray(count) / of, _ONE_SIDED
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    reach = z * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2)) / (1 + z**2 / of)
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)


def shift(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard error) over the N images of after - before, both [N, ...]: paired, image by image."""
    change = np.asarray(after, float) - np.asarray(before, float)
    return change.mean(0), change.std(0, ddof=min(1, len(change) - 1)) / np.sqrt(len(change))
