"""Archives and images that are far more than they seem: refused in words before a disk or the memory fills."""

import bz2
import io
import struct
import tracemalloc
import zipfile
import zlib
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from made_sets import noise, png
from opened_data import open_named
from photo_folders import one, opened, pack, saved, write

from jaxvae.data import cache
from jaxvae.data.files import numpy_files

IMAGES, LABELS = noise(6, (5, 4, 3))
MOST = 20e6  # bytes: what a refusal may take; the bombs hold from 64 MB to exabytes


pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture(autouse=True)
def nothing_left(cache_folder):
    """No test here leaves anything large in the cache."""
    yield
    assert sum(path.stat().st_size for path in cache_folder.rglob("*") if path.is_file()) < 1e6


def head(shape, descr="|u1"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def npz(path, method=zipfile.ZIP_DEFLATED, **members):
    """A .npz of members as they are given, and how many MB of zeros follow."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, (content, megabytes) in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(content)
                for _ in range(megabytes):
                    member.write(bytes(2**20))
    return path


def refused(path, words):
    tracemalloc.start()
    with pytest.raises(ValueError, match=words):
        open_named(f"{path.suffix[1:]}:{path}", None, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST, f"{peak / 1e6:.0f} MB"


WHOLE = (head(IMAGES.shape) + IMAGES.tobytes(), 0)


@pytest.mark.parametrize("key", ["images", "labels"])
def test_a_stream_far_longer_than_its_head_is_not_read(key, tmp_path):
    """60 kB packed, 64 MB unpacked, 360 bytes by the head."""
    content = head(IMAGES.shape) + IMAGES.tobytes() if key == "images" else head((6,)) + bytes(6)
    refused(npz(tmp_path / "a.npz", **{"images": WHOLE, key: (content, 64)}), f"'{key}' is damaged: its head says")


def test_labels_of_gigabytes_are_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_files, "_MOST_LABELS", 2**20)
    refused(npz(tmp_path / "a.npz", images=WHOLE, labels=(head((6, 2**18), "<f4"), 6)), "at most 0.0 GB together")
    monkeypatch.undo()
    refused(
        npz(tmp_path / "b.npz", images=WHOLE, labels=(head((2**26,)), 64)), r"6 images but labels shaped \[67108864\]"
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_would_be_unpacked_without_a_limit_is_refused(method, tmp_path):
    refused(npz(tmp_path / "a.npz", method, images=WHOLE), "packed by method .*; expected stored or deflated")
    with zipfile.ZipFile(tmp_path / "p.zip", "w", method) as archive:
        archive.writestr("1.png", png(IMAGES[0]))
    with pytest.raises(ValueError, match=r"packed by method .*; expected stored or deflated"):
        opened(tmp_path / "p.zip")


def test_why_it_is_refused():
    """A kilobyte of bzip2 makes a gigabyte in one step."""
    packer = bz2.BZ2Compressor()
    size = sum(len(packer.compress(bytes(2**20))) for _ in range(16)) + len(packer.flush())
    assert 16 * 2**20 / size > 100_000


SHAPES = [(10**18, 4, 4, 1), (2**62, 4, 2, 1), (2**63, 2**63, 1, 2**63), (-5, 4, 4, 1), (-5, -4, 4, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key", ["images", "labels"])
def test_absurd_shapes_are_refused(shape, key, tmp_path):
    refused(npz(tmp_path / "a.npz", **{"images": WHOLE, key: (head(shape), 0)}), "its size differs|which no array has")
    if key == "images":
        (tmp_path / "a.npy").write_bytes(head(shape) + bytes(100))
        refused(tmp_path / "a.npy", "its size differs|which no array has")


@pytest.mark.parametrize(
    "text", ["((((" * 300, "{'shape': __import__('os')}", "\0" * 100, "{'descr': '|u1', 'shape': (1e9,)}", "9" * 9000]
)
def test_heads_of_nonsense_are_refused(text, tmp_path):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")
    refused(npz(tmp_path / "a.npz", images=(content, 0)), "its head is none of a .npy file")
    (tmp_path / "a.npy").write_bytes(content)
    refused(tmp_path / "a.npy", "its head is none of a .npy file")


def test_a_member_whose_declared_size_lies_is_read_no_further(tmp_path):
    path = pack(tmp_path / "a.npz", {"images.npy": WHOLE[0] + bytes(10**6)})
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", len(WHOLE[0]))
    path.write_bytes(content)
    refused(path, "no readable .npz|its size differs")
    packed = pack(tmp_path / "p.zip", {"1.png": png(IMAGES[0]) + bytes(10**6)})
    content = bytearray(packed.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 40)
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=r"'1\.png'"):
        opened(packed, size=4)


def test_a_set_that_unpacks_to_more_than_the_disk_has_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: SimpleNamespace(free=60 * 2**20))
    refused(npz(tmp_path / "a.npz", images=(head((64, 1024, 1024)), 64)), "GB decoded, but .* GB free")


# images


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(kind, content):
    """A PNG with such a chunk after its head."""
    whole = png(IMAGES[0])
    return whole[:33] + chunk(kind, content) + whole[33:]


def test_a_small_png_of_60000_by_60000_pixels_is_refused(tmp_path):
    packer, row = zlib.compressobj(9), bytes(60_001)
    data = b"".join(packer.compress(row) for _ in range(600)) + packer.flush()
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    with pytest.raises(ValueError, match=r"'1\.png': .*decompression bomb"):
        one(tmp_path / "top", picture + chunk(b"IDAT", data) + chunk(b"IEND", b""), size=8)


@pytest.mark.parametrize(
    "extra",
    [
        with_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8))),
        with_chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(10**8))),
        with_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**8))),
        with_chunk(b"eXIf", b"MM\0\x2a\0\0\0\x08\xff\xff" + bytes(10**4)),
        with_chunk(b"tEXt", b"k\0" + bytes(2 * 10**6)),
    ],
    ids=["zTXt", "iTXt", "iCCP", "EXIF", "tEXt"],
)
def test_bombs_beside_the_pixels_are_refused_or_left(extra, tmp_path):
    try:
        pixels = one(tmp_path / "top", extra, size=4)
    except ValueError as error:
        words = str(error)
    else:
        assert pixels.shape == (4, 4, 3)
        words = "'1.png'"
    assert "'1.png'" in words


def test_of_animations_and_files_of_many_pages_the_first_picture_is_read(tmp_path):
    first, second = (PIL.Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 255, 0)))
    for form, name in (("GIF", "1.gif"), ("TIFF", "1.tif"), ("WEBP", "1.webp"), ("PNG", "1.png")):
        several = saved(first, form, save_all=True, append_images=[second] * 50)
        pixels = one(tmp_path / form, several, name=name)
        assert pixels.shape == (4, 4, 3)
        assert pixels[..., 0].min() > 200
        assert pixels[..., 1].max() < 60


def test_a_zip_of_many_entries_costs_little_each(tmp_path):
    """Its memory is bounded by the archive's own size, some 80 bytes an entry."""
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for i in range(2000):
            archive.writestr(f"{i}.txt", b"")
    with pytest.raises(ValueError, match="holds no images"):
        opened(tmp_path / "p.zip")


def test_nothing_is_written_outside_the_cache_by_names_of_any_kind(tmp_path):
    top = write(tmp_path / "in", {"1.png": png(IMAGES[0])})
    for name in ("../1.png", "..\\1.png", "a/../../1.png", "/1.png", "C:\\1.png", "c:1.png", "\\\\host\\share\\1.png"):
        with pytest.raises(ValueError, match="leads out of the archive"):
            opened(pack(tmp_path / "p.zip", {"a/2.png": png(IMAGES[0]), name: png(IMAGES[1])}))
    for name in ("a/CON.png", "a/1.PNG", "A/1.png", "a/\u202egnp.png", "a/1.png\0.txt"):
        opened(pack(tmp_path / "q.zip", {"a/0.png": png(IMAGES[0]), name: png(IMAGES[1])}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "in", "p.zip", "q.zip"]
    assert sorted(path.name for path in top.iterdir()) == ["1.png"]
