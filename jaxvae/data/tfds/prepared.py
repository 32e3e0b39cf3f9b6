"""A prepared TFDS data set: finding it on disk and opening it without TensorFlow.

Its JSON files are checked first: TFDS imports any module that they name.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxvae._checks import UsageError
from jaxvae.data.cache import cache_folder, open_or_build, read_description, write_description
from jaxvae.data.spec import DTYPE, Say
from jaxvae.data.tfds import downloads

if TYPE_CHECKING:
    import numpy as np
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.data_sources.base import BaseDataSource

__all__ = ["DIGITS_VERSION", "find_versions", "open_builder", "prepared_folder", "read_split"]

_MOST_PIXELS = 2**28  # of one image, times its channels: where Pillow begins to suspect a bomb
DIGITS_VERSION = "1.0.0"  # that of digits.Digits, without importing TFDS
_EXAMPLES_OF_NAMES = ("digits", "mnist", "fashion_mnist", "kmnist", "emnist/balanced", "cifar10", "svhn_cropped")

_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8")
_DESCRIPTION = ".seal.json"  # of digits; hidden, and so no part of the fingerprint
_NAME = re.compile(r"(?P<dataset>[a-z]\w*(/\w[\w.+-]*)?)(:(?P<version>\d+\.\d+\.\d+))?", re.ASCII)
_VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)
_MOST_EXAMPLES = 2**31 - 1  # their indices are int32
_CLASSES = {"pythonClassName", "python_class_name", "type"}
_CLASS = re.compile(r"tensorflow_datasets(\.core)?\.features\.(\w+\.)*[A-Za-z]\w*", re.ASCII)
_TEMPLATES = {"filepathTemplate", "filepath_template"}
_TEMPLATE = re.compile(r"(\{[A-Z_]+\}|[\w.+-])+", re.ASCII)  # no folders, and no widths such as {SPLIT:>1000000000}
_LENGTHS = {"shardLengths", "shard_lengths"}


def open_builder(folder: Path) -> tfds.core.DatasetBuilder:
    """Opens a prepared folder as a TFDS builder; UsageError unless its images are uint8 [H, W, C] of one size."""
    import tensorflow_datasets as tfds

    _check_metadata(folder)
    logging.getLogger("absl").addFilter(_not_about_opencv)
    try:  # from the files alone: the builder's own code may be another version, or not installed
        builder = tfds.builder_from_directory(folder)
    except Exception as error:  # its parsers have many kinds
        raise UsageError(
            f"TFDS cannot open {folder} ({type(error).__name__}: {error}). Delete it and prepare it again."
        ) from error
    name, features = builder.name, builder.info.features
    image = dict(features.items()).get("image")
    if not isinstance(image, tfds.features.Image):
        raise UsageError(
            f"{name} has no image feature named 'image'; its features are {sorted(features)}. "
            f"Choose a data set of images, such as {', '.join(_EXAMPLES_OF_NAMES)}, or pass arrays of your own."
        )
    if image.np_dtype != DTYPE:
        raise UsageError(f"{name} has images of type {image.np_dtype}; expected {DTYPE}. Pass arrays instead.")
    if len(image.shape) != 3 or min(n or 0 for n in image.shape) < 1 or math.prod(image.shape) > _MOST_PIXELS:
        found = "varying size," if None in image.shape else "shape"
        raise UsageError(
            f"{name} has images of {found} {image.shape}; expected one fixed size [H,W,C], at most {_MOST_PIXELS:,} "
            "values. Resize them first, and pass them as arrays or as a TFDS data set of your own."
        )
    return builder


def read_split(builder: tfds.core.DatasetBuilder, split: str, *, images: bool = True) -> BaseDataSource:
    """Opens one split as a random-access source of {'image': [H,W,C], 'label': int, ...}, in file order.

    `split` is a name or a slice of one, such as 'train[:90%]'; with images=False the images stay encoded.
    """
    name = split.partition("[")[0]
    if name not in builder.info.splits:
        raise UsageError(f"{builder.name} has no split {name!r}; expected one of {sorted(builder.info.splits)}.")
    features = dict(builder.info.features.items())
    used = {id(features.get("image")): _ImageDecoder() if images else _Undecoded(), id(features.get("label")): None}
    decoders = [used.get(id(feature), _Undecoded()) for feature in builder.info.features.flat_features]
    return builder.as_data_source(split=split, decoders=builder.info.features._nest(decoders))


class _Undecoded:
    """Leaves a feature that is not used as it is stored: decoding some of them runs other programs."""

    def setup(self, feature: tfds.features.FeatureConnector) -> None:
        self.feature = feature

    def decode_example_np(self, example: Any) -> Any:
        return example

    decode_batch_example_np = decode_ragged_example_np = decode_example_np


class _ImageDecoder(_Undecoded):
    """Decodes an image as TFDS does, but refuses formats that Pillow hands to another program, such as EPS."""

    def decode_example_np(self, example: bytes) -> np.ndarray:
        if not (example or b"").startswith(_SIGNATURES):
            raise UsageError("it is no PNG, JPEG, BMP or GIF")
        return self.feature.decode_example_np(example)


def find_versions(name: str, data_dir: str | os.PathLike | None = None) -> tuple[str, str | None, Path, list[str]]:
    """Returns (data set, version in the name or None, data_dir, the versions prepared there, the newest last)."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise _unknown_name_error(name)
    place = os.fspath(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    if "://" in place and name != "digits":
        raise UsageError(f"data_dir={place!r} is remote; expected a local folder. Copy or mount the data set first.")
    root = Path(place).expanduser()
    found = {path.parent.name for path in (root / match["dataset"]).glob("*/dataset_info.json")}
    versions = sorted(filter(_VERSION.fullmatch, found), key=lambda version: tuple(map(int, version.split("."))))
    return match["dataset"], match["version"], root, versions


def prepared_folder(name: str, data_dir: str | os.PathLike | None = None, say: Say = lambda line: None) -> Path:
    """Finds the folder <data_dir>/<dataset>/<version> of a prepared data set, without importing TFDS.

    `name` is 'mnist', 'mnist:3.0.1' or 'emnist/balanced'; without a version the newest one. `data_dir=None` is TFDS's
    default. 'digits' is prepared on first use, always in jaxvae's cache folder.
    UsageError for a name that is unknown, not prepared, or prepared in a format other than array_record.
    """
    dataset, version, root, versions = find_versions(name, data_dir)
    if dataset == "digits":
        return _digits_folder(version, say)
    if not versions or version not in (None, *versions):
        raise _not_prepared_error(name, dataset, root)
    folder = root / dataset / (version or versions[-1])
    info = _read_metadata(folder / "dataset_info.json")
    formats = {str(name) for name in (info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", []))}
    if "array_record" not in formats:
        raise UsageError(
            f"{folder} is prepared as {', '.join(sorted(formats))}; expected array_record, which alone can be read "
            "without TensorFlow. A folder holds one format: prepare it again in another one, and pass that as "
            f"data_dir:\n{_recipe(dataset, root / 'array_record')}"
        )
    return folder


def _not_about_opencv(record: logging.LogRecord) -> bool:
    # TFDS advises OpenCV for speed, but most records are decoded only once
    return "OpenCV is not installed" not in record.getMessage()


def _digits_folder(version: str | None, say: Say) -> Path:
    if version not in (None, DIGITS_VERSION):
        raise UsageError(f"digits has no version {version}; expected 'digits' or 'digits:{DIGITS_VERSION}'.")

    def build(scratch: Path) -> Path:
        from jaxvae.data.tfds.digits import prepare_digits

        prepare_digits(scratch)
        folder = scratch / "digits" / DIGITS_VERSION
        write_description(folder / _DESCRIPTION, {})
        return folder

    def read(folder: Path) -> Path:
        read_description(folder / _DESCRIPTION)
        return folder

    return open_or_build(cache_folder() / "tfds" / "digits" / DIGITS_VERSION, build, read, say)


def _check_metadata(folder: Path) -> None:
    """Raises UsageError, before TFDS opens the folder, if its dataset_info.json or features.json is hostile."""
    for key, value in _key_value_pairs(_read_metadata(folder / "features.json")):
        if key in _CLASSES and isinstance(value, str) and not _CLASS.fullmatch(value):
            raise UsageError(
                f"{folder / 'features.json'} names the class {value!r}, whose module would be imported; expected "
                "tensorflow_datasets' own features alone. If you trust it, read it yourself and pass arrays."
            )
    examples = 0
    for key, value in _key_value_pairs(_read_metadata(folder / "dataset_info.json")):
        if key in _TEMPLATES and not (isinstance(value, str) and _TEMPLATE.fullmatch(value)):
            raise UsageError(f"{folder / 'dataset_info.json'} has the {key} {value!r}, which names no plain file.")
        if key in _LENGTHS and isinstance(value, list):
            examples += sum(abs(int(length)) for length in value if str(length).lstrip("-").isdigit())
    if examples > _MOST_EXAMPLES:
        raise UsageError(
            f"{folder / 'dataset_info.json'} promises {examples:,} examples; expected at most {_MOST_EXAMPLES:,}."
        )


def _read_metadata(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; UsageError if there is none."""
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise UsageError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}): the prepared folder is damaged. Delete it and prepare it again."
        ) from error
    return content


def _key_value_pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Yields every key with its value, at any depth, also in JSON that is stored as text."""
    if isinstance(content, str) and content.lstrip()[:1] in ("{", "["):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            return
    if isinstance(content, dict):
        yield from content.items()
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _key_value_pairs(item)


def _unknown_name_error(name: str) -> UsageError:
    import tensorflow_datasets as tfds

    names = ["digits", *tfds.list_builders(with_community_datasets=False)]
    nearest = difflib.get_close_matches(name.lower(), names, n=3)
    guess = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    return UsageError(
        f"unknown data set {name!r}.{guess} Expected a TFDS name, with a version or not, such as "
        f"{', '.join(_EXAMPLES_OF_NAMES)}, mnist:3.0.1; one of your own, prepared in data_dir; or 'folder:PATH' "
        "(images in class folders, or a zip of them), 'npz:PATH' or 'npy:PATH'."
    )


def _not_prepared_error(name: str, dataset: str, root: Path) -> UsageError:
    import tensorflow_datasets as tfds

    base = dataset.partition("/")[0]
    folders = [info.parent for info in (root / base).rglob("dataset_info.json")]
    there = sorted(f"{folder.parent.relative_to(root).as_posix()}:{folder.name}" for folder in folders)
    if not there and base not in tfds.list_builders(with_community_datasets=False):
        return _unknown_name_error(name)
    found = f" Prepared there: {', '.join(there)}." if there else ""
    return UsageError(
        f"{name} is not prepared in {root} (looked for {root / dataset}/<version>/dataset_info.json).{found} "
        f"Name its folder as data_dir, or prepare it once:\n{_recipe(name, root)}"
    )


def _recipe(name: str, root: Path) -> str:
    dataset = name.partition(":")[0]
    if dataset in downloads.FILES:
        return f"  jaxvae data {dataset} --data_dir {root}    # from the internet, or with --manual_dir FOLDER"
    return (
        f"  pip install tensorflow    # TFDS's own preparation of most sets needs TensorFlow; reading does not\n"
        f'  python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, data_dir={str(root)!r}, '
        f"file_format='array_record').download_and_prepare()\""
    )
