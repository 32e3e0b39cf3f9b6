"""Arrays of every kind handed to training and to a model's functions: each is taken, or refused in jaxvae's own words.

Nothing is compiled: what would be is replaced, so that a call that gets as far has been accepted.
"""

import traceback
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax import random
from opened_data import from_arrays

import jaxvae
from jaxvae.config import Config, Data, Evaluate, Model, Train
from jaxvae.config.build import build
from jaxvae.data.dataset import DataSet
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import abstract_state, variables_of
from jaxvae.training import train as training

PACKAGE = str(Path(jaxvae.__file__).parent)
calm = settings(
    derandomize=True, deadline=None, max_examples=50, database=None, suppress_health_check=list(HealthCheck)
)


class Taken(Exception):
    """The arrays were accepted."""


def outcome(call):
    """'taken', or the words of a refusal; any other end, or one without words, fails."""
    try:
        call()
    except Taken:
        return "taken"
    except ValueError as error:
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        assert frames[-1].startswith(PACKAGE), traceback.format_exc()
        words = str(error)
        assert any(
            word in words
            for word in ("expected", "expects", "takes", "this model", "choose", "pass", "differ", "give", "see data.")
        ), words
        return words
    return "taken"


def small(n, shape, dtype):
    size = int(np.prod((n, *shape)))
    return (np.arange(size) % 251).reshape(n, *shape).astype(dtype)


DTYPES = ["u1", "u1", "u1", "u1", "i8", "u2", "f4", "f8", "f2", "?", "c8", "U2", "O", "S1", "M8[s]", "V3"]
SHAPES = [(4, 4, 1), (4, 4), (7,), (1, 1, 1), (1, 1), (3, 5, 3), (1, 997, 1), (331, 1, 2), (0, 4, 1), (), (2, 2, 2, 2)]


@st.composite
def images(draw):
    n, shape, dtype = (
        draw(st.sampled_from([20, 20, 20, 1, 2, 0])),
        draw(st.sampled_from(SHAPES)),
        draw(st.sampled_from(DTYPES)),
    )
    kind = draw(st.sampled_from(["numpy", "numpy", "numpy", "list", "ragged", "jax", "nothing"]))
    array = small(n, shape, "u1")
    if dtype != "V3":
        array = array.astype(dtype) if dtype != "O" else array.astype(object)
    if kind == "jax" and dtype in ("u1", "f4"):
        return jnp.asarray(array)
    return {"list": array.tolist(), "ragged": [np.zeros((2, 2)), np.zeros((3, 2))], "nothing": None}.get(kind, array)


@st.composite
def labels(draw, n=20):
    kind = draw(
        st.sampled_from(["right", "none", "short", "negative", "huge", "float", "nan", "vector", "text", "object"])
    )
    right = np.arange(n) % 3
    return {
        "right": right,
        "none": None,
        "short": right[:-1],
        "negative": right - 1,
        "huge": right + 2**40,
        "float": right.astype(np.float32),
        "nan": np.where(right[:, None] == 1, np.nan, 1.0),
        "vector": np.where(right[:, None] == 1, 1e300, 1.0) if draw(st.booleans()) else np.ones((n, 2), "f4"),
        "text": right.astype(str),
        "object": [None] * n,
    }[kind]


@st.composite
def arrays(draw):
    x = draw(images())
    given = draw(st.sampled_from(["bare", "pair", "splits", "triple", "other"]))
    pair = (x, draw(labels()))
    return {
        "bare": x,
        "pair": pair,
        "splits": {"train": pair, "test": draw(images())},
        "triple": (x, pair[1], x),
        "other": {"tset": x, 3: x},
    }[given]


@calm
@given(arrays(), st.sampled_from([0, 0.1, 0.9, 3, 1000, -1, 0.5]))
def test_data_sets_of_arrays_are_made_or_refused(given, validation):
    made: list[DataSet] = []
    outcome(lambda: made.append(from_arrays(given, validation)))
    for data in made:
        for split in data.splits.values():
            image, label, index = split.take(np.arange(len(split)))
            assert image.dtype == np.uint8
            assert label.dtype in (np.int32, np.float32)
            assert len(np.unique(index)) == len(split)


@calm
@given(
    arrays(),
    st.sampled_from([1, 16, 5000]),
    st.sampled_from(["none", "label", "vector"]),
    st.sampled_from(["mlp(8)", "conv(4, 8)"]),
)
def test_training_on_arrays_begins_or_is_refused(given, batch_size, condition, encoder):
    config = Config(
        data=Data(batch_size=batch_size),
        model=Model(encoder=encoder, decoder="mlp(8)", condition=condition),
        train=Train(steps=1),
        evaluate=Evaluate(samples=1),
    )
    if given is None:  # then data.name counts
        return
    with mock.patch.object(training, "make_engine", side_effect=Taken):
        outcome(lambda: jaxvae.train(config, arrays=given))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, r"expected .*|unknown data set"),
        ([np.zeros((2, 2)), np.zeros((3, 2))], r"the images are no array .*; expected an array"),
        ((small(9, (4, 4), "u1"), np.zeros(9, int), 1), r"a tuple of 3; expected images alone, or the pair"),
        ({"tset": 1, 3: 2}, r"has the entries \['3', 'tset'\]; expected 'train'"),
        ((small(9, (4, 4), "u1"), [[1], [2, 3]]), "the labels are no array"),
        ((small(9, (4, 4), "u1"), np.full((9, 2), 1e300)), "NaN or infinity in 9 of them"),
    ],
)
def test_the_words(given, words):
    with pytest.raises(ValueError, match=words):
        from_arrays(given, 0)


def test_labels_that_name_a_billion_classes_are_no_condition():
    data = from_arrays((small(9, (4, 4), "u1"), np.full(9, 2**30)), 0)
    with pytest.raises(ValueError, match=r"labels of arrays run to 1,073,741,824.*expected at most 1,048,576 classes"):
        data.condition_size("label")


# a model's functions


def untrained(condition, size, likelihood="bernoulli"):
    """A run whose compiled functions only say that they were reached."""
    config = Config(model=Model(encoder="mlp(8)", decoder="mlp(8)", condition=condition, likelihood=likelihood))
    config.data.prepare = "binarize" if likelihood == "bernoulli" else "dequantize"
    parts = build(config, (4, 4, 1), condition=size)
    variables = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), variables_of(abstract_state(config, parts)))
    run = Run(config, parts, variables, 0)
    for name in ("prepare", "encode", "decode", "sample", "generate", "reconstruct", "log_likelihood"):
        setattr(run, f"_{name}", mock.Mock(side_effect=Taken))
    return run


@pytest.fixture(scope="module")
def runs():
    return [untrained("none", None), untrained("label", 3), untrained("vector", 2, "gaussian")]


KEYS = [
    random.key(0),
    random.key(0),
    random.key(0),
    0,
    None,
    np.zeros(2, np.uint32),
    "key",
    random.split(random.key(0), 3),
]
ROWS = [
    random.split(random.key(0), 3),
    random.split(random.key(0), 3),
    random.key(0),
    random.split(random.key(0), 3)[:0],
    [1],
    7,
]
COUNTS = [3, 3, 1, 0, -2, 2.5, True, np.int64(3), "3", None, 2**40, np.nan]
NUMBERS = [1.0, 1, 0.5, 0, -1.0, np.nan, np.inf, "hot", None, [1.0, 2.0], 1j, np.float32(0.3)]
INDEX = [None, None, [0, 1, 2], np.arange(3), [0, 1], [0.0, 1, 2], [-1, 0, 1], [0, 1, 2**40], "abc", [[0], [1, 2]]]
CONDITIONS = [None, [0, 1, 2], [0, 1, 3], [-1, 0, 1], [0.0, 1, 2], np.ones((3, 2)), np.full((3, 2), np.nan)]
CONDITIONS += [
    np.full((3, 2), 1e300),
    [[0], [1, 2]],
    ["a", "b", "c"],
    np.ones((3, 2), complex),
    [True, False, True],
    1,
    [None] * 3,
]


@st.composite
def batches(draw):
    shape = draw(st.sampled_from([(3, 4, 4, 1)] * 6 + [(0, 4, 4, 1), (4, 4, 1), (3, 4, 4), (3, 4, 5, 1), (3, 16), ()]))
    fill = draw(st.sampled_from([0, 1, 1, 0.5, np.nan, np.inf, -1, 2, 1e300]))
    dtype = draw(st.sampled_from(["f4", "f8", "f4", "f2", "u1", "i8", "?", "c8", "O", "U3"]))
    kind = draw(st.sampled_from(["numpy", "numpy", "jax", "list", "ragged", "text", "nothing"]))
    with np.errstate(all="ignore"):
        array = (
            np.full(shape, fill).astype(dtype)
            if not (dtype[0] in "ui" and not np.isfinite(fill))
            else np.ones(shape, dtype)
        )
    if kind == "jax" and dtype in ("f4", "u1", "?", "f2", "c8"):
        return jnp.asarray(array)
    return {"list": array.tolist(), "ragged": [[1.0], [1.0, 2.0]], "text": "x", "nothing": None}.get(kind, array)


@calm
@given(st.data())
@pytest.mark.parametrize("name", ["prepare", "encode", "decode", "sample", "generate", "reconstruct", "log_likelihood"])
def test_what_a_models_function_is_given_is_taken_or_refused(name, runs, data):
    run = data.draw(st.sampled_from(runs))
    key, x, condition = data.draw(st.sampled_from(KEYS)), data.draw(batches()), data.draw(st.sampled_from(CONDITIONS))
    count, number = data.draw(st.sampled_from(COUNTS)), data.draw(st.sampled_from(NUMBERS))
    z = data.draw(
        st.sampled_from([np.zeros((3, 2)), np.zeros((0, 2)), np.zeros((3, 2), complex), [[1.0], [1.0, 2.0]], "z", x])
    )
    call = {
        "prepare": lambda: run.prepare(key, x, data.draw(st.sampled_from(INDEX))),
        "encode": lambda: run.encode(x, condition),
        "decode": lambda: run.decode(z, condition),
        "sample": lambda: run.sample(key, count, temperature=number, condition=condition),
        "generate": lambda: run.generate(data.draw(st.sampled_from(ROWS)), temperature=number, condition=condition),
        "reconstruct": lambda: run.reconstruct(key, x, condition),
        "log_likelihood": lambda: run.log_likelihood(key, x, samples=count, condition=condition),
    }
    outcome(call[name])


def test_what_is_right_is_taken(runs):
    bare, classes, vectors = runs
    key, x = random.key(0), np.ones((3, 4, 4, 1))
    calls = [
        lambda: bare.prepare(key, np.zeros((3, 4, 4, 1), np.uint8), [5, 6, 7]),
        lambda: bare.encode(x),
        lambda: bare.encode(x.astype(bool)),
        lambda: bare.encode(jnp.asarray(x, jnp.bfloat16)),
        lambda: bare.decode(np.zeros((1, 2))),
        lambda: bare.sample(key, np.int64(3), temperature=0),
        lambda: bare.generate(random.split(key, 3), temperature=np.float32(0.5)),
        lambda: classes.reconstruct(key, x, [0, 1, 2]),
        lambda: vectors.log_likelihood(key, x * 0.7, samples=5, condition=np.ones((3, 2))),
    ]
    assert [outcome(call) for call in calls] == ["taken"] * len(calls)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: run.encode([[1.0], [1.0, 2.0]]), r"x is no array .*expected real numbers \[B, \*X\]"),
        (lambda run: run.encode(np.ones((3, 4, 4, 1), complex)), r"x holds complex128; expected real numbers"),
        (lambda run: run.encode(np.ones((0, 4, 4, 1))), r"x has shape \[0, 4, 4, 1\]; this model takes batches"),
        (lambda run: run.encode(np.full((1, 4, 4, 1), np.nan)), "x holds 16 values that are NaN"),
        (lambda run: run.encode(np.full((1, 4, 4, 1), 0.5)), "the values 0 and 1 only"),
        (lambda run: run.decode("z"), r"z holds <U1; expected real numbers"),
        (lambda run: run.decode(np.full((1, 2), np.nan)), "z holds 2 values that are NaN, infinite or beyond float32"),
        (lambda run: run.sample(random.key(0), True), "n=True: expected a whole number from 1 on"),
        (lambda run: run.sample(0, 3), r"key is int; expected one key, such as jax\.random\.key\(0\)"),
        (lambda run: run.sample(random.key(0), 2.5), "n=2.5: expected a whole number from 1 on"),
        (
            lambda run: run.sample(random.key(0), 3, temperature=-1),
            "temperature=-1: expected a finite number from 0 on",
        ),
        (lambda run: run.generate(random.key(0)), r"keys is key<fry> \[\]; expected keys \[N\]"),
        (
            lambda run: run.prepare(random.key(0), np.zeros((3, 4, 4, 1), np.uint8), [0, 1]),
            r"index is int64 shaped \[2\]",
        ),
        (lambda run: run.prepare(random.key(0), np.zeros((1, 4, 4, 1), np.uint8), [-1]), "index runs from -1 to -1"),
    ],
)
def test_the_words_of_a_models_functions(call, words, runs):
    with pytest.raises(ValueError, match=words):
        call(runs[0])


def test_values_beyond_float32_are_named(runs):
    with pytest.raises(ValueError, match="x holds 48 values that are NaN, infinite or beyond float32"):
        runs[2].encode(np.full((3, 4, 4, 1), 1e300), np.ones((3, 2)))
    with pytest.raises(ValueError, match="condition holds 6 values that are NaN"):
        runs[2].encode(np.zeros((3, 4, 4, 1)), np.full((3, 2), np.nan))


def test_inside_a_jit_of_ones_own_shapes_are_checked_and_values_are_not(runs):
    run = runs[0]
    with mock.patch.object(run, "_encode", lambda variables, x, condition: x):
        assert jax.eval_shape(run.encode, jax.ShapeDtypeStruct((2, 4, 4, 1), jnp.float32)).shape == (2, 4, 4, 1)
        with pytest.raises(ValueError, match=r"x has shape \[2, 4, 4\]"):
            jax.eval_shape(run.encode, jax.ShapeDtypeStruct((2, 4, 4), jnp.float32))


def test_one_class_or_vector_stands_for_all_and_one_that_there_is_not_is_named(runs):
    _, classes, vectors = runs
    assert classes.condition(2, 3).tolist() == classes.condition([2, 2, 2], 3).tolist()
    assert vectors.condition([0.5, 1.0], 3).tolist() == vectors.condition([[0.5, 1.0]] * 3, 3).tolist()
    with pytest.raises(ValueError, match=r"condition holds 12; expected the classes, whole numbers in \[0, 3\)"):
        classes.condition([2, 2, 2, 12], 4)
    with pytest.raises(ValueError, match="condition holds -1; expected the classes"):
        classes.condition(-1, 4)


def test_a_raw_key_is_wrapped_and_images_of_one_channel_come_without_its_axis(runs):
    run, (old, new) = runs[0], (random.PRNGKey(3), random.key(3))
    assert jaxvae._checks.require_key("key", old) == new
    assert (jaxvae._checks.require_key("keys", random.split(old, 5), many=True) == random.split(new, 5)).all()
    for wrong in (np.zeros(2, np.uint32), jnp.zeros(3, jnp.uint32), jnp.zeros((2, 2), jnp.uint32)):
        with pytest.raises(ValueError, match="expected one key"):
            jaxvae._checks.require_key("key", wrong)
    with mock.patch.object(run, "_prepare", lambda key, images, index: images):
        assert run.prepare(new, np.zeros((3, 4, 4), np.uint8)).shape == (3, 4, 4, 1)
        with pytest.raises(ValueError, match=r"images has shape \[3, 4, 5\]"):
            run.prepare(new, np.zeros((3, 4, 5), np.uint8))
