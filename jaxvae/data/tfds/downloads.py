"""Stock sets without TensorFlow: MNIST, Fashion-MNIST, KMNIST and CIFAR-10.

The original files are downloaded by TFDS's download manager, or taken from a folder, and checked against the sha256
that TFDS has registered. Their decoded arrays are written in the order in which TFDS would store the records.
"""

import gzip
import hashlib
import math
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.cache import open_set
from jaxvae.data.spec import Say, StoredSet

__all__ = ["EXAMPLES", "FILES", "VERSIONS", "load_stock"]

IDX = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
CIFAR = "cifar-10-binary.tar.gz"
_CIFAR_FOLDER = "cifar-10-batches-bin"
_CIFAR_NAMES = "batches.meta.txt"
_CIFAR_BATCHES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
VERSIONS = {"mnist": "3.0.1", "fashion_mnist": "3.0.1", "kmnist": "3.0.1", "cifar10": "3.0.2"}
FILES = {name: (*IDX["train"], *IDX["test"]) for name in ("mnist", "fashion_mnist", "kmnist")} | {"cifar10": (CIFAR,)}
EXAMPLES = {name: {"train": 60_000, "test": 10_000} for name in FILES} | {"cifar10": {"train": 50_000, "test": 10_000}}
SHAPES = {name: (28, 28, 1) for name in FILES} | {"cifar10": (32, 32, 3)}

_MOST_BYTES = 2**28  # of one unpacked file: five times the largest of them
_SECONDS = 10.0  # to wait for a server before the download is given up

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> (uint8 [N, H, W, C], labels [N])


class RegisteredFile(NamedTuple):
    """An original file as TFDS has registered it: its address, its size in bytes and its sha256 in hex."""

    url: str
    size: int
    sha256: str


def load_stock(name: str, root: Path, manual_dir: Path | None, say: Say) -> StoredSet:
    """Maps the arrays of a stock set in <root>/<name>, made first from the files in `manual_dir` or by download.

    UsageError for files that are missing, wrong, or cannot be downloaded.
    """
    target = root / name / f"arrays-{VERSIONS[name]}"

    def build(folder: Path) -> dict[str, Any]:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.hashing import Hasher

        builder_class = tfds.builder_cls(name)
        originals = registered_files(builder_class, name)
        if manual_dir is None:
            files = download(name, originals, root, say)
        else:
            files = {file: find_file(file, originals[file], name, manual_dir, say) for file in originals}
        if name == "cifar10":
            arrays, class_names = read_cifar(files[CIFAR])
        else:
            arrays, class_names = read_idx_files(files), builder_class(data_dir=root).info.features["label"].names
        check_arrays(name, arrays)
        described = {"version": VERSIONS[name], "class_names": list(class_names)}
        digest = hashlib.sha256(ascii((name, *described.values())).encode())
        for split, (images, labels) in arrays.items():
            order = sorted(range(len(labels)), key=Hasher(split).hash_key)  # TFDS shuffles by the hash of the key
            for kind, array in (("image", images), ("label", labels.astype(np.int32))):
                np.save(folder / f"{split}.{kind}.npy", array[order])
                digest.update(array[order].tobytes())
        splits = {split: len(labels) for split, (_, labels) in arrays.items()}
        say(f"prepared {name} in {target}: {sum(splits.values()):,} images")
        return {**described, "fingerprint": digest.hexdigest(), "splits": splits}

    return open_set(name, target, build, say)


def registered_files(builder_class: Any, name: str) -> dict[str, RegisteredFile]:
    """Returns the original files of the set, by name, as TFDS has registered them."""
    known = {
        url.rsplit("/", 1)[1]: RegisteredFile(url, int(info.size), info.checksum)
        for url, info in builder_class.url_infos.items()
    }
    return {file: known[file] for file in FILES[name]}


def download(name: str, originals: Mapping[str, RegisteredFile], root: Path, say: Say) -> dict[str, Path]:
    """Returns {file name: path} of the original files in <root>/downloads, downloaded by TFDS if missing."""
    folder = root / "downloads"
    there = {file: path for file, info in originals.items() if (path := _find_download(info, folder))}
    missing = {file: info for file, info in originals.items() if file not in there}
    if missing:
        megabytes = sum(info.size for info in missing.values()) / 1e6
        say(f"{name} is not prepared in {root}: fetching {len(missing)} files ({megabytes:,.1f} MB) into {folder}")
    try:
        fetched = fetch(name, missing, folder) if missing else {}
    except Exception as error:  # TFDS, requests and sockets have no base of their own in common
        urls = "\n".join(f"  {info.url}" for info in missing.values())
        raise UsageError(
            f"cannot download {name}: {type(error).__name__}: {error}\nThe files are\n{urls}\n"
            "Fetch them elsewhere, put them into a folder, and name that as data.manual_dir (--manual_dir of "
            f"`jaxvae data {name}`); the set is then prepared from them in {root / name}."
        ) from error
    for file, path in fetched.items():
        _check_sum(path, file, originals[file], name)
    return there | fetched


def _find_download(original: RegisteredFile, folder: Path) -> Path | None:
    """Returns the file if it was downloaded before."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == original.size)
    return next((path for path in sorted(files) if _file_sha256(path) == original.sha256), None)


def fetch(name: str, missing: Mapping[str, RegisteredFile], folder: Path) -> dict[str, Path]:
    """Downloads by TFDS, after one request to the first server: without a network TFDS would retry for minutes."""
    import requests
    import tensorflow_datasets as tfds

    requests.head(next(iter(missing.values())).url, timeout=_SECONDS, allow_redirects=True)
    manager = tfds.download.DownloadManager(download_dir=folder, dataset_name=name)
    paths = manager.download({file: info.url for file, info in missing.items()})
    return {file: Path(path) for file, path in paths.items()}


def find_file(file: str, original: RegisteredFile, name: str, manual_dir: Path, say: Say) -> Path:
    """Finds the original file in <manual_dir>/<name> or <manual_dir>, packed (its sha256 must match) or unpacked."""
    plain = file.removesuffix(".gz")
    names = [file, file.replace("-idx", ".idx"), plain, plain.replace("-idx", ".idx")]  # packed and unpacked
    if file == CIFAR:
        names = [CIFAR, _CIFAR_FOLDER]
    places = [folder / spelled for folder in (manual_dir / name, manual_dir) for spelled in names]
    path = next((path for path in places if path.exists()), None)
    if path is None:
        pickled = "The Python version (cifar-10-python.tar.gz) is pickled, could run any code, and is never read. "
        raise UsageError(
            f"{manual_dir} has no {file} of {name}; looked for {', '.join(names)} there and in {manual_dir / name}. "
            f"{pickled if file == CIFAR else ''}It is {original.url} ({original.size:,} bytes)."
        )
    if path.suffix != ".gz":
        say(f"{path} is unpacked, so that no sha256 is known of it: only its form and numbers are checked")
    else:
        _check_sum(path, file, original, name)
    return path


def _check_sum(path: Path, file: str, original: RegisteredFile, name: str) -> None:
    """Raises UsageError unless the file's sha256 is the registered one."""
    found = _file_sha256(path)
    if found != original.sha256:
        raise UsageError(
            f"{path} is not the {file} of {name}: expected sha256 {original.sha256} ({original.size:,} bytes), "
            f"found {found} ({path.stat().st_size:,} bytes). Download it again from {original.url}."
        )


def _file_sha256(path: Path) -> str:
    """Returns the sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_idx_files(files: Mapping[str, Path]) -> Arrays:
    """Returns the splits of MNIST, Fashion-MNIST or KMNIST from its four files."""
    return {
        split: (read_idx(files[images])[..., None], read_idx(files[labels])) for split, (images, labels) in IDX.items()
    }


def read_idx(path: Path) -> np.ndarray:
    """Returns the bytes of an idx file, packed or not (LeCun's format: 0, 0, 8 for bytes, the rank, the lengths)."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read(_MOST_BYTES)
    except (gzip.BadGzipFile, EOFError) as error:
        raise UsageError(f"{path} is damaged ({error}). Download it again.") from error
    rank = content[3] if content[:3] == b"\0\0\x08" else 0
    head = 4 + 4 * rank
    lengths = tuple(np.frombuffer(content[4:head], ">u4").tolist()) if rank in (1, 3) and len(content) >= head else ()
    if not lengths or len(content) != head + math.prod(lengths):
        raise UsageError(f"{path} is no idx file of bytes, or not a whole one. Download it again.")
    return np.frombuffer(content, np.uint8, offset=head).reshape(lengths)


def read_cifar(path: Path) -> tuple[Arrays, tuple[str, ...]]:
    """Returns (the splits, the names of the classes) of CIFAR-10's binary version, a tar or the folder in it."""
    content = _read_cifar_files(path)
    arrays = {}
    for split, batches in _CIFAR_BATCHES.items():
        records = b"".join(content[batch] for batch in batches)
        if len(records) % 3073:
            raise UsageError(f"{path} is damaged: its {split} batches are no whole number of records of 3,073 bytes.")
        rows = np.frombuffer(records, np.uint8).reshape(-1, 3073)
        arrays[split] = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]
    return arrays, tuple(content[_CIFAR_NAMES].decode("ascii").split())


def _read_cifar_files(path: Path) -> dict[str, bytes]:
    """Returns the content of each file, of a folder or a tar, which is not extracted to the disk."""
    names = (*_CIFAR_BATCHES["train"], *_CIFAR_BATCHES["test"], _CIFAR_NAMES)
    if path.is_dir():
        return {name: (path / name).read_bytes() for name in names}
    wanted, content = {f"{_CIFAR_FOLDER}/{name}": name for name in names}, {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name in wanted and member.isfile() and (file := tar.extractfile(member)) is not None:
                    content[wanted[member.name]] = file.read(_MOST_BYTES)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UsageError(f"{path} is damaged ({error}). Download it again.") from error
    if missing := [name for name in names if name not in content]:
        raise UsageError(f"{path} holds no {_CIFAR_FOLDER}/{missing[0]}. Download it again.")
    return content


def check_arrays(name: str, arrays: Arrays) -> None:
    """Raises UsageError unless the arrays are those of the set in number, shape and labels."""
    for split, (images, labels) in arrays.items():
        count = EXAMPLES[name][split]
        if images.shape != (count, *SHAPES[name]) or labels.shape != (count,) or labels.max(initial=0) > 9:
            raise UsageError(
                f"{name} {split}: expected images {[count, *SHAPES[name]]} and as many labels from 0 to 9, got "
                f"{list(images.shape)} and {list(labels.shape)} up to {labels.max(initial=0)}. Take the original files."
            )
