"""TFDS data sets made by a test: prepared as array_record, without a network and without TensorFlow."""

import io

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds


def png(image):
    """Encode an image uint8 [H,W,C]: TFDS itself would need TensorFlow for that."""
    stream = io.BytesIO()
    PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
    return stream.getvalue()


def prepare_stock(name, arrays, data_dir):
    """Prepare the stock set `name` (28x28 grey) from arrays {split: (image uint8 [N,28,28,1], label [N])}."""
    base = tfds.builder_cls(name)

    class Offline(base, skip_registration=True):
        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(*pair) for split, pair in arrays.items()}

        def _generate_examples(self, images, labels):
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield index, {"image": png(image), "label": int(label)}

    Offline.name, Offline.__name__ = name, base.__name__
    return _prepared(Offline, data_dir)


def prepare_own(name, features, splits, data_dir, shards=None):
    """Prepare a set of one's own, {split: list of examples} with the given features, in so many files a split."""

    class Own(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(examples) for split, examples in splits.items()}

        def _generate_examples(self, examples):
            yield from enumerate(examples)

    Own.name = name
    return _prepared(Own, data_dir, num_shards=shards)


def noise(count, shape=(28, 28, 1), seed=0):
    """Give images uint8 [count,*shape] and labels int64 [count] that no two splits share."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *shape), np.uint8), random.integers(0, 10, count)


def _prepared(builder_class, data_dir, **options):
    builder = builder_class(data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(**options))
    return builder
