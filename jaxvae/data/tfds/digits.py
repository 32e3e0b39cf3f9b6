"""The `digits` data set: 1,797 real handwritten digits that come with scikit-learn, so that no network is needed."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

__all__ = ["Digits", "prepare_digits"]

_TRAIN_EXAMPLES = 1437  # four of five; 360 are left for the test split

_DESCRIPTION = """\
Handwritten digits of 43 people, written on forms, scanned and reduced to 8x8 pixels: the test part of UCI's "Optical
Recognition of Handwritten Digits", 1,797 images, as embedded in scikit-learn. The 17 grey levels 0..16 are scaled to
0..255 and rounded. The split into 1,437 and 360 images is ours, by a fixed permutation: writers are not kept apart.
"""
_CITATION = """\
@misc{alpaydin1998optical,
  author = {Alpaydin, Ethem and Kaynak, Cenk},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}
"""


class Digits(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]  # mypy cannot see TFDS's lazy base
    """TFDS builder of `digits`: image uint8 [8,8,1] and label 0..9, prepared without TensorFlow."""

    # Unregistered: TFDS refuses a name that is registered twice, as by a reload or in a notebook.
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(8, 8, 1), dtype=np.uint8, encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"image": image, "label": tfds.features.ClassLabel(num_classes=10)}),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        bunch = load_digits()
        image, label = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None], bunch.target
        order = np.random.RandomState(0).permutation(len(image))  # a stream that NumPy has frozen
        return {
            "train": self._generate_examples(image, label, order[:_TRAIN_EXAMPLES]),
            "test": self._generate_examples(image, label, order[_TRAIN_EXAMPLES:]),
        }

    def _generate_examples(self, image: np.ndarray, label: np.ndarray, indices: np.ndarray) -> Iterator:
        for index in indices:
            stream = io.BytesIO()  # TFDS encodes arrays with TensorFlow, but takes bytes as they are
            PIL.Image.fromarray(image[index, ..., 0]).save(stream, "PNG")
            yield int(index), {"image": stream.getvalue(), "label": int(label[index])}


def prepare_digits(folder: Path) -> None:
    """Prepares the set beneath the folder, without TFDS's progress bars and its announcement of a download."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        Digits(data_dir=folder, file_format="array_record").download_and_prepare(download_config=config)
