"""The report: whole, escaped, self-contained, and in a real browser it plays in sync."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import re
import shlex
import sys
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, TINY_OPTIONS, files_below, sound, steps, two_notes
from studio_browser import PATIENCE

from audionmf import AudioNMFWarning, analyse, plot
from audionmf.io.audio import AudioFile
from audionmf.notes.events import SourceNote
from audionmf.notes.table import NoteTable
from audionmf.rendering.stems import default_paths
from audionmf.separation.separating import render_to_files
from audionmf.show import embedding, pictures, report

SECONDS = 2.0


@pytest.fixture(scope="module")
def drawn():
    """Return one small picture to stand for many large ones: what they show is tested elsewhere."""
    return [pictures._picture("stems", "<caption>", small_figure)]


@pytest.fixture
def few_pictures(monkeypatch, drawn):
    monkeypatch.setattr(pictures, "_pictures", lambda *_: drawn)


PLAYED = NoteTable(
    (
        SourceNote("low", -1, 57, 0.25, 0.75, 127, 0.0),
        SourceNote("low", -1, 69, 1.0, 1.5, 64, -12.0),
        SourceNote("high", -1, 42, 1.25, 1.35, 90, -6.0, drum=True),
    ),
    ("low", "high"),
)


def small_figure(theme):
    picture = plot.figure(2, 1, theme)
    picture.add_subplot().set(xlabel="time (s)", xlim=(0, SECONDS))
    return picture


def separated(folder, names=("low", "high"), samples=None, **source):
    """Return a recording of notes in two sources, and what there is to report about them."""
    samples = two_notes(2, round(SECONDS * RATE)) if samples is None else samples
    path = sound(folder / "in" / "<mix> & 'co'.wav", samples, **source)
    file = AudioFile(path)
    found = analyse(file, n_sources=len(names), n_components=4, settings=TINY)
    groups = dict(zip(names, found.grouping.values(), strict=True))
    found = found.regroup(groups)
    stems, trust = render_to_files(file, found, default_paths(file, names, folder / "out"))
    return file, stems, found, trust


def page_of(folder, made, **options):
    file, stems, found, trust = made
    path = report.report_path(folder / "out", file.path.stem)
    options.setdefault("notes", NoteTable((), ()))  # hearing them takes a while
    assert report.write_report(path, file, stems, found, trust, **options) == path
    return path, path.read_text("utf-8")


class Outline(HTMLParser):
    """Notes every element with its attributes, and that all are closed."""

    VOID = ("meta", "link", "input", "img", "source", "path", "rect", "audio")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def embedded(text):
    found = re.findall(r'<script type="text/plain" id="audio\d+">([^<]*)</script>', text)
    return [soundfile.read(io.BytesIO(base64.b64decode(each)), always_2d=True) for each in found]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{track}/{source}.{ext}", "mix/report.html"),
        ("{source}/{track}.{ext}", "report/mix.html"),
        ("{track}-{source}.{ext}", "mix-report.html"),
    ],
)
def test_the_report_goes_where_a_stem_of_that_name_would(tmp_path, pattern, name):
    assert report.report_path(tmp_path, "mix", pattern) == tmp_path.resolve() / name


@pytest.mark.usefixtures("few_pictures")
def test_the_audio_in_the_page_is_the_stems_and_sums_to_the_recording(tmp_path):
    made = separated(tmp_path)
    _, text = page_of(tmp_path, made)
    found = embedded(text)
    assert [rate for _, rate in found] == [RATE, RATE]
    for (samples, _), path in zip(found, made[1].paths.values(), strict=True):
        np.testing.assert_array_equal(samples, soundfile.read(path, always_2d=True)[0])
    mixture = soundfile.read(made[0].path, always_2d=True)[0]
    np.testing.assert_allclose(sum(each for each, _ in found), mixture, atol=2 / 32768)


@pytest.mark.usefixtures("few_pictures")
def test_audio_beyond_full_scale_is_scaled_as_one_and_said(tmp_path):
    loud = 6 * two_notes(1, 4000)
    made = separated(tmp_path, samples=loud, subtype="FLOAT")
    _, text = page_of(tmp_path, made)
    stems = [soundfile.read(path)[0] for path in made[1].paths.values()]
    peak = max(np.abs(stem).max() for stem in stems)
    assert peak > 1
    for (samples, _), stem in zip(embedded(text), stems, strict=True):
        np.testing.assert_allclose(samples[:, 0], stem / peak, atol=1 / 32768)
    assert "softer here than in the files" in text


@pytest.mark.usefixtures("few_pictures")
def test_names_from_outside_are_shown_as_text(tmp_path):
    names = ("</script><script>alert(1)</script>", '" onload="alert(1)')
    made = separated(tmp_path, names)
    path, text = page_of(tmp_path, made, manifest={"job": "</pre><script>alert(1)</script>"})
    page = Outline(text)
    assert page.open == []
    scripts = page.named("script")
    assert [script.get("type") for script in scripts] == [
        "application/json", "text/plain", "text/plain", None,
    ]  # fmt: skip
    assert all(not key.startswith("on") for _, each in page.elements for key in each)
    assert all("style" not in each for _, each in page.elements)  # the policy would refuse it
    words = " ".join(page.words)
    for name in (*names, "<mix> & 'co'", "</pre><script>alert(1)</script>", "<caption>"):
        assert name in words
    for link in page.named("a"):
        assert not re.match(r"[a-z]+:", link["href"])
    linked = {(path.parent / unquote(link["href"])).resolve() for link in page.named("a")}
    assert linked == set(made[1].paths.values())


def unquote(link):
    from urllib.parse import unquote as undo

    return undo(html.unescape(link))


@pytest.mark.usefixtures("few_pictures")
def test_the_policy_of_the_page_forbids_every_request_and_foreign_script(tmp_path):
    _, text = page_of(tmp_path, separated(tmp_path))
    page = Outline(text)
    policy = next(meta["content"] for meta in page.named("meta") if "http-equiv" in meta)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["media-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["script-src"].startswith("'sha256-")
    assert rules["style-src"].startswith("'sha256-")
    assert "://" not in re.sub(r"base64,[^\"]*", "", text)
    sources = [each.get("src", each.get("srcset", "")) for _, each in page.elements]
    assert all(source.startswith("data:image/png") for source in sources if source)


@pytest.mark.usefixtures("few_pictures")
def test_the_page_tells_settings_trust_and_manifest(tmp_path):
    made = separated(tmp_path)
    path, text = page_of(tmp_path, made, manifest={"seed": 41})
    words = " ".join(" ".join(Outline(text).words).split())
    assert "<mix> & 'co'" in words
    assert "2 stems · 0:02 · 8000 Hz · stereo" in words
    assert "n_fft 256 (default: automatic)" in words
    assert "All settings (6 not the default)" in words
    assert '"seed": 41' in words
    assert made[2].mixture.sha256 in words
    trust = made[3]
    for name in ("low", "high"):
        assert f"{100 * trust.energy_share[name]:.0f} %" in words
    assert "Manifest" not in page_of(tmp_path, made)[1]
    told = dataclasses.replace(made[2], remarks=("'<low>': the example holds half",))
    page = page_of(tmp_path, (*made[:2], told, trust))[1]
    assert f"<p>{html.escape(told.remarks[0])}.</p>" in page
    assert page_of(tmp_path, made, manifest={"seed": 41})[0].read_text("utf-8") == text
    assert files_below(path.parent) == ["high.wav", "low.wav", "report.html"]


@pytest.mark.usefixtures("few_pictures")
def test_a_long_recording_is_linked_and_not_embedded(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "EMBEDDED_SECONDS", 3.9)  # two stems of 2 s are more
    made = separated(tmp_path)
    path, text = page_of(tmp_path, made)
    assert embedded(text) == []
    audio = Outline(text).named("audio")
    linked = [(path.parent / unquote(each["src"])).resolve() for each in audio]
    assert linked == list(made[1].paths.values())
    assert "media-src 'self' file:" in text
    assert "Pages embed up to" in text


@pytest.mark.usefixtures("few_pictures")
def test_a_page_that_would_be_too_large_holds_its_audio_smaller(tmp_path, monkeypatch):
    made = separated(tmp_path, samples=two_notes(1, 32_000))
    _, whole = page_of(tmp_path, made)
    found = re.findall(r'id="audio\d+">([^<]*)</script>', whole)
    monkeypatch.setattr(embedding, "EMBEDDED_BYTES", sum(map(len, found)) - 1)
    _, text = page_of(tmp_path, made)
    assert len(text) < len(whole)
    stems = [soundfile.read(path, always_2d=True)[0] for path in made[1].paths.values()]
    for (samples, _), stem in zip(embedded(text), stems, strict=True):
        assert samples.shape == stem.shape
        assert np.square(samples - stem).mean() < 0.01 * np.square(stem).mean()
    assert "as Ogg Vorbis" in text
    monkeypatch.setattr(embedding, "EMBEDDED_BYTES", 100)
    text = page_of(tmp_path, made)[1]
    assert embedded(text) == []
    assert "Pages embed up to" in text


def test_three_stems_of_four_minutes_may_be_in_a_page_as_small_as_it_needs(tmp_path, monkeypatch):
    assert embedding.EMBEDDED_SECONDS >= 3 * 240
    least = min(embedding._VORBIS_LEVELS.values())
    assert least * 3 * 240 <= 0.8 * embedding.EMBEDDED_BYTES * 6  # base64 holds 6 bits a byte
    noise = np.random.default_rng(3).uniform(-0.3, 0.3, (2, 22_050))
    files = [AudioFile(sound(tmp_path / "noise.wav", noise, rate=44_100))]
    sizes = [len(embedding._embed(files[0], 1.0, None, n)) for n in embedding._VORBIS_LEVELS]
    assert sizes == sorted(set(sizes), reverse=True)
    for size in sizes:
        monkeypatch.setattr(embedding, "EMBEDDED_BYTES", size)
        made = embedding.embedded(files, 1.0)
        assert not made.lossless
        assert len(made.contents[0]) <= size
    assert len(made.contents[0]) == sizes[-1]
    monkeypatch.setattr(embedding, "EMBEDDED_BYTES", sizes[-1] - 1)
    assert embedding.embedded(files, 1.0) is None


@pytest.mark.parametrize("channels", [1, 9])
@pytest.mark.usefixtures("few_pictures")
def test_what_flac_cannot_hold_is_linked(tmp_path, channels):
    made = separated(tmp_path, samples=two_notes(channels, 2000))
    assert len(embedded(page_of(tmp_path, made)[1])) == (2 if channels == 1 else 0)


@pytest.mark.usefixtures("few_pictures")
def test_silence_has_a_report_too(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioNMFWarning)
        made = separated(tmp_path, samples=np.zeros((1, 3000)))
    words = " ".join(Outline(page_of(tmp_path, made)[1]).words)
    assert "nan" not in words
    assert "The models explain" not in words


def test_pictures_are_drawn_in_both_themes_and_described(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_PICTURE_DPI", 20)
    made = separated(tmp_path)
    _, text = page_of(tmp_path, made)
    page = Outline(text)
    images = page.named("img")
    assert len(images) == len(page.named("source")) == 5
    assert "The spectrogram of each, all on one scale." in text
    for light, dark in zip(images, page.named("source"), strict=True):
        assert len(light["alt"]) > 30
        assert dark["media"] == "(prefers-color-scheme: dark)"
        assert dark["srcset"] != light["src"]


def test_without_matplotlib_the_page_says_so_and_has_all_the_rest(tmp_path, monkeypatch):
    made = separated(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(AudioNMFWarning, match=r"pip install 'audionmf\[plot\]'"):
        _, text = page_of(tmp_path, made)
    assert "There are no pictures here" in text
    assert Outline(text).named("img") == []
    assert len(embedded(text)) == 2


def test_notes_are_a_roll_under_the_spectrogram_of_each_source(written):
    text = written.read_text("utf-8")
    page = Outline(text)
    notes = [r for r in page.named("rect") if r.get("class") == "note"]
    assert [float(n["x"]) for n in notes] == [0.25, 1.0, 1.25]
    assert [float(n["width"]) for n in notes] == pytest.approx([0.5, 0.5, 0.1])
    assert float(notes[0]["y"]) - float(notes[1]["y"]) == 12  # an octave of rows
    assert float(notes[0]["opacity"]) > float(notes[1]["opacity"])
    alts = [image.get("alt") for image in page.named("img")]
    assert [f"Spectrogram of {name}" in alts for name in ("low", "high")] == [True, True]
    words = " ".join(page.words)
    for told in ("2 notes, A3 to A4", "1 stroke", "A4, 0:01.00, -12 dB", "C4", "hi-hat", "0:01"):
        assert told in words


@pytest.mark.usefixtures("few_pictures")
def test_a_source_without_notes_is_named_and_long_stems_say_how(tmp_path, monkeypatch):
    made = separated(tmp_path)
    text = page_of(tmp_path, made, notes=NoteTable(PLAYED.notes[:2], ("low", "high")))[1]
    assert "No notes of high: neither a pitch nor strokes were found." in text
    heard = page_of(tmp_path, made, notes=None)[1]
    assert 'aria-label="Piano roll of' in heard
    monkeypatch.setattr(report, "_HEARD_SECONDS", 3.9)  # two stems of 2 s are more
    told = page_of(tmp_path, made, notes=None)[1]
    assert "Piano roll of" not in told
    assert "--export midi" in told


def test_models_of_the_chosen_frames_are_those_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_PICTURE_COLUMNS", 7)
    file, _, found, _ = separated(tmp_path)
    V, frames, seconds = pictures._typical_frames(file, found.templates.stft)
    whole = plot.overview(file, found.templates.stft, n_columns=10**6).V
    np.testing.assert_array_equal(V, whole[:, frames])
    step = -(-whole.shape[1] // 7)
    assert [int(np.argmax(whole[:, t : t + step].sum(axis=0))) + t
            for t in range(0, whole.shape[1], step)] == frames.tolist()  # fmt: skip
    assert seconds == step * found.templates.stft.hop_length / RATE
    np.testing.assert_array_equal(
        pictures._model(found, V, frames)[0], found.activations[:, frames]
    )
    found = dataclasses.replace(found, activations=None)
    H, model = pictures._model(found, V, frames)
    np.testing.assert_allclose(H, found.activate(whole, 1)[:, frames], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(model, found.templates.templates @ H, rtol=1e-5)


@pytest.mark.usefixtures("few_pictures")
def test_the_command_writes_a_report_beside_the_stems(mixture, tmp_path, run):
    options = ["--n-sources", 2, "--n-components", 4, *TINY_OPTIONS, "-o", tmp_path / "out"]
    code, printed, _ = run("separate", mixture, *options, "--report", "--json")
    told = json.loads(printed)
    path = tmp_path / "out" / "mix" / "report.html"
    assert (code, told["files"]) == (0, [str(path)])
    text = path.read_text("utf-8")
    assert "Manifest" in text
    assert len(embedded(text)) == 2
    code, printed, _ = run("separate", mixture, *options[:-1], tmp_path / "plain")
    assert not (tmp_path / "plain" / "mix" / "report.html").exists()
    path.unlink()
    path.mkdir()
    code, _, error = run("separate", mixture, *options, "--report")
    assert code == 4
    assert "report.html" in error


def command_of(text):
    """Return the words of the command line that a page says makes the same again."""
    return shlex.split(html.unescape(re.search(r"<code>(audionmf .*)</code>", text)[1]))


@pytest.mark.usefixtures("few_pictures")
def test_decompose_and_regroup_write_a_report_too(mixture, tmp_path, run, monkeypatch):
    monkeypatch.chdir(mixture.parent)
    options = ["--n-components", 3, *TINY_OPTIONS]
    code, printed, _ = run("decompose", mixture, *options, "-o", tmp_path / "parts", "--report")
    assert code == 0
    assert "mix/report.html" in printed
    home = tmp_path / "parts" / "mix"
    text = (home / "report.html").read_text("utf-8")
    words = " ".join(" ".join(Outline(text).words).split())
    assert "3 components · 0:00" in words
    assert "How far to trust the components" in words
    names = [f"component{k:02d}" for k in range(3)]
    for (samples, _), name in zip(embedded(text), names, strict=True):
        np.testing.assert_array_equal(samples[:, 0], soundfile.read(home / f"{name}.wav")[0])
        assert f'aria-label="Solo {name}"' in text
    made_again(run, text, home, tmp_path / "again", names)

    groups = ["--group", "low & more=0,2"]
    code, printed, _ = run(
        "regroup", home / "model.npz", *groups, "-o", tmp_path / "new", "--report", "--json"
    )
    path = tmp_path / "new" / "mix" / "report.html"
    assert (code, json.loads(printed)["files"]) == (0, [str(path)])
    text = path.read_text("utf-8")
    words = " ".join(" ".join(Outline(text).words).split())
    assert "2 stems · 0:00" in words
    assert "low & more 0, 2; rest 1" in words
    assert len(embedded(text)) == 2
    made_again(run, text, path.parent, tmp_path / "anew", ["low & more", "rest"])


def made_again(run, text, home, folder, names):
    """Run the command line of a page, and compare what it writes byte by byte."""
    program, *words = command_of(text)
    assert (program, run(*words, "-o", folder)[0]) == ("audionmf", 0)
    for name in names:
        written = (folder / "mix" / f"{name}.wav").read_bytes()
        assert written == (home / f"{name}.wav").read_bytes()


@pytest.mark.usefixtures("few_pictures")
def test_no_report_is_written_that_was_not_asked_for(mixture, tmp_path, run):
    options = ["--n-components", 3, *TINY_OPTIONS, "-o", tmp_path]
    run("decompose", mixture, *options)
    run("regroup", tmp_path / "mix" / "model.npz", "--group", "a=0", "-o", tmp_path / "new")
    assert not list(tmp_path.rglob("report.html"))


@pytest.mark.usefixtures("few_pictures")
def test_a_report_never_overwrites_an_input(tmp_path, run):
    path = sound(tmp_path / "out" / "mix" / "report.html", two_notes())
    mixture = sound(tmp_path / "mix.wav", two_notes())
    code, _, error = run(
        "separate", mixture, "--example", f"a={path}", *TINY_OPTIONS, "-o", tmp_path / "out",
        "--report",
    )  # fmt: skip
    assert (code, "overwrite" in error) == (4, True)
    path = sound(tmp_path / "report" / "report.html", two_notes())
    code, _, error = run("decompose", path, *TINY_OPTIONS, "-o", tmp_path, "--report")
    assert (code, "overwrite" in error) == (4, True)


class Opened:
    """A page from the disk, and all that it said and asked for."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.url = path.as_uri()
        self.page.goto(self.url)

    def levels(self):
        """Return the level that each stem sounds at, 0 to 1, as its meter shows."""
        return self.page.evaluate(
            "[...document.querySelectorAll('.track')]"
            ".map(track => Number(track.style.getPropertyValue('--level')))"
        )

    def wait_for(self, condition):
        for _ in range(PATIENCE // 50):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"it never came; the page said {self.said}")

    def position(self):
        return float(self.page.locator("#position").input_value())

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_pictures", lambda *_: drawn)
        return page_of(folder, separated(folder), notes=PLAYED)[0]


def test_in_a_browser_the_stems_sound_together_with_solo_and_mute(browser, written):
    opened = Opened(browser, written, color_scheme="dark")
    page = opened.page
    page.get_by_label("Loop").check()
    opened.button("Play").click()
    opened.button("Pause").wait_for()
    opened.wait_for(lambda: min(opened.levels()) > 0.05)  # every stem is heard
    assert opened.position() > 0
    opened.button("Solo high").click()
    assert opened.button("Solo high").get_attribute("aria-pressed") == "true"
    opened.wait_for(lambda: opened.levels()[0] == 0 < opened.levels()[1])
    page.keyboard.press("a")  # the recording as it was, and what was chosen again
    assert opened.button("Original").get_attribute("aria-pressed") == "true"
    opened.wait_for(lambda: min(opened.levels()) > 0.05)
    opened.button("Original").click()
    opened.wait_for(lambda: opened.levels()[0] == 0 < opened.levels()[1])
    page.keyboard.press("0")
    page.keyboard.press("Shift+2")
    assert opened.button("Mute high").get_attribute("aria-pressed") == "true"
    opened.wait_for(lambda: opened.levels()[1] == 0 < opened.levels()[0])
    page.locator(".lane").first.click(position={"x": 2, "y": 5})
    page.keyboard.press("k")
    opened.button("Play").wait_for()
    stopped = opened.position()
    page.keyboard.press("Home")
    assert opened.position() == 0 <= stopped
    assert opened.said == []
    assert opened.asked == [opened.url]  # the file itself and nothing else
    opened.context.close()


def test_in_a_browser_a_note_plays_its_stem_alone_and_tones_play_the_notes(browser, written):
    opened = Opened(browser, written)
    page = opened.page
    page.get_by_label("Loop").check()
    page.locator(".roll .note").nth(1).click()
    opened.button("Pause").wait_for()
    assert opened.button("Solo low").get_attribute("aria-pressed") == "true"
    opened.wait_for(lambda: opened.position() > 0.98)
    opened.wait_for(lambda: opened.levels()[0] > 0.05 and opened.levels()[1] == 0)
    tones = page.get_by_role("button", name="Tones in place of low")
    tones.click()
    assert tones.get_attribute("aria-pressed") == "true"
    # Between the notes a stem goes on, tones do not; in them they sound.
    opened.wait_for(lambda: 0.05 < opened.position() < 0.2 and opened.levels()[0] == 0)
    opened.wait_for(lambda: 0.4 < opened.position() < 0.7 and opened.levels()[0] > 0.05)
    assert opened.said == []
    opened.context.close()


def test_in_a_browser_a_mix_is_saved_as_it_is_heard(browser, written):
    opened = Opened(browser, written)

    def saved():
        with opened.page.expect_download() as download:
            opened.button("Save the mix").click()
        assert download.value.suggested_filename == "_mix_ & 'co'-mix.wav"
        samples, rate = soundfile.read(download.value.path(), dtype="int16")
        assert rate == RATE
        return samples.astype(int)

    told = json.loads(opened.page.locator("#page").text_content())
    assert told["mix"] == "<mix> & 'co'-mix.wav"
    assert "<mix>" not in re.search('id="page">(.*)</script>', written.read_text("utf-8"))[1]
    whole = saved()
    stems = [steps(path) for path in sorted(written.parent.rglob("*.wav"))]
    assert len(stems) == 2
    np.testing.assert_allclose(whole.T / 32768, sum(stems), atol=1.5 / 32768)
    opened.button("Mute low").click()
    high = saved()
    opened.button("Mute low").click()
    opened.page.get_by_label("Volume of low").fill("0.5")
    np.testing.assert_allclose(saved(), (whole + high) / 2, atol=1)
    assert np.abs(whole - high).max() > 1000
    assert opened.said == []
    opened.context.close()


@pytest.mark.usefixtures("few_pictures")
def test_in_a_browser_linked_stems_stay_together(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "EMBEDDED_SECONDS", 1.0)
    samples = np.tile(two_notes(1, 8000), 6)
    path, _ = page_of(tmp_path, separated(tmp_path, samples=samples))
    opened = Opened(browser, path)
    opened.button("Play").click()
    opened.button("Pause").wait_for()
    script = "[...document.querySelectorAll('audio')].map(a => a.currentTime)"
    opened.wait_for(lambda: opened.page.evaluate(script)[0] > 1)
    first, second = opened.page.evaluate(script)
    assert abs(first - second) < 0.15
    opened.button("Mute low").click()
    assert opened.page.evaluate("document.querySelectorAll('audio')[0].volume") == 0
    assert opened.said == []
    assert all(url.startswith("file:") for url in opened.asked)
    opened.context.close()


def test_in_a_browser_a_phone_shows_all_without_scrolling_sideways(browser, written):
    opened = Opened(browser, written, viewport={"width": 360, "height": 740})
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert opened.page.evaluate(script) == 0
    box = opened.button("Mute low").bounding_box()
    assert min(box["width"], box["height"]) >= 44
    opened.context.close()
