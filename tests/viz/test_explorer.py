"""The page to play with a model: each answer is the library's own, and hostile questions are turned away in words."""

import base64
import json
import math
import os
import re
import signal
import socket
import sys
import threading
import urllib.request
from importlib.resources import files
from unittest import mock

import numpy as np
import pytest
from explored import call, make_session, unpacked
from jax import random

from jaxvae import latent
from jaxvae.cli.commands import explore, make_parser
from jaxvae.distributions import kl
from jaxvae.viz.explorer.api import PATH_STEPS, SAMPLES, THUMBNAILS, compile_all, describe_model, respond
from jaxvae.viz.explorer.requests import Fields
from jaxvae.viz.explorer.server import listen, make_app, serve, wait_for_interrupt
from jaxvae.viz.explorer.session import MAX_IMAGES, limit_images, slider_ranges
from jaxvae.viz.figures.images import pictures

Z = [0.5, -1.25, 0.25, 2.0]
HERE = {"strengths": {}, "condition": 0}


@pytest.fixture(scope="module")
def session():
    return make_session()


@pytest.fixture(scope="module")
def labelled():
    """Of a model that is told the class."""
    return make_session(condition="label", latent_dim=3)


@pytest.fixture(scope="module")
def coded():
    """Of a model with a codebook."""
    return make_session(posterior="vq(5, dim=2)", prior="codes", objective="reconstruction(commitment=0.25)")


@pytest.fixture(scope="module")
def app(session):
    return make_app(session, "a run")


def answer(session, endpoint, **values):
    return json.loads(json.dumps(respond(session, endpoint, Fields(values))))


def shown(means):
    """What a page is sent of the means of p(x|z)."""
    return np.round(255 * pictures(means)).astype(np.uint8)


def close(packed, means):
    """Whether the picture is the means', up to a level where two programs round a value differently."""
    difference = np.abs(unpacked(packed).astype(int) - shown(means))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.05


def test_a_code_is_decoded_as_the_library_decodes_it(session):
    found = answer(session, "decode", z=Z, **HERE)
    close(found["picture"], session.subject.run.decode(np.float32([Z])).mean())
    assert found["z"] == Z


def test_the_middle_is_the_prior_s(session):
    found = answer(session, "middle", **HERE)
    assert found["z"] == [0.0] * 4
    close(found["picture"], session.subject.run.decode(np.zeros((1, 4))).mean())


def test_attributes_are_differences_of_means_added_to_the_code(session):
    subject = session.subject
    label = subject.classes
    one, other = subject.means[label == 1], subject.means[label != 1]
    np.testing.assert_allclose(session.codes.directions["label=1"], one.mean(0) - other.mean(0), atol=1e-6)
    found = answer(session, "decode", z=Z, strengths={"label=1": 3.0, "label=2": -2.0}, condition=0)
    moved = np.float32(Z) + 3 * session.codes.directions["label=1"] - 2 * session.codes.directions["label=2"]
    close(found["picture"], subject.run.decode(moved[None]).mean())
    assert found["z"] == Z


def test_the_plane_is_decoded_at_the_middles_of_its_cells(session):
    found = answer(session, "plane", dimensions=[3, 1], z=Z, **HERE)
    whole = unpacked(found["picture"])[0]
    side = len(whole) // 6
    wide = (found["high"] - found["low"]) / side
    z = np.float32(Z)
    z[3], z[1] = found["low"] + 4.5 * wide, found["high"] - 2.5 * wide  # the fifth column, the third row from the top
    expected = shown(session.subject.run.decode(z[None]).mean())[0]
    tile = whole[2 * 6 : 3 * 6, 4 * 5 : 5 * 5]
    assert np.abs(tile.astype(int) - expected).max() <= 1


def test_dots_are_the_codes_of_images_with_their_classes(session):
    found = answer(session, "codes", dimensions=[2, 0])
    places = np.frombuffer(base64.b64decode(found["xy"]), "<f4").reshape(-1, 2)
    at = found["positions"]
    assert sorted(at) == list(range(len(session.subject.split)))
    np.testing.assert_array_equal(places, session.subject.means[at][:, [2, 0]])
    assert found["classes"] == session.subject.classes[at].tolist()


def test_thumbnails_are_of_the_class_and_pages_go_round(session):
    found = answer(session, "images", label=2, page=0)
    at, count = found["positions"], int((session.subject.classes == 2).sum())
    assert found["labels"] == [2] * min(count, THUMBNAILS)
    assert len(set(at)) == min(count, THUMBNAILS)
    stored = session.subject.split.take(np.array(at))[0]
    np.testing.assert_array_equal(unpacked(found["pictures"]), stored)
    seen = {each for page in range(3) for each in answer(session, "images", label=-1, page=page)["positions"]}
    assert seen == set(range(len(session.subject.split)))


def test_an_image_is_read_as_the_library_reads_it(session):
    subject, run = session.subject, session.subject.run
    found = answer(session, "image", image=7)
    x = subject.examples([7]).x
    q = run.encode(x)
    close(found["x"], x)
    close(found["reconstruction"], run.decode(q.mean()).mean())
    np.testing.assert_allclose(found["z"], q.mean()[0], atol=1e-4)
    prior = run.model.apply(run.variables, method="prior")
    assert found["rate"] == pytest.approx(float(kl(q, latent.drop_sample_axis(prior))[0]), abs=2e-3)
    far = np.linalg.norm(subject.means - np.asarray(q.mean()), axis=1)
    assert found["neighbours"]["positions"] == [i for i in np.argsort(far) if i != 7][:6]
    np.testing.assert_allclose(found["neighbours"]["distances"], np.sort(far[np.arange(len(far)) != 7])[:6], rtol=1e-3)


def test_a_drawing_is_prepared_read_and_scored():
    session = make_session(posterior="point", objective="reconstruction", latent_dim=2)
    run = session.subject.run
    drawing = np.zeros((6, 5, 1), np.uint8)
    drawing[1:4, 2] = 255  # black and white, so that no draw of a binarization is left
    found = answer(session, "drawing", pixels=base64.b64encode(drawing.tobytes()).decode(), condition=0)
    np.testing.assert_array_equal(unpacked(found["x"])[0], drawing)
    x = np.float32(drawing[None] / 255)
    z = run.encode(x).mean()
    np.testing.assert_allclose(found["z"], z[0], rtol=1e-4)
    assert found["rate"] == 0.0
    assert found["distortion"] == pytest.approx(-float(run.decode(z).log_prob(x)[0]), abs=2e-3)
    assert describe_model(session)["codes"]["circles"] is False


@pytest.mark.parametrize("path", ["line", "great_circle"])
def test_walks_between_images_are_the_library_s(session, path):
    ends = session.subject.means[[3, 9]]
    walk = getattr(latent, path)
    found = answer(session, "interpolate", a=3, b=9, path=path, index=37, **HERE)
    np.testing.assert_allclose(found["z"], walk(*ends, PATH_STEPS)[37], atol=1e-4)
    close(found["picture"], session.subject.run.decode(np.asarray(walk(*ends, PATH_STEPS)[37:38])).mean())
    film = answer(session, "strip", a=3, b=9, path=path, **HERE)
    close(film["picture"], session.subject.run.decode(np.asarray(walk(*ends, 11))).mean())


def test_samples_are_draws_of_the_prior_at_the_temperature(session):
    found = answer(session, "samples", seed=5, temperature=0.5, condition=0)
    z, px = session.subject.run.generate(random.split(random.key(5), SAMPLES), temperature=0.5)
    close(found["picture"], px.mean())
    np.testing.assert_allclose(found["z"], z, atol=1e-5)
    cold = answer(session, "samples", seed=5, temperature=0.0, condition=0)
    assert np.abs(cold["z"]).max() == 0


def test_a_model_that_is_told_the_class_is_told_it_everywhere(labelled):
    run, z = labelled.subject.run, [0.5, -1.0, 2.0]
    for label in (0, 2):
        found = answer(labelled, "decode", z=z, strengths={}, condition=label)
        close(found["picture"], run.decode(np.float32([z]), np.array([label])).mean())
    assert not any("label" in name for name in labelled.codes.directions)  # which the codes need not say
    answers = [
        answer(labelled, "samples", seed=1, temperature=1.0, condition=label)["picture"]["data"] for label in (0, 2)
    ]
    assert answers[0] != answers[1]
    found = answer(labelled, "image", image=5)
    x = labelled.subject.examples([5])
    np.testing.assert_allclose(found["z"], run.encode(x.x, x.condition).mean()[0], atol=1e-4)
    with pytest.raises(ValueError, match="condition=3: expected a whole number from 0 to 2"):
        answer(labelled, "decode", z=z, strengths={}, condition=3)
    compile_all(labelled)


def test_a_model_that_is_told_a_vector_is_told_an_image_s():
    session = make_session(condition="vector", latent_dim=2, count=12)
    found = answer(session, "decode", z=[1.0, 0.0], strengths={}, condition=4)
    vector = session.subject.split.labels(np.array([4]))
    close(found["picture"], session.subject.run.decode(np.float32([[1, 0]]), vector).mean())
    assert describe_model(session)["classes"] is None


def test_of_codes_is_shown_what_can_be_and_the_rest_refused(coded):
    compile_all(coded)
    described = describe_model(coded)
    assert described["codes"] is None
    assert "z is shaped [4, 2], of discrete parts" in described["limitation"]
    run = coded.subject.run
    found = answer(coded, "image", image=3)
    close(found["reconstruction"], run.decode(run.encode(coded.subject.examples([3]).x).mean()).mean())
    assert found["rate"] == pytest.approx(4 * math.log(5), abs=1e-3)
    assert found["z"] is found["neighbours"] is None
    app = make_app(coded, "codes")
    walk = {"a": 0, "b": 1, "path": "line", **HERE}
    place = {"z": Z, **HERE}
    refused = {"decode": place, "plane": place | {"dimensions": [0, 1]}, "codes": {"dimensions": [0, 1]}}
    for endpoint, values in (refused | {"middle": HERE, "strip": walk, "interpolate": walk | {"index": 0}}).items():
        assert "discrete parts" in refusal(app, endpoint, values)


def refusal(app, endpoint, values):
    status, _, content = call(app, f"/api/{endpoint}", values)
    assert status == 400
    return json.loads(content)["error"]


def test_z_on_a_sphere_stays_there():
    session = make_session(posterior="vmf", prior="sphere", latent_dim=3)
    found = answer(session, "decode", z=[3.0, 0.0, 4.0], **HERE)
    close(found["picture"], session.subject.run.decode(np.float32([[0.6, 0.0, 0.8]])).mean())


@pytest.mark.parametrize(
    ("shape", "options", "height", "width", "channels"),
    [
        ((4, 7, 3), {"prepare": "grey", "likelihood": "gaussian"}, 4, 7, 3),
        ((12,), {"labels": False, "latent_dim": 1}, 48, 48, 1),
    ],
)
def test_colour_other_shapes_and_sequences(shape, options, height, width, channels):
    session = make_session(shape, **options)
    compile_all(session)
    size = len(session.codes.information)
    assert answer(session, "decode", z=[0.0] * size, **HERE)["picture"]["shape"] == [1, height, width, channels]
    assert answer(session, "image", image=0)["x"]["shape"] == [1, height, width, channels]
    film = answer(session, "strip", a=0, b=1, path="line", **HERE)
    assert film["picture"]["shape"] == [11, height, width, channels]


def test_what_says_most_comes_first_and_sliders_hold_the_codes(session):
    codes = describe_model(session)["codes"]
    np.testing.assert_array_equal(np.diff(session.subject.dimension_kl[codes["order"]]) <= 0, True)
    np.testing.assert_allclose(codes["information"], session.subject.dimension_kl, rtol=1e-5)
    low, high = slider_ranges(np.float32([[-9.0, 0.0], [1.0, 0.5]] * 50), np.zeros(2), np.ones(2))
    assert (low.tolist(), high.tolist()) == ([-9.0, -3.0], [3.0, 3.0])


def test_of_many_images_some_are_drawn(session):
    with mock.patch("jaxvae.viz.explorer.session.MAX_IMAGES", 11):
        few = limit_images(session.subject)
    assert len(few.split) == 11
    assert set(few.split.index) < set(session.subject.split.index)
    assert len(limit_images(session.subject).split) == len(session.subject.split) < MAX_IMAGES


def good(endpoint):
    """The fields of a request that succeeds."""
    values = {
        "decode": {"z": Z, **HERE},
        "plane": {"dimensions": [0, 1], "z": Z, **HERE},
        "images": {"label": -1, "page": 0},
        "interpolate": {"a": 0, "b": 1, "path": "line", "index": 3, **HERE},
        "samples": {"seed": 1, "temperature": 1.0, "condition": 0},
        "drawing": {"pixels": base64.b64encode(bytes(30)).decode(), "condition": 0},
        "image": {"image": 0},
    }
    return dict(values[endpoint])


@pytest.mark.parametrize("endpoint", ["decode", "images", "image"])
def test_a_good_request_succeeds_through_the_app(app, session, endpoint):
    status, headers, content = call(app, f"/api/{endpoint}", good(endpoint))
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert json.loads(content) == answer(session, endpoint, **good(endpoint))


@pytest.mark.parametrize(
    ("endpoint", "changed", "message"),
    [
        ("decode", {"z": [0.0] * 5}, "z: expected 4 numbers, got 5"),
        ("decode", {"z": "abcd"}, "z: expected 4 numbers, got str"),
        ("decode", {"z": [0, 0, 0, "1"]}, "z='1': expected a finite number"),
        ("decode", {"z": [0, 0, 0, 1e300]}, "z=1e+300: expected a finite number"),
        ("decode", {"z": [0, 0, 0, 2e6]}, "expected a finite number from -1e+06 to 1e+06"),
        ("decode", {"z": [0, 0, 0, True]}, "z=True: expected a finite number"),
        ("decode", {"z": [0, 0, 0, 10**400]}, "digits"),
        ("decode", {"strengths": {"label=9": 1}}, "expected numbers by name, of loops, label=0, label=1, label=2"),
        ("decode", {"strengths": [1]}, "expected numbers by name"),
        ("decode", {"strengths": {"label=0": None}}, "strengths.label=0=None"),
        ("decode", {"condition": 1}, "condition=1: expected"),
        ("decode", {"more": 1}, "expected ['condition', 'strengths', 'z']"),
        ("plane", {"dimensions": [1, 1]}, "expected two different numbers"),
        ("plane", {"dimensions": [0, 4]}, "dimensions=4: expected a whole number from 0 to 3"),
        ("plane", {"dimensions": [0, -1]}, "dimensions=-1"),
        ("images", {"label": 3}, "label=3: expected a whole number from -1 to 2"),
        ("images", {"page": 2**70}, "page="),
        ("image", {"image": 40}, "image=40: expected a whole number from 0 to 3"),
        ("image", {"image": "../../etc/passwd"}, "image='../../etc/passwd': expected a whole number"),
        ("interpolate", {"path": "../x"}, "expected one of 'line', 'great_circle'"),
        ("interpolate", {"path": {}}, "expected one of 'line'"),
        ("interpolate", {"index": PATH_STEPS}, "index=101: expected a whole number from 0 to 100"),
        ("samples", {"temperature": -1}, "temperature=-1: expected a finite number from 0 to 3"),
        ("samples", {"seed": 1.5}, "seed=1.5: expected a whole number"),
        ("drawing", {"pixels": "!!"}, "pixels: expected base64"),
        ("drawing", {"pixels": base64.b64encode(bytes(29)).decode()}, "expected 30 bytes, 6 x 5 x 1, got 29"),
        ("drawing", {"pixels": 7}, "expected 30 bytes"),
    ],
)
def test_a_bad_field_is_refused_in_words(app, endpoint, changed, message):
    assert message in refusal(app, endpoint, good(endpoint) | changed)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b'"z"', b"\xff\xfe", b'{"image": NaN}', b'{"image": Infinity}', b"[" * 5000, b'{"z": 1'],
)
def test_what_is_no_json_object_is_refused_in_words(app, body):
    status, _, content = call(app, "/api/image", body)
    assert status == 400
    assert "request" in json.loads(content)["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"host", b"127.0.0.1:1234")], 200),
        ([(b"host", b"localhost")], 200),
        ([(b"host", b"LOCALHOST:99")], 200),
        ([(b"host", b"127.0.0.1:1234"), (b"origin", b"http://127.0.0.1:1234")], 200),
        ([(b"host", b"[::1]:1234")], 200),
        ([(b"host", b"evil.example:1234")], 400),
        ([(b"host", b"127.0.0.1.evil.example")], 400),
        ([(b"host", b"www.localhost")], 400),
        ([(b"host", b"127.0.0.1:x@evil.example")], 400),
        ([], 400),
        ([(b"host", b"evil.example"), (b"origin", b"http://evil.example")], 400),
        ([(b"host", b"localhost:1234"), (b"origin", b"http://evil.example")], 403),
        ([(b"host", b"localhost:1234"), (b"origin", b"http://localhost:1235")], 403),
        ([(b"host", b"localhost:1234"), (b"origin", b"https://localhost:1234")], 403),
        ([(b"host", b"localhost:1234"), (b"origin", b"null")], 403),
    ],
)
def test_only_this_machine_s_own_page_may_ask(app, headers, status):
    for path, body in (("/api/image", {"image": 0}), ("/api/model", None), ("/", None)):
        found, sent, content = call(app, path, body, headers=headers)
        assert found == status
        assert "frame-ancestors 'none'" in sent["content-security-policy"]
        assert status in (200, 400) or "error" in json.loads(content)


def test_forms_other_methods_and_other_paths_are_turned_away(app):
    assert call(app, "/api/image", {"image": 0}, kind=[(b"content-type", b"text/plain")])[0] == 415
    assert call(app, "/api/image", {"image": 0}, kind=[])[0] == 415
    assert call(app, "/api/image", method="GET")[0] == 405
    assert call(app, "/", {}, method="POST")[0] == 405
    for path in ("/api/none", "/../pyproject.toml", "/index.html", "/%2e%2e/app.py", "/explore.css/", "/__init__.py"):
        assert call(app, path)[0] in (404, 405)


def test_large_bodies_are_not_read(app):
    read = 0

    async def receive():
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b" " * 2**12, "more_body": True}  # without an end

    assert call(app, "/api/image", b"{}", receive=receive)[0] == 413
    assert read < 10
    longest = {"z": [-1.2345678901234567e-300] * 4, **HERE}
    assert call(app, "/api/decode", longest)[0] == 200


def test_a_fault_of_ours_is_reported_and_logged(app, caplog):
    with mock.patch("jaxvae.viz.explorer.api._pack_images", side_effect=TypeError("oh")):
        status, _, content = call(app, "/api/images", good("images"))
    assert status == 500
    assert json.loads(content)["error"] == "TypeError; the terminal says more."
    assert "oh" in caplog.text


def test_the_page_is_whole_and_asks_nobody_else(app):
    folder = files("jaxvae.viz.explorer") / "static"
    for each in folder.iterdir():
        path = "/" if each.name == "index.html" else f"/{each.name}"
        status, headers, content = call(app, path)
        assert status == 200
        assert headers["cache-control"] == "no-store"
        text = content.decode()
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
        for found in re.findall(r'(?:src|href)="(/[^"]+)"|from "\.(/[^"]+)"', text):
            assert call(app, found[0] or found[1])[0] == 200
        assert not re.search(r"innerHTML|insertAdjacent|document\.write|eval\(|style=|onclick=", text)


def colours(path):
    """[{name: #rrggbb} of the light scheme, of the dark one], as a style sheet gives them."""
    roots = re.findall(r":root \{(.*?)\}", path.read_text(), re.DOTALL)
    return [dict(re.findall(r"--(\w+): (#\w{6});", root)) for root in roots]


def luminance(colour):
    """Relative luminance (WCAG 2.1)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.dot(
        [0.2126, 0.7152, 0.0722], [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    )


def test_the_page_has_the_report_s_colours_and_enough_contrast():
    folder = files("jaxvae.viz")
    ours, theirs = colours(folder / "explorer/static/explore.css"), colours(folder / "report/static/report.css")
    assert len(ours) == len(theirs) == 2
    for here, there in zip(ours, theirs, strict=True):
        assert here == {name: there[name] for name in here}
        for ground in ("page", "card"):
            for ink in ("ink", "soft", "accent", "ill"):
                light, dark = sorted((luminance(here[ink]), luminance(here[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) > 4.5


def fetch(address, path=""):
    with urllib.request.urlopen(address + path, timeout=10) as found:
        return found.read()


def test_two_are_served_at_once_and_a_busy_port_is_refused(app):
    with listen(0) as one, listen(0) as other, serve(app, one) as first, serve(app, other) as second:
        assert first.startswith("http://127.0.0.1:")
        assert one.proto == socket.IPPROTO_TCP  # by which asyncio knows to send at once: else 40 ms for each answer
        assert json.loads(fetch(first, "api/model")) == json.loads(fetch(second, "api/model"))
        port = one.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port}: another program listens there. Choose another"):
            listen(port)
    with pytest.raises(OSError):  # noqa: PT011 (refused, or reset)
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_waiting(signum):
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signum))
    timer.start()
    wait_for_interrupt()
    timer.join()


def test_the_verb_serves_opens_and_ends(session, tmp_path, capsys):
    seen = []

    def look(address):
        seen.append((address, json.loads(fetch(address, "api/model"))["run"]))

    with (
        mock.patch.object(explore, "open_subject", return_value=session.subject),
        mock.patch.object(explore.webbrowser, "open", look),
        mock.patch("jaxvae.viz.explorer.server.wait_for_interrupt"),
    ):
        explore.run(make_parser().parse_args(["explore", str(tmp_path)]))
        explore.run(make_parser().parse_args(["explore", str(tmp_path), "--no_browser"]))
    assert [name for _, name in seen] == [tmp_path.name]
    printed = capsys.readouterr().out
    assert seen[0][0] in printed
    assert printed.count("Ctrl-C") == 2


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_the_next_move_is_said(tmp_path, missing):
    with (
        mock.patch.dict(sys.modules, {missing: None}),
        pytest.raises(ValueError, match=rf"jaxvae explore needs {missing}\. Try pip install starlette uvicorn"),
    ):
        explore.run(make_parser().parse_args(["explore", str(tmp_path)]))
