import dataclasses
import itertools
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from opened_data import from_arrays
from small import SHAPE, grey_images, make_examples, make_split

from jaxvae.data.dataset import make_splits
from jaxvae.data.pipeline import AHEAD, choose_pipeline, epoch_order, in_order, read_ahead
from jaxvae.data.prepare import Examples, binarize, dequantize, draw_binary, grey, static
from jaxvae.data.spec import StoredSplit
from jaxvae.terms import example_keys


def prepared(prepare, batch, seed=0):
    return np.asarray(jax.jit(lambda batch: prepare(example_keys(random.key(seed), batch.index)[0], batch).x)(batch))


@pytest.mark.parametrize("n", [1, 2, 10, 997])
def test_the_order_is_a_permutation(n):
    for epoch in range(3):
        np.testing.assert_array_equal(np.sort(epoch_order(random.key(0), epoch, n)), np.arange(n))


def test_the_order_differs_by_epoch_and_key_and_repeats_for_the_same():
    orders = [np.asarray(epoch_order(random.key(seed), epoch, 100)) for seed in range(3) for epoch in range(3)]
    assert len(np.unique(orders, axis=0)) == 9
    np.testing.assert_array_equal(orders[4], epoch_order(random.key(1), 1, 100))


def test_every_example_is_equally_likely_at_every_position():
    first = np.array([np.asarray(epoch_order(random.key(0), epoch, 5)) for epoch in range(2000)])[:, 0]
    assert np.abs(np.bincount(first, minlength=5) - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


@pytest.mark.parametrize("prepare", [binarize(), static()])
def test_pixels_are_ones_as_often_as_they_are_bright(prepare):
    level = np.arange(0, 256, 17, dtype=np.uint8).reshape(SHAPE)
    count = 4000
    batch = Examples(
        np.broadcast_to(level, (count, *SHAPE)), np.zeros(count, np.int32), np.arange(count, dtype=np.int32)
    )
    x, p = prepared(prepare, batch), level / 255
    assert set(np.unique(x)) == {0.0, 1.0}
    assert (np.abs(x.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()
    assert (x[:, 0, 0, 0] == 0).all()
    assert (x[:, -1, -1, 0] == 1).all()


@pytest.mark.parametrize("prepare", [binarize(), static()])
def test_a_black_pixel_is_never_one_even_where_the_uniform_draw_is_zero(prepare, monkeypatch):
    monkeypatch.setattr("jaxvae.data.prepare.draw_each", lambda sampler, keys, shape, event: jnp.zeros(shape))
    black = dataclasses.replace(make_examples(3), image=np.zeros((3, *SHAPE), np.uint8))
    assert (prepared(prepare, black) == 0).all()


def test_a_pixel_is_one_for_as_many_of_65536_draws_as_round_to_its_brightness(monkeypatch):
    every = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (1, 256, 1))
    for draw in (0, 256, 257, 258, 20_000, 32_895, 32_896, 65_279, 65_535):
        monkeypatch.setattr("jaxvae.data.prepare._draw_16_bits", lambda keys, shape, draw=draw: jnp.full(shape, draw))
        ones = np.asarray(draw_binary(None, every))[0, :, 0]
        np.testing.assert_array_equal(ones, (2**16 * np.arange(256) + 127) // 255 > draw)


def test_binarize_draws_anew_with_other_keys_and_the_same_with_the_same():
    batch = make_examples(6)
    assert (prepared(binarize(), batch, 0) != prepared(binarize(), batch, 1)).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(prepared(binarize(), batch, 0), prepared(binarize(), batch, 0))


def test_static_draws_an_image_once_whatever_the_keys_and_the_batch():
    batch, rows = make_examples(6), np.array([4, 1])
    whole = prepared(static(3), batch, 0)
    np.testing.assert_array_equal(whole, prepared(static(3), batch, 1))
    np.testing.assert_array_equal(whole[rows], prepared(static(3), jax.tree.map(lambda leaf: leaf[rows], batch), 2))
    assert (whole != prepared(static(4), batch)).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("prepare", [binarize(), static(), dequantize()])
def test_equal_images_with_other_indices_are_drawn_apart(prepare):
    image = np.broadcast_to(grey_images(1), (5, *SHAPE))
    x = prepared(prepare, Examples(image, np.zeros(5, np.int32), np.arange(5, dtype=np.int32)))
    assert len(np.unique(x.reshape(5, -1), axis=0)) == 5


def test_grey_values_run_from_0_to_1():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    x = prepared(grey(), Examples(levels, np.zeros(1, np.int32), np.zeros(1, np.int32)))
    np.testing.assert_allclose(x, levels / 255, rtol=1e-6)
    assert (x.min(), x.max(), x.dtype) == (0.0, 1.0, np.float32)


def test_dequantized_values_floor_back_to_their_bytes():
    levels = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), (50, 16, 16, 1))
    batch = Examples(levels, np.zeros(50, np.int32), np.arange(50, dtype=np.int32))
    x = np.float64(prepared(dequantize(), batch))
    assert x.min() > 0
    assert x.max() < 1
    noise = 256 * x - levels
    np.testing.assert_array_equal(np.floor(256 * x), levels)
    assert abs(noise.mean() - 0.5) < 5 * np.sqrt(1 / 12 / noise.size)
    assert abs(noise.var() - 1 / 12) < 0.002
    assert (prepared(dequantize(), batch, 1) != x).mean() > 0.99


def test_a_white_pixel_never_rounds_up_to_1():
    """Where u had 23 bits, 255 + u was 256 once in 131,000 pixels; nor is a black pixel ever 0."""
    white = np.full((32, 256, 256, 1), 255, np.uint8)
    x = prepared(dequantize(), Examples(white, np.zeros(32, np.int32), np.arange(32, dtype=np.int32)))
    assert x.max() < 1
    assert x.min() >= 255 / 256
    assert prepared(dequantize(), Examples(0 * white, np.zeros(32, np.int32), np.arange(32, dtype=np.int32))).min() > 0


@pytest.mark.parametrize(
    ("prepare", "support", "protocol"),
    [
        (binarize(), "binary", "dynamic"),
        (static(7), "binary", "static (seed 7)"),
        (grey(), "coded", "none, values in [0, 1]"),
        (dequantize(), "open", "none, uniformly dequantized in (0, 1)"),
    ],
)
def test_a_preparation_says_what_its_x_is(prepare, support, protocol):
    assert (prepare.support, prepare.protocol) == (support, protocol)
    batch = prepare(example_keys(random.key(0), jnp.arange(3))[0], make_examples(3))
    np.testing.assert_array_equal(batch.target, batch.x)
    np.testing.assert_array_equal(batch.index, np.arange(3))
    assert batch.x.shape == (3, *SHAPE)


def stored(train=50, test=13):
    """Images whose first pixel is their number."""
    numbers = np.arange(train + test, dtype=np.uint8)
    image = np.broadcast_to(numbers[:, None, None, None], (train + test, *SHAPE))
    return {
        "train": StoredSplit(image[:train], numbers[:train].astype(np.int32)),
        "test": StoredSplit(image[train:], None),
    }


@pytest.mark.parametrize(("validation", "held"), [(0, 0), (0.1, 5), (0.5, 25), (1, 1), (7, 7), (49, 49)])
def test_splits_are_disjoint_complete_and_numbered_apart(validation, held):
    splits = make_splits(stored(), validation)
    assert {name: len(split) for name, split in splits.items()} == {
        name: size for name, size in {"train": 50 - held, "validation": held, "test": 13}.items() if size
    }
    taken = {name: split.take(np.arange(len(split))) for name, split in splits.items()}
    for image, _, index in taken.values():
        np.testing.assert_array_equal(image[:, 0, 0, 0], index)  # an index says which stored image it is
    indices = np.concatenate([index for _, _, index in taken.values()])
    np.testing.assert_array_equal(np.sort(indices), np.arange(63))
    assert (taken["test"][1] == -1).all()
    np.testing.assert_array_equal(taken["train"][1], taken["train"][2])
    assert all(np.array_equal(split.index, taken[name][2]) for name, split in splits.items())


def test_the_validation_images_are_the_same_in_every_run():
    np.testing.assert_array_equal(
        make_splits(stored(), 0.2)["validation"].rows, make_splits(stored(), 10)["validation"].rows
    )


@pytest.mark.parametrize("validation", [-0.1, -1, 50, 51, 2.5, 0.999])
def test_an_impossible_validation_share_is_refused_in_words(validation):
    with pytest.raises(
        ValueError, match=r"data.validation=.*share in \[0, 1\) or a whole number below the 50 training images"
    ):
        make_splits(stored(), validation)


def test_arrays_without_a_test_split_give_a_tenth_of_theirs():
    images = grey_images(40)
    labels = np.arange(40)
    splits = from_arrays((images, labels), 0.1).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 32, "validation": 4, "test": 4}
    seen = np.concatenate([split.take(np.arange(len(split)))[0] for split in splits.values()])
    assert sorted(image.tobytes() for image in seen) == sorted(image.tobytes() for image in images)
    for split in splits.values():
        image, label, _ = split.take(np.arange(len(split)))
        np.testing.assert_array_equal(image, images[label])
    assert len(np.unique(np.concatenate([split.index for split in splits.values()]))) == 40


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (np.zeros((4, 4, 4), np.float32), r"arrays\['train'\]: expected uint8 images .* got float32 \[4, 4, 4\]"),
        (np.zeros(4, np.uint8), r"got uint8 \[4\]"),
        (np.zeros((0, 4, 4), np.uint8), r"got uint8 \[0, 4, 4\]"),
        ((np.zeros((4, 4, 4), np.uint8), np.zeros(3)), r"4 images but labels shaped \[3\]"),
        ({"test": np.zeros((4, 4, 4), np.uint8)}, "arrays has the entries .*'test'.*; expected 'train'"),
    ],
)
def test_arrays_of_another_kind_are_refused_in_words(arrays, words):
    with pytest.raises(ValueError, match=words):
        from_arrays(arrays, 0.1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1, AHEAD, AHEAD + 1, 20])
def test_reading_ahead_keeps_the_order(count, threads):
    def read(number):
        time.sleep(0.002 * (number % 2))
        return -number

    assert list(read_ahead(read, range(count), threads)) == [-number for number in range(count)]


def test_reading_runs_ahead_and_ends_with_its_caller():
    begun, before = [], set(threading.enumerate())  # TFDS keeps pools of its own
    out = read_ahead(lambda number: begun.append(number) or number, itertools.count())
    assert begun == []
    assert [next(out), next(out)] == [0, 1]
    out.close()
    assert 2 <= len(begun) <= AHEAD + 2
    assert not [each for each in set(threading.enumerate()) - before if each.name.startswith("ThreadPool")]


def test_an_error_is_told_when_its_turn_comes():
    out = read_ahead(lambda number: 1 / (3 - number), range(10))
    assert list(itertools.islice(out, 3)) == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(out)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 5), (11, 4), (3, 8)])
def test_in_order_gives_every_example_once_and_pads_the_last_batch(n, batch_size):
    split = make_split(n)
    batches = list(in_order(split, batch_size))
    assert all(batch.image.shape == (batch_size, *SHAPE) for batch, _ in batches)
    real = np.concatenate([batch.index[:count] for batch, count in batches])
    np.testing.assert_array_equal(real, np.arange(n))
    np.testing.assert_array_equal(np.concatenate([batch.image[:count] for batch, count in batches]), split.image)
    last, count = batches[-1]
    assert (last.index[count:] == n - 1).all()


def test_a_split_is_resident_where_it_takes_less_than_half_the_free_memory():
    split = make_split(100)  # 1600 bytes
    assert choose_pipeline("auto", split, free_bytes=3201) == "resident"
    assert choose_pipeline("auto", split, free_bytes=3200) == "streaming"
    assert choose_pipeline("auto", split, free_bytes=None) == "resident"
    assert choose_pipeline("streaming", split, free_bytes=10**9) == "streaming"
    assert choose_pipeline("resident", split, free_bytes=1) == "resident"
