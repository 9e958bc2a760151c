"""Notes and marks in a real browser: what is seen, corrected and heard while one paints."""

import itertools
import math

from studio_browser import PATIENCE, needs_browser, settled, sounds, take_apart, until

pytestmark = needs_browser

MARKS = (
    "import('/static/store.js').then(({ store }) => store.sending.then(() => store.state.marks))"
)


def said(page, name):
    """How many notes the roll says that a source has."""
    label = page.locator("canvas.roll").get_attribute("aria-label")
    return int(label.partition(f"{name} ")[2].replace(",", ".").partition(".")[0])


def height_of(page, hertz):
    """Where a frequency is in the spectrogram, 0 at the top, 1 at the bottom."""
    meta = page.evaluate("fetch('/api/state').then((r) => r.json())")["spectrogram"]
    return 1 - math.log(hertz / meta["low"]) / math.log(meta["high"] / meta["low"])


def test_notes_lie_under_the_spectrogram_and_play_their_source(page):
    """Those of one source, for hearing notes takes a second and more for each."""
    take_apart(page, "2")
    page.locator(".row .hear").first.focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Notes", exact=True)
    button.click()
    roll = page.get_by_role("img", name="Piano roll")
    roll.wait_for(timeout=PATIENCE)  # the first hearing loads what it needs
    assert button.get_attribute("aria-pressed") == "true"
    box = roll.bounding_box()
    spot = page.evaluate(
        """([width, height]) => {
      const canvas = document.querySelector('canvas.roll');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < canvas.width * canvas.height; i += 1) {
        const at = [(i % canvas.width) / canvas.width, Math.floor(i / canvas.width) / canvas.height];
        if (data[4 * i + 3] > 100) return [at[0] * width + 3, at[1] * height + 2];
      }
      return null;
    }""",
        [box["width"], box["height"]],
    )
    roll.click(position={"x": spot[0], "y": spot[1]})
    sounds(page)
    page.wait_for_selector("li.source button[aria-pressed=true]")
    assert page.locator("li.source button[aria-pressed=true]").count() == 1
    page.get_by_role("button", name="Pause").click()
    page.locator(".row select").first.select_option(label="rest")
    roll.wait_for(state="hidden")  # they were the notes of other sources


def test_marks_are_drawn_to_notes_and_notes_are_edited(page):
    """The notes are those of a job that is answered here: hearing them is tested elsewhere."""
    name = "Source 1"
    rolls = {name: [[0.5, 1.5, 69, 90, False, "A4"], [2.0, 2.5, 72, 70, False, "C5"]]}
    told = {
        "id": "x", "kind": "notes", "stage": "", "share": 1, "divergence": [], "iterations": 0,
        "outcome": "done", "error": "", "notes": [], "result": {"rolls": rolls},
    }  # fmt: skip
    take_apart(page, "2")
    page.get_by_role("button", name="New source").click()
    page.keyboard.press("Escape")
    page.route("**/api/jobs", lambda route: route.fulfill(json=told))
    page.get_by_role("button", name="Notes", exact=True).click()
    page.locator("canvas.roll").wait_for()

    # A mark is drawn to the note whose source it is about: a click marks all of its partials.
    page.locator(".picture").focus()
    page.keyboard.press("b")
    page.get_by_label("Source of the next mark").select_option(label=name)
    page.get_by_label("hear at once").uncheck()
    first, second, hertz = 0.5, 1.5, 440.0
    picture = page.locator(".picture").bounding_box()
    middle = picture["x"] + picture["width"] * (first + second) / 2 / 4
    page.mouse.click(middle, picture["y"] + height_of(page, hertz) * picture["height"])
    mark = page.evaluate(MARKS)[-1]
    assert len(mark["spans"]) > 1
    assert abs(mark["start"] - first) < 0.01
    assert mark["spans"][0][2] < hertz < mark["spans"][0][3]
    page.get_by_role("button", name="Undo").click()
    at = picture["y"] + height_of(page, hertz * 2 ** (1 / 24)) * picture["height"] + 5
    page.mouse.move(picture["x"] + picture["width"] * first / 4 + 5, at)
    page.mouse.down()
    page.mouse.move(picture["x"] + picture["width"] * second / 4 - 5, at + 40, steps=3)
    page.mouse.up()
    mark = page.evaluate(MARKS)[-1]
    assert abs(mark["start"] - first) < 1e-3
    assert abs(mark["high"] / (hertz * 2 ** (1 / 24)) - 1) < 1e-3
    page.get_by_role("button", name="Mark", exact=True).click()

    # Notes are taken away and added, by hand and by keyboard, and the account has them then.
    page.get_by_role("button", name="Edit notes").click()
    page.get_by_label("Source of the notes").select_option(label=name)
    before = said(page, name)
    page.locator("canvas.roll").focus()
    page.keyboard.press("n")
    assert said(page, name) == before + 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Delete")
    assert said(page, name) == before
    for _ in range(3):
        page.get_by_role("button", name="Take back").click()
    assert said(page, name) == before
    assert page.get_by_role("button", name="Take apart with these notes").is_disabled()
    box = page.locator("canvas.roll").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + 3, steps=3)
    page.mouse.up()
    assert said(page, name) == before + 1
    page.get_by_role("button", name="Take apart with these notes").click()
    page.wait_for_selector(".known")
    chips = page.locator(".known .source", has=page.locator(f"input.name[value='{name}']"))
    assert "notes mix & match-notes.mid" in chips.locator(".chip").first.inner_text()


def test_marks_are_heard_while_they_are_drawn_in_one_step_with_them(page):
    """Around the stroke at once, then in all of it; the music does not stop, one undo is enough."""
    take_apart(page)
    page.get_by_role("button", name="Group rest by timbre").click()
    page.wait_for_selector("li.source:nth-child(4)")
    page.get_by_role("button", name="Loop", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    sounds(page)
    page.locator(".picture").focus()
    page.keyboard.press("b")
    model = "import('/static/store.js').then(({ store }) => store.state.model)"
    steps = "import('/static/store.js').then(({ store }) => store.past.length)"
    before, n_steps = page.evaluate(model)["id"], page.evaluate(steps)
    spans = []
    page.on(
        "request",
        lambda r: r.method == "POST" and "/api/jobs" in r.url and spans.append(r.post_data_json),
    )
    box = page.locator(".picture").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 120, steps=4)
    page.mouse.up()
    until(page, f"(await {model}).id !== {before!r} && !(await {model}).tried")
    assert [body["kind"] for body in spans] == ["try", "try"]
    assert spans[0]["span"] == [0, 4]
    assert spans[1]["span"] is None
    sounds(page)
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate(model)["id"] == before
    assert page.evaluate(MARKS) == []
    settled(page)
    page.reload()
    page.wait_for_selector(".row")
    assert page.evaluate(model)["id"] == before
    assert page.evaluate(steps) == n_steps  # the server counts one step, too


def test_drums_of_a_roll_have_lanes_of_their_own_that_can_be_told_apart(page):
    """Below 65 keys, two pixels each, their names lay over one another."""
    page.wait_for_selector("main")
    lanes = page.evaluate(
        """async () => {
          const { Roll } = await import('/static/roll.js');
          const drums = [[36, 'kick'], [38, 'snare'], [42, 'hi-hat']];
          const roll = Object.assign(Object.create(Roll.prototype), {
            drums, range: [24, 88], timeline: { x: (seconds) => seconds },
          });
          const box = (key, drum) => roll.box({ onset: 0, offset: 1, key, drum }, 100, 130);
          return [[24, false], [42, true], [38, true], [36, true]].map(([k, d]) => box(k, d));
        }"""
    )
    lowest, *drums = ((lane["top"], lane["top"] + lane["tall"]) for lane in lanes)
    assert all(end - start >= 12 for start, end in drums)
    edges = [lowest, *drums]
    assert all(a[1] <= b[0] + 1e-6 for a, b in itertools.pairwise(edges))
    assert edges[-1][1] <= 130 + 1e-6
