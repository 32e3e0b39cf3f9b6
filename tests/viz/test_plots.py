"""Figures: pixels land where they should, orders and limits are right, and odd input still gives a whole file."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from jaxvae.viz import plots
from jaxvae.viz.figures.reconstructions import ReconstructionData, plot_reconstructions
from jaxvae.viz.plots import curves, image_grid, style


def random_images(*shape):
    return np.random.default_rng(0).uniform(size=shape)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def contains(page, picture):
    """Whether the page [H,W,3] shows picture [h,w,3] exactly, somewhere."""
    height, width = picture.shape[:2]
    corners = np.argwhere((np.abs(page - picture[0, 0]) < 0.005).all(-1))
    windows = (page[top : top + height, left : left + width] for top, left in corners)
    return any(w.shape == picture.shape and np.abs(w - picture).max() < 0.005 for w in windows)


def reconstructed(*counts):
    """Returns black originals, reconstructions and corrupted images, or None, of these numbers."""
    x, again, corrupted = (None if count is None else np.zeros((count, 8, 8, 1)) for count in (*counts, None)[:3])
    return ReconstructionData(x, again, corrupted)


def record(step, elbo, split="train", **more):
    return {
        "step": step,
        "split": split,
        "elbo": elbo,
        "rate": 5.0 + step / 1e4,
        "distortion": 20.0 - step / 1e4,
        **more,
    }


def test_mosaic_places_every_pixel():
    images = random_images(5, 3, 4, 3)
    picture = plots.mosaic(images, columns=2, pad=1)
    assert picture.shape == (3 * 4 - 1, 2 * 5 - 1, 3)
    for index, image in enumerate(images):
        row, column = divmod(index, 2)
        np.testing.assert_array_equal(picture[4 * row : 4 * row + 3, 5 * column : 5 * column + 4], image)
    assert (picture[3] == 1).all()
    assert (picture[:, 4] == 1).all()
    assert (picture[8:, 5:] == 1).all()


@pytest.mark.parametrize(("count", "shape"), [(1, (8, 8)), (4, (17, 17)), (5, (17, 26)), (9, (26, 26))])
def test_mosaic_is_near_square(count, shape):
    assert plots.mosaic(random_images(count, 8, 8, 1)).shape == (*shape, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_save_image_enlarges_in_whole_pixels(tmp_path, channels):
    image = random_images(8, 9, channels)
    plots.save_image(tmp_path / "a.png", image)
    read = pixels(tmp_path / "a.png").reshape(56, 63, channels)
    np.testing.assert_array_equal(read[::7, ::7], np.round(image * 255))
    np.testing.assert_array_equal(read, read[::7, ::7].repeat(7, 0).repeat(7, 1))


def test_save_image_enlarges_by_the_cell_and_leaves_large_images(tmp_path):
    plots.save_image(tmp_path / "a.png", plots.mosaic(random_images(100, 8, 8, 1)), cell=8)
    plots.save_image(tmp_path / "b.png", random_images(70, 64, 3))
    assert pixels(tmp_path / "a.png").shape[:2] == (89 * 7, 89 * 7)
    assert pixels(tmp_path / "b.png").shape[:2] == (70, 64)


def test_save_image_bounds_what_is_no_brightness(tmp_path):
    plots.save_image(tmp_path / "a.png", np.array([[-1.0, 2.0], [np.nan, np.inf]])[..., None], cell=56)
    assert pixels(tmp_path / "a.png").tolist() == [[0, 255], [0, 255]]


@pytest.mark.parametrize("shape", [(20, 8, 8, 1), (3, 13, 29, 3), (2, 300, 200, 1)])
def test_samples_are_shown_pixel_for_pixel(tmp_path, shape):
    images = random_images(*shape)
    plots.samples(tmp_path / "a.png", images)
    page = pixels(tmp_path / "a.png")[..., :3] / 255
    columns = int(np.ceil(np.sqrt(len(images))))
    fitted = image_grid.fitted(images, columns)
    assert fitted.shape[1] % images.shape[1] == 0
    picture = plots.mosaic(fitted, columns, image_grid.GAP)
    assert contains(page, np.broadcast_to(picture, (*picture.shape[:2], 3)))
    assert page.shape[:2] == (picture.shape[0] + 142, max(picture.shape[1], 6 * style.DPI) + 60)


def test_large_pictures_keep_their_words_in_proportion(tmp_path, drawn):
    plots.samples(tmp_path / "a.png", random_images(4, 8, 1300, 1))
    assert drawn[0].dpi > 1.9 * style.DPI
    assert pixels(tmp_path / "a.png").shape[1] >= 2602


def test_reconstructions_stand_below_their_originals(tmp_path, drawn):
    originals = np.zeros((20, 8, 8, 1))
    plot_reconstructions(tmp_path / "a.png", ReconstructionData(originals, originals + 0.5, None))
    labels = [text.get_text() for text in drawn[0].axes[0].texts]
    assert labels[-6:] == ["original", "reconstruction", "residual"] * 2
    shown = drawn[0].axes[0].images[0].get_array()
    centres = [text.xy[1] for text in drawn[0].axes[0].texts[-6:]]
    assert [shown[round(y), 5, 0] for y in centres] == [0.0, 0.5, 0.0] * 2
    assert to_hex(shown[round(centres[2]), 5]) == style.BLUE
    assert centres == sorted(centres)


def test_corrupted_images_stand_between_originals_and_what_is_restored(tmp_path, drawn):
    originals = np.zeros((20, 8, 8, 1))
    plot_reconstructions(tmp_path / "a.png", ReconstructionData(originals, originals + 0.9, originals + 0.5))
    labels = drawn[0].axes[0].texts[-8:]
    assert [text.get_text() for text in labels] == ["original", "corrupted", "restored", "residual"] * 2
    shown = drawn[0].axes[0].images[0].get_array()
    found = [shown[round(text.xy[1]), 5, 0] for text in labels]  # the residual is 0.9 of the way to blue
    np.testing.assert_allclose(found, [0.0, 0.5, 0.9, 0.1] * 2, atol=1e-6)


def test_training_draws_first_and_last_of_many(tmp_path, drawn):
    steps = np.arange(0, 2300, 100)
    frames = np.broadcast_to(np.linspace(0, 0.9, 23)[:, None, None, None, None], (23, 20, 8, 8, 1))
    plots.training(tmp_path / "a.png", steps, frames)
    labels = drawn[0].axes[0].texts[-8:]
    assert [labels[0].get_text(), labels[-1].get_text()] == ["step 0", "step 2,200"]
    shown = drawn[0].axes[0].images[0].get_array()
    chosen = [float(label.get_text()[5:].replace(",", "")) for label in labels]
    np.testing.assert_allclose([shown[round(label.xy[1]), 5, 0] for label in labels], np.array(chosen) * 0.9 / 2200)
    assert set(np.diff(chosen)) <= {300.0, 400.0}


def test_training_draws_few_moments_once_each(tmp_path, drawn):
    plots.training(tmp_path / "a.png", [0, 5], random_images(2, 3, 8, 8, 3))
    assert [text.get_text() for text in drawn[0].axes[0].texts[-2:]] == ["step 0", "step 5"]


def test_manifold_has_a_seam_between_tiny_pictures_only(tmp_path, drawn):
    plots.manifold(tmp_path / "large.png", random_images(3, 3, 20, 20, 1) * 0.5)
    plots.manifold(tmp_path / "tiny.png", random_images(3, 3, 8, 8, 1) * 0.5)
    large, tiny = (figure.axes[0].images[0].get_array() for figure in drawn)
    assert large.max() <= 0.5
    assert (tiny[len(tiny) // 3, :] == 1).all()


def test_manifold_is_labelled_at_the_quantiles(tmp_path, drawn):
    plots.manifold(tmp_path / "a.png", random_images(4, 4, 20, 18, 1) * 0.5)
    axes = drawn[0].axes[0]
    height, width = axes.images[0].get_array().shape[:2]
    ticks = {label.get_text(): place for label, place in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert ticks["25%"] == pytest.approx(width / 4 - 0.5)
    ticks = {label.get_text(): place for label, place in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    assert ticks["75%"] == pytest.approx(height / 4 - 0.5)


def test_limits_leave_out_the_first_steps_and_nothing_of_a_ramp():
    values = np.concatenate([[-5000.0, -900.0], np.linspace(-100, -80, 98)])
    low, high = curves._limits(values)
    assert -120 < low <= -100
    assert -80 <= high < -75
    low, high = curves._limits(np.linspace(0, 1, 50))
    assert low <= 0
    assert high >= 1
    assert curves._limits(np.array([np.nan, 3.0, np.inf])) == pytest.approx((2.85, 3.15))
    low, high = curves._limits(np.zeros(4))
    assert low < 0 < high


def test_limits_keep_a_validation_that_turns_down(tmp_path, drawn):
    records = [record(step, -80.0 + step % 7 / 10) for step in range(1, 1000)]
    records += [record(step, -80.0 - step / 20, "validation") for step in range(100, 1000, 100)]
    plots.training_curves(tmp_path / "a.png", records)
    assert drawn[0].axes[0].get_ylim()[0] < -125


def test_curves_say_what_they_leave_out(tmp_path, drawn):
    records = [record(step, -90.0 - step % 2) for step in range(2, 60)]
    plots.training_curves(tmp_path / "a.png", [record(0, -1e6), *records, record(60, float("nan")), record(61, None)])
    assert drawn[0].axes[0].texts[0].get_text() == "not shown: 1 below, 2 not a number"


def test_curves_draw_training_thin_and_validation_bold_in_the_order_of_steps(tmp_path, drawn):
    records = [record(3, -70.0), record(1, -90.0), record(2, -80.0), record(3, -75.0), record(2, -85.0, "validation")]
    plots.training_curves(tmp_path / "a.png", records)
    train, validation = drawn[0].axes[0].lines
    np.testing.assert_array_equal(train.get_xydata(), [[1, -90], [2, -80], [3, -75]])
    assert train.get_linewidth() < validation.get_linewidth()


@pytest.mark.parametrize(
    ("records", "panels"),
    [
        ([record(1, -90.0)], 3),
        ([record(0, -90.0, learning_rate=1e-3, beta=0.0)], 5),
        ([record(1, -90.0, "validation", grad_norm=2.0)], 4),
        ([record(1, float("nan")), record(2, float("inf")), record(3, None)], 3),
        ([{"step": 1, "split": "train", "loss": 3.0}], 3),
    ],
)
def test_curves_survive(tmp_path, drawn, records, panels):
    plots.training_curves(tmp_path / "a.png", records)
    assert len(drawn[0].axes) == panels
    assert pixels(tmp_path / "a.png").shape[1] == 1350


def test_bars_are_sorted_and_told_apart(tmp_path, drawn):
    plots.kl_per_dimension(tmp_path / "a.png", [0.01, 3.0, 0.5, 0.02], [False, True, True, False])
    axes = drawn[0].axes[0]
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    assert [bar.get_height() for bar in bars] == [3.0, 0.5, 0.02, 0.01]
    assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True, True]
    assert len({bar.get_facecolor() for bar in bars}) == 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3", "4", "1"]
    assert axes.get_title(loc="left") == "KL per latent dimension: 3.53 nats in total"


def test_latent_plane_colours_each_class_at_its_place(tmp_path, drawn):
    means = np.array([[0.0, 1.0], [0.0, 1.2], [-3.0, 0.0], [np.nan, 0.0], [0.0, np.inf]])
    plots.latent_plane(tmp_path / "a.png", means, [7, 7, 2, 2, 3], axes=("first <b>", "second"))
    axes = drawn[0].axes[0]
    dots = {tuple(place): tuple(colour) for place, colour in zip(*dots_of(axes), strict=True)}
    assert dots[0.0, 1.0] == dots[0.0, 1.2] != dots[-3.0, 0.0]
    names = {text.get_text(): text.get_position() for text in axes.texts}
    assert names["7"] == pytest.approx((0.0, 1.1))
    assert names["2"] == pytest.approx((-3.0, 0.0))
    assert "3" not in names
    assert axes.get_xlabel() == "first <b>"
    assert axes.get_aspect() == 1.0
    assert sorted(circle.radius for circle in axes.patches) == [1, 2]
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((-3.15, 3.15))


def dots_of(axes):
    scatter = axes.collections[0]
    return scatter.get_offsets().data, scatter.get_facecolors()


@pytest.mark.parametrize("classes", [0, 1, 10, 62])
def test_latent_plane_takes_any_number_of_classes(tmp_path, drawn, classes):
    labels = np.arange(124) % classes if classes else None
    plots.latent_plane(tmp_path / "a.png", random_images(124, 2), labels)
    assert len(np.unique(dots_of(drawn[0].axes[0])[1], axis=0)) == max(classes, 1)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda path: plots.samples(path, np.zeros((8, 8))), r"means has shape \(8, 8\); expected \[N,H,W,C\]"),
        (lambda path: plots.samples(path, np.zeros((0, 8, 8, 1))), "none of them 0"),
        (lambda path: plots.samples(path, np.zeros((1, 1, 8, 8))), "8 channels .* move the channels to the end"),
        (
            lambda path: plot_reconstructions(path, reconstructed(2, 1)),
            "reconstruction .1, 8, 8, 1.; expected one shape",
        ),
        (lambda path: plot_reconstructions(path, reconstructed(2, 2, 1)), "corrupted .1, 8, 8, 1.; expected one shape"),
        (lambda path: plots.training(path, [1], np.zeros((2, 1, 8, 8, 1))), "1 steps for 2 frames"),
        (lambda path: plots.manifold(path, np.zeros((2, 3, 8, 8, 1))), "2 rows and 3 columns"),
        (lambda path: plots.training_curves(path, []), "records is empty"),
        (lambda path: plots.kl_per_dimension(path, [1.0], [True, False]), r"expected both \[Z\]"),
        (lambda path: plots.latent_plane(path, np.zeros((4, 3)), None), r"shape \(4, 3\) .* project on two"),
        (lambda path: plots.latent_plane(path, np.zeros((4, 2)), [1]), "1 labels"),
    ],
)
def test_refusals_say_what_was_given_and_leave_no_file(tmp_path, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_old_figure_and_no_temporary_file(tmp_path, monkeypatch):
    path = tmp_path / "figures" / "a.png"
    plots.samples(path, random_images(4, 8, 8, 1))
    before = path.read_bytes()

    def fill_the_disk(self, name, **_):
        name.write_bytes(b"half a fig")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fill_the_disk)
    with pytest.raises(OSError, match="disk full"):
        plots.samples(path, random_images(9, 8, 8, 1))
    assert path.read_bytes() == before
    assert set(path.parent.iterdir()) == {path, path.with_suffix(".svg")}


def test_the_caller_s_style_is_neither_changed_nor_used(tmp_path):
    images = random_images(4, 8, 8, 1)
    plots.samples(tmp_path / "a.png", images)
    with matplotlib.rc_context(
        {"font.size": 30, "axes.titlesize": 40, "text.antialiased": False, "image.origin": "lower"}
    ):
        before = dict(matplotlib.rcParams)
        plots.samples(tmp_path / "b.png", images)
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_a_killed_process_left_of_a_figure_is_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    killed = style.replacing(path)
    killed.__enter__().write_bytes(b"torn")
    monkeypatch.setattr("os.getpid", lambda: 1)
    with style.replacing(path) as temporary:
        temporary.write_bytes(b"whole")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"whole"
