"""A real browser on a studio: what its tests share, fixtures among it."""

import contextlib
import os
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import RATE, sound, tone
from studio_server import running

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
PATIENCE = 60_000
"""Milliseconds that a busy machine gets for one step."""

TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target === this.context.destination) {
    const tap = new AnalyserNode(this.context, { fftSize: 2048 });
    connect.call(this, tap);
    window.loudness = () => {
      if (this.context.state === 'closed') return 0;
      const samples = new Float32Array(2048);
      tap.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
    };
    window.played = () => this.context.currentTime;
  }
  return connect.call(this, target, ...rest);
};
window.blocks = [];
const post = MessagePort.prototype.postMessage;
MessagePort.prototype.postMessage = function (message, ...rest) {
  if (message.gains) window.gains = [Array.from(message.gains), window.event !== undefined];
  const components = message.pcm && message.pcm.length > message.length;
  if (components) window.blocks.push(message.block);
  return post.call(this, message, ...rest);
};
"""

NO_BROWSER = "there is no Chromium here; apt-get install chromium brings one"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    """Three notes at different times, one after the other and together, and an example of one."""
    home = tmp_path_factory.mktemp("studio")
    mixed = np.zeros(4 * RATE)
    for start, hertz in ((0, 262), (1, 659), (2, 1568), (3, 262), (3, 659)):
        mixed[start * RATE : (start + 1) * RATE] += tone(hertz, RATE)
    mix = sound(home / "mix & match.wav", mixed)
    with running(home / "tmp", mix, sound(home / "high.wav", tone(1568, RATE))) as server:
        yield server


running_browser = contextlib.ExitStack()
launched = []


@pytest.fixture
def browser():
    """A browser, the same for tests that follow one another."""
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    if not launched:
        from playwright.sync_api import sync_playwright

        playwright = running_browser.enter_context(sync_playwright())
        launched.append(
            playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        )
        running_browser.callback(lambda: launched.pop().close())
    return launched[0]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Close the browser before other tests: while Playwright runs, nothing else has an event loop."""
    if "browser" not in item.fixturenames:
        running_browser.close()


def pytest_sessionfinish():
    running_browser.close()


def leave(studio):
    """Close what the test before left open."""
    with studio.client() as client:
        version = client.get("/api/state").json()["version"]
        client.post("/api/close", json={"version": version}).raise_for_status()


@pytest.fixture
def page(browser, studio):
    """A page that must not complain, and must not ask anybody else."""
    leave(studio)
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark")
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    opened.add_init_script(TAP)
    complaints, asked = [], []
    opened.on(
        "console",
        lambda m: m.type in ("error", "warning") and complaints.append((m.text, m.location["url"])),
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(studio.address)
    yield opened
    context.close()
    assert not complaints
    assert asked
    own = (f"{studio.base}/", f"blob:{studio.base}/")
    assert not [url for url in asked if not url.startswith(own)]


def until(page, condition):
    """Wait for a condition in JavaScript; the page's policy forbids what Playwright does for it."""
    page.evaluate(
        f"""async () => {{
          const start = performance.now();
          while (!({condition})) {{
            if (performance.now() - start > {PATIENCE}) throw new Error({condition!r});
            await new Promise((resolve) => setTimeout(resolve, 10));
          }}
        }}"""
    )


def settled(page):
    """Wait until the server knows all that was done: what is on its way a reload would end."""
    page.evaluate("import('/static/store.js').then(({ store }) => store.sending)")


@contextmanager
def passing_dialog(page):
    """Wait for a dialog that opens by what is done here and closes by itself, however soon."""
    page.evaluate(
        """() => {
          window.dialogs = 0;
          const seen = ({ addedNodes }) => [...addedNodes].some((node) => node.nodeName === 'DIALOG');
          const count = (changes) => { window.dialogs += changes.filter(seen).length; };
          new MutationObserver(count).observe(document.body, { childList: true, subtree: true });
        }"""
    )
    yield
    until(page, "window.dialogs && !document.querySelector('dialog')")


def begin(page):
    """Get to the first view, whatever the studio was left at by the test before."""
    button = page.get_by_role("button", name="Another recording")
    button.or_(page.locator(".start")).first.wait_for()
    if button.count():
        button.click()
    page.wait_for_selector(".start")


def take_apart(page, components="6"):
    begin(page)
    page.get_by_role("button", name="mix & match.wav").last.click()
    page.get_by_label("Into components").check()
    page.get_by_label("Number of components").fill(components)
    page.get_by_role("button", name="Take it apart").click()
    page.wait_for_selector(".row")


def sounds(page, wanted=True):
    check = "window.loudness && window.loudness() > 0.005"
    until(page, check if wanted else f"!({check})")


def chips(page, source):
    return page.locator(f"li.source:nth-child({source}) .chip").count()


def drag(page, grip, target):
    start, end = grip.bounding_box(), target.bounding_box()
    page.mouse.move(start["x"] + 8, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(end["x"] + 60, end["y"] + 20, steps=6)
    page.mouse.up()


@pytest.fixture
def own(browser, studio):
    """A page that may complain: it loses its server, and is left."""
    leave(studio)
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    opened.goto(studio.address)
    take_apart(opened, "2")
    yield opened
    context.close()


def dropped(page, target, *paths):
    """Drop files as a file manager does."""
    held = page.evaluate_handle(
        """(files) => {
          const held = new DataTransfer();
          for (const [name, bytes] of files) held.items.add(new File([new Uint8Array(bytes)], name));
          return held;
        }""",
        [[path.name, list(path.read_bytes())] for path in paths],
    )
    page.locator(target).first.dispatch_event("drop", {"dataTransfer": held})
