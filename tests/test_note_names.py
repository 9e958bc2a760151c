"""A note has one name wherever people read it, and any way to write it is read."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import audionmf
from audionmf import plot
from audionmf.analysis.coverage import _in_words
from audionmf.analysis.naming import _range
from audionmf.cli import printing
from audionmf.notes.events import SourceNote
from audionmf.notes.files import notes_csv, notes_labels
from audionmf.show.info import _template
from audionmf.show.words import describe_sources
from audionmf.sources.score import key_hertz, parse_pitch
from audionmf.sources.templates import Templates
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import key_name, note_name, timbre
from audionmf.studio.views import Rows, _described

PACKAGE = Path(audionmf.__file__).parent
RATE = 16000
TRANSFORM = STFT(2048, 512)
KEY, NAME = 58, "A♯3"
NOTE = SourceNote("horn", 0, KEY, 0.5, 1.0, 100, -6.0)


def test_every_key_is_read_as_it_is_written():
    assert [parse_pitch(key_name(key)) for key in range(128)] == list(range(128))
    assert [parse_pitch(key_name(key).replace("♯", "#")) for key in range(128)] == list(range(128))
    assert [note_name(key_hertz(key))[0] for key in range(128)] == [*map(key_name, range(128))]
    assert parse_pitch("B♭3") == parse_pitch("Bb3") == parse_pitch("a#3") == KEY


def template_of_the_note():
    n = np.arange(RATE)
    tone = sum(np.sin(2 * np.pi * h * key_hertz(KEY) * n / RATE) / h for h in range(1, 9))
    spectrum = np.abs(np.fft.rfft(tone[: TRANSFORM.n_fft] * np.hanning(TRANSFORM.n_fft)))
    return spectrum.astype(np.float32)[:, None]


def test_no_place_calls_a_note_by_another_name():
    W = template_of_the_note()
    spectrum = TRANSFORM.on_line(W)[:, 0]
    sound = timbre(spectrum, RATE / TRANSFORM.n_fft)
    bank = Templates(W, ("horn",), TRANSFORM, RATE)
    [tick] = plot.templates(None, W, TRANSFORM, RATE).get_xticklabels()
    played = plot.RollNotes(np.array([[0.0, 1.0]]), np.array([KEY]), np.ones(1), {})
    keys = plot.key_labels(played)
    studio = _described(0, spectrum, np.ones(8), 1.0, Rows(TRANSFORM, RATE))
    read = {
        "note": NOTE.name,
        "remark": _in_words([KEY]),
        "range": _range(np.array([float(KEY)]), np.ones(1)),
        "report": describe_sources(SimpleNamespace(templates=bank, grouping={"horn": (0,)}))[
            "horn"
        ],
        "info": _template(0, sound, None)["pitch"]["note"],
        "picture": tick.get_text(),
        "studio": studio["note"],
    }
    assert {place: text for place, text in read.items() if NAME not in text} == {}
    assert all(name == key_name(round(key)) for key, name in keys)


def test_letters_stand_in_one_table_of_the_package_and_in_the_same_of_the_page():
    letters = re.compile(r"""["']C([#♯])["']""")
    tables = {
        path.relative_to(PACKAGE).as_posix(): letters.findall(path.read_text("utf-8"))
        for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.js")]
    }
    assert {path: signs for path, signs in tables.items() if signs} == {
        "spectra/timbre.py": ["♯"],
        "studio/page/dom.js": ["♯"],
    }


def test_files_that_other_programs_read_have_plain_signs():
    assert b"horn A#3" in notes_labels([NOTE])
    assert b",A#3,58," in notes_csv([NOTE])


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", f"{NAME}–C4"), ("ascii", "A#3-C4")])
def test_a_terminal_without_the_sign_has_another(monkeypatch, encoding, shown):
    class Stream:
        pass

    Stream.encoding = encoding
    monkeypatch.setattr(printing.sys, "stdout", Stream)
    assert printing.printable(f"horn: {NAME}–C4") == f"horn: {shown}"
