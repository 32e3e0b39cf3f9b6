"""The browser of these tests complains where it should."""

import pytest

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.error('ill')", "ill"),
        ("setTimeout(() => { throw new Error('ill') })", "ill"),
        ("new Image().src = 'http://192.0.2.1/x.png'", "asked for http://192.0.2.1/x.png"),
    ],
)
def test_a_complaint_is_noticed(page, script, complaint):
    page.goto("data:text/html,<title>empty</title>")
    page.evaluate(script)
    page.wait_for_timeout(100)
    assert complaint in page.complaints
    page.complaints.clear()
