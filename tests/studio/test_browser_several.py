"""Several recordings in a real browser: one account for all, their states, all stems at once."""

import zipfile

from conftest import RATE, sound, tone
from studio_browser import PATIENCE, begin, dropped, needs_browser, until

pytestmark = needs_browser


def test_several_recordings_are_dropped_queued_opened_and_saved(page, tmp_path):
    begin(page)
    paths = [sound(tmp_path / f"{n}.wav", tone(262 * n, RATE)) for n in (1, 2, 3)]
    dropped(page, ".start", *paths)
    page.get_by_role("button", name="Take 3 recordings apart").wait_for(timeout=PATIENCE)
    assert page.locator("h1").inner_text() == "1.wav"
    page.get_by_role("checkbox", name="2.wav 0:01", exact=True).uncheck()
    page.get_by_label("What the recording is").select_option("textures")
    go = page.get_by_role("button", name="Take 2 recordings apart")
    go.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".queued")
    until(page, "document.querySelectorAll('.queued[data-course=done]').length === 2")
    assert page.locator(".queued .two span:first-child").all_inner_texts() == ["1.wav", "3.wav"]
    assert "2 of 2 done" in page.locator(".setup > .hint").inner_text()
    # However long the queue is, how far all of it is can be seen.
    page.set_viewport_size({"width": 1280, "height": 240})
    bar = "(bar) => { bar.hidden = false; return bar.offsetHeight; }"
    assert page.get_by_label("The whole queue").evaluate(bar) == 8
    page.set_viewport_size({"width": 1280, "height": 720})
    assert page.evaluate("!dispatchEvent(new Event('beforeunload', { cancelable: true }))")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save all stems").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == [
            f"{n}/{stem}.wav" for n in (1, 3) for stem in ("harmonic", "percussive")
        ]
    until(page, "document.querySelector('.done')?.textContent === 'Saved stems.zip'")
    assert page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))")
    page.evaluate("() => { window.showDirectoryPicker = () => navigator.storage.getDirectory(); }")
    page.get_by_role("button", name="To a folder").click()
    until(page, "document.querySelector('.done')?.textContent.startsWith('Saved 4 files')")
    sizes = page.evaluate(
        """async () => {
          const sizes = {};
          for await (const [name, folder] of (await navigator.storage.getDirectory()).entries()) {
            for await (const [stem, file] of folder.entries()) {
              sizes[`${name}/${stem}`] = (await file.getFile()).size;
            }
          }
          return sizes;
        }"""
    )
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sizes == {item.filename: item.file_size for item in archive.infolist()}
    commands = page.locator(".commands").text_content()
    assert commands == "audionmf separate 1.wav 3.wav --harmonic-percussive"

    page.get_by_role("button", name="Open 3.wav").click()
    page.wait_for_selector(".row")
    assert page.locator("h1").inner_text() == "3.wav"
    page.get_by_role("button", name="Another recording").click()
    page.get_by_role("button", name="Several recordings").click()
    page.wait_for_selector(".queued")
    page.reload()
    page.get_by_role("button", name="Several recordings").wait_for()


def test_what_failed_or_was_stopped_says_why_and_can_be_retried(page):
    """The answers are made here: what fails, and why, is tested elsewhere."""
    courses = ("done", "failed", "stopped")
    items = [
        {"recording": str(n), "name": f"{n}.wav", "track": str(n), "duration": 60 + n}
        | {"course": course, "stage": "", "share": 0, "reason": "no sound" * (course == "failed")}
        for n, course in enumerate(courses)
    ]
    told = {"items": items, "job": None, "lines": []}
    page.wait_for_selector("main")
    page.route("**/api/queue?*", lambda route: route.fulfill(json=told))
    page.evaluate(
        """() => import('/static/several.js').then(({ QueueView }) => {
          document.querySelector('main').replaceWith(new QueueView({}).element);
        })"""
    )
    page.wait_for_selector(".queued:nth-child(3)")
    assert page.locator(".setup > .hint").inner_text() == "1 of 3 done, 1 failed, 1 stopped"
    assert page.locator(".course").all_inner_texts() == list(courses)
    assert page.locator(".reason:visible").all_inner_texts() == ["No sound"]
    assert page.get_by_role("button", name="Open").count() == 1
    assert page.get_by_role("button", name="Save the stems of 1").is_enabled()
    lines = page.locator(".line.end button:visible").evaluate_all(
        "all => all.map((e) => e.offsetTop)"
    )
    assert len(lines) >= 3
    assert len(set(lines)) == 1  # side by side
    page.route("**/api/jobs", lambda route: route.fulfill(json={}))
    with page.expect_request("**/api/jobs") as asked:
        page.get_by_role("button", name="Retry the others").click()
    assert asked.value.post_data_json == {"kind": "queue", "again": True}


def test_a_queue_is_watched_on_though_an_answer_was_lost(own):
    """And what a queue held before is in its list no more."""

    def of(*names):
        more = {"duration": 60, "course": "done", "stage": "", "share": 0, "reason": ""}
        items = [{"recording": name, "name": name, "track": name} | more for name in names]
        return {"items": items, "job": "x", "lines": []}

    answers = [of("a.wav", "b.wav"), None, of("b.wav", "c.wav") | {"job": None}]

    def answered(route):
        answer = answers.pop(0)
        if answer is None:
            route.abort()
        else:
            route.fulfill(json=answer)

    own.route("**/api/queue?*", answered)
    own.evaluate(
        """() => import('/static/several.js').then(({ QueueView }) => {
          document.querySelector('main').replaceWith(new QueueView({}).element);
        })"""
    )
    until(own, "document.querySelector('.queued:last-child')?.textContent.startsWith('c.wav')")
    assert own.locator(".queued .two span:first-child").all_inner_texts() == ["b.wav", "c.wav"]
    assert not answers
    assert own.locator(".toast.error").count() == 0
