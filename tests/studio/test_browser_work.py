"""Work in a real browser that lasts: what is kept, what is mixed."""

import signal

from conftest import RATE, sound, tone
from studio_browser import begin, needs_browser, take_apart, until
from studio_server import running

pytestmark = needs_browser


def test_a_studio_that_was_killed_offers_what_it_had(browser, tmp_path):
    """With its steps back, from the start page, and from the recording; until it is forgotten."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    page = context.new_page()
    path = sound(tmp_path / "mix & match.wav", tone(262, RATE))
    with running(tmp_path / "tmp", path) as server:
        page.goto(server.address)
        take_apart(page, "2")
        page.locator(".row .hear").first.focus()
        page.keyboard.press("n")
        page.keyboard.type("keys")
        page.keyboard.press("Enter")
        kept = "fetch('/api/alive').then((r) => r.json()).then((now) => now.kept === now.version)"
        until(page, "(await (await fetch('/api/state')).json()).sources[0]?.name === 'keys'")
        until(page, f"await {kept}")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    page.evaluate("window.onbeforeunload = null")
    with running(tmp_path / "tmp", path) as server:
        page.once("dialog", lambda dialog: dialog.accept())
        page.goto(server.address)
        page.get_by_role("button", name="Go on where you left it").click()
        page.wait_for_selector(".row")
        assert page.locator("input.name").input_value() == "keys"
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Undo").click()
        until(page, "document.querySelectorAll('li.source').length === 1")
        page.get_by_role("button", name="Redo").click()
        page.reload()
        page.wait_for_selector(".row")
        assert page.locator("input.name").count() == 1
        assert page.get_by_role("button", name="Redo").is_enabled()
        until(page, f"await {kept}")
    with running(tmp_path / "tmp", path) as server:
        page.goto(server.address)
        begin(page)
        [offer] = page.locator(".kept").all()
        assert "Source 1" in offer.inner_text()
        offer.get_by_role("button", name="Forget").click()
        until(page, "!document.querySelector('.kept')")
        assert not list((tmp_path / "state").rglob("*.audionmf"))
    context.close()
