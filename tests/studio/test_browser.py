"""The studio in a real browser, as a musician uses it: with the mouse, by keyboard alone."""

import io
import re
import zipfile

import numpy as np
import pretty_midi
import soundfile
from conftest import RATE, sound, tone
from studio_browser import (
    begin,
    chips,
    drag,
    dropped,
    needs_browser,
    passing_dialog,
    sounds,
    take_apart,
    until,
)

import audionmf

pytestmark = needs_browser

STATE = (  # of the server, once it knows what was done
    "import('/static/store.js').then(({ store }) => store.sending)"
    ".then(() => fetch('/api/state')).then((r) => r.json())"
)


def test_load_decompose_hear_regroup_export(page):
    take_apart(page)
    assert page.locator(".row").count() == 6

    page.locator(".row .hear").first.click()
    sounds(page)
    assert page.locator(".hear[aria-pressed=true]").count() == 1
    assert page.get_by_role("button", name="Pause").is_visible()
    page.locator(".row .hear").first.click()
    page.get_by_role("button", name="Pause").click()
    sounds(page, wanted=False)

    page.get_by_role("button", name="Group rest by timbre").click()
    page.wait_for_selector("li.source:nth-child(4)")
    assert sum(chips(page, i) for i in (1, 2, 3)) == 6
    first = page.locator("li.source:nth-child(1)")
    first.locator("input.name").fill("<b>bass</b>")
    first.locator("input.name").press("Enter")
    assert page.locator("b").count() == 0

    before = chips(page, 1)
    row = page.locator(".row", has=page.get_by_role("button", name="Hear alone")).first
    row.locator("select").select_option(label="rest")
    drag(page, row.locator(".grip"), first)
    until(page, f"document.querySelectorAll('.source .chip').length >= {before}")
    assert row.locator("select").input_value() == first.get_attribute("data-source")

    page.get_by_role("button", name="Undo").click()
    assert row.locator("select").input_value() == "rest"
    page.get_by_role("button", name="Redo").click()
    assert row.locator("select").input_value() == first.get_attribute("data-source")

    page.get_by_role("button", name="Export").click()
    until(page, "document.querySelector('.commands')?.textContent.includes('audionmf')")
    commands = page.locator(".commands").first.text_content()
    assert "--n-components 6" in commands
    assert "'<b>bass</b>=" in commands
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the stems").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        stems = {name: archive.read(name) for name in archive.namelist()}
    assert any("bass" in name for name in stems)
    total = sum(soundfile.read(io.BytesIO(stem))[0] for stem in stems.values())
    assert np.abs(total).max() > 0.1


def test_stems_sound_again_without_the_server_when_sources_change(page):
    """What is heard changes by gains in the browser: no audio comes again, nothing is computed."""
    take_apart(page)
    page.get_by_role("button", name="New source").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Loop", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="Solo Source 1").click()
    sounds(page, wanted=False)
    until(page, "new Set(window.blocks).size === 16")  # all of it is in the browser
    blocks = page.evaluate("window.blocks")
    row = page.locator(".row").first
    component = int(row.get_attribute("data-component"))
    moves = {
        "key": lambda: page.keyboard.press("1"),
        "menu": lambda: row.locator("select").select_option(label="Source 1"),
        "drag": lambda: drag(page, row.locator(".grip"), page.locator("li.source").first),
    }
    asked = set()
    page.on("request", lambda r: asked.add((r.method, r.url.partition("/api/")[2])))
    for move in moves.values():
        row.locator(".hear").focus()
        move()
        # The new gains are on their way to the audio thread in the event that made the change.
        sent, during = page.evaluate("window.gains")
        assert [k for k, gain in enumerate(sent) if gain] == [component]
        assert during
        sounds(page)
        page.get_by_role("button", name="Undo").click()
        sounds(page, wanted=False)
        until(page, "document.querySelectorAll('.source .chip').length === 6")
    assert asked - {("GET", "alive")} == {("PUT", "state")}  # beside whether anybody is there
    assert page.evaluate("window.blocks") == blocks
    page.get_by_role("button", name="Pause").click()


def test_a_component_alone_is_heard_before_the_others_are_here(page):
    begin(page)  # a page that is still loading may lose what it asks for, once that is watched
    page.route(re.compile(r"/api/models/[^/]+/audio/\d+$"), lambda route: None)  # and kept there
    take_apart(page)
    row, other = page.locator(".row").first, page.locator(".row").last
    component = row.get_attribute("data-component")
    components = page.evaluate(STATE)["model"]["components"]
    place = max(0, components[int(component)]["loudest"] - 0.15)
    with page.expect_request(f"**/audio/{int(4 * place) + 1}?parts={component}"):
        row.locator(".hear").click()
        sounds(page)  # and goes on
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Hear all").click()
    with page.expect_response("**/audio/*") as pointed:
        other.hover()
    block = int(pointed.value.url.rpartition("/")[2].partition("?")[0])
    page.locator(".picture").click(
        position={
            "x": (block + 0.2) / 16 * page.locator(".picture").bounding_box()["width"],
            "y": 20,
        }
    )
    page.get_by_role("button", name="Play", exact=True).click()
    heard = page.evaluate(  # one of them is not to be taken for all
        """async () => {
          let most = 0;
          const begin = window.played() + 0.08; // until then the meter holds what was heard before
          while (window.played() < begin + 0.2) {
            if (window.played() > begin) most = Math.max(most, window.loudness());
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
          return most;
        }"""
    )
    assert heard < 1e-4
    page.unroute_all()  # which lets those go that were kept
    sounds(page)
    page.get_by_role("button", name="Pause").click()


def test_a_recording_is_heard_before_it_is_taken_apart(page):
    begin(page)
    blocks = []
    for what in ("request", "requestfinished"):
        page.on(what, lambda r, what=what: "/audio/" in r.url and blocks.append(what))
    page.get_by_role("button", name="mix & match.wav").last.click()
    page.get_by_role("button", name="Play", exact=True).click()
    sounds(page)
    assert blocks[:2] == ["request", "requestfinished"]  # the first has the server for itself
    page.get_by_role("button", name="Pause", exact=True).click()
    sounds(page, wanted=False)
    wave = page.locator(".waveform").bounding_box()
    page.mouse.click(wave["x"] + wave["width"] / 2, wave["y"] + 20)
    assert page.locator(".time").text_content() == "0:02.0 / 0:04.0"
    page.get_by_label("By what you know").check()
    page.get_by_label("Ranges of source 1").select_option(label="Alone, by numbers")
    page.get_by_role("button", name="Hear the range").click()
    sounds(page)
    page.get_by_role("button", name="Another recording").click()
    page.wait_for_selector(".start")
    sounds(page, wanted=False)


def test_a_drop_says_what_it_did(page):
    """On rest, where the component is already, and beside all sources, which makes one."""
    take_apart(page)
    grip = page.locator(".row .grip").first
    drag(page, grip, page.locator("li.source[data-source=rest]"))
    assert "in rest already" in page.locator(".toast").inner_text()
    assert page.get_by_role("button", name="Undo").is_disabled()

    drag(page, grip, page.get_by_role("heading", name="Marks"))
    until(page, "document.querySelectorAll('li.source').length === 2")
    assert "Source 1 was made, with " in page.locator(".toast").last.inner_text()
    assert "Source 1 was made" in page.locator("#status").text_content()


def test_the_numbers_of_a_mark_are_seen_whole(page):
    take_apart(page)
    page.get_by_role("button", name="New source").click()
    page.get_by_role("button", name="Add by numbers").click()
    for number, value in zip(
        page.locator(".mark input:not([type=range])").all(),
        ("3500.05", "3599.95", "12340", "22050"),
        strict=True,
    ):
        number.evaluate("(item, value) => { item.value = value; }", value)
        assert number.evaluate("item => item.scrollWidth <= item.clientWidth")


def test_sources_are_split_and_merged(page):
    take_apart(page)
    page.locator(".row .hear").first.focus()
    for _ in range(5):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("n")
    page.wait_for_selector("li.source:nth-child(2)")
    assert chips(page, 1) == 6
    page.get_by_label("More for Source 1").select_option(label="Split in two by timbre")
    page.wait_for_selector("li.source:nth-child(3)")
    assert chips(page, 1) + chips(page, 2) == 6
    assert chips(page, 2) > 0
    page.locator("li.source:nth-child(2) .menu").select_option(label="Merge into Source 1")
    assert page.locator("li.source").count() == 2
    assert chips(page, 1) == 6
    page.get_by_label("More for Source 1").select_option(label="Remove the source")
    assert page.locator("li.source").count() == 1
    assert chips(page, 1) == 6

    # Steps to parts that the studio gave up, for they took too much, lead nowhere.
    page.evaluate(
        "import('/static/store.js').then(({ store }) => { store.past[1].model = 'gone'; })"
    )
    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    past = "import('/static/store.js').then(({ store }) => store.sending.then(() => store.past.length))"
    assert page.evaluate(past) == 3
    for _ in range(3):
        page.get_by_role("button", name="Undo").click()
    assert page.get_by_role("button", name="Undo").is_disabled()
    assert page.locator("li.source").count() == 3


def test_a_refinement_and_its_undo_do_not_stop_the_music(page):
    take_apart(page)
    page.get_by_role("button", name="Group rest by timbre").click()
    page.wait_for_selector("li.source:nth-child(4)")
    page.get_by_role("button", name="Loop", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    sounds(page)
    page.get_by_role("button", name="Add by numbers").click()
    with passing_dialog(page):
        page.get_by_role("button", name="Refine with 1 mark").click()
    models = []
    for name in ("Undo", "Redo"):
        until(page, "window.loudness() > 0.005")
        models.append(page.evaluate(STATE)["model"])
        page.get_by_role("button", name=name).click()
    assert models[0]["refined"]
    assert (
        models[1]["id"] != models[0]["id"]
    )  # as it is heard with the mark, if that was found in time
    sounds(page)
    page.get_by_role("button", name="Pause").click()


def test_by_keyboard_alone(page):
    begin(page)
    page.keyboard.press("Tab")
    for _ in range(12):
        focused = "document.activeElement.matches('.offer') && document.activeElement.textContent"
        if (page.evaluate(focused) or "").startswith("mix & match.wav"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".waveform")
    page.get_by_label("Into components").focus()
    page.keyboard.press("Space")
    page.get_by_label("Number of components").focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Take it apart").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".row")
    assert page.locator(".row").count() == 8

    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.matches('input.name')")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    assert page.locator("input.name").input_value() == "keys"
    page.locator(".row .hear").first.focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("1")
    assert chips(page, 1) == 3
    page.keyboard.press("s")
    page.wait_for_selector(".toggle.S[aria-pressed=true]")  # with the next picture
    assert page.locator(".toggle.S[aria-pressed=true]").count() == 1
    page.keyboard.press("Enter")
    page.keyboard.press("Control+z")
    assert chips(page, 1) == 1
    page.keyboard.press("Control+Shift+z")
    assert chips(page, 1) == 3
    page.locator(".picture").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause").wait_for()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Play", exact=True).wait_for()

    page.locator(".picture").focus()
    axis, seen = "document.querySelector('.axis').toDataURL()", []
    for key in ("f", "ArrowUp", "Shift+F", "+"):  # frequencies and time, each another view
        seen.append(page.evaluate(axis if key != "+" else axis.replace(".axis", ".ruler")))
        page.keyboard.press(key)
        until(page, f"{axis if key != '+' else axis.replace('.axis', '.ruler')} !== {seen[-1]!r}")

    page.get_by_role("button", name="Add by numbers").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".mark")
    page.get_by_role("button", name="Refine with 1 mark").focus()
    with passing_dialog(page):
        page.keyboard.press("Enter")
    assert chips(page, 1) == 3
    page.locator(".picture").focus()
    page.keyboard.press("e")
    page.wait_for_selector("dialog .commands")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_a_recording_is_uploaded_and_a_stop_goes_back_to_it(page, tmp_path):
    begin(page)
    noise = np.random.default_rng(0).normal(0, 0.1, 120 * RATE)
    page.set_input_files("input[type=file]", sound(tmp_path / "own noise.wav", noise))
    page.wait_for_selector(".waveform")
    assert page.locator("h1").text_content() == "own noise.wav"
    page.get_by_label("Into components").check()
    page.get_by_label("Number of components").fill("47")
    page.get_by_role("button", name="Take it apart").click()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(".waveform")
    assert page.get_by_label("Number of components").input_value() == "47"


def test_a_recording_that_is_open_is_listed_once(page):
    begin(page)
    for _ in range(2):
        listed = page.locator(".offer", has_text="high.wav")
        assert listed.count() == 1
        listed.click()
        page.wait_for_selector(".waveform")
        page.get_by_role("button", name="Another recording").click()
        page.wait_for_selector(".start")


def test_an_example_and_a_solo_range_go_together(page):
    begin(page)
    page.get_by_role("button", name="mix & match.wav").last.click()
    page.get_by_label("By what you know").check()
    page.get_by_label("Pick an example").first.select_option(label="high.wav")
    page.wait_for_selector(".known .chip")
    page.get_by_label("Ranges of source 2").select_option(label="Drag where it plays alone")
    wave = page.locator(".waveform").bounding_box()
    page.mouse.move(wave["x"] + 4, wave["y"] + 30)
    page.mouse.down()
    page.mouse.move(wave["x"] + wave["width"] * 0.22, wave["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_selector(".known .source:nth-child(2) .chip")
    page.get_by_label("Name of source 2").fill("low")
    page.get_by_label("What comes out").select_option("components")
    page.get_by_label("Components for each source").select_option("4")
    page.get_by_label("Further components").select_option("4")
    page.get_by_role("button", name="Take it apart").click()
    page.wait_for_selector(".row")
    names = page.locator("input.name").evaluate_all("items => items.map((item) => item.value)")
    assert names == ["high", "low", "other"]
    page.get_by_role("button", name="Export").click()
    until(page, "document.querySelector('.commands')?.textContent.includes('--solo')")
    commands = page.locator(".commands").first.text_content()
    assert "--example high=" in commands
    assert "--free 4" in commands
    page.get_by_text("The same in Python").click()
    assert "audionmf.separate(" in page.get_by_label("Python script").text_content()


def test_banks_and_scores_that_are_dropped_say_what_the_sources_are(page, tmp_path):
    """Dropped on one of them, or beside all; and more of it after it was taken apart."""
    begin(page)
    page.locator(".offer", has_text="mix & match.wav").click()
    bank = audionmf.learn(sound(tmp_path / "low.wav", tone(262, RATE)), "low").save(
        tmp_path / "low.npz"
    )
    score = pretty_midi.PrettyMIDI()
    for name, key, starts in (("low", 60, (0, 3)), ("mid", 76, (1, 3)), ("top", 91, (2,))):
        part = pretty_midi.Instrument(0, name=name)
        part.notes += [pretty_midi.Note(90, key, at, at + 0.99) for at in starts]
        score.instruments.append(part)
    score.write(str(tmp_path / "trio.mid"))
    page.get_by_label("By what you know").check()
    dropped(page, ".known .source", tmp_path / "trio.mid")  # on a source of no name: for all
    until(page, "document.querySelectorAll('.known .chip').length === 3")
    names = page.get_by_label("Name of source")
    assert [names.nth(i).input_value() for i in range(3)] == ["low", "mid", "top"]
    dropped(page, ".known .source", bank)
    until(page, "document.querySelectorAll('.known .chip').length === 4")
    dropped(page, ".known .source", bank)
    told = page.locator(".toast", has_text="low.npz is there already.")
    told.wait_for()
    assert page.locator(".known .chip").count() == 4
    box, below = told.bounding_box(), page.get_by_role("button", name="Take it apart")
    assert box["y"] + box["height"] <= below.bounding_box()["y"]
    page.get_by_label("Remove trio.mid").first.click()
    for name in ("3", "2"):
        page.get_by_role("button", name=f"Remove source {name}").click()
    page.get_by_role("button", name="Take it apart").click()
    page.wait_for_selector(".row")
    assert page.locator(".row").count() == 2
    card = page.locator("li.source").first.inner_text()
    assert "Known by low of low.npz" in card
    assert "Nothing else is known, so each stem may hold some of the other" in card
    assert page.get_by_role("button", name="Group rest by timbre").is_hidden()
    page.locator(".row .hear").first.click()
    sounds(page)
    page.get_by_role("button", name="Pause").click()

    dropped(page, "li.source", tmp_path / "low.wav")
    page.wait_for_selector(".known .source")
    until(page, "document.querySelectorAll('.known .chip').length === 2")
    assert "low.wav is known now" in page.locator(".toast").last.inner_text()
    page.get_by_role("button", name="Go on where you left it").click()
    page.wait_for_selector(".row")


def test_a_project_is_saved_and_opened_again(page, tmp_path):
    take_apart(page)
    page.locator(".row .hear").first.focus()
    page.keyboard.press("n")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add by numbers").click()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the project").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".audionmf"
    page.wait_for_selector(".done:not(:empty)")
    page.keyboard.press("Escape")
    begin(page)
    dropped(page, ".start", path)
    page.wait_for_selector(".row")
    assert page.locator("input.name").input_value() == "keys"
    assert chips(page, 1) == 1
    assert page.locator(".mark").count() == 1
    page.locator(".row .hear").first.click()
    sounds(page)
    page.get_by_role("button", name="Pause").click()


def test_from_a_song_to_stems_with_names_in_a_few_keys(page, tmp_path):
    """2, Enter, E, Enter: by the keyboard alone, with names that were heard; 0 hears how many."""
    begin(page)
    bass = np.tile(np.concatenate([tone(110, RATE), np.zeros(RATE)]), 2)
    high = np.tile(np.concatenate([np.zeros(RATE), tone(880, RATE)]), 2)
    page.set_input_files("input[type=file]", sound(tmp_path / "song.wav", bass + high))
    page.wait_for_selector(".waveform")
    chosen = page.get_by_label("Number of sources")
    page.keyboard.press("3")
    assert chosen.input_value() == "3"
    page.keyboard.press("0")
    assert chosen.input_value() == "0"
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_selector(".row")
    assert page.locator(".row").count() == 2
    page.keyboard.press("e")
    page.wait_for_selector("dialog")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    with zipfile.ZipFile(download.value.path()) as archive:
        names = [name.rpartition("/")[2] for name in archive.namelist()]
    assert len(names) == 2
    assert not [name for name in names if name.startswith(("source", "component"))]


def test_from_a_song_to_three_stems_with_names_that_are_typed_in_under_ten_actions(page, tmp_path):
    """By the keyboard alone; a name that is typed is one action, as a key is."""
    begin(page)
    parts = [np.zeros(6 * RATE) for _ in range(3)]
    for part, hertz, start in zip(parts, (110, 880, 330), (0, 1, 2), strict=True):
        for begun in (start, start + 3):
            part[begun * RATE : (begun + 1) * RATE] = tone(hertz, RATE)
    page.set_input_files("input[type=file]", sound(tmp_path / "song.wav", sum(parts)))
    page.wait_for_selector(".waveform")
    actions = []

    def press(key):
        actions.append(key)
        page.keyboard.press(key)

    press("3")
    press("Enter")
    page.wait_for_selector(".row")
    press("e")
    page.wait_for_selector("dialog")
    wanted = ["left hand", "bells", "strings"]
    for n, name in enumerate(wanted):
        if n:
            press("Tab")
        actions.append(name)
        page.keyboard.type(name)
    with page.expect_download() as download:
        press("Enter")
    assert len(actions) < 10
    with zipfile.ZipFile(download.value.path()) as archive:
        names = [name.rpartition("/")[2] for name in archive.namelist()]
    assert names == [f"{name}.wav" for name in wanted]
    assert page.locator("input.name").evaluate_all("all => all.map((e) => e.value)") == wanted

    page.get_by_label("Name of stem 2").fill("strings")
    page.keyboard.press("Enter")
    refused = "document.activeElement.validationMessage"
    assert page.evaluate(refused) == "There is a source strings already."
    assert page.locator("input.name").evaluate_all("all => all.map((e) => e.value)") == wanted


def test_however_long_a_setup_is_its_waveform_and_its_button_are_in_view(page):
    begin(page)
    page.locator(".offer", has_text="mix & match.wav").click()
    page.get_by_label("By what you know").check()
    for _ in range(3):
        page.get_by_role("button", name="Add a source").click()
    inside = """(pixels) => {
      const main = document.querySelector('main');
      main.scrollTop = pixels;
      const view = main.getBoundingClientRect();
      const wave = document.querySelector('.wave').getBoundingClientRect();
      const go = document.querySelector('.primary.big').getBoundingClientRect();
      return [wave.top - view.top, view.bottom - go.bottom, main.scrollTop];
    }"""
    assert page.evaluate(inside, 0)[1] > 0
    above, below, scrolled = page.evaluate(inside, 10_000)
    assert scrolled > 100
    assert above == 0  # nothing is seen over it
    assert below > 0


def test_automatically_stems_have_names(page):
    begin(page)
    page.locator(".offer", has_text="mix & match.wav").click()
    page.get_by_label("Number of sources").select_option("2")
    page.get_by_role("button", name="Take it apart").click()
    page.wait_for_selector(".row")
    names = page.locator("input.name").evaluate_all("items => items.map((item) => item.value)")
    assert len(names) == 2
    assert page.locator(".row .title").first.inner_text().split(" #")[0] in names


def test_a_curve_is_cut_where_a_pass_looks_at_more_of_the_recording(page):
    page.wait_for_selector("main")
    script = "(values) => import('/static/setup.js').then((m) => m.passes(values))"
    assert page.evaluate(script, [9, 5, 5, 4, 7, 6, 8]) == [0, 4, 6]
    assert page.evaluate(script, [9, 5, 4.9]) == [0]


def test_a_banner_says_that_the_server_is_gone_and_nothing_is_lost(own):
    page = own
    page.get_by_role("button", name="New source").click()
    page.keyboard.press("Escape")
    banner = page.get_by_role("alert")
    assert not banner.is_visible()
    page.context.set_offline(True)
    banner.wait_for()
    assert "does not answer" in banner.inner_text()
    page.get_by_role("button", name="New source").click()
    page.keyboard.press("Escape")
    assert page.locator(".toast").count() == 0
    page.context.set_offline(False)
    banner.wait_for(state="hidden")
    until(page, "(await (await fetch('/api/state')).json()).sources.length === 2")
    state = page.evaluate("fetch('/api/state').then((r) => r.json())")
    assert [source["name"] for source in state["sources"]] == ["Source 1", "Source 2"]


def test_leaving_with_sources_that_are_in_no_file_asks(own):
    page = own
    asked = "!window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert not page.evaluate(asked)
    page.get_by_role("button", name="New source").click()
    page.keyboard.press("Escape")
    assert page.evaluate(asked)
    page.get_by_role("button", name="Export").click()
    with page.expect_download():
        page.get_by_role("button", name="Save the stems").click()
    page.wait_for_selector(".done:not(:empty)")
    assert not page.evaluate(asked)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="New source").click()
    assert page.evaluate(asked)


def test_one_example_that_is_dropped_is_enough(page, tmp_path):
    begin(page)
    page.locator(".offer", has_text="mix & match.wav").click()
    page.get_by_label("By what you know").check()
    tones = [sound(tmp_path / f"low {n}.wav", tone(hz, RATE)) for n, hz in ((1, 262), (2, 330))]
    dropped(page, ".known .source", *tones)
    until(page, "document.querySelectorAll('.known .chip').length === 2")
    page.get_by_label("What comes out").select_option("components")
    page.get_by_label("Components for each source").select_option("4")
    page.get_by_role("button", name="Take it apart").click()
    page.wait_for_selector(".row")
    assert page.locator("input.name").count() == 1
    assert chips(page, 2) > 0  # rest
    page.get_by_role("button", name="New source").click()
    state = "(await (await fetch('/api/state')).json()).sources"
    until(page, f"{state}.length === 2")  # the server takes changes of what it found


def test_another_recording_does_not_cost_the_sources_of_this_one(own):
    own.get_by_role("button", name="New source").click()
    own.keyboard.type("keys")
    own.keyboard.press("Enter")
    begin(own)
    assert own.evaluate("!dispatchEvent(new Event('beforeunload', { cancelable: true }))")
    own.locator(".offer", has_text="mix & match.wav").click()
    own.get_by_role("button", name="Go on where you left it").click()
    own.wait_for_selector(".row")
    assert own.locator("input.name").input_value() == "keys"
    own.locator(".row .hear").first.click()
    own.get_by_role("button", name="Pause").wait_for()


def test_toasts_do_not_pile_up(page):
    page.wait_for_selector("main")
    page.evaluate(
        """import('/static/dom.js').then(({ toast }) => {
          for (const text of ['one', 'two', 'two', 'three', 'two']) toast(text);
        })"""
    )
    assert page.locator(".toast span").all_inner_texts() == ["three", "two"]


SEEN = """() => {
  const words = (node) => {  // what is seen, not what is said
    if (node.nodeType === Node.TEXT_NODE) return node.textContent;
    const style = getComputedStyle(node);
    if (style.display === 'none') return '';
    if (node.matches('.visually-hidden, [aria-hidden=true], svg, canvas')) return '';
    return [...node.childNodes].map(words).join(' ');
  };
  const plain = (text) => text.toLowerCase().replace(/[^\\p{L}\\p{N}#♯%]+/gu, ' ').trim();
  return [...document.querySelectorAll('button[aria-label]')]
    .map((item) => [plain(words(item)), plain(item.getAttribute('aria-label'))])
    .filter(([seen, said]) => !said.includes(seen));
}"""
FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v > 0.04045 ? ((v + 0.055) / 1.055) ** 2.4 : v / 12.92))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const faint = [];
  for (const item of document.querySelectorAll('.row span, .source *, .panel p, .toggle, h2')) {
    const own = [...item.childNodes]
      .some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !item.checkVisibility() || item.matches('option, .visually-hidden')) continue;
    const behind = [];
    let opacity = 1;
    for (let node = item; node; node = node.parentElement) {
      const style = getComputedStyle(node);
      behind.unshift(style.backgroundColor);
      opacity *= Number(style.opacity);
    }
    const ground = over(behind);
    const text = over([...behind, getComputedStyle(item).color])
      .map((v, i) => ground[i] + opacity * (v - ground[i]));
    const [a, b] = [light(ground), light(text)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faint.push([item.className, item.textContent, contrast.toFixed(2)]);
  }
  return faint;
}"""


def test_what_is_seen_is_said_and_what_is_dimmed_can_be_read(page):
    take_apart(page)
    page.get_by_role("button", name="Group rest by timbre").click()
    page.wait_for_selector("li.source:nth-child(4)")
    for which in ("Solo Source 1", "Mute Source 2"):
        page.get_by_role("button", name=which).click()
    page.mouse.move(0, 0)
    page.wait_for_selector(".row.silent")
    assert page.evaluate(SEEN) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        until(page, f"document.documentElement.dataset.scheme === {scheme!r}")
        until(page, "document.getAnimations().length === 0")
        assert page.evaluate(FAINT) == []
    row = page.locator(".row .hear").first
    assert row.get_attribute("aria-label") is None
    assert "hear alone" in row.text_content()


def test_it_fits_and_is_named(page):
    take_apart(page, "2")
    unnamed = page.evaluate("""() => [...document.querySelectorAll('button, input, select')]
      .filter((e) => !e.closest('[hidden], [aria-hidden=true]') && !e.matches('[aria-hidden=true]'))
      .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
      .map((e) => e.outerHTML)""")
    assert unnamed == []
    for width, height in ((1280, 720), (820, 1180)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside = page.evaluate("""() => [...document.querySelectorAll('.bar *, .tools *, .panel *')]
          .filter((e) => e.getBoundingClientRect().width && !e.closest('[aria-hidden=true]'))
          .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
          .map((e) => e.outerHTML)""")
        assert outside == []
