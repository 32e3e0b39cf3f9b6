"""The page of `jaxvae explore` in a real browser: dragged, slid, drawn on, and used by the keyboard alone."""

import base64
import io
import json
from contextlib import contextmanager

import numpy as np
import pytest
from explored import make_session
from PIL import Image

from jaxvae.viz.explorer.api import PATH_STEPS, compile_all, respond
from jaxvae.viz.explorer.requests import Fields
from jaxvae.viz.explorer.server import listen, make_app, serve
from jaxvae.viz.figures.images import pictures

pytestmark = pytest.mark.browser
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"], "viewport": {"width": 1280, "height": 900}}
PIXELS = """canvas => {
  const copy = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height});
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  return [copy.height, copy.width, [...context.getImageData(0, 0, copy.width, copy.height).data]];
}"""


@contextmanager
def serving(session):
    compile_all(session)
    with listen(0) as sock, serve(make_app(session, "small"), sock) as address:
        yield address


@pytest.fixture(scope="module")
def session():
    return make_session((8, 8, 1), latent_dim=2, prepare="grey", likelihood="continuous_bernoulli")


@pytest.fixture(scope="module")
def address(session):
    with serving(session) as found:
        yield found


@pytest.fixture
def explored(open_page, address):
    """The page, its first picture shown."""
    page = open_page(accept_downloads=True, **CLIPBOARD)
    page.goto(address)
    page.wait_for_selector("#picture[data-version]")
    page.wait_for_selector("#strip button")
    page.wait_for_selector("#grid button")
    return page


def pixels(page, selector="#picture"):
    """uint8 [H, W, 3]."""
    height, width, data = page.eval_on_selector(selector, PIXELS)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def settled(page):
    """Waits until no request is under way, nor about to be."""
    page.wait_for_timeout(60)
    page.wait_for_selector("body[data-pending='0']")
    page.wait_for_timeout(20)


def code(page):
    """The code that the page is at, as it is copied."""
    page.click("#copy")
    page.wait_for_selector("#copy:text('Copied')")
    found = json.loads(page.evaluate("navigator.clipboard.readText()"))
    page.wait_for_selector("#copy:text('Copy code')")
    return found


def assert_shows(page, session, z, condition=None):
    expected = np.round(255 * pictures(session.subject.run.decode(np.float32([z]), condition).mean())[0])
    assert np.abs(pixels(page).astype(int) - expected).max() <= 1


def drag(page, selector, *places):
    """Presses the mouse at the first place, moves it over the others, all shares of the element, and lets go."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=10)
    page.mouse.up()


def test_a_drag_over_the_plane_shows_what_is_decoded_there(explored, session):
    before = pixels(explored)
    drag(explored, "#map", (0.5, 0.5), (0.8, 0.3))
    settled(explored)
    z = code(explored)
    side = explored.locator("#map").bounding_box()["width"]
    shares = np.array([(0.8 * side - 26) / (side - 26), 1 - 0.3 * side / (side - 26)])  # 26 pixels are the margin's
    low, high = session.codes.low.min(), session.codes.high.max()
    np.testing.assert_allclose(z, low + shares * (high - low), atol=0.05)
    assert (pixels(explored) != before).any()
    assert_shows(explored, session, z)
    assert "on the plane: z = (" in explored.inner_text("#where")


def test_dragging_never_queues(explored):
    under_way, most = set(), 0

    def count(request):
        nonlocal most
        if request.url.endswith("/api/decode"):
            under_way.add(request)
            most = max(most, len(under_way))

    explored.on("request", count)
    explored.on("requestfinished", lambda request: under_way.discard(request))
    drag(explored, "#map", *[(x, y) for x in (0.2, 0.8) for y in (0.2, 0.4, 0.6, 0.8)])
    settled(explored)
    assert most == 1


def test_sliders_move_the_code_and_follow_it(explored, session):
    slider = explored.locator("#sliders input[type=range]").first
    slider.focus()
    slider.press("End")
    settled(explored)
    z = code(explored)
    first = int(np.argmax(session.subject.dimension_kl))
    assert z[first] == pytest.approx(session.codes.high[first])
    assert_shows(explored, session, z)
    explored.click("#middle")
    settled(explored)
    assert float(slider.input_value()) == 0
    assert code(explored) == [0.0, 0.0]


def test_two_images_and_the_slide_between_them(explored, session):
    shown = explored.locator("#strip button")
    for place, take in ((2, "#take-a"), (5, "#take-b")):
        shown.nth(place).click()
        settled(explored)
        explored.click(take)
    positions = respond(session, "images", Fields({"label": -1, "page": 0}))["positions"]
    ends = [positions[2], positions[5]]
    assert f"image {ends[0]}," in explored.inner_text("#interpolation figure:first-child figcaption")
    film = pixels(explored, "#path-strip")
    assert film.shape == (8, 11 * 9 - 1, 3)
    explored.locator("#path-step").fill("37")
    settled(explored)
    path = {"a": ends[0], "b": ends[1], "path": "line", "index": 37, "strengths": {}, "condition": 0}
    z = respond(session, "interpolate", Fields(path))["z"]
    np.testing.assert_allclose(code(explored), z, rtol=1e-4)
    assert_shows(explored, session, z)
    assert f"37 % of the way from image {ends[0]}" in explored.inner_text("#where")
    assert int(explored.get_attribute("#path-step", "max")) == PATH_STEPS - 1


def test_attributes_are_added_and_taken_away(explored, session):
    label = explored.get_by_label("label=1", exact=True)
    label.fill("2")
    settled(explored)
    assert_shows(explored, session, 2 * session.codes.directions["label=1"])
    assert "+ 2.00 × label=1" in explored.inner_text("#where")
    explored.click("#clear-strengths")
    settled(explored)
    assert_shows(explored, session, [0.0, 0.0])
    assert label.input_value() == "0"


def test_a_drawing_is_read_and_explored(explored, session):
    drag(explored, "#canvas", (0.3, 0.2), (0.7, 0.2), (0.4, 0.9))
    settled(explored)
    drawing = pixels(explored, "#canvas")[..., :1]
    assert drawing.max() == 255
    pixels_text = base64.b64encode(drawing.tobytes()).decode()
    read = respond(session, "drawing", Fields({"pixels": pixels_text, "condition": 0}))
    text = explored.inner_text("#drawing-reconstruction")
    assert f"{read['distortion']:.2f} nats".replace("-", "−") in text
    assert explored.locator("#drawing-reconstruction .thumbnail").count() == 6
    explored.get_by_role("button", name="Explore its code").click()
    settled(explored)
    np.testing.assert_allclose(code(explored), read["z"], rtol=1e-4)
    explored.click("#clear")
    assert pixels(explored, "#canvas").max() == 0


def test_a_picture_of_ones_own_is_drawn(explored, tmp_path):
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(tmp_path / "own.png")
    explored.set_input_files("#file", tmp_path / "own.png")
    settled(explored)
    assert (pixels(explored, "#canvas") == 200).all()


def test_samples_stay_with_the_temperature_and_change_when_drawn_again(explored, session):
    def shown():
        return [pixels(explored, f"#grid button:nth-child({i + 1}) canvas").tolist() for i in (0, 9)]

    first = shown()
    explored.click("#resample")
    settled(explored)
    assert shown() != first
    explored.locator("#temperature").fill("0")
    settled(explored)
    one, other = shown()
    assert one == other
    explored.locator("#grid button").nth(9).click()
    settled(explored)
    assert_shows(explored, session, [0.0, 0.0])
    assert "sample 10, temperature 0.00" in explored.inner_text("#where")


def test_the_picture_is_saved_in_whole_pixels(explored):
    drag(explored, "#map", (0.5, 0.5), (0.95, 0.05))
    settled(explored)
    assert np.ptp(pixels(explored)) > 4
    with explored.expect_download() as download:
        explored.click("#save")
    assert download.value.suggested_filename == "small.png"
    saved = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("RGB"))
    factor = saved.shape[0] // 8
    assert saved.shape == (512, 512, 3)
    np.testing.assert_array_equal(saved, pixels(explored).repeat(factor, 0).repeat(factor, 1))


def test_the_keyboard_alone_will_do(explored, session):
    def focused():
        return explored.evaluate("document.activeElement.id || document.activeElement.className")

    def tab_to(name):
        for _ in range(120):
            explored.keyboard.press("Tab")
            outline = explored.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", focused()
            if focused() == name:
                return
        raise AssertionError(f"Tab does not lead to {name}")

    tab_to("map")
    explored.keyboard.press("ArrowRight")
    explored.keyboard.press("Shift+ArrowUp")
    settled(explored)
    z = [0.1, 0.5]
    assert_shows(explored, session, z)
    explored.keyboard.press("Home")
    settled(explored)
    assert_shows(explored, session, [0.0, 0.0])
    tab_to("thumbnail")
    explored.keyboard.press("ArrowRight")
    explored.keyboard.press("Enter")
    settled(explored)
    position = respond(session, "images", Fields({"label": -1, "page": 0}))["positions"][1]
    assert_shows(explored, session, session.subject.means[position])
    tab_to("path-step")
    explored.keyboard.press("ArrowRight")
    settled(explored)
    assert "1 % of the way" in explored.inner_text("#where")
    tab_to("canvas")
    explored.keyboard.press("Space")
    explored.keyboard.press("Shift+ArrowDown")
    settled(explored)
    assert "nats" in explored.inner_text("#drawing-reconstruction")
    explored.keyboard.press("Shift+ArrowDown")
    explored.keyboard.press("Tab")
    explored.keyboard.press("Shift+Tab")
    assert (pixels(explored, "#canvas")[4:7, 4] == 255).all()
    explored.keyboard.press("Delete")
    explored.keyboard.press("Tab")
    settled(explored)
    drawn = pixels(explored, "#canvas")
    assert drawn[4, 4].max() == 255
    assert drawn[6, 4].max() == 0
    tab_to("resample")
    explored.keyboard.press("Enter")
    settled(explored)


def test_every_control_has_a_name(explored):
    unnamed = explored.evaluate(
        """[...document.querySelectorAll("button, input, select, canvas[tabindex]")]
          .filter(each => !each.labels?.length && !each.getAttribute("aria-label") && !each.textContent.trim())
          .map(each => each.outerHTML)"""
    )
    assert unnamed == []
    assert explored.locator("[aria-live=polite]").count() >= 1


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_at_any_width(open_page, address, width, scheme):
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
    page.goto(address)
    page.wait_for_selector("#grid button")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_model_that_is_told_the_class(open_page):
    session = make_session(condition="label", latent_dim=3)
    with serving(session) as address:
        page = open_page(**CLIPBOARD)
        page.goto(address)
        page.wait_for_selector("#grid button")
        page.select_option("#conditioned select", "2")
        settled(page)
        assert_shows(page, session, [0.0, 0.0, 0.0], np.array([2]))
        page.locator("#strip button").first.click()
        settled(page)
        position = respond(session, "images", Fields({"label": -1, "page": 0}))["positions"][0]
        label = session.subject.classes[[position]]
        assert page.input_value("#conditioned select") == str(label[0])
        assert_shows(page, session, session.subject.means[position], label)
        assert "this model is told" in page.inner_text("#attributes")


def test_codes_are_shown_as_far_as_they_can_be(open_page):
    session = make_session(posterior="vq(5, dim=2)", prior="codes", objective="reconstruction(commitment=0.25)")
    with serving(session) as address:
        page = open_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("#grid button")
        assert "of discrete parts" in page.inner_text("#limitation")
        assert not page.locator("#plane").is_visible()
        page.locator("#where", has_text="reconstructed").wait_for()  # the first is chosen at once: no black square
        page.locator("#grid button").nth(3).click()
        np.testing.assert_array_equal(pixels(page), pixels(page, "#grid button:nth-child(4) canvas"))
        page.locator("#strip button").first.click()
        settled(page)
        assert "reconstructed" in page.inner_text("#where")


def test_a_sequence_is_shown_as_a_curve_and_a_line_has_no_plane(open_page):
    session = make_session((12,), labels=False, latent_dim=1)
    with serving(session) as address:
        page = open_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("#grid button")
        assert pixels(page).shape == (48, 48, 3)
        assert not page.locator("#draw").is_visible()
        assert "one dimension" in page.inner_text("#plane")


def test_a_server_that_is_gone_is_reported(open_page):
    with serving(make_session((8, 8, 1), latent_dim=2)) as address:
        page = open_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("#grid button")
        settled(page)
    page.click("#middle")
    page.wait_for_selector("#error:not([hidden])")
    assert "Start it again" in page.inner_text("#error")
    page.complaints.clear()  # the browser's own word of a refused connection
