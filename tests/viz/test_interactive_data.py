"""What the report's script is given: curves whose peaks survive, dots whose images are theirs, and nothing else."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest
from looked_at import make_subject
from PIL import Image
from report_pages import add_dots

from jaxvae.viz import report
from jaxvae.viz.figures import latent_plane
from jaxvae.viz.report import html, interactive_data


def record(step, split="train", **values):
    return {"step": step, "split": split, **values}


def test_curves_are_ascending_and_what_is_no_number_is_a_gap():
    records = [record(2, elbo=-3.0, loss=3), record(1, elbo=None, loss=float("inf")), record(3, elbo=float("nan"))]
    records += [record(2, elbo=-2.5), record(2, "validation", elbo=-4), record(4, x="text", y=True, z=[1])]
    records += [record(float("inf"), elbo=1), record(True, elbo=1), record(5, None, elbo=1), record(5, 7, elbo=1)]
    found = interactive_data.curve_data(records)
    elbo, loss = found["quantities"]
    assert (elbo["name"], elbo["unit"], loss["name"]) == ("elbo", "nats", "loss")
    train = {"split": "train", "step": [1, 2, 3], "value": [None, -2.5, None]}
    assert elbo["series"] == [train, {"split": "validation", "step": [2], "value": [-4]}]
    assert loss["series"] == [{"split": "train", "step": [1, 2], "value": [None, 3]}]
    assert found["shown"] == ["elbo"]
    assert not found["thinned"]
    assert interactive_data.curve_data([record(1, x=None)]) is None
    assert interactive_data.curve_data([record(1, loss=2, rate=1, distortion=1)])["shown"] == [
        "loss",
        "rate",
        "distortion",
    ]
    json.dumps(found, allow_nan=False)


def test_a_long_curve_keeps_its_ends_its_peaks_and_its_gaps():
    rng = np.random.default_rng(0)
    values = rng.normal(size=10_000).tolist()
    values[1234], values[5678], values[7000] = 99.0, -99.0, None
    steps, kept = interactive_data.thin_curve(list(range(10_000)), values, 480)
    assert len(steps) <= 490
    assert steps == sorted(set(steps))
    assert [values[step] for step in steps] == kept
    assert {0, 1234, 5678, 7000, 9999} <= set(steps)
    few = interactive_data.thin_curve([1, 2], [3, None], 480)
    assert few == ([1, 2], [3, None])
    nothing = interactive_data.thin_curve(list(range(1000)), [None] * 1000, 10)[1]
    assert set(nothing) == {None}


def test_many_curves_take_no_more_room_than_few():
    many = [record(step, **{f"q{i}": step * i for i in range(300)}) for step in range(0, 1000, 2)]
    found = interactive_data.curve_data(many)
    assert found["thinned"]
    assert (
        sum(len(some["step"]) for each in found["quantities"] for some in each["series"])
        < 1.1 * interactive_data.MAX_NUMBERS
    )


def cells(found):
    """The images in a sprite, [N, kinds, H, W, ...]."""
    content = base64.b64decode(found["sprite"].partition(",")[2])
    sheet = np.asarray(Image.open(io.BytesIO(content)))
    (width, height), (wide, high), kinds = found["cell"], found["stride"], 2 if found["pairs"] else 1
    count = len(found["x"]) * kinds
    places = [(i // found["columns"] * high, i % found["columns"] * wide) for i in range(count)]
    parts = np.stack([sheet[y : y + height, x : x + width] for y, x in places])
    return parts.reshape(-1, kinds, *parts.shape[1:])


@pytest.mark.parametrize("channels", [1, 3])
def test_each_dot_has_its_image_its_reconstruction_and_its_label(workdir, channels):
    arrays = add_dots(workdir, 7, 5, channels)
    found = interactive_data.plane_data(workdir / "figures" / "latent_plane.npz")
    shown = cells(found)
    for kind, name in enumerate(("image", "reconstruction")):
        np.testing.assert_array_equal(shown[:, kind].reshape(arrays[name].shape), arrays[name])
    assert [found["names"][label] for label in found["label"]] == [str(arrays["names"][i % 3]) for i in range(7)]
    np.testing.assert_allclose(np.stack([found["x"], found["y"]], 1), arrays["xy"], rtol=1e-4)
    assert (found["total"], found["circles"], found["axes"]) == (7, True, ["z1", "z2"])


def test_dots_nowhere_are_left_out_and_labels_need_not_be_known(workdir):
    xy = np.array([[0, 1], [np.nan, 0], [2, np.inf], [3, 4]], np.float32)
    arrays = add_dots(workdir, 4, xy=xy, label=None, reconstruction=None)
    found = interactive_data.plane_data(workdir / "figures" / "latent_plane.npz")
    assert (found["x"], found["position"], found["label"], found["names"]) == ([0, 3], [0, 3], [None, None], [])
    np.testing.assert_array_equal(cells(found)[:, 0], arrays["image"][[0, 3], ..., 0])
    add_dots(workdir, 4, xy=np.full((4, 2), np.nan, np.float32))
    assert interactive_data.plane_data(workdir / "figures" / "latent_plane.npz") is None
    assert interactive_data.plane_data(workdir / "figures" / "none.npz") is None
    add_dots(workdir, 4, label=np.array([5, 0, -1, 5], np.int32))
    found = interactive_data.plane_data(workdir / "figures" / "latent_plane.npz")
    assert (found["names"], found["label"]) == (["-1", "zero", "5"], [2, 1, 0, 2])


def test_images_of_too_many_bytes_are_packed_then_fewer(workdir, monkeypatch):
    rng = np.random.default_rng(1)
    colours = rng.integers(40, 216, (300, 1, 1, 3)) + rng.integers(-40, 40, (300, 12, 12, 3))
    arrays = add_dots(workdir, 300, 12, 3, image=colours.astype(np.uint8))
    path = workdir / "figures" / "latent_plane.npz"
    monkeypatch.setattr(interactive_data, "MAX_SPRITE", 300_000)
    packed = interactive_data.plane_data(path)
    assert len(packed["x"]) == 300
    assert packed["sprite"].startswith("data:image/webp")
    assert packed["stride"] == [16, 16]
    means = [images.mean((1, 2)) for images in (cells(packed)[:, 0], arrays["image"])]
    assert abs(means[0] - means[1]).max() < 8  # each cell has its image's colour, not its neighbour's
    monkeypatch.setattr(interactive_data, "MAX_SPRITE", 30_000)
    fewer = interactive_data.plane_data(path)
    assert 10 < len(fewer["x"]) < 150
    assert len(fewer["sprite"]) < 30_100
    assert fewer["total"] == 300


@pytest.mark.parametrize(
    "other",
    [
        {"xy": np.zeros((3, 3), np.float32)},
        {"xy": np.zeros((2, 2), np.float32)},
        {"xy": np.array([["a", "b"]] * 3)},
        {"image": np.zeros((3, 2, 2, 2), np.uint8)},
        {"image": np.zeros((3, 2, 2, 1))},
        {"image": np.zeros((3, 0, 2, 1), np.uint8)},
        {"label": np.zeros(2, np.int32)},
        {"axes": np.array(["one"])},
        {"names": np.array([None, None])},
        {"image": np.zeros((3, 2, 2, 1), np.uint8, order="F")},
        {"position": None},
        {"total": np.array([1, 2])},
    ],
)
def test_a_file_of_other_arrays_is_named(workdir, other):
    with zipfile.ZipFile(workdir / "figures" / "latent_plane.npz", "w") as archive:
        for name, array in (add_dots(workdir) | other).items():
            if array is not None:
                stream = io.BytesIO()
                np.save(stream, array)
                archive.writestr(f"{name}.npy", stream.getvalue())
    with pytest.raises(ValueError, match=r"latent_plane\.npz does not hold .* draw it again with jaxvae report"):
        report.write_report(workdir)


def test_a_file_that_is_none_or_unpacks_without_end_is_named(workdir):
    path = workdir / "figures" / "latent_plane.npz"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match="does not hold the latent plane's dots"):
        interactive_data.plane_data(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xy.npy", bytes(interactive_data.MAX_UNPACKED + 1))
    with pytest.raises(ValueError, match="more than 64 MiB"):
        interactive_data.plane_data(path)


def test_no_text_breaks_out_of_the_data_of_a_page():
    evil = "</script><!--<script>&\u2028\ud800"
    text = html.embed_json("x", {evil: [evil]})
    inside = text.removeprefix('<script type="application/json" id="data-x">').removesuffix("</script>")
    assert not set("<>&") & set(inside)
    assert json.loads(inside) == {evil: [evil]}
    with pytest.raises(ValueError, match="JSON compliant"):
        html.embed_json("x", float("nan"))


@pytest.mark.parametrize(("shape", "model"), [((6, 5, 1), {}), ((6, 5, 3), {"condition": "label"}), ((9, 1), {})])
def test_a_models_dots_are_its_own(tmp_path, shape, model):
    subject = make_subject(shape, latent_dim=4, **model)
    path = tmp_path / "latent_plane.npz"
    latent_plane.plot_plane(path.with_suffix(".png"), latent_plane.compute_plane(subject, subject.means, circles=True))
    with np.load(path) as arrays:
        found = dict(arrays)
    interactive_data._check_arrays(found)
    count = len(subject.split)
    np.testing.assert_array_equal(found["position"], np.arange(count))
    centred = subject.means - subject.means.mean(0)
    assert np.isclose(found["xy"].var(0).sum(), np.linalg.svd(centred)[1][:2] @ np.linalg.svd(centred)[1][:2] / count)
    if len(shape) == 3:
        np.testing.assert_array_equal(found["image"], subject.split.take(np.arange(count))[0])
        label = subject.classes if subject.run.conditional else None
        again = np.asarray(subject.run.decode(subject.means, label).mean())
        np.testing.assert_allclose(found["reconstruction"] / 255, np.clip(again, 0, 1), atol=0.51 / 255)
    assert len(interactive_data.plane_data(path)["x"]) == count


def test_dots_are_evenly_spread_and_large_images_small(tmp_path, monkeypatch):
    y, x = np.mgrid[:96, :130]
    (small,) = latent_plane._small(((x + y) / 400)[None, ..., None])
    assert small.shape == (32, 43, 1)
    assert small[0, 0, 0] == round(255 * 2 / 400)
    assert np.ptp(np.diff(small[..., 0].astype(int), axis=0)) <= 1
    monkeypatch.setattr(latent_plane, "_DOTS", 7)
    subject = make_subject()
    kept = latent_plane.compute_dots(subject, subject.means, circles=False)
    assert kept["position"].tolist() == [0, 5, 10, 14, 19, 24, 29]
    assert int(kept["total"]) == 30
