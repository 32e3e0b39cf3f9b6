"""Folders and zips of images: which file belongs where, what is refused, and the cache."""

import json
import os
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from made_sets import noise, png
from opened_data import open_named
from photo_folders import COLOUR, GREY, found, one, opened, pack, saved, stored, write

from jaxvae.cli import main
from jaxvae.data import cache
from jaxvae.data.files import folder_layout
from jaxvae.data.files import image_folder as image_folders

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_class_folders_become_labels_in_the_order_of_their_names(top):
    write(top, {"dog/b.png": COLOUR[0], "cat/2.png": COLOUR[1], "cat/10.png": COLOUR[2], "ape/deep/x.png": COLOUR[3]})
    data = opened(top)
    split = data.splits["train"]
    np.testing.assert_array_equal(split.image, COLOUR[[3, 2, 1, 0]])
    np.testing.assert_array_equal(split.label, [0, 1, 1, 2])
    assert split.label.dtype == np.int32
    assert data.class_names == ("ape", "cat", "dog")
    assert (data.name, data.condition_size("label")) == (f"folder:{top}", 3)


def test_a_flat_folder_has_no_labels(top):
    data = opened(write(top, {"b.png": COLOUR[0], "a.png": COLOUR[1]}))
    np.testing.assert_array_equal(data.splits["train"].image, COLOUR[[1, 0]])
    assert data.splits["train"].label is None
    assert data.class_names == ()


@pytest.mark.parametrize("other", ["validation", "val", "valid", "Validation"])
def test_split_folders_become_splits_with_one_numbering_of_classes(top, other):
    write(top, {"train/cat/1.png": GREY[0], "train/dog/1.png": GREY[1], "test/dog/1.png": GREY[2]})
    data = opened(write(top, {f"{other}/cat/1.png": GREY[3]}), validation=0.5)
    expected = {"train": [(0, 0), (1, 1)], "test": [(1, 2)], "validation": [(0, 3)]}
    assert found(data) == {
        split: Counter((label, GREY[i].tobytes()) for label, i in rows) for split, rows in expected.items()
    }
    assert data.source("test") == data.source("validation") == "the data set's own"


def test_without_split_folders_a_tenth_is_held_out_for_ever_the_same_and_said(top, tmp_path):
    images = noise(40, (3, 3, 1))[0]
    write(top, {f"{i % 2}/{i:02}.png": image for i, image in enumerate(images)})
    data = opened(top, validation=0.25)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 27, "validation": 9, "test": 4}
    assert sum(found(data).values(), Counter()) == Counter((i % 2, image.tobytes()) for i, image in enumerate(images))
    assert data.source("test") == "held out of the training images by a fixed seed"
    assert found(opened(top, validation=0))["test"] == found(data)["test"]
    indices = np.concatenate([split.index for split in data.splits.values()])
    np.testing.assert_array_equal(np.sort(indices), np.arange(40))


@pytest.mark.parametrize("around", ["", "photos/", "a/b/"])
def test_a_zip_is_its_folder_with_one_folder_around_it_or_none(top, tmp_path, around):
    files = {"cat/1.png": COLOUR[0], "dog/2.png": COLOUR[1], "dog/3.png": COLOUR[2]}
    packed = opened(pack(tmp_path / "p.zip", {around + name: image for name, image in files.items()}))
    plain = opened(write(top, files))
    assert found(packed) == found(plain)
    assert packed.class_names == plain.class_names == ("cat", "dog")
    assert packed.fingerprint == plain.fingerprint


def test_a_zip_reads_the_last_of_two_entries_of_one_name_and_windows_names(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, about the name
        packed = pack(tmp_path / "p.zip", {"cat\\1.png": GREY[0], "dog\\1.png": GREY[1]})
        with zipfile.ZipFile(packed, "a") as archive:
            archive.writestr("dog\\1.png", png(GREY[2]))
    data = opened(packed)
    np.testing.assert_array_equal(data.splits["train"].image, GREY[[0, 2]])
    assert data.class_names == ("cat", "dog")


def test_a_class_may_be_called_train(top):
    data = opened(write(top, {"train/1.png": GREY[0], "plane/1.png": GREY[1]}))
    assert data.class_names == ("plane", "train")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "holds no images; expected files ending in .bmp"),
        (["cat/1.png", "2.png", "3.png"], r"2 images are beside the class folders \(2.png, 3.png\)"),
        (["train/cat/1.png", "test/cow/1.png"], r"the classes \['cow'\] have no folder in train"),
        (["train/1.png", "test/1.png", "more/1.png"], r"\['test', 'train'\] of splits and beside them \['more'\]"),
        (["train/1.png", "test/1.png", "1.png"], r"beside them \['loose images'\]"),
        (["test/1.png"], "beside them no train"),
    ],
)
def test_an_unclear_order_of_folders_is_refused(top, names, words):
    top.mkdir()
    with pytest.raises(ValueError, match=words):
        opened(write(top, {name: GREY[0] for name in names}))


def test_junk_is_passed_over_in_silence_and_other_files_are_counted(top, tmp_path):
    junk = [".DS_Store", "__MACOSX/cat/._1.png", "cat/Thumbs.db", "cat/.hidden.png", ".git/x.png", "desktop.ini"]
    files = {"cat/1.png": GREY[0], "dog/1.png": GREY[1], **{name: b"junk" for name in junk}}
    others = {"README.txt": b"?", "cat/movie.mp4": b"?", "cat/2.txt": b"?", "LICENSE": b"?"}
    for make, path in ((write, top), (pack, tmp_path / "p.zip")):
        lines = []
        assert len(opened(make(path, files), log=lines.append).splits["train"]) == 2
        assert not any("left out" in line for line in lines)
        for name in junk[:3]:
            assert not any(name in line for line in lines)
        lines = []
        more = path.with_name("more-" + path.name)
        opened(make(more, {**files, **others}), log=lines.append)
        assert "left out 4 files that are no images of a known kind (.txt 2," in lines[0]
        assert all(kind in lines[0] for kind in (".mp4 1", "no ending 1"))


def test_links_in_a_folder_are_followed_but_not_in_a_circle(top, tmp_path):
    write(tmp_path / "elsewhere", {"1.png": GREY[0]})
    write(top, {"dog/1.png": GREY[1]})
    (top / "cat").symlink_to(tmp_path / "elsewhere")
    (top / "dog" / "again").symlink_to(top)
    data = opened(top)
    np.testing.assert_array_equal(data.splits["train"].image, GREY[:2])
    assert data.class_names == ("cat", "dog")


def test_a_size_for_what_has_one_is_refused():
    with pytest.raises(
        ValueError, match=r"data.size=8 and data.channels=None are for data.name='folder:PATH' alone; digits"
    ):
        open_named("digits", None, 0, size=8)
    with pytest.raises(ValueError, match="arrays has a size of its own"):
        open_named("folder:x", None, 0, GREY, channels=1)


def test_a_path_that_is_not_there_is_named_and_a_relative_one_starts_at_data_dir(top):
    with pytest.raises(ValueError, match=f"there is no folder or zip {top}"):
        opened(top)
    write(top, {"1.png": GREY[0]})
    assert open_named("folder:photos", str(top.parent), 0).name == "folder:photos"


def test_broken_images_are_named_five_of_them_and_leave_no_cache(top, cache_folder):
    whole = png(COLOUR[0])
    broken = {
        "truncated.png": whole[:-30],
        "no image.png": b"text",
        "empty.png": b"",
        "half.jpg": saved(PIL.Image.fromarray(noise(1, (64, 64, 3))[0][0]), "JPEG")[:400],
    }
    for i in range(3):
        broken[f"z{i}.png"] = b"junk"
    write(top, {"good.png": COLOUR[1], **broken})
    with pytest.raises(ValueError, match="cannot be read") as refusal:
        opened(top, size=6)
    message = str(refusal.value)
    assert "7 image files cannot be read" in message
    assert "and 2 more" in message
    assert all(repr(name) in message for name in sorted(broken)[:5])
    assert "good.png" not in message
    assert list((cache_folder / "decoded").iterdir()) == []


def test_a_floating_point_image_is_refused(top):
    image = saved(PIL.Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
    with pytest.raises(ValueError, match="floating-point numbers of no known range"):
        one(top, image, name="1.tif")
    deep = saved(PIL.Image.fromarray(np.full((2, 2), 70000, np.int32)), "TIFF")
    with pytest.raises(ValueError, match="grey levels run from 70000 to 70000"):
        one(top.parent / "deep", deep, name="1.tif")


def part(kind, content):
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_an_image_that_is_turned_only_at_its_end_is_not_of_the_size_its_head_says(top):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    content = png(COLOUR[0][:2])
    late = content[:-12] + part(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + content[-12:]
    with pytest.raises(ValueError, match=r"'1.png': it decodes to \(6, 2\), not to \(2, 6\) as its head says"):
        one(top, late)


def bomb(width, height):
    """A PNG of some bytes whose head claims so many pixels."""
    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(b"\0" * 100)) + part(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 30_000, 2**31 - 1])
@pytest.mark.parametrize("size", [None, 8])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(top, side, size):
    with pytest.raises(ValueError, match=r"'1.png': .*(decompression bomb|exceeds limit)"):
        one(top, bomb(side, side), size=size)


def test_a_set_too_large_for_the_disk_is_refused_before_it_is_written(top, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * 36 - 1))
    with pytest.raises(ValueError, match=r"decoded, but .*cache has 0.0 GB free.*JAXVAE_CACHE"):
        opened(write(top, {"1.png": GREY[0]}))


@pytest.mark.parametrize("name", ["../out.png", "cat/../../out.png", "/etc/out.png", "\\out.png", "C:/out.png"])
def test_a_zip_whose_names_lead_out_of_it_is_refused_and_nothing_written(tmp_path, name, cache_folder):
    packed = pack(tmp_path / "evil.zip", {"cat/1.png": GREY[0], name: GREY[1]})
    before = sorted(tmp_path.rglob("*.png"))
    with pytest.raises(ValueError, match="leads out of the archive; nothing was read"):
        opened(packed)
    assert sorted(tmp_path.rglob("*.png")) == before
    assert list((cache_folder / "decoded").iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path):
    packed = pack(tmp_path / "p.zip", {"cat/1.png": GREY[0]})
    link = zipfile.ZipInfo("cat/2.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match=r"'cat/2.png', a name or link that leads out"):
        opened(packed)


def test_an_encrypted_zip_is_named(tmp_path):
    packed = pack(tmp_path / "p.zip", {"1.png": GREY[0]})
    content = bytearray(packed.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[central + 8] |= 1
    packed.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"is encrypted \('1.png'\). Unpack it with its password"):
        opened(packed)


def test_a_damaged_zip_and_a_file_that_is_none_are_named(tmp_path):
    packed = pack(tmp_path / "p.zip", {"cat/1.png": GREY[0], "dog/1.png": GREY[1]})
    content = bytearray(packed.read_bytes())
    content[60] ^= 255  # in the data of the first file: its checksum no longer fits
    packed.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"'cat/1.png': .*CRC"):
        opened(packed, size=4)
    (tmp_path / "p.tar").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="is no readable zip"):
        opened(tmp_path / "p.tar")


def test_a_file_far_too_large_for_an_image_is_not_read(top, monkeypatch):
    monkeypatch.setattr(image_folders, "_MOST_BYTES", 10)
    with pytest.raises(ValueError, match=r"'1.png': the file has 0.0 GB"):
        one(top, GREY[0])


def test_a_second_time_nothing_is_decoded(top, tmp_path, monkeypatch):
    for path in (
        write(top, {"a/1.png": COLOUR[0], "b/1.png": COLOUR[1]}),
        pack(tmp_path / "p.zip", {"1.png": GREY[0]}),
    ):
        first, lines = opened(path, log=lambda line: None), []
        with monkeypatch.context() as patch:
            patch.setattr(image_folders, "read_picture", None)
            again = opened(path, log=lines.append)
        assert lines == []
        assert (found(first), first.fingerprint) == (found(again), again.fingerprint)


def test_progress_is_told(top):
    lines = []
    opened(write(top, {"1.png": GREY[0], "2.png": GREY[1]}), log=lines.append)
    assert lines == [f"decoding {top} train: 0 of 2", f"decoding {top} train: 2 of 2"]


def test_changed_files_sizes_and_wishes_are_decoded_anew(top):
    write(top, {"1.png": COLOUR[0], "2.png": COLOUR[1]})
    prints = [opened(top, size=size, channels=c).fingerprint for size, c in ((None, None), (6, None), (6, 1), (3, 1))]
    status = (top / "1.png").stat()
    content = (top / "1.png").read_bytes()
    write(top, {"1.png": COLOUR[2]})
    os.utime(top / "1.png", ns=(status.st_atime_ns, status.st_mtime_ns))  # as an unpacked archive may do
    np.testing.assert_array_equal(stored(top)[0], COLOUR[2])
    prints.append(opened(top).fingerprint)
    assert len(set(prints)) == len(prints)
    (top / "1.png").write_bytes(content)
    assert opened(top).fingerprint == prints[0]


def test_the_fingerprint_knows_labels_and_splits(tmp_path):
    layouts = [("a/1", "b/2"), ("a/1", "a/2", "b/3"), ("b/1", "c/2"), ("1", "2"), ("train/1", "test/2")]
    prints = set()
    for i, names in enumerate(layouts):
        prints.add(opened(write(tmp_path / str(i), {f"{name}.png": GREY[0] for name in names})).fingerprint)
    assert len(prints) == len(layouts)
    copied = opened(write(tmp_path / "copy", {f"{name}.png": GREY[0] for name in layouts[0]}))
    assert copied.fingerprint in prints


@pytest.mark.parametrize("damage", ["train.image.npy", "train.label.npy", "meta.json"])
def test_a_damaged_cache_is_built_again(top, cache_folder, damage):
    data = opened(write(top, {"a/1.png": COLOUR[0], "b/1.png": COLOUR[1]}))
    whole = found(data)
    (kept,) = (cache_folder / "decoded").iterdir()
    os.truncate(kept / damage, 10)
    assert found(opened(top)) == whole
    assert json.loads((kept / "meta.json").read_text())["class_names"] == ["a", "b"]


def test_two_processes_at_once_agree(top, cache_folder):
    write(top, {f"{i % 2}/{i}.png": COLOUR[i] for i in range(8)})
    code = (
        "import sys, time, jaxvae.data.files.image_folder as f; from jaxvae.config import Data\n"
        "from jaxvae.data.sources import open_data\n"
        "one = f._common_size; f._common_size = lambda *a: (time.sleep(0.5), one(*a))[1]\n"  # one builds
        "data = open_data(Data(name='folder:' + sys.argv[1], validation=0))\n"
        "print(data.fingerprint, data.splits['train'].image.sum())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(top)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert said[0] == said[1] == f"{opened(top).fingerprint} {COLOUR.astype(int).sum()}\n"
    assert len(list((cache_folder / "decoded").iterdir())) == 1


def test_the_command_line_reads_a_folder(top, capsys):
    write(top, {"train/cat/1.png": COLOUR[0], "train/dog/1.png": COLOUR[1], "test/cat/1.png": COLOUR[2]})
    assert main(["data", f"folder:{top}", "--size", "4"]) == 0
    out = capsys.readouterr().out
    assert "images of 4 x 4 x 3, fingerprint" in out
    assert "train: 2 images, labels 0 to 1\n" in out
    assert "test: 1 images, labels 0 to 0; the data set's own\n" in out
    assert "classes: cat, dog" in out
    assert main(["data", f"folder:{top}/nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: data.name='folder:")


def test_every_suffix_is_of_a_format_that_is_opened():
    PIL.Image.init()
    known = {suffix for suffix, form in PIL.Image.registered_extensions().items() if form in image_folders.FORMATS}
    assert known >= folder_layout.SUFFIXES
