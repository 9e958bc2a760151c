"""When a source sounds: the gate, the frequencies and the level."""

import numpy as np
import pytest

from audionmf.io.audio import Audio
from audionmf.notes import activity
from audionmf.notes.activity import sounding
from audionmf.notes.transcription import activity_of

RATE = 8000


def tones(*spans, seconds=4.0, hertz=1000.0, level=0.5):
    time = np.arange(round(seconds * RATE)) / RATE
    on = sum(((time >= a) & (time < b)).astype(float) for a, b in spans)
    return Audio((level * on * np.sin(2 * np.pi * hertz * time)).astype(np.float32), RATE)


def test_begin_end_frequency_and_level_of_each_stretch():
    first, second = sounding(tones((0.5, 1.2), (2.0, 3.5)), "bird")
    assert (first.begin, first.end) == pytest.approx((0.5, 1.2), abs=0.02)
    assert (second.begin, second.end) == pytest.approx((2.0, 3.5), abs=0.02)
    assert first.low == pytest.approx(1000, abs=60)
    assert first.high == pytest.approx(1000, abs=60)
    assert first.level_db == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert first.source == "bird"


def test_level_does_not_move_the_gate():
    loud, soft = (sounding(tones((0.5, 1.2), level=x), "a") for x in (0.5, 0.5 / 64))
    assert (loud[0].begin, loud[0].end) == (soft[0].begin, soft[0].end)
    assert loud[0].level_db - soft[0].level_db == pytest.approx(20 * np.log10(64), abs=0.1)


def test_silence_never_sounds():
    assert sounding(tones(), "a") == []


def test_short_gaps_are_bridged_and_clicks_left_out():
    assert len(sounding(tones((0.5, 1.0), (1.06, 1.5)), "a")) == 1
    assert len(sounding(tones((0.5, 1.0), (1.3, 1.5)), "a")) == 2
    assert len(sounding(tones((0.5, 1.0), (2.0, 2.01)), "a")) == 1


def test_between_the_thresholds_the_gate_stays_as_it_is():
    time = np.arange(3 * RATE) / RATE
    level = np.where(time < 1, 0.5, 0.5 * 10 ** (-25 / 20))  # between -20 and -30 dB
    x = level * np.sin(2 * np.pi * 500 * time)
    [event] = sounding(Audio(x.astype(np.float32), RATE), "a")
    assert (event.begin, event.end) == pytest.approx((0, 3), abs=0.02)
    [event] = sounding(Audio(x[::-1].astype(np.float32), RATE), "a")
    assert (event.begin, event.end) == pytest.approx((2, 3), abs=0.02)


def test_blocks_do_not_matter(monkeypatch):
    whole = tones((0.5, 1.2), (2.0, 3.5))
    expected = sounding(whole, "a")
    blocks = whole.blocks
    monkeypatch.setattr(Audio, "blocks", lambda _: blocks(777))
    again = sounding(whole, "a")
    assert [(e.begin, e.end, e.low, e.high) for e in again] == [
        (e.begin, e.end, e.low, e.high) for e in expected
    ]


def test_of_several_sources_in_the_order_of_time():
    events = activity_of({"b": tones((0.5, 1.0)), "a": tones((0.2, 0.4), (2, 3))})
    assert [e.source for e in events] == ["a", "b", "a"]
    assert activity._OPEN_DB > activity._SHUT_DB
