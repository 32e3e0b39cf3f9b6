import importlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxvae.data.tfds.prepared import DIGITS_VERSION, open_builder, prepared_folder, read_split


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(cache_folder, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(cache_folder))


def pairs(split):
    source = read_split(open_builder(prepared_folder("digits")), split)
    return [(record["image"].tobytes(), record["label"]) for record in source.__getitems__(range(len(source)))]


def expected_pairs():
    bunch = load_digits()
    levels = (bunch.images.astype(int) * 255 + 8) // 16  # rounded in integers: not the formula under test
    return [(image.astype(np.uint8).tobytes(), int(label)) for image, label in zip(levels, bunch.target, strict=True)]


def test_both_splits_hold_every_digit_of_scikit_learn_once_pixel_by_pixel():
    assert Counter(pairs("train")) + Counter(pairs("test")) == Counter(expected_pairs())


def test_the_split_is_the_frozen_permutation():
    order, digits = np.random.RandomState(0).permutation(1797), expected_pairs()
    assert (len(pairs("train")), len(pairs("test"))) == (1437, 360)
    assert Counter(pairs("train")) == Counter(digits[index] for index in order[:1437])


def test_images_are_grey_bytes_with_a_channel_axis():
    image = read_split(open_builder(prepared_folder("digits")), "test")[0]["image"]
    assert image.dtype == np.uint8
    assert image.shape == (8, 8, 1)


def test_digits_are_prepared_only_once(monkeypatch):
    open_builder(prepared_folder("digits"))
    monkeypatch.setattr("jaxvae.data.tfds.digits.prepare_digits", lambda scratch: pytest.fail("prepared again"))
    open_builder(prepared_folder("digits"))


def test_preparing_says_nothing_and_leaves_nothing_beside(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path))
    read_split(open_builder(prepared_folder("digits")), "train")[0]
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in (tmp_path / "tfds" / "digits").iterdir()] == [DIGITS_VERSION]


def test_an_interrupted_preparation_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path))
    from jaxvae.data.tfds.digits import Digits

    def interrupted(self, *arguments):
        yield 0, {"image": b"", "label": 0}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_builder(prepared_folder("digits"))
    assert list((tmp_path / "tfds" / "digits").iterdir()) == []
    assert len(read_split(open_builder(prepared_folder("digits")), "train")) == 1437


def test_the_module_can_be_imported_twice():
    from jaxvae.data.tfds import digits

    assert str(importlib.reload(digits).Digits.VERSION) == DIGITS_VERSION


def test_an_unknown_version_of_digits_is_refused():
    with pytest.raises(ValueError, match=r"no version 2\.0\.0; expected 'digits' or 'digits:1\.0\.0'"):
        open_builder(prepared_folder("digits:2.0.0"))


def test_reading_needs_no_tensorflow_and_importing_not_even_tfds():
    lines = (
        "import sys, jaxvae.data.tfds.decode, jaxvae.data.tfds.prepared",
        "assert 'tensorflow_datasets' not in sys.modules",
        "from jaxvae.data.tfds.prepared import open_builder, prepared_folder, read_split",
        "read_split(open_builder(prepared_folder('digits')), 'test')[0]",
        "assert 'tensorflow_datasets' in sys.modules and 'tensorflow' not in sys.modules",
    )
    child = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
    assert subprocess.run(child, check=True, capture_output=True).stderr == b""  # no advice about OpenCV either
