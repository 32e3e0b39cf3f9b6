"""Data sets opened by their name or from arrays, with the defaults of the config for all other fields."""

from jaxvae.config import Data
from jaxvae.data.sources import open_data
from jaxvae.data.tfds.decode import load_tfds


def open_named(name, data_dir=None, validation=0, arrays=None, log=None, **fields):
    section = Data(name=name, data_dir=data_dir, validation=validation, **fields)
    return open_data(section, arrays, log or (lambda line: None))


def from_arrays(arrays, validation=0):
    return open_named("arrays", validation=validation, arrays=arrays)


def load_stored(name, data_dir=None, log=None, **fields):
    """The stored splits of a TFDS set, nothing held out."""
    return load_tfds(Data(name=name, data_dir=data_dir, **fields), log or (lambda line: None))
