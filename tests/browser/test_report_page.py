"""The report in a real browser: what can be touched answers, nothing is asked of anybody, and it fits a phone."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from report_pages import CONFIG, ENVIRONMENT, RESULTS, add_dots, add_figures, write

from jaxvae.viz import report
from jaxvae.viz.report import captions

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
EVIL = "</script><img src=x onerror=alert(1)>"
XY = np.array([[-2, -2], [-1, 1], [0, 0], [1, 0.5], [2, 2], [1.5, -1]], np.float32)


def records():
    """A training of 4,000 steps: noisy, with an outlier, a value that is no number, and one that is never positive."""
    rng = np.random.default_rng(0)
    for step in range(100, 4001, 100):
        rate = 3 * (1 - np.exp(-step / 800)) + 0.1 * rng.normal()
        elbo, norm = -30 + step / 400, 10.0 ** rng.normal()
        train = {"elbo": elbo, "rate": rate, "distortion": rate - elbo, "grad_norm": norm}
        train |= {"elbo": None} if step == 2000 else {"elbo": -1e6} if step == 100 else {}
        yield {"step": step, "split": "train", **train}
        if step % 1000 == 0:
            yield {"step": step, "split": "validation", "elbo": -31 + step / 400, EVIL: step}


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The report of a run that has everything, as a file."""
    folder = tmp_path_factory.mktemp("runs") / "a long-named run of the digits, for a phone"
    (folder / "figures").mkdir(parents=True)
    write(folder, "config", {"version": 1, "config": CONFIG | {EVIL: "x" * 300}})
    write(folder, "environment", ENVIRONMENT)
    write(folder, "results", RESULTS)
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, records())))
    add_figures(folder, *captions.CAPTIONS)
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * 40 + np.zeros((6, 5, 5, 1), np.uint8)
    names = np.array(["zero", "one", EVIL])
    add_dots(folder, 6, 5, xy=XY, image=images, reconstruction=255 - images, names=names)
    return report.write_report(folder).as_uri()


@pytest.fixture
def shown(page, address):
    page.goto(address)
    page.wait_for_selector("#interactive-curves .chart path")
    return page


def dot(page, i):
    """The middle of a dot, in pixels of the window."""
    circle = page.locator(".plane circle:not(.prior):not(.ring)").nth(i)
    circle.scroll_into_view_if_needed()
    box = circle.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def greys(page):
    """The grey level in the middle of both pictures that are shown."""
    script = "every => every.map(each => each.getContext('2d').getImageData(2, 2, 1, 1).data[0])"
    return page.locator(".shown canvas").evaluate_all(script)


def hidden(page):
    script = "every => every.map(each => each.getAttribute('visibility') === 'hidden')"
    return page.locator(".plane circle:not(.prior):not(.ring)").evaluate_all(script)


def steps(page, chart=0):
    """The lowest and highest step that a chart shows, as it says itself."""
    text = page.locator(".chart > svg").nth(chart).get_attribute("aria-label")
    return [float(each.replace(",", "")) for each in re.search(r"from step ([\d,.]+) to ([\d,.]+)", text).groups()]


def test_what_can_be_touched_takes_the_place_of_its_still(shown):
    assert shown.locator("#interactive-curves").is_visible()
    assert shown.locator("#interactive-latent_plane").is_visible()
    assert not shown.locator("#still-curves").is_visible()
    assert not shown.locator("#still-latent_plane").is_visible()
    assert shown.locator("#still-samples, figure img").first.is_visible()


@pytest.mark.parametrize("i", [0, 4, 5])
def test_a_dot_under_the_pointer_shows_its_image_and_reconstruction(shown, i):
    shown.mouse.move(*dot(shown, i))
    label = ["zero", "one", EVIL][i % 3]
    assert shown.locator(".said").inner_text().startswith(f"Image {i}, label {label}; at ")
    assert greys(shown) == [40 * i, 255 - 40 * i]
    assert f"image {i}, label {label}" == shown.locator(".shown canvas").first.get_attribute("aria-label")
    ring = shown.locator(".plane circle.ring").bounding_box()
    x, y = dot(shown, i)
    assert abs(ring["x"] + ring["width"] / 2 - x) < 1
    assert abs(ring["y"] + ring["height"] / 2 - y) < 1


def test_the_legend_hides_a_label_and_none_and_all_do_so_for_every_one(shown):
    box = shown.get_by_label("one", exact=True)
    box.uncheck()
    assert hidden(shown) == [False, True, False, False, True, False]
    shown.mouse.move(*dot(shown, 3))
    before = shown.locator(".said").inner_text()
    other = dot(shown, 5)
    shown.get_by_role("button", name="None").click()
    assert hidden(shown) == [True] * 6
    shown.mouse.move(*other)
    assert shown.locator(".said").inner_text() == before
    shown.get_by_role("button", name="All", exact=True).click()
    assert hidden(shown) == [False] * 6
    assert box.is_checked()


def test_arrow_keys_move_between_dots_and_say_where(shown):
    plane = shown.get_by_role("application")
    plane.focus()
    shown.keyboard.press("Tab")
    shown.keyboard.press("Shift+Tab")
    live = shown.locator("[aria-live]")
    assert live.inner_text().startswith("Image 2,")  # the one nearest to the middle
    visited = []
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowLeft"):
        shown.keyboard.press(key)
        visited.append(int(live.inner_text().split(",")[0].removeprefix("Image ")))
    assert visited[:2] == [3, 4]
    for (before, after), (axis, sign) in zip(
        zip([2, *visited], visited, strict=False), [(0, 1), (1, 1), (0, -1), (1, -1), (0, -1)], strict=True
    ):
        assert sign * (XY[after] - XY[before])[axis] > 0
    assert not shown.locator(".plane svg.zoomed").count()
    shown.keyboard.press("+")
    assert shown.locator(".plane svg.zoomed").count()
    shown.keyboard.press("0")
    assert not shown.locator(".plane svg.zoomed").count()


def test_the_plane_zooms_about_the_pointer_and_moves_with_a_drag(shown):
    x, y = dot(shown, 3)
    shown.mouse.move(x, y)
    top = shown.evaluate("scrollY")
    shown.mouse.wheel(0, 100)
    shown.wait_for_timeout(300)
    assert shown.evaluate("scrollY") > top + 50  # not clicked yet: the page scrolls
    assert not shown.locator(".plane svg.zoomed").count()
    shown.mouse.click(*dot(shown, 3))
    shown.wait_for_timeout(300)  # until the page stands still
    x, y = dot(shown, 3)
    shown.mouse.move(x, y)
    other = dot(shown, 2)
    shown.mouse.wheel(0, -300)
    shown.wait_for_selector(".plane svg.zoomed")
    assert abs(np.subtract(dot(shown, 3), (x, y))).max() < 1
    assert np.hypot(*np.subtract(dot(shown, 2), (x, y))) > 1.5 * np.hypot(*np.subtract(other, (x, y)))
    shown.mouse.down()
    shown.mouse.move(x + 30, y + 20, steps=4)
    shown.mouse.up()
    assert abs(np.subtract(dot(shown, 3), (x + 30, y + 20))).max() < 1
    shown.get_by_role("button", name="All dots").click()
    assert not shown.locator(".plane svg.zoomed").count()


def test_a_drag_across_a_curve_shows_those_steps_in_all_and_escape_all_again(shown):
    picture = shown.locator(".chart > svg").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    whole = steps(shown)
    assert whole == [100, 4000]
    y = box["y"] + 100
    shown.mouse.move(box["x"] + 0.4 * box["width"], y)
    shown.mouse.down()
    shown.mouse.move(box["x"] + 0.6 * box["width"], y, steps=5)
    shown.mouse.up()
    low, high = steps(shown)
    plot = box["width"] - 68  # what the axis' numbers leave
    share = [(part * box["width"] - 58) / plot for part in (0.4, 0.6)]
    assert np.allclose([low, high], [100 + 3900 * each for each in share], atol=20)
    assert steps(shown, 1) == [low, high]
    shown.keyboard.press("Escape")
    assert steps(shown) == whole
    shown.locator("#interactive-curves").get_by_role("button", name="Zoom in").click()
    assert np.diff(steps(shown)) == pytest.approx(np.diff(whole) / 2, abs=2)
    shown.get_by_role("button", name="All steps").click()
    assert steps(shown) == whole
    assert shown.get_by_role("button", name="All steps").is_disabled()


def test_values_are_read_by_pointer_and_by_slider(shown):
    picture = shown.locator(".chart > svg").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    shown.mouse.move(box["x"] + 58 + (box["width"] - 68) * (3000 - 100) / 3900, box["y"] + 80)
    told = shown.locator(".chart p").first
    assert "train −22.5 · validation −23.5" in told.inner_text()
    assert "step 3,000" in shown.locator("#interactive-curves .bar").nth(1).inner_text()
    slider = shown.get_by_role("slider")
    slider.focus()
    shown.keyboard.press("ArrowLeft")
    assert "train −22.75 · validation −23.5 (step 3,000)" in told.inner_text()
    assert slider.get_attribute("aria-valuetext").startswith("step 2,900: ELBO, larger is better train −22.75")
    shown.keyboard.press("Home")
    assert "train −1,000,000" in told.inner_text()


def test_outliers_and_gaps_are_said_and_a_log_scale_is_for_positive_values(shown):
    told = shown.locator(".chart p").first
    assert "not shown: 1 outside, 1 not a number" in told.inner_text()
    every = shown.get_by_label("every value")
    every.check()
    assert "outside" not in told.inner_text()
    shown.get_by_label("Gradient norm").check()
    shown.get_by_label("log scale").check()
    assert "not all above 0, so no log scale" in told.inner_text()
    norms = shown.locator(".chart[data-name=grad_norm]")
    texts = norms.locator("text[text-anchor=end]").evaluate_all("every => every.map(each => each.textContent)")
    ticks = [float(each) for each in texts if "," not in each]  # without the last step's
    assert len(ticks) > 2
    ratios = np.divide(ticks[1:], ticks[:-1])
    assert ratios.min() >= 1.9
    assert "no log" not in norms.locator("p").inner_text()


def test_curves_are_chosen_and_a_strangers_name_is_text(shown):
    assert shown.locator(".chart").count() == 3
    shown.get_by_role("group", name="Curves to show").get_by_label(EVIL).check()
    assert EVIL in shown.locator(".chart h4").all_inner_texts()
    shown.get_by_role("checkbox", name="Rate, KL").uncheck()
    assert shown.locator(".chart").count() == 3
    assert not shown.locator("main img[src=x]").count()


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways(open_page, address, width, scheme):
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(address)
    page.wait_for_selector("#interactive-curves .chart path")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_finger_shows_a_dot_on_a_phone(open_page, address):
    page = open_page(**PHONE)
    page.goto(address)
    page.wait_for_selector(".plane circle")
    page.touchscreen.tap(*dot(page, 4))
    assert page.locator(".said").inner_text().startswith("Image 4,")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_scripts_the_stills_are_there(open_page, address):
    page = open_page(java_script_enabled=False)
    page.goto(address)
    assert page.locator("#still-curves img").is_visible()
    assert page.locator("#still-latent_plane img").is_visible()
    assert not page.locator("#interactive-curves").is_visible()
    assert page.get_by_text("Test split, 360 images").is_visible()


def test_the_policy_stops_every_other_script_and_request(page, address, tmp_path):
    text = Path(unquote(address.removeprefix("file://"))).read_text(encoding="utf-8")
    attack = "<script>window.owned = 1</script><img src='https://192.0.2.1/x.png' onerror='window.owned = 2'>"
    other = tmp_path / "attacked.html"
    other.write_text(text.replace("</main>", f"{attack}</main>"))
    page.goto(other.as_uri())
    page.wait_for_selector("#interactive-curves .chart path")
    page.evaluate("fetch('https://192.0.2.1/y').catch(() => 0)")
    assert page.evaluate("window.owned") is None
    stopped = ("inline script", "inline event handler", "Loading the image", "Connecting to")
    assert all(any(each in line and "violates" in line for line in page.complaints) for each in stopped)
    page.complaints.clear()


def test_the_keyboard_leads_past_the_head(shown):
    shown.keyboard.press("Tab")
    link = shown.locator(".skip")
    assert link.evaluate("each => each === document.activeElement")
    assert link.bounding_box()["x"] >= 0
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "main"
