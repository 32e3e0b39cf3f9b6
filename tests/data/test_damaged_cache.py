"""The cache broken on purpose: what is damaged is noticed and built again, and a full disk is named."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from made_sets import noise, png, prepare_own
from opened_data import load_stored, open_named

from jaxvae.data import cache
from jaxvae.data.tfds.prepared import prepared_folder
from jaxvae.runtime.files import read_json, write_json

IMAGES, LABELS = noise(40, (5, 4, 3))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder with the same images as .npz, .npy, a folder of pictures, and a prepared TFDS set."""
    top = tmp_path_factory.mktemp("sources")
    np.savez(top / "a.npz", images=IMAGES, labels=LABELS)
    np.save(top / "a.npy", IMAGES)
    for i, image in enumerate(IMAGES[:6]):
        path = top / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    features = {"image": tfds.features.Image(shape=(5, 4, 3)), "label": tfds.features.ClassLabel(num_classes=10)}
    rows = zip(IMAGES, LABELS, strict=True)
    prepare_own("own", features, {"train": [{"image": png(i), "label": int(v)} for i, v in rows]}, top)
    return top


def opened(name, sources, say=None, **options):
    return open_named(name, str(sources), 0, log=say, **options)


def contents(data):
    """(fingerprint, every split's images, labels and indices)."""
    arrays = [a.tobytes() for split in data.splits.values() for a in split.take(np.arange(len(split)))]
    return data.fingerprint, data.class_names, arrays


def harmed(content, described):
    """(what is wrong with it, the bytes of a damaged file or None for none)."""
    middle = len(content) // 2
    yield "truncated", content[:-1]
    yield "lengthened", content + b"x"
    yield "emptied", b""
    yield "zeroed", bytes(len(content))
    yield "removed", None
    if described:  # the description alone has a checksum: the rest can be built again at any time
        yield "flipped", content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


NAMES = {"npz:a.npz": {}, "npy:a.npy": {}, "folder:photos": {}, "own": {}, "own, streamed": {"decoded_limit": 0.0}}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_damaged_in_every_way_is_said_in_one_line_and_built_again(name, sources, cache_folder):
    name, options = name.partition(",")[0], NAMES[name] | {"workers": 0}
    whole = contents(opened(name, sources, **options))
    files = [path for path in cache_folder.rglob("*") if path.is_file()]
    assert "meta.json" in {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        for harm, damaged in harmed(content, path.name == "meta.json"):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            said = []
            assert contents(opened(name, sources, said.append, **options)) == whole, (path.name, harm)
            words = [line for line in said if "it is built again" in line]
            assert len(words) == 1, (path.name, harm, said)
            assert path.name in words[0]
            assert path.read_bytes() == content


def test_a_flipped_bit_in_any_byte_of_the_description_is_noticed(tmp_path):
    (tmp_path / "data").write_bytes(b"abc")
    cache.write_description(tmp_path / "meta.json", {"name": "x"})
    content = (tmp_path / "meta.json").read_bytes()
    assert cache.read_description(tmp_path / "meta.json")["name"] == "x"
    for i in range(len(content)):
        flipped = bytearray(content)
        flipped[i] ^= 1 << i % 8
        (tmp_path / "meta.json").write_bytes(flipped)
        with pytest.raises(ValueError, match=r"^meta\.json: "):
            cache.read_description(tmp_path / "meta.json")


@pytest.mark.parametrize("old", [b'{"format": 1, "splits": {}, "files": {}}', b"[]", b"{}", b"[" * 10**5, b"\xff"])
def test_descriptions_of_earlier_versions_and_nonsense_are_built_again(old, sources, cache_folder):
    whole = contents(opened("npz:a.npz", sources))
    (path,) = cache_folder.rglob("meta.json")
    path.write_bytes(old)
    assert contents(opened("npz:a.npz", sources)) == whole


def test_a_cache_of_the_format_before_is_read_as_it_is(sources, cache_folder):
    """Format 2 held checksums of every file besides its size."""
    whole, said = contents(opened("npz:a.npz", sources)), []
    (path,) = cache_folder.rglob("meta.json")
    content = read_json(path)
    for file in content["files"].values():
        file["crc32"] = [1]
    write_json(path, content | {"format": 2})
    old = path.read_bytes()
    assert contents(opened("npz:a.npz", sources, said.append)) == whole
    assert (said, path.read_bytes()) == ([], old)


def test_prepared_digits_are_checked_too(cache_folder):
    whole, said = load_stored("digits"), []
    path = prepared_folder("digits") / "digits-test.array_record-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-1])
    again = load_stored("digits", log=said.append)
    assert [line for line in said if f"{path.name} has another size than was written; it is built again" in line]
    assert (again.fingerprint, again.splits["test"].image.tobytes()) == (
        whole.fingerprint,
        whole.splits["test"].image.tobytes(),
    )


def records_of(sources):
    return next((sources / "own").rglob("*.array_record*"))


def test_damaged_records_are_an_error_that_names_the_file_and_what_to_do(sources, cache_folder, tmp_path):
    shutil.copytree(sources / "own", tmp_path / "own")
    path = records_of(tmp_path)
    content, said = path.read_bytes(), []
    whole = contents(opened("own", tmp_path, decoded_limit=0.0, workers=0))
    used = max(i for i, byte in enumerate(content[: len(content) // 2]) if byte)  # before padding and the index
    flips = [content[:i] + bytes([content[i] ^ 8]) + content[i + 1 :] for i in range(0, used, 500)]
    cuts = [content[:count] for count in (len(content) - 100, len(content) // 2, used // 2 + 2**16, 0)]
    for damaged in (*flips, *cuts, bytes(len(content)), None):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        try:
            pixels = contents(opened("own", tmp_path, decoded_limit=0.0, workers=0))[2]
        except ValueError as error:
            said.append(str(error))
        else:
            assert pixels == whole[2]
    assert len(said) >= len(flips)
    assert all(path.name in words and "is damaged: delete it and prepare it again" in words for words in said)


# real processes

BUILDER = """
import hashlib, sys
import jaxvae.data.files.numpy_files as files
copy = files._copy_arrays
files._copy_arrays = lambda *given: (copy(*given), print("building", flush=True), sys.stdin.readline())[0]
from jaxvae.config import Data
from jaxvae.data.sources import open_data
data = open_data(Data(name="npz:" + sys.argv[1], validation=0))
print(hashlib.sha256(data.splits["train"].image.tobytes()).hexdigest())
"""


def builder(sources, wait=True):
    """A process that builds the cache of a.npz, in the middle of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(sources / "a.npz")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if wait:
        assert process.stdout.readline() == "building\n"
    return process


def test_a_killed_builder_leaves_nothing_and_a_living_one_keeps_its_folder_whatever_the_clock(
    sources, cache_folder, monkeypatch
):
    killed = builder(sources)
    killed.kill()
    killed.communicate()
    (left,) = (cache_folder / "decoded").glob(".building-*/")
    living = builder(sources)
    (scratch,) = (cache_folder / "decoded").glob(".building-*/")
    assert scratch != left
    os.utime(scratch, (0, 0))
    monkeypatch.setattr(time, "time", lambda: 4e9)  # in the year 2096
    opened("npy:a.npy", sources)  # another set, which sweeps
    assert scratch.exists()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(opened, "npz:a.npz", sources)
        time.sleep(0.3)
        assert not waiting.done()  # one builds
        said, _ = living.communicate("\n")
        data = waiting.result(timeout=60)
    assert living.returncode == 0
    assert said.strip() == hashlib.sha256(data.splits["train"].image.tobytes()).hexdigest()
    assert len(list((cache_folder / "decoded").iterdir())) == 2


def test_processes_that_find_damage_at_once_see_the_same_bits(sources, cache_folder):
    opened("npz:a.npz", sources)
    path = next(cache_folder.rglob("*.image.npy"))
    path.write_bytes(path.read_bytes()[:-1])
    several = [builder(sources, wait=False) for _ in range(3)]
    for process in several:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0].split() for process in several]
    assert sorted(len(words) for words in said) == [1, 1, 2]  # one built
    assert len({words[-1] for words in said}) == 1
    assert [process.returncode for process in several] == [0, 0, 0]
    assert len(list((cache_folder / "decoded").iterdir())) == 1
    cache.read_description(path.parent / "meta.json")


# disks that are full, or not ours

FULL = """
import os, subprocess, sys
from pathlib import Path
import numpy as np
from jaxvae.config import Data
from jaxvae.data import cache
from jaxvae.data.sources import open_data
place, sources = Path(sys.argv[1]), sys.argv[2]
os.environ["JAXVAE_CACHE"] = str(place)
mount = lambda *options: subprocess.run(["mount", *options, str(place)], check=True)
images = np.load(sources + "/a.npz")["images"]
for options in (("-t", "tmpfs", "-o", "size=4k", "none"), ("-o", "remount,ro")):
    mount(*options)
    said = []
    data = open_data(Data(name="npz:a.npz", data_dir=sources, validation=0), say=said.append)
    assert sum(int(split.image[split.rows].sum()) for split in data.splits.values()) == int(images.sum())
    assert sum("Until then it is kept in a temporary folder" in line for line in said) == 1, said
    cache._borrowed.clear()
    print(said)
    print([str(path) for path in place.rglob("*") if path.is_file()])
cache._MOST_BORROWED = 0
try:
    open_data(Data(name="npz:a.npz", data_dir=sources, validation=0))
except ValueError as error:
    print(error)
"""


def test_a_full_and_a_read_only_disk_are_said_and_the_run_goes_on_without_a_cache(sources, tmp_path):
    """A real, small file system, in a name space of mounts of its own."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a file system: no `unshare -rm`")
    (tmp_path / "disk").mkdir()
    child = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", FULL, tmp_path / "disk", sources],
        check=True,
        capture_output=True,
        text=True,
    )
    full, left, forbidden, still, refusal = child.stdout.splitlines()
    assert "GB decoded, but" in full or "No space left on device" in full
    assert "Read-only file system" in forbidden
    assert left == still == "[]"
    assert "JAXVAE_CACHE" in refusal


@pytest.fixture
def nothing_borrowed(monkeypatch, tmp_path):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(cache, "_borrowed", {})


@pytest.mark.parametrize("most", [0, 2e9])
def test_a_disk_that_fills_while_a_set_is_written_leaves_nothing_half_written(
    most, sources, cache_folder, monkeypatch, nothing_borrowed
):
    """ENOSPC at the last moment: where the temporary folder may not be taken, one message; else the run goes on."""
    monkeypatch.setattr(cache, "_MOST_BORROWED", most)

    def full(path):
        if cache_folder in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache.files, "sync_folder", full)
    if most:
        said = []
        assert len(opened("npz:a.npz", sources, said.append).splits["train"]) == 36
        assert "No space left on device" in said[-1]
        again = []
        assert contents(opened("npz:a.npz", sources, again.append))
        assert again == []  # this process knows where it is
    else:
        with pytest.raises(ValueError, match=r"cannot write into .* \(No space left on device\).*JAXVAE_CACHE"):
            opened("npz:a.npz", sources)
    assert not [path for path in cache_folder.rglob("*") if path.is_file()]


def test_a_file_in_the_way_of_the_cache_is_named(tmp_path, monkeypatch, sources, nothing_borrowed):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "file"))
    said = []
    assert contents(opened("npz:a.npz", sources, said.append))
    assert f"cannot write into {tmp_path / 'file' / 'decoded'} (Not a directory)" in said[-1]
    assert (tmp_path / "file").read_text() == ""
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "file"))
    cache._borrowed.clear()
    with pytest.raises(ValueError, match=r"cannot write into .*file.*JAXVAE_CACHE"):
        opened("npz:a.npz", sources)


def test_a_file_where_a_cached_set_belongs_gives_way(sources, cache_folder):
    whole = contents(opened("npz:a.npz", sources))
    (folder,) = (cache_folder / "decoded").iterdir()
    folder.rename(cache_folder / "away")
    Path(folder).write_text("in the way")
    assert contents(opened("npz:a.npz", sources)) == whole
