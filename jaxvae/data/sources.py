"""Opening a data set by its name: a kind of data is one file that reads it and one row of SOURCES."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from jaxvae._checks import UsageError, short_repr
from jaxvae.data.dataset import DataSet, leave_out_classes, make_splits
from jaxvae.data.files.image_folder import load_folder
from jaxvae.data.files.numpy_files import load_arrays, load_npy, load_npz
from jaxvae.data.spec import Say, Section, StoredSet
from jaxvae.data.tfds.decode import load_tfds

__all__ = ["SOURCES", "Source", "open_data"]


@dataclasses.dataclass(frozen=True)
class Source:
    """How one kind of data is read: `load(section, arrays, say)`, with the arrays that a program passed, or None.

    `own`: a user's data, of which a tenth becomes 'test' if there is none. `resizes`: data.size and channels apply.
    """

    load: Callable[[Section, object, Say], StoredSet]
    own: bool = True
    resizes: bool = False


SOURCES = {  # the part of data.name before a colon -> its source
    "folder": Source(lambda section, _, say: load_folder(section, say), resizes=True),
    "npz": Source(lambda section, _, say: load_npz(section, say)),
    "npy": Source(lambda section, _, say: load_npy(section, say)),
    "arrays": Source(lambda _, arrays, __: load_arrays(arrays)),
    "": Source(lambda section, _, say: load_tfds(section, say), own=False),  # any other: a name of TFDS, or digits
}


def open_data(section: Section, arrays: object = None, say: Say = lambda line: None) -> DataSet:
    """Opens the data set of a config's section `data`, decoded once into the cache, and splits it.

    Args:
      section: the fields of `jaxvae.config.Data`; data.name chooses the source.
      arrays: data of the program in place of data.name, see `jaxvae.data.files.numpy_files.load_arrays`.
      say: is given lines about the progress, and about what was damaged.

    UsageError for all that cannot be read. Example: `open_data(Data(name="digits", validation=0))`.
    """
    kind = "arrays" if arrays is not None else section.name.partition(":")[0]
    if arrays is None and kind not in SOURCES:
        _refuse_bare_path(section.name)
    source = SOURCES.get(kind, SOURCES[""])
    if not source.resizes and (section.size, section.channels) != (None, None):
        raise UsageError(
            f"data.size={section.size} and data.channels={section.channels} are for data.name='folder:PATH' alone; "
            f"{section.name if arrays is None else 'arrays'} has a size of its own. Leave them at None."
        )
    stored = source.load(section, arrays, say)
    splits = make_splits(stored.splits, section.validation, hold_out_test=source.own)
    splits = leave_out_classes(splits, section.leave_out, stored.name)
    return DataSet(stored.name, stored.version, stored.fingerprint, splits, stored.class_names, source.own)


def _refuse_bare_path(name: str) -> None:
    """Raises UsageError for a path without the kind of data in front of it."""
    path = Path(name)
    kind = {".npy": "npy", ".npz": "npz", ".zip": "folder"}.get(path.suffix.lower(), "")
    if not kind and name.startswith(("/", ".", "~")) and path.expanduser().is_dir():
        kind = "folder"
    if kind:
        expected = f"expected a kind of data before a path. Try {f'{kind}:{name}'!r}"
        raise UsageError(f"data.name={short_repr(name)}: {expected}.")
