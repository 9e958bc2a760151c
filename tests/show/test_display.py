"""What a notebook shows: players and a picture, escaped and bounded."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import sys

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, child, two_notes

import audionmf
from audionmf import plot
from audionmf.notes.events import SourceNote
from audionmf.notes.table import NoteTable
from audionmf.show import display
from audionmf.show.rolls import rolls_of
from audionmf.show.tones import tones
from audionmf.spectra.stft import STFT

OPTIONS = {"n_sources": 2, "n_components": 4, "settings": TINY}


@pytest.fixture
def small(monkeypatch):
    """Draw small pictures: what they show is tested elsewhere."""
    figure = plot.figure
    monkeypatch.setattr(plot, "figure", lambda *_, **__: figure(8, 4))


def players(text):
    found = re.findall(r'src="data:audio/flac;base64,([^"]*)"', text)
    return [soundfile.read(io.BytesIO(base64.b64decode(each)), always_2d=True) for each in found]


@pytest.mark.usefixtures("small")
def test_a_separation_shows_its_stems_and_a_picture():
    stems = audionmf.separate(two_notes(2), sample_rate=RATE, **OPTIONS)
    found = dataclasses.replace(stems.decomposition, remarks=("<low>: half of it is known",))
    text = dataclasses.replace(stems, decomposition=found)._repr_html_()
    for (samples, rate), stem in zip(players(text), stems.sources.values(), strict=True):
        assert rate == RATE
        np.testing.assert_allclose(samples.T, stem, atol=1 / 32768)
    assert text.count('src="data:image/png;base64,') == 1
    assert all(f">{name}<" in text or name in text for name in stems.sources)
    assert "of the energy" in text
    assert "&lt;low&gt;: half of it is known" in text
    assert "first" not in text  # nothing was cut off
    assert "<script" not in text


def test_notes_that_were_asked_for_are_rolls_with_players(monkeypatch):
    figures = []
    monkeypatch.setattr(plot, "png", lambda drawn, _: figures.append(drawn) or b"")
    stems = audionmf.separate(two_notes(), sample_rate=RATE, **OPTIONS)
    before = stems._repr_html_()
    assert "Call notes()" in before
    first, second = stems.sources
    note = SourceNote(first, -1, 69, 0.1, 0.4, 127, 0.0)
    stems._heard.append(NoteTable((note,), (first, second)))
    text = stems._repr_html_()
    assert f"No notes of {second}: neither a pitch nor strokes were found." in text
    assert "1 notes as tones" not in text
    [*_, (samples, rate)] = players(text)
    assert rate == 22050
    assert np.abs(samples[: round(0.09 * rate)]).max() == 0
    spectrum = np.abs(np.fft.rfft(samples[round(0.1 * rate) : round(0.4 * rate), 0]))
    assert np.argmax(spectrum) / 0.3 == pytest.approx(440, abs=5)
    spectrogram, roll = figures[-1].axes
    assert [label.get_text() for label in spectrogram.get_yticklabels()] == ["100", "1k"]
    assert roll.get_ylabel() == "note"
    [bar] = [p for p in roll.patches if p.get_width() == pytest.approx(0.3)]
    assert (bar.get_x(), bar.get_y() + bar.get_height() / 2) == pytest.approx((0.1, 69))
    assert "G4" in {t.get_text() for t in roll.get_yticklabels()}
    assert spectrogram.get_xlim() == roll.get_xlim()


def test_strokes_are_tones_too_and_nothing_clips():
    notes = [SourceNote("kit", -1, key, 0.1, 0.2, 127, 0.0, drum=True) for key in (36, 38, 42)] * 9
    sound = tones(notes, 0.5)
    assert np.abs(sound.samples).max() == pytest.approx(1)
    assert sound.samples.shape == (1, 11025)


@pytest.mark.usefixtures("small")
def test_players_hold_the_first_seconds_and_say_so(monkeypatch):
    monkeypatch.setattr(display, "_MAX_SECONDS", 0.1)
    stems = audionmf.separate(two_notes(), sample_rate=RATE, **OPTIONS)
    text = stems._repr_html_()
    assert [len(samples) for samples, _ in players(text)] == [800, 800]
    assert "Players hold the first 0.1 s." in text


@pytest.mark.usefixtures("small")
def test_loud_stems_are_scaled_as_one():
    stems = audionmf.separate(8 * two_notes(), sample_rate=RATE, **OPTIONS)
    peak = max(np.abs(stem).max() for stem in stems.sources.values())
    assert peak > 1
    for (samples, _), stem in zip(
        players(stems._repr_html_()), stems.sources.values(), strict=True
    ):
        np.testing.assert_allclose(samples.T, stem / peak, atol=1 / 32768)


@pytest.mark.usefixtures("small")
def test_a_decomposition_renders_the_beginning_of_its_recording(mixture, monkeypatch):
    found = audionmf.analyse(mixture, components=True, n_components=3, settings=TINY)
    text = found._repr_html_()
    stems = audionmf.render(mixture, found).sources
    for (samples, _), stem in zip(players(text), stems.values(), strict=True):
        np.testing.assert_allclose(samples.T, stem, atol=1 / 32768)
    assert "mix: 3 components, 0.5 s" in text
    assert "mix: 2 sources of 3 components" in found.regroup({"low": (0, 2)})._repr_html_()
    monkeypatch.setattr(display, "_MAX_SECONDS", 0.1)
    assert {len(samples) for samples, _ in players(found._repr_html_())} == {800}
    mixture.write_bytes(mixture.read_bytes()[:-2] + b"\1\1")
    assert players(found._repr_html_()) == []
    assert "is not the recording" in found._repr_html_()
    mixture.unlink()
    assert "There is nothing to hear" in found._repr_html_()


@pytest.mark.usefixtures("small")
def test_a_decomposition_of_an_array_shows_a_picture_alone():
    found = audionmf.analyse(two_notes(), sample_rate=RATE, **OPTIONS)
    text = found._repr_html_()
    assert players(text) == []
    assert "made from an array" in text
    assert "data:image/png" in text


@pytest.mark.usefixtures("small")
def test_many_sources_are_bounded_in_number_and_length(mixture):
    found = audionmf.analyse(mixture, components=True, n_components=20, settings=TINY)
    text = found._repr_html_()
    assert len(players(text)) == 16
    assert "Here are 16 of 20." in text
    assert display._seconds(16) * 16 <= 121


@pytest.mark.usefixtures("small")
def test_names_are_shown_as_text(mixture):
    name = '<img src=x onerror="alert(1)">'
    found = audionmf.analyse(mixture, components=True, n_components=3, settings=TINY)
    text = found.regroup({name: (0, 1)})._repr_html_()
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" in text


@pytest.mark.usefixtures("small")
def test_what_flac_cannot_hold_is_said():
    stems = audionmf.separate(two_notes(9, 2000), sample_rate=RATE, **OPTIONS)
    assert "Browsers play up to 8 channels" in stems._repr_html_()


def test_without_matplotlib_the_players_are_there(monkeypatch):
    stems = audionmf.separate(two_notes(), sample_rate=RATE, **OPTIONS)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = stems._repr_html_()
    assert "pip install &#x27;audionmf[plot]&#x27;" in text
    assert len(players(text)) == 2


def test_a_separation_does_not_load_what_shows_it():
    code = "import sys, audionmf.separation; print('audionmf.show.display' in sys.modules)"
    assert child("-c", code).stdout.split() == [b"False"]


def test_names_of_the_outermost_keys_are_not_cut_off():
    keys = tuple(SourceNote("harp", -1, key, 0.1, 0.4, 127, 0.0) for key in (24, 84))
    seen = {"harp": plot.overview(audionmf.Audio(two_notes(), RATE), STFT(256, 64))}
    [roll] = rolls_of(NoteTable(keys, ("harp",)), seen, STFT(256, 64), RATE, 0.5)
    places = {n: float(y) for y, n in re.findall(r'<text x="5" y="([^%]*)%">([^<]*)', roll.drawing)}
    assert {"C1", "C6"} <= set(places)
    assert all(4 < y < 96 for y in places.values())
