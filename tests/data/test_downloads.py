"""Stock sets prepared without TensorFlow: from files made here, and from a server on this machine."""

import functools
import gzip
import hashlib
import http.server
import io
import json
import re
import struct
import tarfile
import threading

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from made_sets import noise
from opened_data import load_stored, open_named

from jaxvae.cli import main
from jaxvae.data.tfds import downloads
from jaxvae.data.tfds.prepared import prepared_folder

SIZES = {"train": 12, "test": 5}
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FETCH = downloads.fetch


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Sets of some images, a cache of its own, and no way to a network."""
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "EXAMPLES", {name: SIZES for name in downloads.FILES})
    monkeypatch.setattr(downloads, "fetch", lambda *arguments: pytest.fail("a download"))


def made(name):
    """{split: (images uint8 [N, H, W, C], labels)} of a small set."""
    return {split: noise(n, downloads.SHAPES[name], seed=n) for split, n in SIZES.items()}


def idx(array):
    """LeCun's format."""
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(arrays):
    files = {}
    for split, (images, labels) in arrays.items():
        for file, array in zip(downloads.IDX[split], (images[..., 0], labels.astype(np.uint8)), strict=True):
            files[file] = gzip.compress(idx(array), mtime=0)
    return files


def cifar_members(arrays):
    """The files in the tar: a byte of label, then the red, the green and the blue plane, row by row."""
    rows = {}
    for split, (images, labels) in arrays.items():
        rows[split] = [
            bytes([v]) + b"".join(i[..., c].tobytes() for c in range(3)) for i, v in zip(images, labels, strict=True)
        ]
    batches = {f"data_batch_{i + 1}.bin": b"".join(rows["train"][3 * i : 3 * i + 3]) for i in range(5)}
    return {**batches, "test_batch.bin": b"".join(rows["test"]), "batches.meta.txt": "\n".join([*NAMES, ""]).encode()}


def tar(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def original(name):
    """The original files of a small set, {name: content}."""
    return {downloads.CIFAR: tar(cifar_members(made(name)))} if name == "cifar10" else idx_files(made(name))


def register(monkeypatch, files, url="https://nowhere.invalid/"):
    known = {f: downloads.RegisteredFile(url + f, len(c), hashlib.sha256(c).hexdigest()) for f, c in files.items()}
    monkeypatch.setattr(downloads, "registered_files", lambda builder_class, name: known)


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pairs(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def prepare_by_tfds(name, folder):
    """Prepares the small set as array_record by TFDS itself, with its own builder's features and keys."""
    base = tfds.builder_cls(name)

    class Stock(base, skip_registration=True):
        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split, *pair) for split, pair in made(name).items()}

        def _generate_examples(self, split, images, labels):
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                stream = io.BytesIO()
                PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "PNG")
                number = {"id": f"{split}_{i:05d}"} if "id" in self.info.features else {}
                yield i, {**number, "image": stream.getvalue(), "label": int(label)}

    Stock.name = name
    Stock(data_dir=folder, file_format="array_record").download_and_prepare()
    return tfds.builder_from_directory(folder / name / downloads.VERSIONS[name])


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_a_set_is_made_from_files_in_the_order_of_tfds(name, tmp_path, monkeypatch):
    files = original(name)
    register(monkeypatch, files)
    lines = []
    data = open_named(
        name, str(tmp_path / "sets"), 0, manual_dir=str(write(tmp_path / "given", files)), log=lines.append
    )
    for split, (images, labels) in made(name).items():
        chosen = data.splits[split]
        assert pairs(chosen.image, chosen.label) == pairs(images, labels)
        source = prepare_by_tfds(name, tmp_path / "by_tfds").as_data_source(split)
        np.testing.assert_array_equal(chosen.image, [record["image"] for record in source])
        np.testing.assert_array_equal(chosen.label, [record["label"] for record in source])
    assert (data.name, data.version, len(data.class_names)) == (name, downloads.VERSIONS[name], 10)
    target = tmp_path / "sets" / name / f"arrays-{data.version}"
    assert lines[0] == f"prepared {name} in {target}: 17 images"
    assert data.class_names[0] == ("airplane" if name == "cifar10" else "T-shirt/top")
    assert list(target.parent.iterdir()) == [target]  # nothing left beside
    monkeypatch.setattr(downloads, "registered_files", None)
    again = open_named(name, str(tmp_path / "sets"), 0)
    assert again.fingerprint == data.fingerprint
    read = open_named(name, str(tmp_path / "by_tfds"), 0)  # what TFDS has prepared is read as it is
    np.testing.assert_array_equal(read.splits["train"].image, data.splits["train"].image)
    assert read.fingerprint != data.fingerprint


def test_what_tfds_knows_of_the_files():
    for name, files in downloads.FILES.items():
        builder = tfds.builder_cls(name)
        known = downloads.registered_files(builder, name)
        assert str(builder.VERSION) == downloads.VERSIONS[name]
        assert list(known) == list(files)
        assert all(len(file.sha256) == 64 and file.size > 4000 for file in known.values())
        assert all(file.url.endswith("/" + name) for name, file in known.items())
        assert builder(data_dir="nowhere").info.features["image"].shape == downloads.SHAPES[name]


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: name.replace("-idx", ".idx"),
        lambda name: name[:-3],
        lambda name: name[:-3].replace("-idx", ".idx"),
    ],
)
def test_files_are_found_packed_and_unpacked_and_first_in_a_folder_of_the_sets_name(rename, tmp_path, monkeypatch):
    files = idx_files(made("mnist"))
    register(monkeypatch, files)
    known, lines = downloads.registered_files(None, "mnist"), []
    packed = rename("x.gz").endswith(".gz")
    given = {rename(name): content if packed else gzip.decompress(content) for name, content in files.items()}
    write(tmp_path, {name: b"of another set" for name in given})
    write(tmp_path / "mnist", given)
    found = {file: downloads.find_file(file, known[file], "mnist", tmp_path, lines.append) for file in known}
    arrays = downloads.read_idx_files(found)
    downloads.check_arrays("mnist", arrays)
    np.testing.assert_array_equal(arrays["train"][0], made("mnist")["train"][0])
    np.testing.assert_array_equal(arrays["test"][1], made("mnist")["test"][1])
    assert ("no sha256 is known" in "".join(lines)) is not packed


def test_cifar_may_be_unpacked(tmp_path):
    write(tmp_path, cifar_members(made("cifar10")))
    arrays, names = downloads.read_cifar(tmp_path)
    images, labels = made("cifar10")["train"]
    assert pairs(*arrays["train"]) == pairs(images, labels)
    assert names == tuple(NAMES)


def test_a_wrong_file_is_named_with_both_sums(tmp_path, monkeypatch):
    files = original("kmnist")
    register(monkeypatch, files)
    wrong = gzip.compress(b"other")
    write(tmp_path / "given", files | {"t10k-images-idx3-ubyte.gz": wrong})
    with pytest.raises(ValueError, match=r"is not the t10k-images-idx3-ubyte.gz of kmnist: expected sha256") as refusal:
        open_named("kmnist", tmp_path / "sets", 0, manual_dir=tmp_path / "given")
    for content in (wrong, files["t10k-images-idx3-ubyte.gz"]):
        assert hashlib.sha256(content).hexdigest() in str(refusal.value)
    assert not list((tmp_path / "sets").rglob("*.json"))


def test_a_missing_file_is_named_with_where_it_was_sought(tmp_path, monkeypatch):
    register(monkeypatch, original("mnist"))
    with pytest.raises(
        ValueError, match=r"has no train-images-idx3-ubyte.gz of mnist; looked for train-.*/given/mnist"
    ):
        open_named("mnist", tmp_path, 0, manual_dir=tmp_path / "given")


def test_the_pickled_version_of_cifar_is_never_read(tmp_path, monkeypatch):
    register(monkeypatch, original("cifar10"))
    write(tmp_path / "given", {"cifar-10-python.tar.gz": b"evil"})
    with pytest.raises(ValueError, match=r"Python version \(cifar-10-python.tar.gz\) is pickled.*never read"):
        open_named("cifar10", tmp_path, 0, manual_dir=tmp_path / "given")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no idx file of bytes"),
        (b"\0\0\x08\x03\0\0", "is no idx file of bytes"),
        (idx(np.zeros((3, 4, 4), np.uint8))[:-1], "not a whole one"),
        (idx(np.zeros((3, 4, 4), np.uint8)) + b"x", "not a whole one"),
        (b"\0\0\x0d\x03" + bytes(12), "is no idx file of bytes"),
        (gzip.compress(b"abc" * 99, mtime=0)[:-9], "is damaged"),
        (b"no gzip", "is damaged"),
    ],
)
def test_a_file_that_is_no_idx_is_refused(tmp_path, content, words):
    packed = words == "is damaged"
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        downloads.read_idx(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda images, labels: (images[:-1], labels[:-1]),
            r"expected images \[12, 28, 28, 1\] .* got \[11, 28, 28, 1\]",
        ),
        (lambda images, labels: (images, labels[:-1]), r"got \[12, 28, 28, 1\] and \[11\]"),
        (lambda images, labels: (images, labels + 10), "from 0 to 9, got .* up to 1"),
        (lambda images, labels: (images[:, 1:], labels), r"got \[12, 27, 28, 1\]"),
    ],
)
def test_arrays_of_another_form_are_refused(change, words):
    arrays = made("mnist")
    downloads.check_arrays("mnist", arrays)
    with pytest.raises(ValueError, match=words):
        downloads.check_arrays("mnist", arrays | {"train": change(*arrays["train"])})


def test_a_damaged_tar_is_refused(tmp_path):
    members = cifar_members(made("cifar10"))
    for name, content, words in (
        ("cut", tar(members)[:-200], "is damaged"),
        ("none", b"text", "is damaged"),
        ("less", tar({k: v for k, v in members.items() if k != "data_batch_4.bin"}), "holds no .*data_batch_4.bin"),
        ("short", tar(members | {"data_batch_5.bin": b"x"}), "no whole number of records"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=words):
            downloads.read_cifar(tmp_path / name)


def test_without_a_network_the_message_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch, capsys):
    def offline(*arguments):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(downloads, "fetch", offline)
    assert main(["data", "mnist", "--data_dir", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "mnist is not prepared in" in captured.out
    assert "fetching 4 files (11.6 MB)" in captured.out
    assert captured.err.startswith("error: cannot download mnist: ConnectionError: no route to host")
    for file in downloads.FILES["mnist"]:
        assert f"https://storage.googleapis.com/cvdf-datasets/mnist/{file}" in captured.err
    assert "name that as data.manual_dir (--manual_dir of `jaxvae data mnist`)" in captured.err
    assert str(tmp_path / "mnist") in captured.err


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on this machine of the files in tmp_path/served: (its address, what it was asked for)."""
    asked = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(f"{self.command} {self.path}")

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "fetch", FETCH)
    handler = functools.partial(Quiet, directory=str(write(tmp_path / "served", {})))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", asked
        running.shutdown()
        thread.join()


def test_files_are_downloaded_verified_and_not_fetched_twice(tmp_path, monkeypatch, server):
    url, asked = server
    files = original("kmnist")
    register(monkeypatch, files, url)
    write(tmp_path / "served", files)
    data = open_named("kmnist", str(tmp_path / "sets"), 0)
    assert pairs(data.splits["test"].image, data.splits["test"].label) == pairs(*made("kmnist")["test"])
    assert sorted(line for line in asked if line.startswith("GET")) == sorted(f"GET /{file}" for file in files)
    asked.clear()
    (tmp_path / "sets" / "kmnist" / "arrays-3.0.1").rename(tmp_path / "away")
    assert open_named("kmnist", tmp_path / "sets", 0).fingerprint == data.fingerprint
    assert asked == []
    write(tmp_path / "served", {"t10k-labels-idx1-ubyte.gz": b"replaced"})
    with pytest.raises(ValueError, match=r"is not the t10k-labels-idx1-ubyte.gz of kmnist: expected sha256"):
        open_named("kmnist", tmp_path / "others", 0)


def test_without_a_server_it_gives_up_at_once(tmp_path, monkeypatch, server):
    register(monkeypatch, original("mnist"), "http://127.0.0.1:9/")
    with pytest.raises(ValueError, match=r"cannot download mnist: ConnectionError: .*\nThe files are\n  http://127"):
        downloads.load_stock("mnist", tmp_path, None, lambda line: None)


def test_a_set_prepared_otherwise_is_prepared_elsewhere_and_another_version_not_at_all(tmp_path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"name": "mnist", "version": "3.0.1"}))
    with pytest.raises(
        ValueError, match=f"expected array_record.*\n  jaxvae data mnist --data_dir {tmp_path}/array_record"
    ):
        open_named("mnist", tmp_path, 0)
    with pytest.raises(ValueError, match=r"kmnist:1\.0\.0 is not prepared in .*\n  jaxvae data kmnist --data_dir"):
        prepared_folder("kmnist:1.0.0", tmp_path)


def test_a_set_that_needs_tensorflow_says_so(tmp_path):
    with pytest.raises(ValueError, match="pip install tensorflow "):
        load_stored("celeb_a", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    files, lines = original("mnist"), []
    register(monkeypatch, files)
    (tmp_path / "file").write_text("")
    given = write(tmp_path / "given", files)
    data = open_named("mnist", tmp_path / "file", 0, manual_dir=given, log=lines.append)
    assert len(data.splits["train"]) == SIZES["train"]
    assert re.search(r"cannot write into .*file/mnist.*data\.data_dir", lines[-1])
