"""Work in a real browser that lasts: what is kept, what is mixed."""

import signal

import numpy as np
import soundfile
from conftest import RATE, sound, tone
from studio_browser import (
    PATIENCE,
    begin,
    chips,
    needs_browser,
    passing_dialog,
    settled,
    sounds,
    take_apart,
    until,
)
from studio_server import running

pytestmark = needs_browser


def test_a_studio_that_was_killed_offers_what_it_had(browser, tmp_path):
    """With its steps back, from the start page, and from the recording; until it is forgotten."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
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
        settled(page)
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


def test_a_project_and_a_model_are_opened_from_the_command_line(page, browser, tmp_path):
    take_apart(page, "2")
    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Export").click()
    for what, name in (("project", "saved.audionmf"), ("model", "saved.npz")):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save the {what}").click()
        download.value.save_as(tmp_path / name)
        with running(tmp_path / what, tmp_path / name) as server:
            context = browser.new_context()
            context.set_default_timeout(PATIENCE)
            opened = context.new_page()
            opened.goto(server.address)
            opened.wait_for_selector(".row")
            assert opened.locator("h1").inner_text() == "mix & match.wav"
            assert opened.locator("input.name").input_value() == "keys"
            opened.locator(".row .hear").first.click()
            opened.get_by_role("button", name="Pause").wait_for()
            context.close()


def test_faders_and_the_original_are_heard_at_once_and_a_remix_is_saved(page, tmp_path):
    """In the event that moves them; a fader is a step that can be taken back, and lasts."""
    take_apart(page)
    page.get_by_role("button", name="Group rest by timbre").click()
    page.wait_for_selector("li.source:nth-child(4)")
    until(page, "document.querySelector('.source-sub')?.textContent.includes('LUFS')")
    page.get_by_role("button", name="Play", exact=True).click()
    sounds(page)
    page.get_by_role("button", name="Mute Source 2").click()
    fader = page.get_by_label("Gain of Source 1")
    fader.evaluate("(e) => { e.value = '-6'; e.dispatchEvent(new Event('input')); }")
    sent, during = page.evaluate("window.gains")
    softer = [k for k, gain in enumerate(sent) if abs(gain - 10 ** (-6 / 20)) < 1e-6]
    assert len(softer) == chips(page, 1)
    assert sent.count(0) == chips(page, 2)
    assert during
    assert page.get_by_role("button", name="Undo").is_enabled()
    fader.evaluate("(e) => e.dispatchEvent(new Event('change'))")
    page.locator(".picture").focus()
    page.keyboard.press("a")
    assert set(page.evaluate("window.gains")[0]) == {1}
    assert page.get_by_role("button", name="Original").get_attribute("aria-pressed") == "true"
    page.keyboard.press("a")
    assert page.evaluate("window.gains")[0] == sent

    page.keyboard.press("e")
    until(page, "document.querySelector('.commands')?.textContent.includes('audionmf remix')")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the remix").click()
    assert download.value.suggested_filename == "mix & match-remix.wav"
    made = soundfile.read(download.value.path())[0]
    assert 0 < np.abs(made).max() < np.abs(soundfile.read(mix_of(page))[0]).max()
    page.keyboard.press("Escape")

    page.reload()
    page.wait_for_selector(".row")
    assert page.get_by_label("Gain of Source 1").input_value() == "-6"
    page.get_by_role("button", name="Undo").click()
    assert page.get_by_label("Gain of Source 1").input_value() == "0"


def mix_of(page):
    """The recording that is open, as the page gives it."""
    with page.expect_download() as download:
        page.evaluate(
            """async () => {
              const { recording } = await (await fetch('/api/state')).json();
              const link = document.createElement('a');
              Object.assign(link, { href: `/api/recordings/${recording}/file`, download: '' });
              link.click();
            }"""
        )
    return download.value.path()


def test_names_of_stems_are_seen_whole(page):
    begin(page)
    page.locator(".offer", has_text="mix & match.wav").click()
    page.get_by_label("What the recording is").select_option("textures")
    page.get_by_role("button", name="Take it apart").click()
    page.wait_for_selector(".row")
    first = page.locator("input.name").first
    first.fill("the strings of the left hand")
    first.press("Enter")
    titles = page.locator(".row .title").all_inner_texts()
    assert sorted(titles) == ["percussive", "the strings of the left hand"]
    cut = """() => [...document.querySelectorAll('.row .title, .row .sub, .source-sub')]
      .filter((e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 2)
      .map((e) => e.textContent)"""
    assert page.evaluate(cut) == []
    page.set_viewport_size({"width": 820, "height": 1180})
    other = page.locator(".row .title", has_text="percussive")
    lines = "(e) => e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight)"
    assert other.evaluate(lines) < 1.5  # a word is not broken
    section = page.locator(".panel > .block").first.bounding_box()["width"]
    assert section > 700  # where nothing is beside it


def test_marks_are_painted_encircled_erased_and_refine(page):
    take_apart(page)
    page.get_by_role("button", name="Group rest by timbre").click()
    page.wait_for_selector("li.source:nth-child(4)")
    page.locator(".picture").focus()
    page.keyboard.press("b")
    box = page.locator(".picture").bounding_box()

    def stroke(tool, *points, size="12"):
        page.get_by_label("Tool").select_option(tool)
        if tool in ("brush", "eraser"):
            page.get_by_label("Size of the brush").fill(size)
        page.mouse.move(box["x"] + points[0][0], box["y"] + points[0][1])
        page.mouse.down()
        for x, y in points[1:]:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=6)
        page.mouse.up()

    def marks():
        return page.evaluate(
            "import('/static/store.js').then(({ store }) => store.sending.then(() => fetch("
            "'/api/state')).then((r) => r.json()).then((state) => state.marks))"
        )

    stroke("brush", (60, 60), (160, 110))
    page.get_by_label("How firmly, from soft to firm").first.fill("3")
    stroke("lasso", (200, 40), (300, 40), (300, 140), (200, 140))
    [brush, lasso] = marks()
    assert len(brush["spans"]) > 5
    assert brush["strength"] == 10
    assert lasso["strength"] == 3
    assert len(lasso["spans"]) == 1
    assert page.locator(".mark", has_text="Painted").count() == 2
    stroke("eraser", (200, 90), (300, 90), size="10")
    assert len(marks()[1]["spans"]) >= 2
    stroke("eraser", (60, 60), (160, 110), size="60")
    assert [mark["strength"] for mark in marks()] == [3]
    page.get_by_role("button", name="Undo").click()
    assert len(marks()) == 2
    with passing_dialog(page):
        page.get_by_role("button", name="Refine with 2 marks").click()
    assert page.evaluate("fetch('/api/state').then((r) => r.json())")["model"]["refined"]

    cut = "import('/static/marking.js').then((m) => m.without([0, 4, 100, 400], [1, 2, 200, 300]))"
    assert sorted(page.evaluate(cut)) == [
        [0, 1, 100, 400], [1, 2, 100, 200], [1, 2, 300, 400], [2, 4, 100, 400],
    ]  # fmt: skip


def test_a_mark_that_is_overtaken_gives_way_and_the_console_stays_empty(page, studio):
    """By a change of another tab here; it was seen where the machine had much to do."""
    take_apart(page, "2")
    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.locator(".picture").focus()
    page.keyboard.press("b")

    def overtake(route):
        with studio.client() as client:
            state = client.get("/api/state").json()
            told = {name: state[name] for name in ("version", "sources", "marks", "gains")}
            body = told | {"model": state["model"]["id"], "step": "do"}
            client.put("/api/state", json=body).raise_for_status()
        route.continue_()

    page.route("**/api/jobs", overtake)
    box = page.locator(".picture").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    with page.expect_response("**/api/jobs") as answer:
        page.mouse.move(box["x"] + 200, box["y"] + 120, steps=4)
        page.mouse.up()
    assert (answer.value.status, answer.value.json()["outcome"]) == (200, "stopped")
    until(page, "!document.querySelector('.mark-tools [role=status]').textContent")
    assert not page.locator(".toast.error").count()


def test_a_job_is_followed_though_an_answer_was_lost(own):
    """As where a computer slept in the middle of it."""
    lost = []

    def begun(route):
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"outcome": "running"})

    def asked(route):
        if lost:
            route.continue_()
        else:
            lost.append(route.request.url)
            route.abort()

    own.route("**/api/jobs", begun)
    own.route("**/api/jobs/*", asked)
    own.get_by_role("button", name="Export").click()
    with own.expect_download():
        own.get_by_role("button", name="Save the stems").click()
    assert lost
    assert own.locator(".toast.error").count() == 0


def test_stems_go_to_a_folder_and_a_tour_of_five_steps_can_be_left(page):
    take_apart(page, "2")
    assert "All of it, so far" in page.locator(".source-sub").inner_text()
    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    page.evaluate("window.showDirectoryPicker = () => navigator.storage.getDirectory()")
    page.locator(".picture").focus()
    page.keyboard.press("e")
    page.get_by_role("button", name="To a folder").click()
    until(page, "document.querySelector('.done')?.textContent.startsWith('Saved 2 files')")
    sizes = page.evaluate(
        """async () => {
          const folder = await navigator.storage.getDirectory();
          const sizes = {};
          for await (const [name, file] of folder.entries()) sizes[name] = (await file.getFile()).size;
          return sizes;
        }"""
    )
    whole = mix_of(page).stat().st_size
    assert sizes == {"keys.wav": whole, "rest.wav": whole}
    page.keyboard.press("Escape")

    # Dragged out of the page a stem is a file, which the browser fetches from this address.
    kind, name, address = page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          document.querySelector('a.stem').dispatchEvent(new DragEvent('dragstart', { dataTransfer }));
          const told = dataTransfer.getData('DownloadURL').split(':');
          return [told[0], told[1], told.slice(2).join(':')];
        }"""
    )
    assert (kind, name) == ("audio/wav", "keys.wav")
    fetched = "(a) => fetch(a).then((r) => r.arrayBuffer()).then((b) => b.byteLength)"
    assert page.evaluate(fetched, address) == whole

    page.locator(".picture").focus()
    page.keyboard.press("?")
    page.get_by_role("button", name="Show me around").click()
    tour, seen = page.get_by_role("dialog", name="Tour"), []
    for _ in range(5):
        seen.append(tour.get_by_role("heading").inner_text())
        box = tour.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1280
        assert box["y"] + box["height"] <= 720
        page.keyboard.press("Enter")
    assert len(set(seen)) == 5
    assert tour.count() == 0
    page.keyboard.press("?")
    page.get_by_role("button", name="Show me around").click()
    page.keyboard.press("Escape")
    assert tour.count() == 0
    assert page.locator(".toured").count() == 0
