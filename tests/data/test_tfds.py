import json
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from made_sets import noise, png, prepare_own, prepare_stock

from jaxvae.data.tfds.prepared import open_builder, prepared_folder, read_split

IMAGE = tfds.features.Image(shape=(8, 8, 1))


@pytest.fixture(scope="module")
def arrays():
    return {"train": noise(20), "test": noise(5, seed=1)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("prepared")
    prepare_stock("fashion_mnist", arrays, folder)
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "cache"))


def fake_prepared(folder, **changes):
    """Write the description alone of a prepared set: enough for what is refused before a record is read."""
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(
        json.dumps({"name": folder.parent.name, "version": folder.name} | changes)
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_stock_set_is_read_image_for_image(data_dir, arrays, split):
    source = read_split(open_builder(prepared_folder("fashion_mnist", data_dir)), split)
    read = sorted((record["image"].tobytes(), record["label"]) for record in source)
    assert read == sorted((image.tobytes(), label) for image, label in zip(*arrays[split], strict=True))


def test_the_order_is_that_of_the_stock_reader(data_dir):
    ours = read_split(open_builder(prepared_folder("fashion_mnist", data_dir)), "train")
    stock = tfds.data_source("fashion_mnist", split="train", data_dir=data_dir, download=False)
    np.testing.assert_array_equal([record["image"] for record in ours], [record["image"] for record in stock])


def test_a_split_may_be_sliced_and_an_unknown_one_is_refused(data_dir):
    builder = open_builder(prepared_folder("fashion_mnist", data_dir))
    assert len(read_split(builder, "train[:25%]")) == 5
    with pytest.raises(ValueError, match=r"no split 'validation'; expected one of \['test', 'train'\]"):
        read_split(builder, "validation")


def test_a_version_may_be_named_and_the_newest_is_taken_otherwise(tmp_path):
    for version in ("1.9.0", "1.10.0"):
        fake_prepared(tmp_path / "mine" / version, fileFormat="array_record")
    assert prepared_folder("mine", tmp_path) == tmp_path / "mine" / "1.10.0"
    assert prepared_folder("mine:1.9.0", tmp_path) == tmp_path / "mine" / "1.9.0"


def test_a_configuration_may_be_named(tmp_path):
    fake_prepared(tmp_path / "emnist" / "balanced" / "3.0.0", fileFormat="array_record")
    assert prepared_folder("emnist/balanced", tmp_path) == tmp_path / "emnist" / "balanced" / "3.0.0"
    with pytest.raises(ValueError, match=r"emnist is not prepared .* Prepared there: emnist/balanced:3\.0\.0\."):
        prepared_folder("emnist", tmp_path)


def test_without_data_dir_the_default_of_tfds_is_searched(tmp_path, monkeypatch):
    fake_prepared(tmp_path / "mnist" / "3.0.1", fileFormat="array_record")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert prepared_folder("mnist") == tmp_path / "mnist" / "3.0.1"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match=f"not prepared in {tmp_path}/tensorflow_datasets"):
        prepared_folder("svhn_cropped")


@pytest.mark.parametrize("name", ["fashion_mnits", "Fashion_MNIST"])
def test_an_unknown_name_gets_its_nearest_and_a_few_known_ones(name, tmp_path):
    with pytest.raises(ValueError, match=rf"unknown data set '{name}'\. Did you mean fashion_mnist.*digits, mnist"):
        open_builder(prepared_folder(name, tmp_path))


@pytest.mark.parametrize("name", ["", "../mnist", "huggingface:mnist", "mnist:latest"])
def test_what_is_no_name_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="unknown data set"):
        open_builder(prepared_folder(name, tmp_path))


def test_a_set_that_is_not_prepared_comes_with_the_lines_that_prepare_it(tmp_path):
    with pytest.raises(ValueError, match="svhn_cropped is not prepared in") as refusal:
        open_builder(prepared_folder("svhn_cropped", tmp_path))
    message = str(refusal.value)
    assert str(tmp_path / "svhn_cropped") in message
    assert "pip install tensorflow " in message
    assert (
        f"tfds.builder('svhn_cropped', data_dir='{tmp_path}', file_format='array_record').download_and_prepare()"
        in message
    )


def test_another_version_than_the_prepared_one_is_refused(data_dir):
    with pytest.raises(ValueError, match=r"fashion_mnist:9\.9\.9 is not prepared .* there: fashion_mnist:3\.0\.1"):
        open_builder(prepared_folder("fashion_mnist:9.9.9", data_dir))


@pytest.mark.parametrize(("changes", "found"), [({"fileFormat": "riegeli"}, "riegeli"), ({}, "tfrecord")])
def test_another_format_is_named_with_the_lines_that_prepare_again(tmp_path, changes, found):
    fake_prepared(tmp_path / "svhn_cropped" / "3.1.0", **changes)
    with pytest.raises(ValueError, match=f"is prepared as {found}; expected array_record") as refusal:
        open_builder(prepared_folder("svhn_cropped", tmp_path))
    assert f"data_dir='{tmp_path / 'array_record'}', file_format='array_record'" in str(refusal.value)


def test_a_remote_data_dir_is_refused():
    with pytest.raises(ValueError, match="'gs://bucket/sets' is remote; expected a local folder"):
        open_builder(prepared_folder("mnist", "gs://bucket/sets"))


def test_a_set_without_images_is_refused(tmp_path):
    prepare_own("numbers", {"value": np.int64}, {"train": [{"value": 1}]}, tmp_path)
    with pytest.raises(ValueError, match=r"numbers has no image feature named 'image'.*\['value'\]"):
        open_builder(prepared_folder("numbers", tmp_path))


def test_images_of_another_type_are_refused(tmp_path):
    deep = tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16)
    prepare_own("deep", {"image": deep}, {"train": [{"image": png(noise(1, (8, 8, 1))[0][0])}]}, tmp_path)
    with pytest.raises(ValueError, match="images of type uint16; expected uint8"):
        open_builder(prepared_folder("deep", tmp_path))


def test_images_of_varying_size_are_refused(tmp_path):
    examples = [{"image": png(noise(1, shape)[0][0])} for shape in ((8, 8, 3), (4, 9, 3))]
    prepare_own("photos", {"image": tfds.features.Image()}, {"train": examples}, tmp_path)
    with pytest.raises(ValueError, match=r"varying size, \(None, None, 3\); expected one fixed size"):
        open_builder(prepared_folder("photos", tmp_path))


@pytest.mark.skipif("JAXVAE_TEST_DATA" not in os.environ, reason="JAXVAE_TEST_DATA names no folder with real MNIST")
def test_real_mnist_is_read():
    builder = open_builder(prepared_folder("mnist", os.environ["JAXVAE_TEST_DATA"]))
    assert [len(read_split(builder, split)) for split in ("train", "test")] == [60_000, 10_000]
    assert read_split(builder, "test")[0]["image"].shape == (28, 28, 1)
