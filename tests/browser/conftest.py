"""A headless Chromium for the pages that jaxvae writes and serves: launched once, and a page that forgives no error."""

import shutil
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = [  # no GPU, no sandbox (the tests may run as root), and no word to anybody outside
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
HERE = ("127.0.0.1", "localhost", "[::1]")


@pytest.fixture(scope="session")
def browser():
    """The machine's own Chromium; skipped, in words, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"needs a Chromium on the PATH ({', '.join(NAMES)}): apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser):
    """A function (**options of browser.new_context) -> a page; whatever any of them complains of fails the test.

    That is: a line in the console that is an error or a warning, a script's exception, and a request to another
    machine. A page's `complaints`, a list, may be emptied by a test that has looked at them.
    """
    contexts, complaints = [], []

    def open_one(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.complaints = complaints
        page.on("console", lambda line: line.type in ("error", "warning") and complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _abroad(request.url) and complaints.append(f"asked for {request.url}"))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def page(open_page):
    """A page of 1280 x 900 pixels."""
    return open_page(viewport={"width": 1280, "height": 900})


def _abroad(url):
    """Whether a request leaves this machine."""
    parts = urlsplit(url)
    return parts.scheme not in ("file", "data", "blob", "about") and parts.netloc.rpartition(":")[0] not in HERE
