import itertools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
from jax import random
from made_sets import noise, png, prepare_own
from opened_data import open_named

from jaxvae.config import Config, Data, Train
from jaxvae.config.schema import check_config
from jaxvae.data import pipeline
from jaxvae.data.pipeline import Streaming, choose_pipeline, in_order
from jaxvae.data.prepare import Examples
from jaxvae.data.tfds import workers
from jaxvae.data.tfds.prepared import prepared_folder
from jaxvae.data.tfds.records import Records, decoder
from jaxvae.runtime.sharding import DeviceLayout
from jaxvae.training.setup import check_config_with_data

COUNT = 60
BATCH = 16


@pytest.fixture(scope="module")
def cached():
    return open_named("digits", None, 0.1)


@pytest.fixture(scope="module", params=[0, 2], ids=["here", "two workers"])
def streamed(request):
    return open_named("digits", None, 0.1, decoded_limit=0, workers=request.param)


@pytest.fixture(scope="module")
def pool(cached):
    """Two workers over digits, and what they decode of 'train'."""
    found = workers.Workers(prepared_folder("digits"), 2)
    return found, Records("train", cached.splits["train"].image.shape, found.decode)


@pytest.fixture
def sharded(tmp_path):
    """The folder of a set of three files."""
    examples = [{"image": png(image)} for image in noise(COUNT, (8, 8, 1))[0]]
    features = {"image": tfds.features.Image(shape=(8, 8, 1))}
    prepare_own("shards", features, {"train": examples}, tmp_path / "sets", shards=3)
    return tmp_path / "sets" / "shards" / "1.0.0"


def assert_same(one, other):
    for name in ("image", "label", "index"):
        a, b = (np.asarray(getattr(batch, name)) for batch in (one, other))
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_a_set_that_is_not_cached_is_the_same_set(cached, streamed):
    assert (streamed.name, streamed.version, streamed.fingerprint) == (cached.name, cached.version, cached.fingerprint)
    assert (streamed.class_names, streamed.shape) == (cached.class_names, cached.shape)
    assert [streamed.source(name) for name in streamed.splits] == [cached.source(name) for name in cached.splits]
    for name, split in cached.splits.items():
        every = np.arange(len(split))
        assert_same(Examples(*streamed.splits[name].take(every)), Examples(*split.take(every)))
        np.testing.assert_array_equal(streamed.splits[name].labels(every), split.label[split.rows])


@pytest.mark.parametrize("first", [0, 77, 161])
def test_batches_are_the_same_wherever_they_start(cached, streamed, first):
    """80 steps an epoch: the first batches, those across the end of an epoch, and later ones."""
    one, other = (Streaming(data.splits["train"], random.key(3), BATCH) for data in (cached, streamed))
    for later, batch in enumerate(itertools.islice(other.batches(first), 6)):
        assert_same(batch, one.batch(first + later))


def test_evaluation_sees_the_same_batches(cached, streamed):
    pairs = zip(in_order(cached.splits["test"], 100), in_order(streamed.splits["test"], 100), strict=True)
    for (one, count), (other, same) in pairs:
        assert count == same
        assert_same(one, other)


def test_an_array_that_is_decoded_is_indexed_like_one(cached, pool):
    _, records = pool
    stored = cached.splits["train"].image
    assert (records.shape, records.dtype, len(records)) == (stored.shape, stored.dtype, len(stored))
    for rows in (slice(5, 12), slice(None, None, 500), np.array([7, 3, 3]), np.array([], int)):
        np.testing.assert_array_equal(records[rows], stored[rows])
    with pytest.raises(IndexError, match="rows 0 to 1437 of 1437 images of train"):
        records[np.array([0, 1437])]


def test_only_labels_are_kept_and_the_second_time_they_are_read_from_there(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path))
    lines = []
    first, second = (open_named("digits", None, 0, log=lines.append, decoded_limit=0, workers=0) for _ in range(2))
    assert sorted(path.name for path in tmp_path.glob("labels/*/*")) == [
        "meta.json",
        "test.label.npy",
        "train.label.npy",
    ]
    assert not (tmp_path / "decoded").exists()
    assert len([line for line in lines if line.startswith("reading the labels of digits train: 0")]) == 1
    np.testing.assert_array_equal(first.splits["train"].label, second.splits["train"].label)


def test_the_size_decides(cached, streamed):
    size = 1797 * 64 / 1e9  # GB
    kinds = [type(open_named("digits", None, 0, decoded_limit=limit).splits["test"].image) for limit in (2 * size, 0)]
    assert kinds == [np.ndarray, Records]
    assert choose_pipeline("auto", cached.splits["train"], free_bytes=None) == "resident"
    assert choose_pipeline("auto", streamed.splits["train"], free_bytes=None) == "streaming"
    assert choose_pipeline("streaming", streamed.splits["train"], free_bytes=None) == "streaming"
    with pytest.raises(ValueError, match=r"data.pipeline='resident' .* Choose data.pipeline='streaming' or 'auto'"):
        choose_pipeline("resident", streamed.splits["train"], free_bytes=None)


def test_what_needs_all_images_at_once_is_refused(streamed):
    config = Config(data=Data(decoded_limit=0.0), train=Train(init_from="pca"))
    with pytest.raises(ValueError, match=r"init_from='pca' needs all .* digits is larger than data.decoded_limit=0 GB"):
        check_config_with_data(config, streamed)


@pytest.mark.parametrize(("limit", "count"), [(-1.0, None), (float("nan"), None), (16.0, -1), (16.0, 1.5)])
def test_a_limit_or_number_of_workers_that_is_none_is_refused(limit, count):
    with pytest.raises(ValueError, match=r"data\.(decoded_limit|workers)=.*: expected"):
        check_config(Config(data=Data(decoded_limit=limit, workers=count)))


def test_processes_decode_their_shares_alone_and_together_the_batch(cached):
    split, asked = cached.splits["train"], []

    def decode(name, rows, out):
        asked.append(len(rows))
        out[:] = split.image[rows]

    records = Records("train", split.image.shape, decode)
    lazy = type(split)(records, split.label, split.rows, split.offset)
    layout, shares = DeviceLayout(tuple(SimpleNamespace(process_index=process) for process in range(BATCH // 4))), []
    for process in range(BATCH // 4):
        with mock.patch("jax.process_index", return_value=process):
            shares.append(Streaming(lazy, random.key(3), BATCH, layout))
    for step in (0, 79, 80):
        whole, parts = Streaming(split, random.key(3), BATCH).batch(step), [share.batch(step) for share in shares]
        together = [np.concatenate([getattr(part, name) for part in parts]) for name in ("image", "label", "index")]
        assert_same(Examples(*together), whole)
    assert asked == [4] * 12


def test_threads_that_ask_at_once_get_their_own_images(cached, pool):
    _, records = pool
    stored, rows = cached.splits["train"].image, np.random.default_rng(0).integers(0, 1437, (40, 9))
    with ThreadPoolExecutor(4) as threads:
        for asked, images in zip(rows, threads.map(lambda some: records[some], rows), strict=True):
            np.testing.assert_array_equal(images, stored[asked])


def test_what_is_interrupted_between_question_and_answer_leaves_no_stale_answer(cached, pool, monkeypatch):
    found, records = pool
    records[:4]
    before = [worker.process for worker in found.running]
    with monkeypatch.context() as patch:
        patch.setattr(workers._Worker, "receive", lambda *arguments: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            records[:4]
    assert all(process.poll() is not None for process in before)
    np.testing.assert_array_equal(records[8:12], cached.splits["train"].image[8:12])


def test_a_worker_that_was_killed_is_reported_and_replaced(cached, pool):
    found, records = pool
    records[:4]
    os.kill(found.running[1].process.pid, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match=r"exit code -9, perhaps for want of memory.* data.workers"):
        records[:4]
    np.testing.assert_array_equal(records[:4], cached.splits["train"].image[:4])


@pytest.mark.parametrize("count", [0, 1])
def test_damage_is_told_in_one_message_that_names_the_file(sharded, count):
    decode = workers.Workers(sharded, count).decode if count else decoder(sharded)
    records = Records("train", (COUNT, 8, 8, 1), decode)
    whole = records[:]
    path = sharded / "shards-train.array_record-00001-of-00003"
    content = bytearray(path.read_bytes())
    content[1500] ^= 255
    path.write_bytes(content)
    data = Streaming(pipeline.Split(records, None, np.arange(COUNT), 0), random.key(0), COUNT)
    words = rf"^cannot read record \d+ of shards train, in {path}: .* is damaged: delete it and prepare it again.$"
    with pytest.raises(ValueError, match=words):
        next(data.batches(0))
    np.testing.assert_array_equal(records[:10], whole[:10])  # of another file


def test_a_picture_that_is_none_is_named_too(tmp_path):
    features = {"image": tfds.features.Image(shape=(8, 8, 1))}
    examples = [{"image": png(image)} for image in noise(3, (8, 8, 1))[0]]
    examples[1]["image"] = examples[1]["image"][:40]
    prepare_own("broken", features, {"train": examples}, tmp_path)
    records = Records("train", (3, 8, 8, 1), decoder(tmp_path / "broken" / "1.0.0"))
    with pytest.raises(ValueError, match=r"cannot read record \d of broken train, in .*00000-of-00001"):
        records[:]


def test_workers_end_with_a_program_that_is_killed(tmp_path):
    code = (
        "import sys, time, numpy as np\n"
        "from jaxvae.config import Data\n"
        "from jaxvae.data.sources import open_data\n"
        "records = open_data(Data(decoded_limit=0, workers=2)).splits['train'].image\n"
        "records[:8]\n"
        "print(*(worker.process.pid for worker in records.decode.__self__.running), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        program.kill()
    until = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(alive, pids))


def alive(pid):
    """Whether the process runs: one that has ended may remain listed until its parent asks."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_imports_no_jax():
    code = (
        "import sys, numpy as np, jaxvae.data.tfds.workers as w\n"
        "from jaxvae.data.tfds.prepared import prepared_folder\n"
        "w.decoder(prepared_folder('digits'))('train', np.arange(2), np.empty((2, 8, 8, 1), np.uint8))\n"
        "assert not {'jax', 'grain', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
