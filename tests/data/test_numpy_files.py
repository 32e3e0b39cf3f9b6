"""Arrays of one's own: in memory, as .npy and as .npz; what is taken for what, and what is refused."""

import io
import mmap
import os
import pickle
import zipfile

import numpy as np
import pytest
from made_sets import noise
from opened_data import from_arrays, open_named

from jaxvae.cli import main
from jaxvae.data.files import numpy_files

IMAGES, LABELS = noise(20, (4, 5, 3))
SEQUENCES = noise(20, (7,), seed=2)[0]
VECTORS = np.random.default_rng(3).normal(size=(20, 2))


pytestmark = pytest.mark.usefixtures("cache_folder")


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def opened(path, log=None, validation=0):
    return open_named(f"{path.suffix[1:]}:{path}", None, validation, log=log)


def found(data, split="train"):
    """(images, labels) of a split, in stored order."""
    chosen = data.splits[split]
    image, label, _ = chosen.take(np.arange(len(chosen)))
    return image, label if chosen.label is not None else None


def all_of(data):
    """Every image with its label, whatever its split."""
    pairs = [found(data, split) for split in data.splits]
    return sorted((i.tobytes(), v.tobytes()) for images, labels in pairs for i, v in zip(images, labels, strict=True))


# what is taken for what


@pytest.mark.parametrize("make", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("x", "y"), ("X", "Y"), ("imgs", "label")])
def test_images_and_labels_by_the_usual_names_and_a_tenth_becomes_test(tmp_path, make, images, labels):
    make(tmp_path / "a.npz", **{images: IMAGES, labels: LABELS})
    data = opened(tmp_path / "a.npz")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 18, "test": 2}
    assert all_of(data) == sorted((i.tobytes(), np.int32(v).tobytes()) for i, v in zip(IMAGES, LABELS, strict=True))
    assert data.splits["train"].label.dtype == np.int32
    assert data.source("test") == "held out of the training images by a fixed seed"


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val"),
        ("train_images", "train_labels", "test_images", "test_labels", "val_images", "val_labels"),
        ("train_x", "train_y", "test_x", "test_y", "validation_x", "validation_y"),
    ],
)
def test_splits_by_the_usual_names(tmp_path, names):
    parts = [IMAGES[:10], LABELS[:10], IMAGES[10:16], LABELS[10:16, None], IMAGES[16:], LABELS[16:]]
    data = opened(npz(tmp_path / "a.npz", **dict(zip(names, parts, strict=True))), validation=0.5)
    for split, rows in {"train": slice(0, 10), "test": slice(10, 16), "validation": slice(16, 20)}.items():
        image, label = found(data, split)
        np.testing.assert_array_equal(image, IMAGES[rows])
        np.testing.assert_array_equal(label, LABELS[rows])
    assert data.source("test") == "the data set's own"


def test_a_single_array_of_any_name_and_others_beside_are_left_out_aloud(tmp_path):
    assert opened(npz(tmp_path / "a.npz", faces=IMAGES)).splits["train"].label is None
    lines = []
    opened(npz(tmp_path / "b.npz", images=IMAGES, weights=VECTORS), log=lines.append)
    assert lines[0].endswith("left out the arrays weights")


@pytest.mark.parametrize(("array", "shape"), [(IMAGES, (4, 5, 3)), (IMAGES[..., 0], (4, 5, 1)), (SEQUENCES, (7, 1))])
@pytest.mark.parametrize("kind", ["npy", "npz", "arrays"])
def test_images_grey_images_and_sequences_get_a_channel_axis(tmp_path, kind, array, shape):
    if kind == "npy":
        np.save(tmp_path / "a.npy", array)
    npz(tmp_path / "a.npz", images=array)
    data = from_arrays(array, 0) if kind == "arrays" else opened(tmp_path / f"a.{kind}")
    assert data.shape == shape
    rows = data.splits["train"].rows
    np.testing.assert_array_equal(found(data)[0], array.reshape(20, *shape)[rows])


def test_a_sequence_of_many_channels_is_an_image_of_height_1():
    assert from_arrays(np.zeros((10, 1, 7, 3), np.uint8), 0).shape == (1, 7, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_are_conditions(tmp_path, dtype):
    vectors = VECTORS.astype(dtype)
    for data in (opened(npz(tmp_path / "a.npz", x=IMAGES, y=vectors)), from_arrays((IMAGES, vectors), 0)):
        label = data.splits["train"].label
        assert label.dtype == np.float32
        np.testing.assert_array_equal(
            label[data.splits["train"].rows], vectors.astype(np.float32)[data.splits["train"].rows]
        )
        assert (data.condition_size("vector"), data.condition_size("label")) == (2, None)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.int8])
def test_classes_of_any_whole_type_in_one_column_or_none(dtype):
    labels = (LABELS % 2).astype(dtype)
    for given in (labels, labels[:, None]):
        data = from_arrays((IMAGES, given), 0)
        assert data.splits["train"].label.dtype == np.int32
        np.testing.assert_array_equal(data.splits["train"].label, LABELS % 2)
        assert data.condition_size("label") == 2


def test_the_same_arrays_have_one_fingerprint_however_they_come_and_others_another(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxvae.data.files.numpy_files._CHUNK", 7)
    np.save(tmp_path / "a.npy", IMAGES)
    bare = {opened(tmp_path / "a.npy").fingerprint, opened(npz(tmp_path / "a.npz", x=IMAGES)).fingerprint}
    assert bare == {from_arrays(IMAGES, 0.3).fingerprint}
    for i in (0, 19):
        other = IMAGES.copy()
        other[i, -1, -1, -1] ^= 1
        bare.add(from_arrays(other, 0).fingerprint)
    bare |= {from_arrays((IMAGES, labels), 0).fingerprint for labels in (LABELS, LABELS + 1, VECTORS)}
    bare.add(from_arrays(IMAGES[..., 0], 0).fingerprint)
    bare.add(from_arrays({"train": IMAGES[:10], "test": IMAGES[10:]}, 0).fingerprint)
    assert len(bare) == 8


def test_arrays_without_a_test_split_are_not_copied():
    data = from_arrays(IMAGES, 0.2)
    assert all(np.shares_memory(split.image, IMAGES) for split in data.splits.values())
    indices = np.concatenate([split.index for split in data.splits.values()])
    np.testing.assert_array_equal(np.sort(indices), np.arange(20))


# files


def test_a_npy_file_is_mapped_where_it_lies(tmp_path, cache_folder, monkeypatch):
    np.save(tmp_path / "a.npy", IMAGES[..., 0])
    array = opened(tmp_path / "a.npy").splits["train"].image
    assert type(array) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0
    while isinstance(array, np.ndarray):
        array = array.base
    assert isinstance(array, mmap.mmap)
    assert not list(cache_folder.rglob("*.npy"))
    monkeypatch.setattr(numpy_files, "fingerprint", None)  # the second time nothing is read for it
    assert opened(tmp_path / "a.npy").fingerprint


def test_a_second_time_a_npz_is_not_read_and_a_changed_one_is(tmp_path, monkeypatch):
    data = opened(npz(tmp_path / "a.npz", x=IMAGES, y=LABELS))
    with monkeypatch.context() as patch:
        patch.setattr(numpy_files, "_copy_arrays", None)
        lines = []
        assert all_of(opened(tmp_path / "a.npz", log=lines.append)) == all_of(data)
        assert lines == []
    status = (tmp_path / "a.npz").stat()
    npz(tmp_path / "a.npz", x=IMAGES[::-1].copy(), y=LABELS)
    os.utime(tmp_path / "a.npz", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert opened(tmp_path / "a.npz").fingerprint != data.fingerprint


@pytest.mark.parametrize("damage", ["train.image.npy", "train.label.npy", "meta.json"])
def test_a_damaged_cache_is_built_again(tmp_path, cache_folder, damage):
    whole = all_of(opened(npz(tmp_path / "a.npz", x=IMAGES, y=LABELS)))
    (kept,) = (cache_folder / "decoded").iterdir()
    os.truncate(kept / damage, 10)
    assert all_of(opened(tmp_path / "a.npz")) == whole


def test_a_relative_path_starts_at_data_dir_and_the_command_line_reads_it(tmp_path, capsys):
    npz(tmp_path / "a.npz", x=SEQUENCES, y=VECTORS)
    assert main(["data", "npz:a.npz", "--data_dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "sequences of 7 x 1, fingerprint" in out
    assert "train: 18 sequences, vectors of 2 numbers" in out
    np.save(tmp_path / "a.npy", IMAGES)
    assert main(["data", f"npy:{tmp_path / 'a.npy'}"]) == 0
    assert "train: 18 images, no labels" in capsys.readouterr().out


# refusals


def refused(tmp_path, words, **arrays):
    with pytest.raises(ValueError, match=words):
        opened(npz(tmp_path / "a.npz", **arrays))
    assert not list(tmp_path.rglob("*.image.npy"))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (IMAGES / np.float32(255), r"got float32 \[20, 4, 5, 3\]\. .*\(255 \* x\)\.round\(\)\.astype\('uint8'\)"),
        (IMAGES > 9, r"got bool .* 255 \* x\.astype\('uint8'\)"),
        (IMAGES.astype(np.int64), r"got int64 .* x\.astype\('uint8'\)"),
        (IMAGES[0, 0, 0], r"got uint8 \[3\]\.$"),
        (
            IMAGES.astype(np.float64),
            r"got float64 .*(bytes by x\.round|scale others to that range first)",
        ),
        (IMAGES[None], r"expected uint8 images \[N, H, W, C\] or \[N, H, W\], or sequences \[N, L\]"),
        (IMAGES[:0], r"none of them empty, got uint8 \[0, 4, 5, 3\]"),
        (IMAGES[:, :0], r"got uint8 \[20, 0, 5, 3\]"),
    ],
)
def test_what_are_no_images_is_refused_with_what_to_do(tmp_path, array, words):
    refused(tmp_path, words, images=array)
    np.save(tmp_path / "a.npy", array)
    for attempt in (lambda: opened(tmp_path / "a.npy"), lambda: from_arrays(array, 0)):
        with pytest.raises(ValueError, match=words):
            attempt()


@pytest.mark.parametrize("kind", ["array", "npy"])
@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.linspace(-2.03, 3, 2400).reshape(20, 10, 12), "run from -2.03 to 3, and bytes hold 0 to 255: astype alone"),
        (np.arange(2400).reshape(20, 10, 12), r"run from 0 to 2399, .* \(255 \* \(x - x\.min\(\)\) /"),
        (np.where(np.eye(20) == 1, np.nan, 0.5), "Its values are not all finite"),
    ],
)
def test_values_that_bytes_do_not_hold_are_scaled_and_not_wrapped_around(tmp_path, array, words, kind):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=words):
        from_arrays(array) if kind == "array" else opened(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(20, 3, 32, 32), (20, 1, 28, 28), (20, 3, 32, 48), (20, 4, 9, 5)])
def test_images_with_their_channels_first_are_refused_with_the_transpose(tmp_path, shape):
    array = np.zeros(shape, np.uint8)
    np.save(tmp_path / "a.npy", array)
    for attempt in (
        lambda: from_arrays(array),
        lambda: opened(tmp_path / "a.npy"),
        lambda: opened(npz(tmp_path / "a.npz", x=array)),
    ):
        with pytest.raises(ValueError, match=r"or \[N, C, H, W\]\. Try np\.transpose\(x, \(0, 2, 3, 1\)\)"):
            attempt()
    assert from_arrays(np.transpose(array, (0, 2, 3, 1))).shape == (*shape[2:], shape[1])


@pytest.mark.parametrize("shape", [(3, 8, 3), (1, 16, 7), (4, 4, 16), (8, 8, 1), (2, 9, 9)])
def test_small_images_and_sequences_of_many_channels_are_no_images_with_channels_first(shape):
    assert from_arrays(np.zeros((20, *shape), np.uint8)).shape == shape


def test_a_path_without_its_kind_is_refused_with_it(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    kinds = {f"{tmp_path}/a.npy": "npy", "a.NPZ": "npz", "photos.zip": "folder", str(tmp_path): "folder"}
    for name, kind in kinds.items():
        with pytest.raises(ValueError, match=f"expected a kind of data before a path. Try '{kind}:{name}'"):
            open_named(name, None, 0)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS[:-1], r"20 images but labels shaped \[19\]"),
        (LABELS - 1, "labels run from -1 to .*; expected classes counted from 0"),
        (LABELS + 2**31, "labels run from .*; expected classes counted from 0"),
        (LABELS.astype(np.float32), r"labels are float32 \[20\]; expected whole numbers .*labels\[:, None\]"),
        (np.stack([LABELS, LABELS], 1), r"labels are int64 \[20, 2\]; .*float vectors \[N, C\]"),
        (np.where(np.arange(40).reshape(20, 2) == 7, np.nan, VECTORS), "NaN or infinity in 1 of them, first in row 3"),
        (VECTORS * np.inf, "NaN or infinity in 20 of them"),
        (VECTORS[:, :0], "with no entries"),
        (np.array(list("ab" * 10)), r"labels are <U1 \[20\]; expected whole numbers"),
    ],
)
def test_what_are_no_labels_is_refused_with_what_to_do(tmp_path, labels, words):
    refused(tmp_path, words, images=IMAGES, labels=labels)
    with pytest.raises(ValueError, match=words):
        from_arrays((IMAGES, labels), 0)


@pytest.mark.parametrize("kind", ["npz", "arrays"])
def test_splits_that_do_not_agree_are_refused(tmp_path, kind):
    def attempt(train, test):
        if kind == "arrays":
            return from_arrays({"train": train, "test": test}, 0)
        return opened(npz(tmp_path / "a.npz", x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1]))

    with pytest.raises(ValueError, match=r"images differ in shape, \{'train': \(4, 5, 3\), 'test': \(4, 5, 1\)\}"):
        attempt((IMAGES, LABELS), (IMAGES[..., :1], LABELS))
    with pytest.raises(ValueError, match=r"labels differ in shape, \{'train': \(\), 'test': \(2,\)\}"):
        attempt((IMAGES, LABELS), (IMAGES, VECTORS))


def test_other_keys_are_listed_with_the_expected_ones(tmp_path):
    refused(tmp_path, r"holds the arrays \['a', 'b'\]; expected 'images' and 'labels', or 'x'", a=IMAGES, b=LABELS)
    refused(tmp_path, r"holds the arrays \['x_test', 'y_test'\]; expected", x_test=IMAGES, y_test=LABELS)


class Bomb:
    """Unpickled, it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("key", ["images", "labels"])
def test_pickled_objects_are_refused_and_do_not_run(tmp_path, key):
    evil = np.array([Bomb(str(tmp_path / "made"))] * 20, dtype=object)
    refused(tmp_path, f"'{key}' holds pickled Python objects, which are never loaded", **{"images": IMAGES, key: evil})
    np.save(tmp_path / "a.npy", evil)
    with pytest.raises(ValueError, match=r"a\.npy holds pickled Python objects"):
        opened(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(evil[0]))
    with pytest.raises(ValueError, match=r"b\.npy: .*magic string"):
        opened(tmp_path / "b.npy")
    assert not (tmp_path / "made").exists()
    pickle.loads((tmp_path / "b.npy").read_bytes())
    assert (tmp_path / "made").exists()  # it would have


def head(shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(20, 4, 5, 4), (1000, 100, 100, 3), (20, 4, 5, 2)])
def test_a_head_that_promises_more_or_less_than_there_is_is_refused(tmp_path, shape):
    content = head(shape) + IMAGES.tobytes()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(ValueError, match=r"its size differs\. Save it again"):
        opened(tmp_path / "a.npz")
    if np.prod(shape) > IMAGES.size:
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npy is damaged: its head says .*, its size differs"):
            opened(tmp_path / "a.npy")


def test_labels_cut_short_fortran_order_and_files_that_are_none_are_refused(tmp_path):
    npz(tmp_path / "a.npz", x=IMAGES)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("y.npy", head((20,)) + b"\0" * 19)
    with pytest.raises(ValueError, match="'y' is damaged: its head says"):
        opened(tmp_path / "a.npz")
    np.save(tmp_path / "f.npy", np.asfortranarray(IMAGES))
    with pytest.raises(ValueError, match=r"f\.npy is stored with its first axis fastest; save np\.ascontiguousarray"):
        opened(tmp_path / "f.npy")
    (tmp_path / "b.npz").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"b\.npz is no readable \.npz"):
        opened(tmp_path / "b.npz")
    for missing in (tmp_path / "c.npz", tmp_path / "c.npy"):
        with pytest.raises(ValueError, match=f"there is no file {missing}"):
            opened(missing)


def test_a_damaged_member_is_refused(tmp_path):
    path = npz(tmp_path / "a.npz", x=IMAGES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"no readable \.npz .*CRC"):
        opened(path)
