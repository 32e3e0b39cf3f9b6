"""What attribute and arithmetic show: right where the decoder is known, of images that the direction never saw."""

import dataclasses
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from looked_at import make_subject

from jaxvae.cli import commands, main
from jaxvae.data.dataset import Split
from jaxvae.rundir.run import Run
from jaxvae.viz.figures import arithmetic, attributes, labelled_codes
from jaxvae.viz.figures.labelled_codes import LabelledCodes
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.plots import style


class Told:
    """A judge that finds whatever is brighter than a half bright, and the class 'b' more likely the brighter it is."""

    names = ("brightness", "label=a", "label=b")
    accuracy = always = np.ones(3)

    def probabilities(self, images):
        level = images.mean((1, 2, 3))
        return np.stack([(level > 0.5) * 1.0, 1 - level, level], 1)


def linear(found, z):
    """A decoder of even pictures as bright as half a z's first number."""
    return np.broadcast_to(z[..., :1, None, None] / 2, (*z.shape[:-1], 4, 4, 1))


def made_known(subject, codes):
    """What is known of as many images as there are codes [N, Z], decoded by `linear`."""
    images = linear(None, codes)
    names = {"brightness": images.mean((1, 2, 3)), "label=a": codes[:, 0] < 1.0, "label=b": codes[:, 0] >= 1.0}
    return LabelledCodes(subject, np.arange(len(codes)), images, codes, {k: v * 1.0 for k, v in names.items()}, None)


@pytest.fixture(scope="module")
def subject():
    return make_subject()


@pytest.fixture
def straight(subject):
    """(learned, held) of a decoder that is linear."""
    codes = np.random.default_rng(0).uniform(0.5, 1.5, (2, 200, 2)).astype(np.float32)
    with mock.patch.object(LabelledCodes, "decode", linear):
        yield made_known(subject, codes[0]), made_known(subject, codes[1])


def test_the_judgement_is_what_a_linear_decoder_makes_of_the_direction(straight):
    learned, held = straight
    direction, strengths = np.array([0.2, 5.0], np.float32), np.array([-1, 0, 1, 2], np.float32)
    found = attributes.compute_change(Told(), learned, held, "brightness", direction, strengths)
    z = held.codes[:, 0]
    share = [(z + 0.2 * s > 1).mean() for s in strengths]
    np.testing.assert_allclose(found.appears, share)
    threshold = learned.thresholds()["brightness"]
    np.testing.assert_allclose(found.measured_appears, [((z + 0.2 * s) / 2 > threshold).mean() for s in strengths])
    assert found.had == found.measured_appears[1]
    assert found.judged_at == 1
    at = list(found.measured_names).index("brightness")
    deviation = learned.columns["brightness"].std()
    np.testing.assert_allclose(found.measured_shift[:, at], [0.1 / deviation, 0], atol=1e-5)
    np.testing.assert_allclose(found.judged_shift[0, 1:], [-0.1, 0.1], atol=1e-6)
    np.testing.assert_allclose(found.class_changed, [np.mean((z > 1) != (z + 0.2 * s > 1)) for s in strengths])


def test_both_methods_find_what_the_code_tells_and_keeping_leaves_it(straight):
    learned, held = straight
    learned.columns["tilt"] = learned.codes @ np.array([1.0, 1.0])
    for method in ("means", "probe"):
        direction = np.asarray(attributes.find_direction(learned, "brightness", method))
        assert direction[0] == pytest.approx(0.75, abs=0.05)  # the quarters' means lie 3/4 of the range apart
        assert abs(direction[1]) < 0.2
        kept = np.asarray(attributes.find_direction(learned, "brightness", method, ["tilt"]))
        assert abs(kept.sum()) < 0.03
        assert kept[0] > 0.3
    right, larger = attributes.probe_accuracy(learned, held, "brightness")
    assert right > 0.98
    assert 0.5 <= larger < 0.6
    with pytest.raises(ValueError, match="names 2 attributes, but z has 2 dimensions"):
        attributes.find_direction(learned, "brightness", "means", ["tilt", "label=a"])
    learned.columns["rare"] = (np.arange(200) < 9) * 1.0
    with pytest.raises(ValueError, match=r"of 200 test images 9 have it and 191 have not; .* See --examples"):
        learned.groups("rare")
    with pytest.raises(ValueError, match="nothing of 'brightness' is left when brightness shall not change"):
        attributes.find_direction(learned, "brightness", "probe", ["brightness"])


def test_images_without_the_attribute_are_shown_first_and_every_class_of_them(straight):
    _, held = straight
    held.columns["label=a"], held.columns["label=b"] = (np.arange(200) % 2 == k for k in (0, 1))
    shown = attributes.choose_images(held, "brightness", 0.5, 6)
    assert (shown.columns["brightness"] <= 0.5).all()
    assert shown.columns["label=a"].sum() == 3
    assert len(attributes.choose_images(held, "brightness", 0.251, 200).positions) == 200


def test_a_column_may_not_hide_what_is_known(subject, tmp_path):
    np.savez(tmp_path / "mine.npz", slant=np.zeros(90))
    with pytest.raises(ValueError, match="slant is known already; give it another name"):
        labelled_codes.split_codes(subject, tmp_path / "mine.npz", 100, 100)
    np.savez(tmp_path / "mine.npz", mine=np.arange(30.0) % 2)  # of the test images alone: half of them teach
    learned, held = labelled_codes.split_codes(subject, tmp_path / "mine.npz", 100, 100)
    assert (learned.subject.name, len(learned.positions), len(held.positions)) == ("test", 15, 15)
    assert next(iter(learned.columns)) == labelled_codes.default_attribute(learned) == "mine"
    np.testing.assert_array_equal(held.columns["mine"], held.positions % 2)


def compute(subject, name="brightness", **options):
    return attributes.compute_attribute(subject, name, **{"n": 3, "strengths": [2.0]} | options)


def test_strength_nought_is_the_image_s_own_code_and_others_lie_along_the_direction(subject, tmp_path):
    shown = compute(subject, images=[4, 9])
    attributes.plot_attribute(tmp_path / "a.png", shown)
    assert shown.images.shape == (2, 2, 4, 4, 1)
    assert shown.strengths.tolist() == [0, 2]
    codes = subject.means_of(np.array([4, 9]))
    np.testing.assert_allclose(shown.images[:, 0], subject.decode(codes), atol=1e-6)
    np.testing.assert_allclose(shown.images[:, 1], subject.decode(codes + 2 * shown.direction), atol=1e-6)
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg"}


def test_a_direction_is_of_training_images_alone(subject):
    test = subject.data.splits["test"]
    changed = Split(255 - test.image, test.label, test.rows, test.offset)
    data = dataclasses.replace(subject.data, splits={**subject.data.splits, "test": changed})
    one, other = (compute(each) for each in (subject, dataclasses.replace(subject, data=data)))
    np.testing.assert_array_equal(one.direction, other.direction)
    assert np.abs(one.originals - other.originals).max() > 0.1
    learned, held = labelled_codes.split_codes(dataclasses.replace(subject, name="train"), None, 1000, 1000)
    assert not set(learned.positions) & set(held.positions)  # of one split, two halves


def test_codes_of_a_sphere_stay_on_it():
    subject = make_subject(posterior="vmf", prior="sphere", latent_dim=3)
    learned, _ = labelled_codes.split_codes(subject, None, 30, 5)
    with mock.patch.object(Subject, "decode", lambda self, z, condition: z):
        np.testing.assert_allclose(np.linalg.norm(learned.decode(3 * learned.codes), axis=-1), 1, rtol=1e-5)


def test_a_conditional_model_is_given_each_image_s_label():
    subject = make_subject(condition="label")
    learned, _ = labelled_codes.split_codes(subject, None, 30, 5)
    with mock.patch.object(Run, "decode", autospec=True, side_effect=Run.decode) as decode:
        learned.decode(np.stack([learned.codes] * 2))
    np.testing.assert_array_equal(decode.call_args.args[2], np.tile(learned.condition, 2))


def test_a_sum_s_result_is_a_minus_b_plus_c(subject):
    with mock.patch.object(arithmetic, "FEWEST", 2):
        shown = arithmetic.compute_arithmetic(subject, "3", "label=1,not:brightness", "label=2")
    a, b, c, result = shown.codes
    np.testing.assert_allclose(result, a - b + c, atol=1e-6)
    np.testing.assert_allclose(a, subject.means_of(np.array([3]))[0], atol=1e-6)
    learned, _ = labelled_codes.split_codes(subject, None, 1000, 1)
    dark = learned.columns["label=1"] * learned.groups("brightness").lacks > 0
    np.testing.assert_allclose(b, learned.codes[dark].mean(0), atol=1e-5)
    distances = np.linalg.norm(learned.codes - result, axis=1)
    np.testing.assert_array_equal(shown.nearest, learned.positions[np.argsort(distances)[:6]])
    np.testing.assert_allclose(shown.images, subject.decode(shown.codes), atol=1e-6)


def test_terms_of_a_conditional_model_are_decoded_on_their_own_labels():
    subject = make_subject(condition="label")
    learned, _ = labelled_codes.split_codes(subject, None, 1000, 1)
    assert [arithmetic.read_term(learned, subject, f"label={k}").condition for k in range(3)] == [0, 1, 2]
    label = subject.examples([4]).label[0]
    assert arithmetic.read_term(learned, subject, "4").condition == label


def test_what_is_summed_by_default_is_there(subject):
    learned, held = labelled_codes.split_codes(subject, None, 1000, 10)
    with mock.patch.object(arithmetic, "FEWEST", 2):
        a, b, c = arithmetic.default_terms(learned, held)
        assert (a.split(",")[0], a.split(",")[1]) == (b.split(",")[0], "slant")
        assert b.split(",")[1] == c.split(",")[1] == "not:slant"
        assert c.split(",")[0] != a.split(",")[0]
    assert arithmetic.default_terms(learned, held)[:2] == ("slant", "not:slant")
    colour = labelled_codes.split_codes(make_subject((4, 4, 3), "gaussian(0.3)"), None, 1000, 10)
    with mock.patch.object(arithmetic, "FEWEST", 2):
        assert arithmetic.default_terms(*colour)[:2] == ("warmth", "not:warmth")
    sequences = labelled_codes.split_codes(make_subject((12, 1)), None, 1000, 10)
    assert arithmetic.default_terms(*sequences) == ("label=0", "label=1", "label=2")


def test_the_frame_stands_at_strength_nought_and_the_attribute_s_own_bar_is_first(tmp_path, monkeypatch):
    figures = []
    drawing = style.Figure.savefig
    monkeypatch.setattr(
        style.Figure, "savefig", lambda self, *args, **kw: figures.append(self) or drawing(self, *args, **kw)
    )
    strengths, images = np.array([-1.0, 0, 3, 4]), np.random.default_rng(0).uniform(size=(2, 4, 5, 6, 3))
    change = {"appears": np.full(4, 0.5), "appears_band": np.array([[0.4], [0.6]]).repeat(4, 1), "had": 0.2}
    change |= {"judged_names": ["a", "b", "label=cat"], "judged_shift": [[-0.3, 0.1, 0.2], [0.01, 0.02, 0.03]]}
    change |= {"judged_at": 3.0, "measured_names": [], "measured_shift": np.empty((2, 0)), "measured_appears": None}
    shown = {"images": images, "originals": images[:, 0] / 2, "strengths": strengths, "attribute": "b", "keep": ["a"]}
    shown |= {"method": "probe", "change": SimpleNamespace(**change)}
    attributes.plot_attribute(tmp_path / "a.png", SimpleNamespace(**shown))
    gallery, curve, bars = figures[0].axes
    (frame,) = gallery.patches
    ticks = dict(zip([tick.get_text() for tick in gallery.get_xticklabels()], gallery.get_xticks(), strict=True))
    assert list(ticks) == ["image", "−1", "0", "+3", "+4"]
    assert frame.get_x() + frame.get_width() / 2 == pytest.approx(ticks["0"])
    picture = gallery.images[0].get_array()
    for name, image in {"image": images[0, 0] / 2, "0": images[0, 1], "+4": images[0, 3]}.items():
        left = ticks[name] - frame.get_width() / 2 + 2  # in the image's first column of pixels
        np.testing.assert_allclose(picture[1, round(left + 1)], image[0, 0], atol=1e-6)
    assert [tick.get_text() for tick in bars.get_yticklabels()] == ["b", "a", "cat"]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([10, -30, 20])
    assert curve.lines[1].get_ydata().tolist() == [50] * 4


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    shown = SimpleNamespace(images=np.zeros((2, 3, 4, 4, 1)), originals=np.zeros((2, 4, 4, 1)), strengths=np.zeros(2))
    with pytest.raises(ValueError, match="2 strengths for 3 moves of an image"):
        attributes.plot_attribute(tmp_path / "a.png", shown)
    beside = [np.zeros((1, 4, 4, 1))] * 4
    sum_ = SimpleNamespace(images=np.zeros((3, 4, 4, 1)), names="abcd", values="abcd", beside=beside, notes="abcd")
    with pytest.raises(ValueError, match="3 images, 4 names, 4 rows; expected 4 each"):
        arithmetic.plot_arithmetic(tmp_path / "a.png", sum_)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("attribute RUN --attribute glasses", "no attribute 'glasses'; known are slant, thickness, loops, brightness"),
        ("attribute RUN --strengths inf", "expected at most 20 numbers between -100 and 100"),
        ("attribute RUN --images 360", "the test images are numbered from 0 to 359"),
        ("attribute RUN --columns RUN/config.json", "expected a .csv file with a header"),
        ("arithmetic RUN --a 3 --b 4", "--c missing: a - b + c has three terms"),
        ("arithmetic RUN --a 3 --b 4 --c label=1,label=2", "0 of 1,293 train images have it all"),
    ],
)
def test_what_cannot_be_is_refused_by_one_message(argv, words, digits_run, capsys):
    assert main(argv.replace("RUN", str(digits_run)).split()) == 2
    assert words in capsys.readouterr().err


def test_the_verbs_say_what_the_judge_says_and_write_it(digits_run, tmp_path, capsys, monkeypatch):
    columns = tmp_path / "mine.csv"
    label = np.concatenate([make_label(digits_run, name) for name in ("train", "test")])
    columns.write_text("name,odd\n" + "".join(f"{k}.png,{value % 2}\n" for k, value in enumerate(label)))
    monkeypatch.setattr(attributes, "JUDGED", 40)
    monkeypatch.setattr(attributes, "TRAINED", 400)
    assert main(["attribute", str(digits_run), "--n", "2", "--columns", str(columns), "--strengths", "-1", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("odd: 1 against 0")
    with np.load(digits_run / "explored" / "attribute.npz") as arrays:
        assert arrays["attribute"] == "odd"
        assert arrays["images"].shape == (2, 3, 8, 8, 1)
        assert arrays["judge_accuracy"][list(arrays["judged_names"]).index("odd")] > 0.7
    assert main(["arithmetic", str(digits_run), "--out", str(tmp_path / "sum.png")]) == 0
    assert capsys.readouterr().out.splitlines()[4].startswith("=               the result")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv", "sum.png", "sum.svg", "sum.npz"}


def make_label(run, name):
    """The labels of the stored images of a split."""
    from jaxvae.cli.open_run import set_up_run
    from jaxvae.rundir.run_directory import RunDirectory

    return set_up_run(RunDirectory(run).config, None).data.splits[name].label


def test_a_direction_that_adds_nothing_and_a_sum_that_loses_its_class_are_said_to():
    change = {"judged_names": ["odd"], "judge_accuracy": [0.6], "judge_always": [0.5], "judged": 9, "had": 0.5}
    change |= {"appears": np.array([0.4, 0.4]), "appears_band": np.array([[0.3, 0.3], [0.5, 0.5]]), "judged_at": 1.0}
    change |= {"class_changed": np.zeros(2), "measured_shift": np.zeros((2, 0)), "measured_names": []}
    shown = {"attribute": "odd", "groups": "1 against 0", "readable": np.array([0.5, 0.5]), "strengths": [0.0, 1.0]}
    for shift, said in ((0.01, True), (0.5, False)):
        changed = SimpleNamespace(**change, judged_shift=np.array([[shift], [0.02]]), measured_appears=None)
        lines = "\n".join(commands.attribute.describe(SimpleNamespace(**shown, change=changed)))
        assert ("does NOT add odd" in lines) == said
    names = ["label=1,\nslant", "label=1,\nnot:slant", "label=9,\nnot:slant", "the result"]
    classes = {"judged_names": ["label=1", "label=9"], "measured": np.zeros((0, 4)), "measured_names": []}
    for result, said in ((0, True), (1, False)):
        told = np.eye(2)[[0, 0, 1, result]]
        lines = commands.arithmetic.describe(SimpleNamespace(names=names, judged=told, **classes))
        assert ("did NOT keep" in "\n".join(lines)) == said
    other = {"names": ["label=1", "label=9", "label=1", "the result"], "judged": np.eye(2)[[0, 1, 0, 1]], **classes}
    assert "did NOT keep" not in "\n".join(commands.arithmetic.describe(SimpleNamespace(**other)))
