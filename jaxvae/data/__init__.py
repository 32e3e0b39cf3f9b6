"""Data: opened by name, ordered by the seed, prepared on the device."""

from jaxvae.data.dataset import DataSet, Split
from jaxvae.data.sources import SOURCES, open_data
from jaxvae.data.spec import ExampleSpec

__all__ = ["SOURCES", "DataSet", "ExampleSpec", "Split", "open_data"]
