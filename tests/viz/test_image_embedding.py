"""Pictures inside a page: packed to fit, the same to see for as long as possible, and left out in words."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_pages import Page, add_dots, add_figures, read

from jaxvae.viz import report
from jaxvae.viz.report import image_embedding
from jaxvae.viz.report.image_embedding import Picture


def encoded(array, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def noise(side, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), np.uint8)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB"), int)


def drawn(side=300):
    """A picture as charts are: few colours, large areas."""
    y, x = np.mgrid[:side, :side]
    return np.stack([(x // 40 * 30) % 256, (y // 25 * 20) % 256, 0 * x + 200], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("sizes", "room", "cut"), [([3, 5, 7], 20, 7), ([3, 5, 7], 13, 5), ([1, 9, 9], 11, 5), ([4, 4], 0, 0), ([], 5, 0)]
)
def test_the_larger_ones_are_cut_to_one_size(sizes, room, cut):
    assert image_embedding._shared_limit(sizes, room) == cut
    assert sum(min(size, cut) for size in sizes) <= room


def test_what_fits_stays_as_it_is():
    pictures = {Path("a.png"): Picture(encoded(noise(20)), "image/png")}
    assert image_embedding.fit_pictures(pictures, 5000, 5000) == pictures
    assert pictures[Path("a.png")].characters == len(pictures[Path("a.png")].source.partition(",")[2])


def test_what_is_too_large_is_packed_so_that_it_looks_the_same():
    alpha = np.concatenate([drawn(), np.full((300, 300, 1), 255, np.uint8)], -1)
    loose = Picture(encoded(alpha, compress_level=0), "image/png")
    fitted = image_embedding.fit_pictures({Path("a.png"): loose, Path("b.png"): loose}, 50_000, 10**6)
    assert all(each.characters <= 25_000 and not each.remark for each in fitted.values())
    assert all(abs(pixels(each) - pixels(loose)).mean() < image_embedding._MAX_DIFFERENCE for each in fitted.values())


def test_a_photo_does_not_lose_its_shades_to_256_colours():
    y, x = np.mgrid[:120, :120]
    photo = np.stack([2 * x, 2 * y, x + y], -1).astype(np.uint8)
    content, kind = next(image_embedding._same_looking([Image.fromarray(photo)], [0]))
    assert kind == "image/webp"
    np.testing.assert_array_equal(pixels(Picture(content, kind)), photo)
    assert next(image_embedding._same_looking([Image.fromarray(drawn())], [0]))[1] == "image/png"


def test_beyond_the_limit_pictures_lose_detail_or_are_left_out_and_it_is_said(monkeypatch):
    monkeypatch.setattr(image_embedding, "MIN_CHARACTERS", 1000)
    large = {Path(f"{name}.png"): Picture(encoded(noise(120, seed=ord(name))), "image/png") for name in "abc"}
    fitted = image_embedding.fit_pictures(large, 1000, 30_000)
    assert sum(each.characters for each in fitted.values()) <= 30_000
    assert {each.remark for each in fitted.values()} == {f"in less detail than figures/{name}.png" for name in "abc"}
    few = image_embedding.fit_pictures(large, 0, 1500)
    assert 0 < sum(each is None for each in few.values()) < 3
    assert sum(each.characters for each in few.values() if each) <= 1500
    assert set(image_embedding.fit_pictures(large, 0, 0).values()) == {None}


def test_what_is_no_picture_is_left_as_it_is_or_left_out():
    broken = {Path("a.png"): Picture(b"x" * 10**5, "image/png")}
    assert image_embedding.fit_pictures(broken, 0, 10**6) == broken
    assert image_embedding.fit_pictures(broken, 0, 1000) == {Path("a.png"): None}
    assert image_embedding.last_frame(Picture(b"GIF89a", "image/gif")) is None


def test_a_page_is_never_larger_than_it_may_be(workdir, monkeypatch):
    monkeypatch.setattr(image_embedding, "MIN_CHARACTERS", 1000)
    add_dots(workdir, 50, 8)
    for name in ("samples", "curves", "latent_plane", "zebra"):
        (workdir / "figures" / f"{name}.png").write_bytes(encoded(noise(120)))
    whole = len(report.write_report(workdir).read_bytes())
    monkeypatch.setattr(report, "MAX_BYTES", whole - 200_000)
    monkeypatch.setattr(report, "PREFERRED_BYTES", whole - 210_000)
    text = report.write_report(workdir).read_bytes()
    assert whole - 240_000 < len(text) <= whole - 200_000
    assert b"Shown in less detail than figures/" in text
    inside = sum(len(each["src"].partition(",")[2]) for each in Page(text.decode()).every("img"))
    monkeypatch.setattr(report, "MAX_BYTES", len(text) - inside + 1700)
    page = read(workdir)
    assert len((workdir / "report.html").read_bytes()) <= report.MAX_BYTES
    assert "Too large for this page: see figures/" in page.text
    assert 0 < len(page.every("img")) < 4


def frames(*levels):
    first, *rest = [Image.new("L", (6, 6), level) for level in levels]
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=100, loop=0)
    return stream.getvalue()


def test_a_film_is_packed_with_all_its_frames_then_with_fewer_in_the_same_time():
    tiles = [np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8) for i in range(9)]
    rows = [np.kron(tile, np.ones((30, 30), np.uint8)) for tile in tiles]
    first, *rest = [Image.fromarray(row) for row in rows]
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=100, loop=0)
    film = Picture(stream.getvalue(), "image/gif")
    (same,) = image_embedding.fit_pictures({Path("a.gif"): film}, film.characters - 1, 10**6).values()
    assert (same.kind, same.remark) == ("image/webp", "")
    with Image.open(io.BytesIO(same.content)) as image:
        assert image.n_frames == 9
        image.seek(7)
        np.testing.assert_array_equal(np.asarray(image.convert("L")), rows[7])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_embedding, "MIN_CHARACTERS", 100)
        (less,) = image_embedding.fit_pictures({Path("a.gif"): film}, 0, same.characters - 1).values()
    assert less.remark == "in less detail than figures/a.gif"
    with Image.open(io.BytesIO(less.content)) as image:
        assert image.n_frames == 5
        durations = []
        for index in range(5):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
    assert durations == [200, 200, 200, 200, 100]
    assert less.characters < same.characters


def test_a_moving_picture_is_still_until_it_is_played(workdir):
    add_figures(workdir, "training")
    moving = frames(0, 90, 250)
    for name in ("training", "walk"):
        (workdir / "figures" / f"{name}.gif").write_bytes(moving)
    (workdir / "figures" / "broken.gif").write_bytes(b"GIF89a")
    (workdir / "figures" / "samples.svg").write_text("<svg></svg>")
    page = read(workdir)
    kinds = [(each["class"], each["src"].partition(";")[0]) for each in page.every("img")]
    both = [("still", "data:image/png"), ("moving", "data:image/gif")]
    assert kinds == [*both, *both, ("moving", "data:image/gif")]  # the walk, the training, what cannot be read
    assert len(page.every("details")) == 3
    assert all("open" not in each for each in page.every("details"))
    assert page.text.count("PlayStop") == 3
    last = image_embedding.last_frame(Picture(moving, "image/gif"))
    assert abs(pixels(last) - 250).max() <= 2
    assert page.every("img")[0]["src"] == last.source
    assert not page.every("svg") or "samples" not in page.text
