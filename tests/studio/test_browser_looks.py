"""What is seen in a real browser is in view, on top, and says itself what it does."""

import pretty_midi
from conftest import RATE, sound, tone
from studio_browser import begin, dropped, needs_browser, take_apart, until

import audionmf

pytestmark = needs_browser


def test_the_playhead_stays_where_rows_are_scrolled_and_below_the_tools_of_notes(page):
    take_apart(page, "14")
    edges = """() => ['.head-lane', '.tools', '.stage'].map((e) => document.querySelector(e))
      .map((e) => e.getBoundingClientRect()).map((box) => [box.top, box.bottom])"""
    for scrolled in (0, 200, 100_000):
        page.locator(".stage").evaluate("(e, y) => { e.scrollTop = y; }", scrolled)
        lane, tools, stage = page.evaluate(edges)
        assert lane == [tools[1], stage[1]]
    assert page.locator(".stage").evaluate("(e) => e.scrollTop") > 200
    # Nothing between the two makes a layer of its own, so the order in depth is that of the numbers.
    above = """() => {
      const [lane, tools] = ['.head-lane', '.roll-tools'].map((e) => document.querySelector(e));
      const [behind, before] = [lane, tools].map((e) => Number(getComputedStyle(e).zIndex));
      return lane.parentElement === tools.parentElement.parentElement && behind < before;
    }"""
    assert page.evaluate(above)


def test_what_a_dialog_says_is_on_top_and_in_reach(page):
    """A folder that may not be written to, half way, and a message of the studio over it."""
    take_apart(page, "2")
    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.evaluate(
        """async () => {
          const folder = await navigator.storage.getDirectory();
          const give = folder.getFileHandle.bind(folder);
          let n = 0;
          folder.getFileHandle = (...names) => {
            n += 1;
            if (n > 1) throw new DOMException('The request is not allowed.', 'NotAllowedError');
            return give(...names);
          };
          window.showDirectoryPicker = () => Promise.resolve(folder);
        }"""
    )
    page.locator(".picture").focus()
    page.keyboard.press("e")
    page.get_by_role("button", name="To a folder").click()
    toast = page.locator("dialog .toast.error")
    toast.wait_for()
    assert toast.inner_text().startswith(
        "1 of 2 files were saved. The browser may not write there."
    )
    assert page.locator("dialog .done").inner_text() == ""
    assert page.get_by_role("button", name="To a folder").is_enabled()
    toast.get_by_role("button", name="Dismiss").click()
    assert page.locator("dialog[open]").count() == 1
    page.evaluate("import('/static/dom.js').then(({ toast }) => toast('Something happened.'))")
    page.keyboard.press("Escape")
    page.locator("body > .toasts .toast", has_text="Something happened.").wait_for()

    page.evaluate(
        """() => {
          const writeText = () => Promise.reject(new DOMException('', 'NotAllowedError'));
          Object.defineProperty(navigator, 'clipboard', { value: { writeText } });
        }"""
    )
    page.keyboard.press("e")
    page.get_by_role("button", name="Copy the command line").click()
    page.locator("dialog .toast.error", has_text="does not let this page copy").wait_for()
    page.locator("dialog").evaluate("(box) => { box.scrollTop = 0; box.style.height = '200px'; }")
    with page.expect_download():
        page.get_by_label("Name of stem 1").press("Enter")
    until(page, "document.querySelector('dialog .done')?.textContent.startsWith('Saved ')")
    below = """() => document.querySelector('dialog .done').getBoundingClientRect().bottom
      - document.querySelector('dialog').getBoundingClientRect().bottom"""
    assert page.evaluate(below) <= 0
    page.locator("dialog .toast.error .icon-button").click()
    page.keyboard.press("Escape")

    page.evaluate(
        """() => {
          const cancelled = new DOMException('', 'AbortError');
          window.showDirectoryPicker = () => Promise.reject(cancelled);
        }"""
    )
    page.keyboard.press("e")
    page.get_by_role("button", name="To a folder").click()
    until(page, "!document.querySelector('dialog .line button').disabled")
    assert page.locator(".toast.error").count() == 0  # nobody picked one


def test_headings_among_the_keys_have_a_line_of_their_own(page):
    take_apart(page, "2")
    page.locator(".picture").focus()
    page.keyboard.press("?")
    widths = "all => all.map((e) => e.offsetWidth / e.closest('table').clientWidth)"
    found = page.locator(".keys .topic").evaluate_all(widths)
    assert found
    assert min(found) > 0.95


def test_files_that_are_dropped_in_the_studio_go_to_the_source_they_are_dropped_on(page, tmp_path):
    """An example, a bank or notes: on a source, and beside all of them, where they make one."""
    audio = sound(tmp_path / "high.wav", tone(1568, RATE))
    bank = audionmf.learn(audio, "bell").save(tmp_path / "bell.npz")
    score = pretty_midi.PrettyMIDI()
    score.instruments.append(pretty_midi.Instrument(0, name="top"))
    score.instruments[0].notes.append(pretty_midi.Note(90, 91, 2, 2.99))
    score.write(str(tmp_path / "top.mid"))
    take_apart(page, "2")
    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    cards = """all => all.map((card) => [card.querySelector('input.name').value,
      [...card.querySelectorAll('.chip')].map((chip) => chip.firstChild.textContent)])"""
    for target, path, expected in (
        ("li.source", bank, [["keys", ["bank bell.npz"]]]),
        ("li.source[data-source=rest]", audio, [["keys", []], ["high", ["high.wav · 0:01"]]]),
        (".panel", tmp_path / "top.mid", [["keys", []], ["top", ["notes top.mid"]]]),
    ):
        dropped(page, target, path)
        page.wait_for_selector(".known .chip")
        assert page.locator(".known .source").evaluate_all(cards) == expected
        assert f"{path.name} is known now" in page.locator(".toast").last.inner_text()
        page.get_by_role("button", name="Go on where you left it").click()
        page.wait_for_selector(".row")


def test_each_way_asks_for_what_it_says(page):
    """The jobs are answered here: what becomes of them is tested elsewhere."""
    asked, outcomes = [], []

    def answered(route):
        if route.request.method == "POST":
            asked.append(route.request.post_data_json)
        told = {"id": "x", "kind": "analyse", "stage": "", "share": 0, "divergence": []}
        told |= {"iterations": 0, "error": "", "notes": [], "result": None}
        route.fulfill(json={**told, "outcome": "stopped" if len(outcomes) == len(asked) else ""})

    begin(page)  # a page that is still loading may lose what it asks for, once that is watched
    page.route("**/api/jobs**", answered)
    page.route("**/api/jobs/**", answered)
    page.locator(".offer", has_text="mix & match.wav").click()
    for what in ("lead", "kit", "textures"):
        page.get_by_label("What the recording is").select_option(what)
        page.get_by_role("button", name="Take it apart").click()
        page.wait_for_selector(".progress")
        outcomes.append("stopped")
        until(page, "document.querySelector('.waveform') && !document.querySelector('.progress')")
    lead, kit, textures = asked
    assert [(s["name"], s["voice"]) for s in lead["sources"]] == [("lead", True)]
    assert (lead["kit"], kit["kit"], textures["kit"]) == (False, True, False)
    assert (kit["harmonic_percussive"], textures["harmonic_percussive"]) == (False, True)


def test_two_tabs_do_not_undo_each_other(own):
    """The second to change something is told, and sees what the first did."""
    other = own.context.new_page()
    other.goto(own.url)
    other.wait_for_selector(".row")
    own.bring_to_front()
    own.locator(".row .hear").first.focus()
    own.keyboard.press("n")
    own.keyboard.type("one")
    own.keyboard.press("Enter")
    until(own, "(await (await fetch('/api/state')).json()).sources[0]?.name === 'one'")
    other.bring_to_front()
    other.locator(".row .hear").first.focus()
    other.keyboard.press("n")
    toast = other.locator(".toast.error")
    toast.wait_for()
    assert "changed in the meantime, perhaps in another tab" in toast.inner_text()
    until(other, "document.querySelector('input.name')?.value === 'one'")
    assert other.locator("input.name").count() == 1

    begin(other)  # which leaves the recording
    own.bring_to_front()
    own.locator(".row .hear").last.focus()
    own.keyboard.press("n")
    own.wait_for_selector(".start")
    own.locator(".toast", has_text="Another tab has left this recording").wait_for()
    own.locator(".offer", has_text="mix & match.wav").click()
    own.get_by_role("button", name="Go on where you left it").click()
    own.wait_for_selector(".row")
    assert own.locator("input.name").input_value() == "one"


def test_the_first_page_says_what_was_worked_on(own):
    begin(own)
    offer = own.locator(".offer", has_text="mix & match.wav")
    assert offer.locator(".hint").inner_text() == "worked on · 0:04"
