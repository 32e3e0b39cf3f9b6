"""The table of sources, and what an example is: the laws that the rest of the library relies on."""

import numpy as np
import pytest
from made_sets import noise
from opened_data import from_arrays, open_named

from jaxvae.data import sources
from jaxvae.data.sources import Source
from jaxvae.data.spec import DTYPE, TOP, ExampleSpec, StoredSet, StoredSplit, to_pixels, to_unit

IMAGES, LABELS = noise(40, (4, 4, 1))


@pytest.mark.parametrize("own", [True, False])
def test_a_new_kind_of_data_is_one_row(own, monkeypatch):
    lines = []

    def load(section, arrays, say):
        say(f"{section.name}, size {section.size}")
        return StoredSet(section.name, "7", "f", {"train": StoredSplit(IMAGES, LABELS)}, ("a", "b"))

    monkeypatch.setitem(sources.SOURCES, "toy", Source(load, own=own, resizes=True))
    data = open_named("toy:anything", validation=4, size=4, log=lines.append)
    assert lines == ["toy:anything, size 4"]
    assert (data.name, data.version, data.fingerprint, data.class_names, data.own) == (
        "toy:anything",
        "7",
        "f",
        ("a", "b"),
        own,
    )
    sizes = {"train": 32, "validation": 4, "test": 4} if own else {"train": 36, "validation": 4}
    assert {name: len(split) for name, split in data.splits.items()} == sizes


def test_sizes_are_refused_where_a_source_does_not_resize():
    for kind, source in sources.SOURCES.items():
        if not source.resizes:
            with pytest.raises(ValueError, match=r"data\.size=8 .* are for data\.name='folder:PATH' alone"):
                open_named(f"{kind}:x" if kind else "digits", size=8)


def test_the_name_of_arrays_without_arrays_says_where_they_go():
    with pytest.raises(ValueError, match=r"data\.name='arrays': expected the arrays .* jaxvae\.train\(config, arrays="):
        open_named("arrays")


@pytest.mark.parametrize(("shape", "kind"), [((4, 4, 1), "image"), ((7, 1), "sequence"), ((1, 7, 3), "image")])
def test_a_set_holds_the_spec_of_its_examples(shape, kind):
    data = from_arrays(noise(20, shape if len(shape) == 3 else shape[:1])[0])
    assert data.spec == ExampleSpec(shape)
    assert (data.spec.kind, data.spec.shape, data.spec.dtype) == (kind, shape, data.splits["train"].image.dtype)


def test_every_stored_value_survives_the_way_to_x_and_back():
    every = np.arange(TOP + 1).astype(DTYPE)
    assert len(np.unique(every)) == TOP + 1 == 2 ** (8 * DTYPE.itemsize)
    x = to_unit(every)
    assert (x.dtype, x.min(), x.max()) == (np.float32, 0, 1)
    np.testing.assert_array_equal(to_pixels(x), every)
    np.testing.assert_array_equal(to_pixels(np.array([-1.0, 2.0, np.nan, np.inf, 0.4999 / TOP])), [0, TOP, 0, TOP, 0])
