import json
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from made_sets import noise, png, prepare_own, prepare_stock
from opened_data import load_stored

from jaxvae.data import cache
from jaxvae.data.tfds import decode
from jaxvae.data.tfds.prepared import open_builder, prepared_folder, read_split

TRAIN = 2100  # two full chunks and a part of one


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    prepare_stock("kmnist", {"train": noise(TRAIN), "test": noise(7, seed=1)}, folder)
    return folder


pytestmark = pytest.mark.usefixtures("cache_folder")


def contents(decoded):
    return {split: (images.image.tobytes(), images.label.tobytes()) for split, images in decoded.splits.items()}


def only_folder(cache_folder):
    (folder,) = (cache_folder / "decoded").iterdir()
    return folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_cache_equals_its_source(data_dir, split):
    records = list(read_split(open_builder(prepared_folder("kmnist", data_dir)), split))
    images = load_stored("kmnist", data_dir).splits[split]
    np.testing.assert_array_equal(images.image, [record["image"] for record in records])
    np.testing.assert_array_equal(images.label, [record["label"] for record in records])
    assert (images.image.dtype, images.label.dtype) == (np.uint8, np.int32)


def test_it_knows_its_name_version_and_classes(data_dir):
    decoded = load_stored("kmnist:3.0.1", data_dir)
    assert (decoded.name, decoded.version) == ("kmnist", "3.0.1")
    assert decoded.class_names == tuple(tfds.builder_cls("kmnist")(data_dir=data_dir).info.features["label"].names)


def test_arrays_are_read_only_maps_of_the_file(data_dir):
    array = load_stored("kmnist", data_dir).splits["train"].image
    assert type(array) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0
    while isinstance(array, np.ndarray):
        array = array.base
    assert isinstance(array, mmap.mmap)


def test_a_second_load_decodes_nothing_and_imports_no_tfds(data_dir):
    first, lines = load_stored("kmnist", data_dir), []
    assert contents(load_stored("kmnist", data_dir, log=lines.append)) == contents(first)
    assert lines == []
    code = (
        "import sys\n"
        "from jaxvae.config import Data\n"
        "from jaxvae.data.sources import open_data\n"
        "open_data(Data(name='kmnist', data_dir=sys.argv[1]))\n"
        "assert 'tensorflow_datasets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(data_dir)], check=True)


def test_the_log_tells_how_far_it_is(data_dir, monkeypatch):
    monkeypatch.setattr(decode, "_CHUNKS_PER_LINE", 2)
    lines = []
    load_stored("kmnist", data_dir, log=lines.append)
    assert lines[:3] == [f"decoding kmnist train: {count} of 2,100" for count in ("0", "2,000", "2,100")]


@pytest.mark.parametrize("name", ["train.image.npy", "test.label.npy", "meta.json"])
def test_a_truncated_file_is_noticed_and_built_again(data_dir, cache_folder, name):
    whole = contents(load_stored("kmnist", data_dir))
    path = only_folder(cache_folder) / name
    os.truncate(path, path.stat().st_size - 1)
    assert contents(load_stored("kmnist", data_dir)) == whole
    only_folder(cache_folder)


def test_a_missing_file_and_an_older_format_are_built_again(data_dir, cache_folder):
    whole = contents(load_stored("kmnist", data_dir))
    (only_folder(cache_folder) / "test.image.npy").unlink()
    assert contents(load_stored("kmnist", data_dir)) == whole
    path = only_folder(cache_folder) / "meta.json"
    for other in (json.loads(path.read_text()) | {"format": 0}, []):
        path.write_text(json.dumps(other))
        assert contents(load_stored("kmnist", data_dir)) == whole
        assert json.loads(path.read_text())["format"] == 3


def test_changed_records_are_another_cache(tmp_path, cache_folder):
    for count, folder in ((5, tmp_path / "a"), (900, tmp_path / "b")):
        prepare_stock("kmnist", {"train": noise(count)}, folder)
    assert load_stored("kmnist", tmp_path / "a").fingerprint != load_stored("kmnist", tmp_path / "b").fingerprint
    assert len(list((cache_folder / "decoded").iterdir())) == 2


def test_the_fingerprint_covers_descriptions_and_the_names_and_sizes_of_records(tmp_path):
    def fingerprint(**files):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in ({"info": "[1]", "records": "abc"} | files).items():
            (folder / f"{name}{'.json' if name == 'info' else ''}").write_text(text)
        return decode.folder_fingerprint(folder)

    assert fingerprint() == fingerprint() == fingerprint(**{".DS_Store": "noise"})
    changes = ({}, {"info": "[2]"}, {"records": "abcd"}, {"more": ""}, {"other": ""})
    assert len({fingerprint(**change) for change in changes}) == len(changes)


def test_an_interrupted_build_leaves_nothing_and_is_done_again(data_dir, cache_folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decode, "copy_images", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_stored("kmnist", data_dir)
    assert list((cache_folder / "decoded").iterdir()) == []
    assert len(load_stored("kmnist", data_dir).splits["train"].image) == TRAIN


def test_what_a_killed_build_left_is_swept(data_dir, cache_folder):
    left = [cache_folder / "decoded" / f".building-{name}-abcdefgh" for name in ("kmnist-3.0.1-1", "folder-cats-2")]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "train.image.npy").write_bytes(b"half")
    assert len(load_stored("kmnist", data_dir).splits["train"].image) == TRAIN
    only_folder(cache_folder)


def test_without_locks_the_loser_of_a_race_uses_the_folder_of_the_winner(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.files, "try_lock", lambda descriptor: None)

    def read(folder):
        return (folder / "file").read_text()

    def build(text, rival=None):
        def inner(scratch):
            if rival:
                cache.open_or_build(tmp_path / "target", build(rival), read, print)
            (scratch / "whole").mkdir()
            (scratch / "whole" / "file").write_text(text)
            return scratch / "whole"

        return inner

    assert cache.open_or_build(tmp_path / "target", build("loser", rival="winner"), read, print) == "winner"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.slow
def test_of_two_processes_that_want_a_set_one_builds_and_both_agree(cache_folder):
    code = (
        "import hashlib, time, jaxvae.data.tfds.decode as c\n"
        "from jaxvae.config import Data\n"
        "write = c._write_split\n"
        "c._write_split = lambda *a, **k: (write(*a, **k), time.sleep(1.0))\n"  # the other comes meanwhile
        "lines = []\n"
        "splits = c.load_tfds(Data(), lines.append).splits\n"
        "print(len(lines), [hashlib.md5(s.image.tobytes() + s.label.tobytes()).hexdigest() for s in splits.values()])"
    )
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [child.communicate(timeout=60)[0].split(maxsplit=1) for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert said[0][1] == said[1][1]
    assert sorted(count for count, _ in said) == ["0", "4"]
    only_folder(cache_folder)


def test_other_splits_are_decoded_too_and_labels_may_be_missing(tmp_path):
    image = tfds.features.Image(shape=(4, 4, 3))
    splits = {
        name: [{"image": png(one)} for one in noise(count, (4, 4, 3))[0]]
        for name, count in (("train", 3), ("validation", 2))
    }
    prepare_own("plain", {"image": image}, splits, tmp_path)
    decoded = load_stored("plain", tmp_path)
    assert {name: split.image.shape for name, split in decoded.splits.items()} == {
        "train": (3, 4, 4, 3),
        "validation": (2, 4, 4, 3),
    }
    assert decoded.splits["train"].label is None
    assert decoded.class_names == ()


def test_a_label_that_is_no_integer_is_left_out(tmp_path):
    features = {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.Text()}
    prepare_own("named", features, {"train": [{"image": png(noise(1, (8, 8, 1))[0][0]), "label": "cat"}]}, tmp_path)
    assert load_stored("named", tmp_path).splits["train"].label is None


def test_an_image_that_breaks_the_promise_of_its_features_is_refused(tmp_path, cache_folder):
    examples = [{"image": png(noise(1, (height, 4, 3))[0][0])} for height in (4, 5)]
    prepare_own("mixed", {"image": tfds.features.Image(shape=(4, 4, 3))}, {"train": examples}, tmp_path)
    with pytest.raises(
        ValueError, match=r"mixed holds an image of shape \(5, 4, 3\) where its features promise \(4, 4, 3\)"
    ):
        load_stored("mixed", tmp_path)
    assert list((cache_folder / "decoded").iterdir()) == []


def test_damaged_records_are_named_and_leave_no_cache(tmp_path, cache_folder):
    prepare_stock("kmnist", {"train": noise(5)}, tmp_path)
    (tmp_path / "kmnist" / "3.0.1" / "kmnist-train.array_record-00000-of-00001").unlink()
    with pytest.raises(ValueError, match=r"cannot read record 0 of .*kmnist.*, in .*00000-of-00001.* is damaged"):
        load_stored("kmnist", tmp_path)
    assert list((cache_folder / "decoded").iterdir()) == []


def test_where_the_cache_lies(monkeypatch, tmp_path):
    assert cache.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("JAXVAE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder() == tmp_path / "xdg" / "jaxvae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_folder() == tmp_path / "home" / ".cache" / "jaxvae"
