"""A classifier of attributes, trained on real images, and intervals of its shares.

On the host, with scikit-learn. Axis letters: N images, L attributes.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from jaxvae.viz.figures.images import mean_of_squares

__all__ = ["DEVIATIONS", "AttributeClassifier", "paired_change", "train_classifier", "wilson_interval"]

_HIDDEN, _PASSES, _PATIENCE = 128, 25, 5  # units; epochs, at most, and without gain
_SIDE = 16  # pixels: twice as large images have their squares averaged, since a small set gains nothing by more
DEVIATIONS = 1.96  # of a normal, on each side of its mean, that hold 95%


class AttributeClassifier(NamedTuple):
    """A network that estimates the probability of each of L attributes."""

    network: MLPClassifier
    middle: np.ndarray  # [D], subtracted from the features
    scale: float  # that the rest is divided by
    names: tuple[str, ...]
    accuracy: np.ndarray  # [L], on held-out images
    always: np.ndarray  # [L], of the majority-class baseline there

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns the probability [N, L] that each picture [N, *X], of values in [0, 1], has each attribute."""
        found = np.asarray(self.network.predict_proba((_features(images) - self.middle) / self.scale), float)
        return found[:, 1:] if found.shape[1] == 1 + len(self.names) else found  # of one attribute: lacks, has


def train_classifier(
    images: np.ndarray, has: dict[str, np.ndarray], held: np.ndarray, held_has: dict[str, np.ndarray], seed: int = 0
) -> AttributeClassifier:
    """Trains a classifier of attributes `has` {name: bool [N]} of real images [N, *X] in [0, 1]; scores it on `held`.

    Training stops when the accuracy on a tenth of its images, kept aside, no longer rises.
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
    inputs, target = _features(images), np.stack(list(has.values()), axis=1)
    middle, scale = inputs.mean(0), float(inputs.std()) or 1.0
    # one thread: products so small gain nothing by more, which on a busy machine wait for each other
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        network.fit((inputs - middle) / scale, target if len(has) > 1 else target[:, 0])
    truth = np.stack([held_has[name] for name in has], axis=1)
    always = np.maximum(truth.mean(0), 1 - truth.mean(0))
    classifier = AttributeClassifier(network, middle, scale, tuple(has), np.zeros(len(has)), always)
    return classifier._replace(accuracy=((classifier.probabilities(held) > 0.5) == truth).mean(0))


def _features(images: np.ndarray) -> np.ndarray:
    """Returns the features [N, D], float32, of pictures [N, *X]; large ones have their squares averaged."""
    images = np.asarray(images, np.float32)
    if images.ndim == 4 and (factor := min(images.shape[1:3]) // _SIDE) > 1:
        images = mean_of_squares(images, factor)
    return images.reshape(len(images), -1)


def wilson_interval(count: np.ndarray, of: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 95% interval of a share, `count` out of `of`: Wilson (1927, JASA 22), also valid at 0 and 1."""
    share, z = np.asarray(count) / of, DEVIATIONS
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    reach = z * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2)) / (1 + z**2 / of)
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)


def paired_change(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (mean, standard error) of after - before, both [N, ...], over the N images."""
    change = np.asarray(after, float) - np.asarray(before, float)
    return change.mean(0), change.std(0, ddof=min(1, len(change) - 1)) / np.sqrt(len(change))
