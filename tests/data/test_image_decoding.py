"""Pixels of images from files: formats, colours, sizes, and what is refused."""

import numpy as np
import PIL.Image
import pytest
from made_sets import noise
from photo_folders import COLOUR, GREY, one, opened, saved, stored, write

from jaxvae.data.files import image_folder as folders

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_give_their_pixels(top, form):
    got = one(top, saved(PIL.Image.fromarray(COLOUR[0]), form), name=f"1.{form.lower()}")
    np.testing.assert_array_equal(got, COLOUR[0])


def test_grey_images_have_one_channel_also_where_they_are_stored_in_colour_and_can_be_asked_for_three(top):
    files = {"1.png": GREY[0], "2.png": np.repeat(GREY[1], 3, axis=-1)}
    np.testing.assert_array_equal(stored(write(top, files)), GREY[:2])
    np.testing.assert_array_equal(stored(top, channels=3), np.repeat(GREY[:2], 3, axis=-1))


def test_one_coloured_image_makes_all_of_three_channels_and_grey_can_be_asked_for(top, monkeypatch):
    monkeypatch.setattr(folders, "_CHUNK", 2)
    write(top, {f"{i}.png": GREY[i] for i in range(1, 6)} | {"0.png": COLOUR[0]})
    np.testing.assert_array_equal(stored(top)[1:], np.repeat(GREY[1:6], 3, axis=-1))
    np.testing.assert_array_equal(stored(top)[0], COLOUR[0])
    luma = COLOUR[0].astype(float) @ (0.299, 0.587, 0.114)
    got = stored(top, channels=1)
    np.testing.assert_array_equal(got[1:], GREY[1:6])
    assert np.abs(got[0, ..., 0] - luma).max() < 0.51


def test_sixteen_bits_keep_their_high_ones_and_white_stays_white(top):
    levels = np.array([[0, 128, 129, 257], [1000, 32768, 65406, 65535]], np.uint16)
    got = one(top, saved(PIL.Image.fromarray(levels)))
    np.testing.assert_array_equal(got[..., 0], np.round(levels / 257).astype(np.uint8))


def test_transparent_pixels_are_laid_over_white(top):
    alpha = np.array([[0, 255, 51]], np.uint8)
    image = np.dstack([np.full((1, 3, 3), (200, 100, 0), np.uint8), alpha])
    expected = np.array([[[255, 255, 255], [200, 100, 0], [244, 224, 204]]])
    assert np.abs(one(top, saved(PIL.Image.fromarray(image))).astype(int) - expected).max() <= 1


def test_a_palette_with_a_transparent_entry(top):
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    np.testing.assert_array_equal(one(top, saved(image, transparency=0)), [[[255, 255, 255], [40, 50, 60]]])


def test_cmyk_and_black_and_white(top):
    cmyk = PIL.Image.new("CMYK", (1, 1), (255, 0, 0, 0))
    np.testing.assert_array_equal(one(top, saved(cmyk, "TIFF"), name="1.tiff"), [[[0, 255, 255]]])
    bits = PIL.Image.new("1", (1, 1), 1)
    np.testing.assert_array_equal(one(top.parent / "bits", saved(bits)), [[[255]]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_camera_is_honoured(top, orientation):
    """The photo of a 2 x 3 scene; the expected turns are those of the EXIF standard, by hand."""
    scene = COLOUR[0][:2, :3]
    held = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.transpose(1, 0, 2),
        6: np.rot90(scene, 1),
        7: scene[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(scene, -1),
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    content = saved(PIL.Image.fromarray(np.ascontiguousarray(held)), exif=exif)
    np.testing.assert_array_equal(one(top, content), scene)
    jpeg = saved(PIL.Image.fromarray(np.ascontiguousarray(held)), "JPEG", exif=exif)
    assert one(top.parent / "jpeg", jpeg, name="1.jpg").shape == (2, 3, 3)


def test_a_size_takes_the_central_square_and_resizes_it_antialiased(top):
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    stripes[:, :16], stripes[:, 80:] = (255, 0, 0), (0, 0, 255)  # beyond the central square
    got = one(top, stripes, size=8).astype(int)
    assert got.shape == (8, 8, 3)
    assert np.abs(got - 127.5).max() < 12  # a stripe's grey, and nothing of the red and blue beside


def test_images_of_all_sizes_come_to_one_and_those_that_have_it_stay(top):
    files = {"1.png": COLOUR[0], "2.png": noise(1, (9, 14, 3))[0][0], "3.png": noise(1, (3, 2, 3))[0][0]}
    got = stored(write(top, files), size=6)
    assert got.shape == (3, 6, 6, 3)
    np.testing.assert_array_equal(got[0], COLOUR[0])


def test_a_large_photo_is_reduced_to_what_it_shows(top):
    ramp = np.broadcast_to(np.linspace(0, 255, 1024)[None, :, None], (1024, 1024, 3)).astype(np.uint8)
    got = one(top, saved(PIL.Image.fromarray(ramp), "JPEG", quality=95), name="1.jpg", size=16).astype(float)
    inner = slice(1, -1)
    expected = (np.arange(16) + 0.5) / 16 * 255
    assert np.abs(got[..., 0] - expected)[:, inner].max() < 1.5


def test_a_jpeg_loses_no_detail_that_its_size_could_show(top):
    blocks = np.kron(GREY[0], np.ones((8, 8, 3), np.uint8))
    jpeg = one(top, saved(PIL.Image.fromarray(blocks), "JPEG", quality=100), name="1.jpg", size=24)
    lossless = one(top.parent / "lossless", blocks, size=24)
    assert np.abs(jpeg.astype(int) - lossless).max() < 6


@pytest.mark.parametrize("turned", [1, 6])
def test_without_a_size_the_sizes_are_named_and_counted(top, turned):
    exif = PIL.Image.Exif()
    exif[0x0112] = turned
    wide = saved(PIL.Image.new("RGB", (9, 4)), "JPEG", exif=exif)
    expected = "4 x 9" if turned == 1 else "9 x 4"
    write(top, {"1.png": COLOUR[0], "2.png": COLOUR[1], "3.jpg": wide})
    words = (
        rf"2 sizes, height x width: 6 x 6 \(2 images\), {expected} \(1 images\)\. Set data\.size, such as data\.size=4"
    )
    with pytest.raises(ValueError, match=words):
        opened(top)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "data.size=0: expected a positive"),
        ({"channels": 4}, r"data.channels=4: expected 1 \(grey\), 3"),
    ],
)
def test_impossible_wishes_are_refused(top, options, words):
    with pytest.raises(ValueError, match=words):
        opened(write(top, {"1.png": GREY[0]}), **options)
