"""Attributes: of drawn shapes as they were drawn; columns part images as they say; a judge knows what it was taught."""

import numpy as np
import pytest
from small import make_split

from jaxvae.data import attributes
from jaxvae.viz.figures import attribute_classifier

SIZE = 28


def stroke(start, end, width, size=SIZE, fine=8):
    """A picture [size, size, 1] of a stroke with round ends between two places (x, y), each pixel the ink's share."""
    at = (np.arange(size * fine) + 0.5) / fine - 0.5
    place = np.stack(np.meshgrid(at, at), -1)
    along = np.subtract(end, start)
    t = np.clip((place - start) @ along / (along @ along), 0, 1)
    inked = np.linalg.norm(place - start - t[..., None] * along, axis=-1) <= width / 2
    return inked.reshape(size, fine, size, fine).mean((1, 3))[..., None]


def ring(x, y, radius, width):
    """A picture of a circle's line."""
    rows, columns = np.indices((SIZE, SIZE))
    return (np.abs(np.hypot(columns - x, rows - y) - radius) <= width / 2).astype(float)[..., None]


@pytest.mark.parametrize("shear", [-0.5, 0.0, 0.3, 1.0])
def test_slant_is_the_angle_by_which_the_ink_leans(shear):
    picture = stroke((13.3 - 8 * shear, 21.5), (13.3 + 8 * shear, 5.5), 0.8)
    assert attributes.slant(picture[None])[0] == pytest.approx(np.degrees(np.arctan(shear)), abs=0.7)


def test_slant_of_a_symmetric_digit_is_none_and_turns_its_sign_in_a_mirror():
    assert attributes.slant(ring(13, 12, 7, 2)[None])[0] == pytest.approx(0, abs=1e-6)
    pictures = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 1)).astype(np.uint8) // 3
    np.testing.assert_allclose(attributes.slant(pictures[:, :, ::-1]), -attributes.slant(pictures), atol=1e-9)


@pytest.mark.parametrize("width", [2.0, 2.5, 3.0, 4.0, 5.0])
def test_thickness_is_the_stroke_s_width_at_every_angle(width):
    angles = np.radians([0, 17, 45, 70, 90, 133])
    arms = 8 * np.stack([np.cos(angles), np.sin(angles)], -1)
    pictures = np.stack([stroke(13.3 - arm, 13.3 + arm, width, fine=4) for arm in arms])
    found = attributes.thickness(pictures)
    np.testing.assert_allclose(found, width, rtol=0.1)  # worst at 45 degrees
    assert np.median(found) == pytest.approx(width, rel=0.03)
    np.testing.assert_allclose(attributes.thickness(0.3 * pictures), attributes.thickness(pictures), rtol=1e-6)


def test_loops_are_holes():
    nought, eight = ring(13, 13, 8, 2), np.maximum(ring(13, 8, 4, 1.5), ring(13, 18, 5, 1.5))
    broken = nought.copy()
    broken[12:15, :10] = 0
    corner = np.zeros((SIZE, SIZE, 1))
    corner[[5, 6, 6, 7], [6, 5, 7, 6]] = 1  # four pixels that touch at corners hold one between them
    edge = nought.copy()
    edge[20:, :] = 0  # cut off below: what was inside is reached from outside
    bar = np.zeros((SIZE, SIZE, 1))
    bar[:, 12:15] = 1  # from border to border: both sides of it are outside
    shapes = [nought, eight, broken, corner, edge, bar, np.zeros((SIZE, SIZE, 1)), stroke((5, 5), (20, 20), 3)]
    assert attributes.loops(np.stack(shapes)).tolist() == [1, 2, 0, 1, 0, 0, 0, 0]


def test_ink_may_be_dark_on_bright():
    bright = np.stack([stroke((8, 20), (18, 6), 3), ring(13, 13, 8, 3)])
    stored = np.uint8(np.round(255 * bright))
    for measure in attributes.GREY_MEASURES.values():
        np.testing.assert_allclose(measure.of(255 - stored), measure.of(stored), rtol=1e-9)
        np.testing.assert_allclose(measure.of(bright), measure.of(stored), rtol=0.01)


def test_colours_have_their_warmth_and_grey_has_no_colour():
    red, blue, grey = (np.broadcast_to(np.array(rgb, float), (1, 6, 6, 3)) for rgb in ([1, 0, 0], [0, 0, 1], [0.4] * 3))
    assert [attributes.warmth(each)[0] for each in (red, blue, grey)] == [1, -1, 0]
    assert attributes.colourfulness(grey)[0] == 0
    assert attributes.colourfulness(red)[0] == pytest.approx(0.3 * np.hypot(1, 0.5))
    both = np.concatenate([red, blue], axis=1)  # rg is 1 or 0, yb 1/2 or -1: deviations 1/2 and 3/4
    expected = np.hypot(0.5, 0.75) + 0.3 * np.hypot(0.5, -0.25)
    assert attributes.colourfulness(both)[0] == pytest.approx(expected)
    assert attributes.brightness(both)[0] == pytest.approx(1 / 3)
    assert next(iter(attributes.measures((6, 6, 3)))) == "warmth"
    assert next(iter(attributes.measures((8, 8, 1)))) == "slant"
    assert attributes.measures((20, 1)) == {}


def test_numbers_part_at_their_quarters_and_two_values_as_they_are():
    few = attributes.split_by_attribute(np.array([-1.0, 1, 1, -1, 1]))
    assert few.has.tolist() == [False, True, True, False, True]
    assert few.lacks.tolist() == [True, False, False, True, False]
    assert few.threshold == 0
    many = attributes.split_by_attribute(np.arange(100.0))
    assert np.flatnonzero(many.has).tolist() == list(range(74, 100))
    assert np.flatnonzero(many.lacks).tolist() == list(range(25))
    assert many.threshold == 49


@pytest.mark.parametrize(
    ("values", "lacks", "has"),
    [
        ([0] * 8 + [1, 2], 8, 2),  # hardly any loops
        ([2] * 8 + [0, 1], 2, 8),
        ([0, 0, 0, 1, 1, 2], 3, 3),
    ],
)
def test_ties_stay_together(values, lacks, has):
    found = attributes.split_by_attribute(np.array(values, float))
    assert (found.lacks.sum(), found.has.sum()) == (lacks, has)
    assert not (found.has & found.lacks).any()
    assert np.array_equal(np.array(values) > found.threshold, found.has)


def test_an_attribute_that_all_have_alike_is_refused():
    with pytest.raises(ValueError, match="all images have the value 3"):
        attributes.split_by_attribute(np.full(5, 3.0))


def test_labels_are_columns_by_name():
    label = np.array([0, 2, 1, 2])
    found = attributes.class_columns(label, ("cat", "dog", "ship"))
    assert found["label=ship"].tolist() == [0, 1, 0, 1]
    assert list(attributes.class_columns(label, ())) == ["label=0", "label=1", "label=2"]
    assert attributes.class_columns(np.full(3, -1), ()) == attributes.class_columns(np.zeros((3, 2)), ()) == {}
    names = ("cat", "dog", "ship")
    assert [attributes.named_class_column(f"label={k}", names) for k in ("2", "cat", "7")] == [
        "label=ship",
        "label=cat",
        "label=7",
    ]
    assert attributes.named_class_column("label=1", ("1", "0")) == "label=1"


@pytest.fixture
def splits():
    """12 stored training images, of which 3 were held out, and 5 test images."""
    train, test = make_split(12), make_split(5)
    held = train.__class__(train.image, train.label, np.array([1, 5, 7]), 0)
    rest = train.__class__(train.image, train.label, np.setdiff1d(np.arange(12), held.rows), 0)
    return {"train": rest, "validation": held, "test": test.__class__(test.image, test.label, np.arange(5), 12)}


def test_a_csv_belongs_to_the_stored_images(tmp_path, splits):
    path = tmp_path / "mine.csv"
    path.write_text("file, glasses,age\n" + "".join(f"{k}.png,{k % 2},{k / 2}\n" for k in range(17)))
    found = attributes.read_columns(path, splits, "test")
    assert list(found.columns) == ["glasses", "age"]  # names of files are no numbers
    assert found.of(splits["test"].index)["age"].tolist() == [6, 6.5, 7, 7.5, 8]
    assert found.of(splits["validation"].index)["age"].tolist() == [0.5, 2.5, 3.5]
    assert found.covers(splits["train"])


def test_an_npz_may_be_of_one_split_s_images(tmp_path, splits):
    np.savez(tmp_path / "mine.npz", smile=np.arange(5) % 2 == 1)
    found = attributes.read_columns(tmp_path / "mine.npz", splits, "test")
    assert found.of(splits["test"].index)["smile"].tolist() == [0, 1, 0, 1, 0]
    assert not found.covers(splits["train"])
    with pytest.raises(ValueError, match=r"has 5 rows; expected .* 17 stored images, .* each of the 12 of which"):
        attributes.read_columns(tmp_path / "mine.npz", splits, "validation")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "image 1 has 1 cells for 2 columns"),
        ("a,a\n1,2\n", "two columns have one name"),
        ("a\n1\nyes\n", "'a' of image 1 is 'yes'; expected a number"),
        ("a\n1\nnan\n", "'a' of image 1 is nan; expected a finite number"),
        ("", "cannot be read"),
        ("a\nx\n", "no numbers"),
        ("a\n1\n2\n", "has 2 rows; expected one for each of the 17"),
    ],
)
def test_columns_that_cannot_be_are_refused_in_words(tmp_path, splits, text, message):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        attributes.read_columns(tmp_path / "mine.csv", splits, "test")


def test_other_files_are_refused_in_words(tmp_path, splits):
    np.savez(tmp_path / "a.npz", wide=np.zeros((17, 2)))
    np.savez(tmp_path / "b.npz", objects=np.array([{}] * 17))
    (tmp_path / "c.npz").write_text("no zip")
    np.savez(tmp_path / "e.npz", words=np.array(["yes"] * 17))
    for name, message in {
        "a.npz": "shaped .17, 2.",
        "e.npz": "'words' is <U3 shaped .17.; expected numbers",
        "b.npz": "cannot be read",
        "c.npz": "cannot be read",
    }.items():
        with pytest.raises(ValueError, match=message):
            attributes.read_columns(tmp_path / name, splits, "test")
    with pytest.raises(ValueError, match=r"expected a \.csv file"):
        attributes.read_columns(tmp_path / "d.txt", splits, "test")


def test_a_judge_tells_what_it_was_taught_and_says_how_well():
    random = np.random.default_rng(0)
    images = random.uniform(0, 0.4, (600, 8, 8, 1))
    left, noise = random.uniform(size=(2, 600)) < [[0.5], [0.2]]
    images[left, :, :3] += 0.6
    has = {"left": left, "noise": noise}
    parts = [{name: each[part] for name, each in has.items()} for part in (slice(400), slice(400, None))]
    found = attribute_classifier.train_classifier(images[:400], parts[0], images[400:], parts[1])
    assert found.accuracy[0] == 1
    assert found.always == pytest.approx([max(left[400:].mean(), 1 - left[400:].mean()), 1 - noise[400:].mean()])
    np.testing.assert_array_equal(found.probabilities(images[400:])[:, 0] > 0.5, left[400:])
    alone = attribute_classifier.train_classifier(
        images[:150], {"left": left[:150]}, images[400:], {"left": left[400:]}
    )
    assert alone.accuracy.shape == (1,)
    assert alone.accuracy[0] > 0.95


def test_large_pictures_are_averaged_over_squares():
    image = np.arange(40 * 33 * 3.0).reshape(1, 40, 33, 3)
    seen = attribute_classifier._features(image)
    assert seen.shape == (1, 20 * 16 * 3)
    np.testing.assert_allclose(seen.reshape(20, 16, 3)[3, 5], image[0, 6:8, 10:12].mean((0, 1)))


def test_the_band_of_a_share_is_wilson_s_and_shifts_are_paired():
    low, high = attribute_classifier.wilson_interval(np.array([0, 5, 10]), 10)
    np.testing.assert_allclose(low, [0, 0.2366, 0.7225], atol=1e-3)  # Wilson's interval at 95%, Newcombe 1998, table I
    np.testing.assert_allclose(high, [0.2775, 0.7634, 1], atol=1e-3)
    before = np.random.default_rng(0).normal(size=(50, 2))
    mean, error = attribute_classifier.paired_change(before, before + np.array([1.0, -2.0]))
    np.testing.assert_allclose(mean, [1, -2])
    np.testing.assert_allclose(error, 0, atol=1e-9)
    assert attribute_classifier.paired_change(np.zeros(4), np.array([1.0, -1, 1, -1]))[1] == pytest.approx(
        np.sqrt(4 / 3) / 2
    )
