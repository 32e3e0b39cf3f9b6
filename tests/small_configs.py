"""A small config with changes, and what it refuses."""

import dataclasses

import pytest
from small import SHAPE

from jaxvae.config import Config, Data, Model, Optimizer, Train
from jaxvae.config.build import build


def small_config(**changes):
    """A small config with 'section.field' changes, given as section__field."""
    sections = {
        "data": Data(batch_size=6),
        "model": Model(encoder="mlp(8)", decoder="mlp(8)"),
        "optimizer": Optimizer(),
        "train": Train(steps=100),
    }
    config = Config(**sections)
    for name, value in changes.items():
        section, _, attribute = name.partition("__")
        section = dataclasses.replace(getattr(config, section), **{attribute: value}) if attribute else value
        config = dataclasses.replace(config, **{name.partition("__")[0]: section})
    return config


def refused(words, **changes):
    with pytest.raises(ValueError, match=words):
        build(small_config(**changes), SHAPE)
